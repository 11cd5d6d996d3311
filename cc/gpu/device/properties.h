// What kernels and their plans count on, of all GPUs and of one.
#pragma once

namespace tf_dwbp::gpu {

// Threads that go together, in all of NVIDIA's GPUs.
inline constexpr int kWarp = 32;
// Bytes that a thread moves at once at most.
inline constexpr int kVectorBytes = 16;
// Bytes of shared memory that any GPU gives a block without being asked.
inline constexpr int kMostSharedBytes = 48 << 10;
// Shared memory is given to blocks in units of so many bytes, or of a divisor.
inline constexpr int kSharedUnit = 256;
// Shared memory is read at once where each bank has one word of it at most.
inline constexpr int kBanks = 32;
inline constexpr int kBankBytes = 4;
// Registers of a multiprocessor, in all of them.
inline constexpr int kRegisters = 64 << 10;

struct Device {
  int multiprocessors;
  int shared_bytes;    // of a multiprocessor
  int reserved_bytes;  // of it, for each block that is there
};

constexpr bool operator==(const Device& a, const Device& b) {
  return a.multiprocessors == b.multiprocessors && a.shared_bytes == b.shared_bytes &&
         a.reserved_bytes == b.reserved_bytes;
}

// Bytes of shared memory that a block may have, so that so many share a multiprocessor.
constexpr int room(const Device& device, int blocks) {
  const int share = device.shared_bytes / blocks - device.reserved_bytes;
  return share < kMostSharedBytes ? share / kSharedUnit * kSharedUnit : kMostSharedBytes;
}

}  // namespace tf_dwbp::gpu
