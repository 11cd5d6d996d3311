// What kernels and their plans count on, of all GPUs and of one.
#pragma once

namespace tf_dwbp::gpu {

// Threads that go together, in all of NVIDIA's GPUs.
inline constexpr int kWarp = 32;
// Bytes that a thread moves at once at most.
inline constexpr int kVectorBytes = 16;
// Bytes of shared memory that any GPU gives a block without being asked.
inline constexpr int kMostSharedBytes = 48 << 10;

struct Device {
  int multiprocessors;
  int shared_bytes;  // of a multiprocessor
};

constexpr bool operator==(const Device& a, const Device& b) {
  return a.multiprocessors == b.multiprocessors && a.shared_bytes == b.shared_bytes;
}

}  // namespace tf_dwbp::gpu
