// The kernels' language where nvcc compiles them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "cc/conv/attributes.h"
#include "cc/conv/dtype.h"
#include "cc/gpu/device/properties.h"

#define TF_DWBP_NOINLINE __noinline__
// Tests count with it how often something happens.
#define TF_DWBP_COUNT(what)

namespace tf_dwbp::gpu {

// The block's dynamic shared memory.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return bytes;
}

// For the emulator.
__device__ inline void check_aligned(const void*, int) {}
__device__ inline void check_read(const void*, int) {}
__device__ inline void check_write(const void*, int) {}

// Copies 16, 8 or 4 bytes from global to shared memory, with no register in between, or sets them
// to zero. They are there, for this thread, after wait_for_copies().
template <int bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there = true) {
  __pipeline_memcpy_async(to, from, bytes, there ? 0 : bytes);
}

// The compiler forgets where the number comes from. What is reached by many equal steps is then not
// computed for each number of them, all of which it would keep in registers.
__device__ __forceinline__ void forget(int* value) { asm("" : "+r"(*value)); }

__device__ inline void wait_for_copies() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

__device__ inline float widen(Half x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline float widen(Bfloat16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}
__device__ inline void narrow(float x, Half* y) { y->bits = __half_as_ushort(__float2half_rn(x)); }
__device__ inline void narrow(float x, Bfloat16* y) {
  y->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

// How many of so many blocks the compiler is told to make room for. Before sm_80 a bfloat16 is
// rounded by several instructions, which take registers.
template <typename T>
constexpr int blocks_told(int blocks) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  if (std::is_same_v<T, Bfloat16> && blocks > 1) return blocks - 1;
#endif
  return blocks;
}

inline conv::Error to_error(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return "";
  return std::string(what) + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) +
         ")";
}

inline conv::Error current_index(int* index) {
  return to_error(cudaGetDevice(index), "cannot ask which GPU is the current one");
}

inline conv::Error read_device(int index, Device* device) {
  cudaError_t status = cudaSuccess;
  const auto read = [&](cudaDeviceAttr attribute, int* value) {
    if (status == cudaSuccess) status = cudaDeviceGetAttribute(value, attribute, index);
  };
  read(cudaDevAttrMultiProcessorCount, &device->multiprocessors);
  read(cudaDevAttrMaxSharedMemoryPerMultiprocessor, &device->shared_bytes);
  read(cudaDevAttrReservedSharedMemoryPerBlock, &device->reserved_bytes);
  return to_error(status, "cannot ask the GPU for its properties");
}

inline conv::Error set_zero(void* data, int64_t bytes, void* stream) {
  return to_error(cudaMemsetAsync(data, 0, bytes, static_cast<cudaStream_t>(stream)),
                  "cannot set a result to zero");
}

// Launches as many of the `blocks` as a grid may have; kernels walk on from there.
template <typename Arguments>
conv::Error launch(void (*kernel)(Arguments), const Arguments& arguments, int64_t blocks,
                   int threads, int shared_bytes, void* stream) {
  constexpr int64_t kMostBlocks = 0x7fffffff;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  return to_error(cudaLaunchKernelEx(&config, kernel, arguments), "cannot launch a kernel");
}

}  // namespace tf_dwbp::gpu
