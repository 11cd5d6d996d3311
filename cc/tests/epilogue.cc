#include "cc/tests/epilogue.h"

namespace tf_dwbp::testing {

using conv::Activation;

long double activation(const conv::Epilogue& epilogue, long double x) {
  const bool to_zero = epilogue.activation >= Activation::kSilu && x == -INFINITY;
  if (to_zero) return 0;
  switch (epilogue.activation) {
    case Activation::kLinear:
      return x;
    case Activation::kRelu:
      return x > 0 || std::isnan(x) ? x : 0;
    case Activation::kRelu6:
      return std::isnan(x) ? x : std::min(std::max(x, 0.0L), 6.0L);
    case Activation::kElu:
      return x > 0 ? x : std::expm1(x);
    case Activation::kLeakyRelu:
      return x > 0 ? x : x * epilogue.alpha;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kHardSilu:
      return std::isnan(x) ? x : x * (std::min(std::max(x + 3, 0.0L), 6.0L) / 6);
    case Activation::kGelu:
      return x * std::erfc(-x * std::sqrt(0.5L)) / 2;
    case Activation::kGeluTanh:
      return x / (1 + std::exp(-2 * std::sqrt(2 / std::acos(-1.0L)) * (x + 0.044715L * x * x * x)));
  }
  return NAN;
}

}  // namespace tf_dwbp::testing
