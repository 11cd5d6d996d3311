// What kernels are written in: CUDA, or its emulation on the CPU.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#if defined(__CUDACC__)
#include "cc/gpu/device/cuda.h"
#else
#include "cc/gpu/device/emulator.h"
#endif

#include "cc/conv/dtype.h"

namespace tf_dwbp::gpu {

// The current device. Each is asked for its properties once.
inline conv::Error current_device(Device* device) {
  int index = 0;
  conv::Error error = current_index(&index);
  if (!error.empty()) return error;
  static std::mutex mutex;
  static std::map<int, Device> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(index);
  if (found != known.end()) {
    *device = found->second;
    return "";
  }
  error = read_device(index, device);
  if (error.empty()) known[index] = *device;
  return error;
}

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline void narrow(float x, float* y) { *y = x; }
__device__ inline void narrow(double x, double* y) { *y = x; }

struct Divided {
  int64_t quotient;
  int64_t remainder;
};

// Of numbers that are not negative. 64-bit divisions are functions of a hundred instructions;
// nearly all of ours fit into 32 bits.
__device__ inline Divided divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) {
    const uint32_t quotient = static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
    return {quotient, static_cast<uint32_t>(a) - quotient * static_cast<uint32_t>(b)};
  }
  return {a / b, a % b};
}

// Walks over a row-major grid of `columns`, by steps of a number of cells, without dividing again.
struct Walk {
  __device__ Walk(int first, int step, int columns) : columns_(columns) {
    row = first / columns;
    column = first - row * columns;
    rows_ = step / columns;
    step_ = step - rows_ * columns;
  }
  __device__ void next() {
    row += rows_;
    column += step_;
    if (column >= columns_) {
      column -= columns_;
      ++row;
    }
  }

  int row;
  int column;

 private:
  int columns_;
  int rows_;
  int step_;
};

// So many bytes, as they are loaded and stored at once.
template <int bytes>
struct BitsOf;
template <>
struct BitsOf<2> {
  using Type = uint16_t;
};
template <>
struct BitsOf<4> {
  using Type = uint32_t;
};
template <>
struct BitsOf<8> {
  using Type = uint2;
};
template <>
struct BitsOf<16> {
  using Type = uint4;
};

template <int bytes>
using Bits = typename BitsOf<bytes>::Type;

template <typename T, int n>
struct alignas(n * sizeof(T)) Vector {
  T values[n];
};

// The same bits as another type.
template <typename To, typename From>
__device__ __forceinline__ To from_bits(const From& bits) {
  static_assert(sizeof(To) == sizeof(From), "the same size");
  To to;
  memcpy(&to, &bits, sizeof to);
  return to;
}
template <typename From>
__device__ __forceinline__ Bits<sizeof(From)> to_bits(const From& from) {
  return from_bits<Bits<sizeof(From)>>(from);
}

// Neighbours in global memory, as one access, which is aligned to its size. nvcc takes a store of
// several elements apart, but none of bits; with loads it is the other way round.
template <int n, typename T>
__device__ __forceinline__ Vector<T, n> load_vector(const T* from) {
  check_aligned(from, sizeof(Vector<T, n>));
  return *reinterpret_cast<const Vector<T, n>*>(from);
}
template <int n, typename T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, n>& vector) {
  check_aligned(to, sizeof vector);
  *reinterpret_cast<Bits<n * sizeof(T)>*>(to) = to_bits(vector);
}

// All accesses to shared memory but asynchronous copies.
template <int n, typename T>
__device__ __forceinline__ Vector<T, n> load_shared(const T* from) {
  check_read(from, sizeof(Vector<T, n>));
  return *reinterpret_cast<const Vector<T, n>*>(from);
}
template <typename T>
__device__ __forceinline__ T load_shared(const T* from) {
  check_read(from, sizeof(T));
  return *from;
}
template <typename T>
__device__ __forceinline__ void store_shared(T* to, const T& value) {
  check_write(to, sizeof(T));
  *to = value;
}

}  // namespace tf_dwbp::gpu
