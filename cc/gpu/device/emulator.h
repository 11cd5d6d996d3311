// CUDA as far as cc/gpu uses it, on the CPU: for running kernels where there is no GPU, under a
// sanitizer.
//
// The threads of a block are fibers, which run one after the other from barrier to barrier, in an
// order that a test chooses: what depends on the order is a race. Shared memory is a buffer of
// exactly the bytes asked for, full of NaN at first, and watched (watched_memory.h). Asynchronous
// copies happen when they are waited for. A shuffle needs all lanes of its warp. A launch that does
// what a GPU would not forgive fails with a text that says what. A test may take barriers away, to
// see that it would notice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cc/conv/attributes.h"
#include "cc/conv/dtype.h"
#include "cc/gpu/device/properties.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(threads, blocks)
#define __syncthreads()                                                          \
  [] {                                                                           \
    static const int site = ::tf_dwbp::emulator::barrier_at(__FILE__, __LINE__); \
    ::tf_dwbp::emulator::barrier(site);                                          \
  }()
#define TF_DWBP_NOINLINE [[gnu::noinline]]
#define TF_DWBP_COUNT(what) ++::tf_dwbp::emulator::state().counts[what]

namespace tf_dwbp::emulator {

// Warp by warp, as far as each can go, or all threads of a block in a mixed order, and its blocks,
// too; the seed chooses which.
enum class Order { kForward, kBackward, kShuffled };

struct State {
  // For the test to set.
  Order order = Order::kForward;
  uint64_t seed = 0;
  int64_t most_blocks = 0x7fffffff;  // of a grid
  int64_t last_blocks = 0x7fffffff;  // of a grid: those before are left out
  gpu::Device device = {4, 164 << 10, 1 << 10};
  int removed_barrier = -1;  // index among `barriers`

  // For the test to read.
  std::vector<gpu::Device> devices;       // that there were
  std::set<const void*> launched;         // kernels
  std::vector<std::string> barriers;      // that were reached, as "file:line"
  std::set<int> reached;                  // their indices, since the test cleared this
  std::map<std::string, int64_t> counts;  // of TF_DWBP_COUNT
  int64_t blocks = 0;
};

State& state();

struct Index {
  unsigned x = 0;
};
extern Index thread_index, block_index, block_size, grid_size;

unsigned char* shared_memory();
// Index of a place in State::barriers.
int barrier_at(const char* file, int line);
void barrier(int index);
// They end the launch if an access would be wrong: to any memory, or to shared memory.
void check_aligned(const void* data, int bytes);
void check_read(const void* from, int bytes);
void check_write(const void* to, int bytes);
void copy_async(void* to, const void* from, int bytes, bool there);
void wait_for_copies();
// Leaves 8 bytes for the other lanes of the warp, and takes those of another.
uint64_t exchange(unsigned mask, uint64_t bits, unsigned distance);

// Runs all blocks; returns an error where a thread does what it must not, or where a block hangs,
// as threads wait at different places.
conv::Error run_grid(const std::function<void()>& kernel, int64_t blocks, int threads,
                     int shared_bytes);

}  // namespace tf_dwbp::emulator

#define threadIdx ::tf_dwbp::emulator::thread_index
#define blockIdx ::tf_dwbp::emulator::block_index
#define blockDim ::tf_dwbp::emulator::block_size
#define gridDim ::tf_dwbp::emulator::grid_size

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, unsigned distance) {
  static_assert(sizeof(T) <= 8, "larger values are not exchanged");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = ::tf_dwbp::emulator::exchange(mask, bits, distance);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
T __ldg(const T* data) {
  return *data;
}

// The normal distribution's, in more digits than the result has.
inline float normcdff(float x) { return static_cast<float>(std::erfc(-x * std::sqrt(0.5)) / 2); }
inline double normcdf(double x) { return static_cast<double>(std::erfc(-x * std::sqrt(0.5L)) / 2); }

inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }

namespace tf_dwbp::gpu {

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

inline unsigned char* shared_memory() { return emulator::shared_memory(); }

using emulator::check_aligned;
using emulator::check_read;
using emulator::check_write;

template <int bytes>
void copy_async(void* to, const void* from, bool there = true) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16, "what GPUs copy");
  emulator::copy_async(to, from, bytes, there);
}
inline void forget(int*) {}

inline void wait_for_copies() { emulator::wait_for_copies(); }

inline float widen(Bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline float widen(Half x) {
  if ((x.bits >> 10 & 31) == 31) {
    const float magnitude = (x.bits & 0x3ff) == 0 ? INFINITY : NAN;
    return x.bits & 0x8000 ? -magnitude : magnitude;
  }
  // The same bits as a float, whose exponents begin 112 further down.
  const uint32_t bits =
      static_cast<uint32_t>(x.bits & 0x8000) << 16 | static_cast<uint32_t>(x.bits & 0x7fff) << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value * 0x1p112f;
}
void narrow(float x, Half* y);
void narrow(float x, Bfloat16* y);

// Devices that differ are other devices.
inline conv::Error current_index(int* index) {
  std::vector<Device>& all = emulator::state().devices;
  auto known = std::find(all.begin(), all.end(), emulator::state().device);
  if (known == all.end()) known = all.insert(known, emulator::state().device);
  *index = static_cast<int>(known - all.begin());
  return "";
}

inline conv::Error read_device(int index, Device* device) {
  TF_DWBP_COUNT("read device");
  *device = emulator::state().devices[index];
  return "";
}

inline conv::Error set_zero(void* data, int64_t bytes, void* stream) {
  (void)stream;
  std::memset(data, 0, bytes);
  return "";
}

template <typename Arguments>
conv::Error launch(void (*kernel)(Arguments), const Arguments& arguments, int64_t blocks,
                   int threads, int shared_bytes, void* stream) {
  (void)stream;
  emulator::state().launched.insert(reinterpret_cast<const void*>(kernel));
  return emulator::run_grid([=] { kernel(arguments); }, blocks, threads, shared_bytes);
}

}  // namespace tf_dwbp::gpu
