// Sums in a fixed order: of a warp's threads, and of the parts that blocks leave behind.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/finish.cuh"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

// The sum of what the threads of a warp have; all of them must be there.
template <typename Sum>
__device__ __forceinline__ Sum sum_of_warp(Sum sum) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  }
  return sum;
}

// A sum and what rounding has taken from it (Neumaier). Not for compilers that are told that
// floating point is associative.
template <typename Sum>
struct CompensatedSum {
  Sum sum = 0;
  Sum lost = 0;

  __device__ void add(Sum x) {
    const Sum total = sum + x;
    const bool larger = (sum < 0 ? -sum : sum) >= (x < 0 ? -x : x);
    lost += larger ? (sum - total) + x : (x - total) + sum;
    sum = total;
  }
  // An infinite sum has lost Inf - Inf.
  __device__ Sum value() const {
    const Sum all = sum + lost;
    return all == all ? all : sum;
  }
};

template <typename T>
struct SumPartsArguments {
  const AccumulatorOf<T>* partial;  // [parts, elements]
  T* result;
  int64_t elements;
  int64_t parts;
};

// Adds the sum of the lane `distance` further on, of all of a warp's lanes.
template <typename Sum>
__device__ __forceinline__ void add_lane(CompensatedSum<Sum>* sum, int distance) {
  const Sum theirs = __shfl_xor_sync(0xffffffffu, sum->sum, distance);
  const Sum lost = __shfl_xor_sync(0xffffffffu, sum->lost, distance);
  sum->add(theirs);
  sum->lost += lost;
}

// result[element] = partial[0][element] + partial[1][element] + ... Neighbouring threads are
// neighbouring elements, as many as memory moves at once; the others of a block share the parts.
template <typename T>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    sum_parts(const __grid_constant__ SumPartsArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr int kWarps = kThreads / kWarp, kRows = kThreads / kSumElements;
  auto* const shared = reinterpret_cast<CompensatedSum<Sum>*>(shared_memory());
  const int lane = threadIdx.x % kSumElements, warp = threadIdx.x / kWarp;
  for (int64_t first = int64_t{blockIdx.x} * kSumElements; first < g.elements;
       first += int64_t{gridDim.x} * kSumElements) {
    const int64_t element = first + lane;
    CompensatedSum<Sum> sum;
    if (element < g.elements) {
#pragma unroll 8
      for (int64_t part = threadIdx.x / kSumElements; part < g.parts; part += kRows) {
        sum.add(g.partial[part * g.elements + element]);
      }
    }
#pragma unroll
    for (int distance = kSumElements; distance < kWarp; distance *= 2) add_lane(&sum, distance);
    if (threadIdx.x % kWarp < kSumElements) store_shared(&shared[warp * kSumElements + lane], sum);
    __syncthreads();
    if (threadIdx.x < kSumElements && element < g.elements) {
      for (int other = 1; other < kWarps; ++other) {
        const CompensatedSum<Sum> theirs = load_shared(&shared[other * kSumElements + lane]);
        sum.add(theirs.sum);
        sum.lost += theirs.lost;
      }
      g.result[element] = Finish<T>::round(sum.value());
    }
    __syncthreads();
  }
}

// Where sum_parts() keeps its sums.
template <typename T>
constexpr int sum_parts_shared_bytes() {
  return kThreads / kWarp * kSumElements *
         static_cast<int>(sizeof(CompensatedSum<AccumulatorOf<T>>));
}

}  // namespace tf_dwbp::gpu
