// What may happen to the forward op's sums before they are rounded, in a header that kernels can
// include too: nothing of the standard library.
#pragma once

namespace tf_dwbp::conv {

// X(the enumerator, its name, which is Keras's)
#define TF_DWBP_ACTIVATIONS(X) \
  X(kLinear, "linear")         \
  X(kRelu, "relu")             \
  X(kRelu6, "relu6")           \
  X(kElu, "elu")               \
  X(kLeakyRelu, "leaky_relu")  \
  X(kSilu, "silu")             \
  X(kHardSilu, "hard_silu")    \
  X(kGelu, "gelu")             \
  X(kGeluTanh, "gelu_tanh")

// With x for the sum and its bias:
//   linear      x
//   relu        max(x, 0)
//   relu6       min(max(x, 0), 6)
//   elu         x < 0 ? exp(x) - 1 : x
//   leaky_relu  x < 0 ? alpha * x : x
//   silu        x / (1 + exp(-x)), also called swish
//   hard_silu   x * min(max(x + 3, 0), 6) / 6, also called hard swish
//   gelu        x * Phi(x), with the normal distribution's Phi
//   gelu_tanh   x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2
// NaN stays NaN. For -Inf, the last four give the limit, a zero, where their formulas give NaN.
#define TF_DWBP_ENUMERATOR(kind, name) kind,
enum class Activation { TF_DWBP_ACTIVATIONS(TF_DWBP_ENUMERATOR) };
#undef TF_DWBP_ENUMERATOR

constexpr const char* name_of(Activation activation) {
  switch (activation) {
#define TF_DWBP_CASE(kind, name) \
  case Activation::kind:         \
    return name;
    TF_DWBP_ACTIVATIONS(TF_DWBP_CASE)
#undef TF_DWBP_CASE
  }
  return "";  // GCOVR_EXCL_LINE: all activations have been named
}

struct Epilogue {
  bool bias = false;  // one for each channel of the output
  Activation activation = Activation::kLinear;
  float alpha = 0;  // leaky_relu's

  constexpr bool empty() const { return !bias && activation == Activation::kLinear; }
};

}  // namespace tf_dwbp::conv
