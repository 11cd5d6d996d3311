#include "cc/gpu/device/emulator.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/gpu/device/watched_memory.h"

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
  unsigned distance = 0;  // of the lanes that have arrived
  uint64_t slots[2][kWarp];
};

struct Block {
  std::vector<Thread> threads{kMostThreads};  // never moved: contexts point into themselves
  std::vector<Warp> warps;
  WatchedMemory shared;
  const char* fault = nullptr;
  int faulty = 0;  // the thread whose fault it is
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

// Ends the block with an error. The thread that made it is not run again.
[[noreturn]] void fail(const char* why) {
  block.fault = why;
  block.faulty = block.current;
  while (true) yield();
}

void check(const char* fault) {
  if (fault != nullptr) fail(fault);
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
  block.shared.reset(shared_bytes);
  block.fault = nullptr;
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
  static std::map<std::tuple<int, int, uint64_t>, std::vector<int>> known;
  const int kind = state().order == Order::kForward    ? -2
                   : state().order == Order::kBackward ? -1
                                                       : static_cast<int>(round % kShuffles);
  std::vector<int>& turns = known[{threads, kind, kind < 0 ? 0 : state().seed}];
  if (turns.empty()) {
    turns.resize(threads);
    std::iota(turns.begin(), turns.end(), 0);
    if (kind == -1) std::reverse(turns.begin(), turns.end());
    if (kind >= 0)
      std::shuffle(turns.begin(), turns.end(), std::mt19937_64(state().seed * kShuffles + kind));
  }
  return turns;
}

// The order of so many blocks: steps that have no factor in common with the count meet each once.
struct BlockOrder {
  uint64_t count;
  uint64_t begin = 0;
  uint64_t step = 1;

  explicit BlockOrder(int64_t blocks) : count(static_cast<uint64_t>(blocks)) {
    if (state().order == Order::kForward) return;
    begin = count - 1;
    step = count - 1;
    if (state().order == Order::kBackward) return;
    std::mt19937_64 random(state().seed);
    begin = random() % count;
    step = random() % count + 1;
    while (std::gcd(step, count) != 1) ++step;
  }
  // A grid has fewer than 2^31 blocks.
  int64_t operator()(int64_t turn) const {
    return static_cast<int64_t>((begin + step * static_cast<uint64_t>(turn)) % count);
  }
};

// Lets threads run up to where they wait next; false if none can.
bool run_some(std::vector<int>::const_iterator begin, std::vector<int>::const_iterator end) {
  bool progress = false;
  for (; begin != end; ++begin) {
    const Thread& thread = block.threads[*begin];
    if (thread.finished || thread.barrier >= 0) continue;
    if (thread.warp_turn == block.warps[*begin / kWarp].turn) continue;
    resume(*begin);
    if (block.fault != nullptr) return false;
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
        if (block.fault != nullptr) break;
      }
    }
    if (block.fault != nullptr) {
      return std::string(block.fault) + ": thread " + std::to_string(block.faulty) + " of block " +
             std::to_string(block_index.x);
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
    block.shared.pass_barrier();
  }
}

}  // namespace

State& state() {
  static State state;
  return state;
}

unsigned char* shared_memory() { return block.shared.data(); }

void check_aligned(const void* data, int bytes) { check(misaligned(data, bytes)); }
void check_read(const void* from, int bytes) {
  check(block.shared.read(from, bytes, block.current));
}
void check_write(const void* to, int bytes) { check(block.shared.write(to, bytes, block.current)); }

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
  // All threads come by.
  if (block.current == 0) state().reached.insert(index);
  if (index == state().removed_barrier) return;
  block.threads[block.current].barrier = index;
  yield();
}

void copy_async(void* to, const void* from, int bytes, bool there) {
  check(misaligned(from, bytes));
  check(block.shared.begin_write(to, bytes, block.current));
  block.threads[block.current].copies.push_back({to, there ? from : nullptr, bytes});
}

void wait_for_copies() {
  std::vector<Copy>& copies = block.threads[block.current].copies;
  for (const Copy& copy : copies) {
    check(block.shared.write(copy.to, copy.bytes, block.current));
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, copy.bytes);
    } else {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
  }
  copies.clear();
}

uint64_t exchange(unsigned mask, uint64_t bits, unsigned distance) {
  if (mask != 0xffffffff || distance >= kWarp)
    fail("an exchange is not one of all lanes of a warp");
  const int own = block.current;
  Thread& thread = block.threads[own];
  Warp& warp = block.warps[own / kWarp];
  uint64_t* const slots = warp.slots[thread.exchanges++ % 2];
  slots[own % kWarp] = bits;
  if (warp.arrived == 0) warp.distance = distance;
  if (warp.distance != distance) fail("lanes of a warp are at different exchanges");
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
  const BlockOrder order(grid - first);
  for (int64_t i = 0; i < grid - first; ++i) {
    block_index.x = static_cast<unsigned>(first + order(i));
    ++state().blocks;
    conv::Error error = run_block(threads, shared_bytes);
    if (!error.empty()) return error;
  }
  return "";
}

}  // namespace tf_dwbp::emulator
