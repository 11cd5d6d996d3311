#include "cc/gpu/device/emulator.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace tf_dwbp::emulator {

Index thread_index, block_index, block_size, grid_size;

namespace {

using gpu::kWarp;
// Threads of a block, at most.
constexpr int kMostThreads = 1024;
constexpr size_t kStackBytes = 256 << 10;

#if defined(__x86_64__)
// swapcontext() asks the kernel for the signal mask each time, and the sanitizer's clears the marks
// of a whole stack: too slow by far for a few hundred thousand blocks.
extern "C" void tf_dwbp_switch(void** save, void* restore);
asm(R"(
  .text
  .type tf_dwbp_switch, @function
tf_dwbp_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

struct Context {
  void* stack_pointer = nullptr;

  void start(char* stack, size_t bytes, void (*entry)()) {
    // As if `entry` had been called: what tf_dwbp_switch() pops, and where it returns to.
    void** const top =
        reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + bytes) / 16 * 16) - 1;
    top[-1] = reinterpret_cast<void*>(entry);
    std::fill_n(top - 7, 6, nullptr);
    stack_pointer = top - 7;
  }
  void switch_to(Context& next) { tf_dwbp_switch(&stack_pointer, next.stack_pointer); }
};
#else
struct Context {
  ucontext_t context;

  void start(char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  void switch_to(Context& next) { swapcontext(&context, &next.context); }
};
#endif

struct Copy {
  void* to;
  const void* from;
  int bytes;
};

struct Thread {
  Context context;
  std::unique_ptr<char[]> stack;
  void* fake_stack = nullptr;  // the sanitizer's
  bool finished = false;
  int barrier = -1;        // that it waits at
  int64_t warp_turn = -1;  // of exchanges, that it waits for the end of
  int64_t exchanges = 0;
  std::vector<Copy> copies;
};

struct Warp {
  int64_t turn = 0;
  int arrived = 0;
  uint64_t slots[2][kWarp];
};

struct Block {
  std::vector<Thread> threads{kMostThreads};  // never moved: contexts point into themselves
  std::vector<Warp> warps;
  std::unique_ptr<unsigned char[]> shared;
  const std::function<void()>* kernel = nullptr;
  int current = 0;
  Context scheduler;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
};

Block block;

// The sanitizer has to know whose stack it is on.
void before_switch(void** fake_stack, const void* stack, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
  (void)fake_stack, (void)stack, (void)bytes;
#endif
}

void after_switch(void* fake_stack, const void** stack, size_t* bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#else
  (void)fake_stack, (void)stack, (void)bytes;
#endif
}

void resume(int index) {
  Thread& thread = block.threads[index];
  block.current = index;
  thread_index.x = static_cast<unsigned>(index);
  before_switch(&block.scheduler_fake_stack, thread.stack.get(), kStackBytes);
  block.scheduler.switch_to(thread.context);
  after_switch(block.scheduler_fake_stack, nullptr, nullptr);
}

void yield() {
  Thread& thread = block.threads[block.current];
  before_switch(&thread.fake_stack, block.scheduler_stack, block.scheduler_stack_bytes);
  thread.context.switch_to(block.scheduler);
  after_switch(thread.fake_stack, &block.scheduler_stack, &block.scheduler_stack_bytes);
}

void thread_main() {
  after_switch(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
  // For one block after the other.
  while (true) {
    (*block.kernel)();
    block.threads[block.current].finished = true;
    yield();
  }
}

void start(int threads, int shared_bytes) {
  block.warps.assign((threads + kWarp - 1) / kWarp, Warp());
  // Aligned to 16 bytes, as all that is allocated here.
  block.shared.reset(new unsigned char[shared_bytes]);
  std::fill_n(block.shared.get(), shared_bytes, 0xff);
  for (int i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    const bool can_go_on = thread.finished;
    thread.finished = false;
    thread.copies.clear();
    thread.barrier = -1;
    thread.warp_turn = -1;
    thread.exchanges = 0;
    if (can_go_on) continue;
    // A new one, or one that was left where it waited.
    thread.stack.reset(new char[kStackBytes]);
    thread.fake_stack = nullptr;
    thread.context.start(thread.stack.get(), kStackBytes, thread_main);
  }
}

// The order of threads in a round.
const std::vector<int>& turns(int threads, uint64_t round) {
  constexpr int kShuffles = 7;
  static std::map<std::pair<int, int>, std::vector<int>> known;
  const int kind = state().order == Order::kForward    ? -2
                   : state().order == Order::kBackward ? -1
                                                       : static_cast<int>(round % kShuffles);
  std::vector<int>& turns = known[{threads, kind}];
  if (turns.empty()) {
    turns.resize(threads);
    std::iota(turns.begin(), turns.end(), 0);
    if (kind == -1) std::reverse(turns.begin(), turns.end());
    if (kind >= 0) std::shuffle(turns.begin(), turns.end(), std::mt19937(kind));
  }
  return turns;
}

// Lets threads run up to where they wait next; false if none can.
bool run_some(std::vector<int>::const_iterator begin, std::vector<int>::const_iterator end) {
  bool progress = false;
  for (; begin != end; ++begin) {
    const Thread& thread = block.threads[*begin];
    if (thread.finished || thread.barrier >= 0) continue;
    if (thread.warp_turn == block.warps[*begin / kWarp].turn) continue;
    resume(*begin);
    progress = true;
  }
  return progress;
}

conv::Error run_block(int threads, int shared_bytes) {
  start(threads, shared_bytes);
  for (uint64_t round = 0;; ++round) {
    bool progress = false;
    const std::vector<int>& order = turns(threads, round);
    if (state().order == Order::kShuffled) {
      progress = run_some(order.begin(), order.end());
    } else {
      // A warp goes as far as it can while others have not even begun.
      for (auto warp = order.begin(); warp != order.end(); warp += kWarp) {
        while (run_some(warp, warp + kWarp)) progress = true;
      }
    }
    if (progress) continue;
    std::set<std::string> waiting;
    for (int i = 0; i < threads; ++i) {
      const Thread& thread = block.threads[i];
      if (thread.finished) {
        if (!thread.copies.empty()) return "copies that nobody waited for";
        continue;
      }
      waiting.insert(thread.barrier < 0 ? "an exchange" : state().barriers[thread.barrier]);
    }
    if (waiting.empty()) return "";
    if (waiting.size() > 1 || waiting.count("an exchange") > 0) {
      std::string text = "threads of a block wait at";
      for (const std::string& where : waiting) text += " " + where;
      return text;
    }
    for (int i = 0; i < threads; ++i) {
      if (block.threads[i].finished) return "some threads are done, others wait at a barrier";
      block.threads[i].barrier = -1;
    }
  }
}

}  // namespace

State& state() {
  static State state;
  return state;
}

unsigned char* shared_memory() { return block.shared.get(); }

int barrier_at(const char* file, int line) {
  const std::string path = file;
  const std::string where = path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
  std::vector<std::string>& all = state().barriers;
  // Once for all instances of a kernel.
  auto known = std::find(all.begin(), all.end(), where);
  if (known == all.end()) known = all.insert(known, where);
  return static_cast<int>(known - all.begin());
}

void barrier(int index) {
  if (index == state().removed_barrier) return;
  block.threads[block.current].barrier = index;
  yield();
}

void copy_async(void* to, const void* from, int bytes) {
  block.threads[block.current].copies.push_back({to, from, bytes});
}

void wait_for_copies() {
  std::vector<Copy>& copies = block.threads[block.current].copies;
  for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
  copies.clear();
}

uint64_t exchange(uint64_t bits, unsigned distance) {
  const int own = block.current;
  Thread& thread = block.threads[own];
  Warp& warp = block.warps[own / kWarp];
  uint64_t* const slots = warp.slots[thread.exchanges++ % 2];
  slots[own % kWarp] = bits;
  if (++warp.arrived == kWarp) {
    warp.arrived = 0;
    ++warp.turn;
  } else {
    thread.warp_turn = warp.turn;
    yield();
    thread.warp_turn = -1;
  }
  return slots[(own % kWarp) ^ distance];
}

conv::Error run_grid(const std::function<void()>& kernel, int64_t blocks, int threads,
                     int shared_bytes) {
  if (blocks < 1 || threads < 1 || threads > kMostThreads || threads % kWarp != 0 ||
      shared_bytes > gpu::kMostSharedBytes) {
    return "no such launch: " + std::to_string(blocks) + " blocks, " + std::to_string(threads) +
           " threads, " + std::to_string(shared_bytes) + " bytes";
  }
  block.kernel = &kernel;
  const int64_t grid = std::min(blocks, state().most_blocks);
  grid_size.x = static_cast<unsigned>(grid);
  block_size.x = static_cast<unsigned>(threads);
  const int64_t first = std::max<int64_t>(0, grid - state().last_blocks);
  for (int64_t i = first; i < grid; ++i) {
    block_index.x =
        static_cast<unsigned>(state().order == Order::kForward ? i : grid - 1 - (i - first));
    ++state().blocks;
    conv::Error error = run_block(threads, shared_bytes);
    if (!error.empty()) return error;
  }
  return "";
}

}  // namespace tf_dwbp::emulator

namespace tf_dwbp::gpu {

void narrow(float x, Bfloat16* y) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) {
    y->bits = static_cast<uint16_t>(bits >> 16 | 0x40);
  } else {
    y->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

void narrow(float x, Half* y) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float magnitude = std::abs(x);
  if (x != x) {
    y->bits = sign | 0x7e00;
  } else if (magnitude >= 65520.0f) {
    y->bits = sign | 0x7c00;
  } else {
    // Units of the last place: 2^-24 for subnormals; nearbyint rounds ties to even.
    const int exponent = magnitude == 0 ? -14 : std::max(-14, std::ilogb(magnitude));
    const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
    // A carry runs over into the exponent, as it should.
    y->bits = static_cast<uint16_t>(sign | (units + ((exponent + 14) << 10)));
  }
}

}  // namespace tf_dwbp::gpu
