// The emulator itself: what a GPU does not forgive must not pass, nor what is right fail.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cc/gpu/device.h"
#include "cc/tests/check.h"

namespace tf_dwbp::gpu {
namespace {

using emulator::Order;
using emulator::state;
using testing::check;

struct Arguments {
  float* data;  // 64 of them
  int what;
};

alignas(64) float global_memory[64];

conv::Error run(void (*kernel)(Arguments), int what = 0, int64_t blocks = 1,
                int shared_bytes = 1024) {
  for (int i = 0; i < 64; ++i) global_memory[i] = static_cast<float>(i);
  return launch(kernel, Arguments{global_memory, what}, blocks, 2 * kWarp, shared_bytes, nullptr);
}

void fails(const conv::Error& error, const std::string& text) {
  check(error.find(text) == 0, "'" + text + "', not '" + error + "'");
}

template <int bytes>
void copy_kernel(Arguments g) {
  auto* const shared = reinterpret_cast<float*>(shared_memory());
  if (threadIdx.x == 0) copy_async<bytes>(shared + g.what / 100, g.data + g.what % 100);
  wait_for_copies();
}

TF_DWBP_TEST(a_copy_is_aligned_at_both_ends) {
  const char text[] = "an access is not aligned to its size: thread 0 of block 0";
  check(run(copy_kernel<16>, 404).empty(), "both on a multiple of 16 bytes");
  check(run(copy_kernel<8>, 202).empty(), "both on a multiple of 8 bytes");
  check(run(copy_kernel<4>, 101).empty(), "both on a multiple of 4 bytes");
  for (const int what : {401, 402, 403, 104, 204, 304}) fails(run(copy_kernel<16>, what), text);
  for (const int what : {201, 102}) fails(run(copy_kernel<8>, what), text);
}

template <int n>
void vector_kernel(Arguments g) {
  if (threadIdx.x > 0) return;
  store_vector(g.data + g.what / 100, load_vector<n>(g.data + g.what % 100));
}

TF_DWBP_TEST(a_vector_is_aligned) {
  const char text[] = "an access is not aligned to its size";
  check(run(vector_kernel<4>, 804).empty() && global_memory[11] == 7, "16 bytes");
  check(run(vector_kernel<2>, 802).empty() && global_memory[9] == 3, "8 bytes");
  for (const int what : {801, 802, 803, 104, 204, 304}) fails(run(vector_kernel<4>, what), text);
  for (const int what : {801, 102}) fails(run(vector_kernel<2>, what), text);
}

// Ways to use shared memory, of which only the first is right.
void shared_kernel(Arguments g) {
  auto* const shared = reinterpret_cast<float*>(shared_memory());
  const int own = static_cast<int>(threadIdx.x), next = (own + 1) % 64;
  switch (g.what) {
    case 0:
      store_shared(&shared[own], g.data[own]);
      __syncthreads();
      g.data[own] = load_shared(&shared[next]);
      __syncthreads();
      store_shared(&shared[next], 0.0f);
      break;
    case 1:
      g.data[own] = load_shared(&shared[own]);
      break;
    case 2:  // what an earlier block had there is not there any more
      if (blockIdx.x == 0) store_shared(&shared[own], 1.0f);
      if (blockIdx.x == 1) g.data[own] = load_shared(&shared[own]);
      break;
    case 3:
      store_shared(&shared[own], 1.0f);
      g.data[own] = load_shared(&shared[next]);
      break;
    case 4:
      store_shared(&shared[own], 1.0f);
      __syncthreads();
      g.data[own] = load_shared(&shared[own]);
      store_shared(&shared[next], 1.0f);
      break;
    case 5:
      store_shared(&shared[own / 2], 1.0f);
      break;
    case 6:
      store_shared(&shared[own + 193], 1.0f);
      break;
    case 7:
      store_shared(&shared[own - 1], 1.0f);
      break;
    case 8:
      store_shared(&shared[own], 1.0f);
      __syncthreads();
      g.data[own] = load_shared<2>(&shared[own / 4 * 2 + 1]).values[0];
      break;
    case 9:  // a copy is not there before it was waited for
      copy_async<4>(&shared[own], &g.data[own]);
      g.data[own] = load_shared(&shared[own]);
      break;
    case 10:  // nor may others look meanwhile
      store_shared(&shared[own], 1.0f);
      __syncthreads();
      copy_async<4>(&shared[own], &g.data[own]);
      g.data[own] = load_shared(&shared[next]);
      wait_for_copies();
      break;
    default:
      copy_async<4>(&shared[own], &g.data[own]);
  }
}

TF_DWBP_TEST(shared_memory_is_watched) {
  const char unwritten[] = "shared memory is read that nobody has written";
  const char written[] = "a thread reads what another has written since the last barrier";
  const char outside[] = "an access is outside of shared memory";
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    state().order = order;
    check(run(shared_kernel, 0).empty(), "with barriers");
    for (int i = 0; i < 64; ++i)
      check(global_memory[i] == static_cast<float>((i + 1) % 64), "sent");
    fails(run(shared_kernel, 1), unwritten);
    // Between barriers it depends on the order, which of the two is seen.
    const conv::Error race = run(shared_kernel, 3);
    check(race.find(written) == 0 || race.find(unwritten) == 0, race);
    const conv::Error other = run(shared_kernel, 4);
    check(other.find("a thread writes what another has read") == 0 || other.find(written) == 0,
          other);
    fails(run(shared_kernel, 5), "two threads write the same without a barrier between");
    fails(run(shared_kernel, 6), outside);
    fails(run(shared_kernel, 7), outside);
    fails(run(shared_kernel, 8), "an access is not aligned to its size");
    fails(run(shared_kernel, 9), unwritten);
    check(!run(shared_kernel, 10).empty(), "a copy under way");
    fails(run(shared_kernel, 11), "copies that nobody waited for");
  }
  state().order = Order::kForward;
  fails(run(shared_kernel, 2, /*blocks=*/2), unwritten);
  check(run(shared_kernel, 0, /*blocks=*/3).empty(), "after errors");
}

void shuffle_kernel(Arguments g) {
  const unsigned lane = threadIdx.x % kWarp;
  float value = g.data[threadIdx.x];
  switch (g.what) {
    case 0:
      for (const unsigned distance : {1, 2, 4, 8, 16}) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
      }
      break;
    case 1:  // inactive lanes
      if (lane < 16) value = __shfl_xor_sync(0xffffffffu, value, 16);
      break;
    case 2:
      if (lane < 16) value = __shfl_xor_sync(0x0000ffffu, value, 8);
      break;
    case 3:
      value = lane < 16 ? __shfl_xor_sync(0xffffffffu, value, 1)
                        : __shfl_xor_sync(0xffffffffu, value, 2);
      break;
    case 4:
      value = __shfl_xor_sync(0xffffffffu, value, 32);
      break;
    default:
      if (lane == 3) __syncthreads();
      value = __shfl_xor_sync(0xffffffffu, value, 1);
  }
  g.data[threadIdx.x] = value;
}

TF_DWBP_TEST(a_shuffle_is_one_of_whole_warps) {
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    state().order = order;
    check(run(shuffle_kernel, 0).empty(), "of all lanes");
    for (int i = 0; i < 64; ++i) check(global_memory[i] == (i < 32 ? 496 : 1520), "a warp's sum");
    fails(run(shuffle_kernel, 1), "threads of a block wait at an exchange");
    fails(run(shuffle_kernel, 2), "an exchange is not one of all lanes of a warp");
    fails(run(shuffle_kernel, 3), "lanes of a warp are at different exchanges");
    fails(run(shuffle_kernel, 4), "an exchange is not one of all lanes of a warp");
    fails(run(shuffle_kernel, 5), "threads of a block wait at");
  }
  state().order = Order::kForward;
}

std::vector<unsigned> blocks_run;
void block_kernel(Arguments) {
  if (threadIdx.x == 0) blocks_run.push_back(blockIdx.x);
}

// Each block once, in an order that the seed decides.
TF_DWBP_TEST(blocks_come_in_any_order) {
  std::set<std::vector<unsigned>> orders;
  state().order = Order::kShuffled;
  for (const int64_t blocks : {1, 2, 30, 64}) {
    for (const uint64_t seed : {0, 1, 2, 0}) {
      state().seed = seed;
      blocks_run.clear();
      check(run(block_kernel, 0, blocks).empty(), "run");
      const std::set<unsigned> met(blocks_run.begin(), blocks_run.end());
      check(static_cast<int64_t>(met.size()) == blocks && *met.rbegin() == blocks - 1, "all");
      check(blocks_run.size() == met.size(), "once");
      if (blocks > 2) orders.insert(blocks_run);
    }
  }
  check(orders.size() == 6, "three orders for each count, the same for the same seed");
  state().order = Order::kForward;
  state().seed = 0;
}

}  // namespace
}  // namespace tf_dwbp::gpu
