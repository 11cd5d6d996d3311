// The epilogue of a sum on a GPU: see cc/conv/activation.h for the formulas.
#pragma once

#include <math.h>

#include "cc/conv/activation.h"
#include "cc/gpu/device.h"

namespace tf_dwbp::gpu {

__device__ inline float power(float x) { return expf(x); }
__device__ inline double power(double x) { return exp(x); }
__device__ inline float power_minus_1(float x) { return expm1f(x); }
__device__ inline double power_minus_1(double x) { return expm1(x); }
__device__ inline float normal(float x) { return normcdff(x); }
__device__ inline double normal(double x) { return normcdf(x); }

// x / (1 + exp(-z)), where z has the sign of x, by a power that cannot overflow.
template <typename Sum>
__device__ inline Sum logistic(Sum x, Sum z) {
  const Sum e = power(z < 0 ? z : -z);
  return (x < 0 ? x * e : x) / (1 + e);
}

template <typename Sum>
__device__ inline Sum activate(conv::Activation activation, Sum alpha, Sum x) {
  using conv::Activation;
  // For -Inf the curves have their limit, 0, as they have long before.
  const Sum least = -1000;
  const Sum finite = x < least ? least : x;
  switch (activation) {
    case Activation::kLinear:
      break;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kRelu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::kElu:
      return x < 0 ? power_minus_1(x) : x;
    case Activation::kLeakyRelu:
      return x < 0 ? x * alpha : x;
    case Activation::kSilu:
      return logistic(finite, finite);
    case Activation::kHardSilu: {
      const Sum cut = x < -3 ? -3 : x;
      return cut * ((cut + 3 > 6 ? 6 : cut + 3) / 6);
    }
    case Activation::kGelu:
      return finite * normal(finite);
    case Activation::kGeluTanh: {
      const Sum z = finite * (Sum(1.5957691216057308) + Sum(0.07135481627260025) * finite * finite);
      return logistic(finite, z);
    }
  }
  return x;
}

// What happens to sums before they are rounded.
template <typename T>
struct Epilogue {
  const T* bias;  // [channels of the output], or nullptr
  conv::Activation activation;
  float alpha;

  __device__ bool empty() const {
    return bias == nullptr && activation == conv::Activation::kLinear;
  }
};

// Who shares a function that is not inlined. ptxas fits it to all that call it: with another kernel
// among them, tiles took other registers, and spilled some.
enum class Callers { kTiled, kStaged };

// Not inlined: where there is no epilogue, a kernel is to have its registers for itself.
template <Callers callers, typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> finished(const Epilogue<T>& epilogue,
                                                      AccumulatorOf<T> sum, int64_t channel) {
  if (epilogue.bias != nullptr) sum += widen(epilogue.bias[channel]);
  return activate(epilogue.activation, AccumulatorOf<T>(epilogue.alpha), sum);
}

}  // namespace tf_dwbp::gpu
