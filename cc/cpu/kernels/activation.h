// Activations of vectors. For what is not a matter of a few comparisons there is one power,
// exp(a + b), and one tail of the normal distribution, both by polynomials (Chebyshev interpolation
// in high precision). Nothing here is cut to fast and wrong: cc/tests/activation_test.cc has the
// bounds, for all exponents.
#pragma once

#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Activation;

// Whether the activation does no more than to cut sums off.
constexpr bool is_cut(Activation activation) {
  return activation == Activation::kLinear || activation == Activation::kRelu ||
         activation == Activation::kRelu6;
}

// The constants of a type. Beyond the limits, on the negative side, an activation has no other
// value than there: 0, or -1 for elu.
template <typename V>
struct Curve;

template <>
struct Curve<FloatVector> {
  using Acc = float;
  using Bits = BitsVector;
  using Wide __attribute__((vector_size(2 * kVectorBytes))) = double;
  static constexpr int kMantissa = 23;
  static constexpr uint32_t kSign = 0x80000000u;
  static constexpr uint32_t kUpperHalf =
      0xfffff000u;  // 12 bits of the mantissa, with the hidden one
  // A sum with it is rounded to an integer, whose low bits, with the exponent's bias, it then has.
  static constexpr float kRound = 0x1.8p23f + 127;
  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.63p-1f;  // exact in products with integers below 2^12
  static constexpr float kLn2Low = -0x1.bd0106p-13f;
  static constexpr float kEluLimit = -30, kSiluLimit = 110, kGeluLimit = 15, kGeluTanhLimit = 11;
  // (exp(r) - 1 - r) / r^2 for |r| <= 0.35.
  static constexpr float kPower[] = {0x1p-1f, 0x1.5554d8p-3f, 0x1.555516p-5f, 0x1.12106cp-7f,
                                     0x1.6d1606p-10f};
  // exp(t^2 / 2) * Phi(-t) * (t + kShift), of (t - kShift) / (t + kShift).
  static constexpr float kShift = 4;
  static constexpr float kTail[] = {
      0x1.82b4bcp-1f,  -0x1.373e38p-1f, 0x1.8c6d9p-2f,   -0x1.7dffeep-3f, 0x1.eed8f4p-5f,
      -0x1.ed2f4ep-8f, -0x1.cd803ep-9f, 0x1.9abfa6p-10f, 0x1.8c5abcp-13f, -0x1.0750a6p-13f};
};

template <>
struct Curve<DoubleVector> {
  using Acc = double;
  typedef uint64_t Bits __attribute__((vector_size(kVectorBytes)));
  using Wide = DoubleVector;
  static constexpr int kMantissa = 52;
  static constexpr uint64_t kSign = 0x8000000000000000u;
  static constexpr uint64_t kUpperHalf = 0xfffffffff8000000u;
  static constexpr double kRound = 0x1.8p52 + 1023;
  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42feep-1;
  static constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  static constexpr double kEluLimit = -50, kSiluLimit = 760, kGeluLimit = 39.5, kGeluTanhLimit = 22;
  static constexpr double kPower[] = {
      0x1.0000000000001p-1,  0x1.5555555555556p-3,  0x1.5555555553b6cp-5,  0x1.1111111110918p-7,
      0x1.6c16c1794e1dcp-10, 0x1.a01a01a83ba17p-13, 0x1.a019b621f9d08p-16, 0x1.71de0be2b5e96p-19,
      0x1.2894f52583578p-22, 0x1.af3ce42b12b24p-26};
  static constexpr double kShift = 4;
  static constexpr double kTail[] = {
      0x1.82b4bb8c94dcep-1,  -0x1.373e3a893c287p-1,  0x1.8c6dbf2cfc301p-2,   -0x1.7dff2bff6888dp-3,
      0x1.eec4cc3e44f92p-5,  -0x1.ee27610350881p-8,  -0x1.c81719ca40281p-9,  0x1.ab825f7fdb8b7p-10,
      0x1.17a4a66dc2544p-13, -0x1.e4a416603c27ap-13, -0x1.001163ffdd5fap-19, 0x1.26cf9720abb5ep-15,
      0x1.7fd85f27b6b3fp-21, -0x1.8d36d61668932p-18, -0x1.4f9384c2dba14p-21, 0x1.11c9a89009a9fp-20,
      0x1.1b0c9af0663p-22,   -0x1.4baa19ca02e59p-23, -0x1.47f923dc26e66p-24, 0x1.f984630995397p-27,
      0x1.df523bd52c578p-27, 0x1.0c027bb42f08dp-35,  -0x1.0e0d7178bf5eap-30};
};

template <typename V, typename Acc, int kCount>
inline V polynomial(const Acc (&coefficients)[kCount], V x) {
  V sum = V{} + coefficients[kCount - 1];
#pragma GCC unroll 32
  for (int i = kCount - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

// 2^n, where that is no denormal, of kRound and n: its low bits are n and the exponent's bias.
template <typename V>
inline V power_of_two(V shifted) {
  using C = Curve<V>;
  return bit_cast<V>(bit_cast<typename C::Bits>(shifted) << C::kMantissa);
}

// x = n * ln(2) + r, with an integer n.
template <typename V>
struct Reduced {
  V shifted;  // kRound and n
  V n, r;
  // exp(r) - 1.
  V fraction() const { return r + r * r * polynomial(Curve<V>::kPower, r); }
};

template <typename V>
inline Reduced<V> reduce(V x) {
  using C = Curve<V>;
  const V shifted = x * C::kLog2E + C::kRound;
  const V n = shifted - C::kRound;
  return {shifted, n, (x - n * C::kLn2High) - n * C::kLn2Low};
}

// Of a + b, where b is what rounding took from a.
template <typename V>
inline Reduced<V> reduce(V a, V b) {
  using C = Curve<V>;
  const V shifted = (a + b) * C::kLog2E + C::kRound;
  const V n = shifted - C::kRound;
  return {shifted, n, ((a - n * C::kLn2High) + b) - n * C::kLn2Low};
}

// exp(x) = (1 + fraction) * scale * other. Two scales, since one would not do for denormals.
template <typename V>
struct Power {
  V fraction, scale, other;
};

// x is not so low that its power's square root would be denormal.
template <typename V>
inline Power<V> power(const Reduced<V>& x) {
  using C = Curve<V>;
  const V half = x.n * typename C::Acc{0.5} + C::kRound;
  const V rest = (x.n - (half - C::kRound)) + C::kRound;
  return {x.fraction(), power_of_two(half), power_of_two(rest)};
}

// |x|, or the limit if that is less. NaN stays NaN.
template <typename V, typename Acc>
inline V magnitude(V x, Acc limit) {
  using C = Curve<V>;
  const V t = bit_cast<V>(bit_cast<typename C::Bits>(x) & ~(typename C::Bits{} + C::kSign));
  return t > limit ? V{} + limit : t;
}

template <typename V>
inline V elu(V x) {
  const V low = V{} + Curve<V>::kEluLimit;
  const V cut = x < low ? low : x;
  const Reduced<V> e = reduce(cut > V{} ? V{} : cut);
  const V scale = power_of_two(e.shifted);
  const V below = scale * e.fraction() + (scale - 1);
  // exp(x) - 1 is above x below 0, and 0 was put in where x is above.
  return x < below ? below : x;
}

// x / (1 + exp(-z)), where z has the sign of x, and exp(-|z|) is given. On the negative side that
// is -t * exp(-|z|) / (1 + exp(-|z|)), with t for |x|.
template <typename V>
inline V logistic(V x, V t, const Power<V>& e) {
  const V one_and_more = 1 + e.fraction;
  const V small = one_and_more * (e.scale * e.other);
  const V quotient = (x < V{} ? -t * one_and_more : x) / (1 + small);
  return x < V{} ? quotient * e.scale * e.other : quotient;
}

template <typename V>
inline V silu(V x) {
  const V t = magnitude(x, Curve<V>::kSiluLimit);
  return logistic(x, t, power(reduce(-t)));
}

template <typename V>
inline V gelu_tanh(V x) {
  // (1 + tanh(z / 2)) / 2 = 1 / (1 + exp(-z)). Floats take z from double: an error of it counts as
  // often as z is large.
  using Wide = typename Curve<V>::Wide;
  constexpr double kOne = 0x1.9884533d43651p+0;    // sqrt(8 / pi)
  constexpr double kThree = 0x1.2444f2a4d8b4bp-4;  // times 0.044715
  const V t = magnitude(x, Curve<V>::kGeluTanhLimit);
  const Wide wide = __builtin_convertvector(t, Wide);
  const Wide z = -wide * (wide * wide * kThree + kOne);
  const V a = __builtin_convertvector(z, V);
  const V b = __builtin_convertvector(z - __builtin_convertvector(a, Wide), V);
  return logistic(x, t, power(reduce(a, b)));
}

template <typename V>
inline V gelu(V x) {
  using C = Curve<V>;
  using Bits = typename C::Bits;
  constexpr typename C::Acc kMinusHalf = -0.5;
  const V t = magnitude(x, C::kGeluLimit);
  // t^2 / 2 in two parts, the first one exact.
  const V high = bit_cast<V>(bit_cast<Bits>(t) & (Bits{} + C::kUpperHalf));
  const Power<V> e = power(reduce(high * high * kMinusHalf, (t + high) * (t - high) * kMinusHalf));
  const V inverse = 1 / (t + C::kShift);
  const V tail = (1 + e.fraction) * inverse * polynomial(C::kTail, 1 - 2 * C::kShift * inverse);
  return x < V{} ? -t * tail * e.scale * e.other : x * (1 - tail * (e.scale * e.other));
}

template <typename V>
inline V hard_silu(V x) {
  const V low = V{} - 3, high = V{} + 6;
  const V cut = x < low ? low : x;
  const V factor = cut + 3 > high ? high : cut + 3;
  return cut * (factor / 6);
}

// Not inlined: the code of the curves is long, and there are hundreds of kernels.
template <typename Acc>
__attribute__((noinline)) void activate(const EpilogueJob<Acc>& epilogue,
                                        typename Lanes<Acc>::Vector* sums, int count) {
  const auto each = [&](auto curve) {
    for (int i = 0; i < count; ++i) sums[i] = curve(sums[i]);
  };
  using V = typename Lanes<Acc>::Vector;
  switch (epilogue.activation) {
    case Activation::kElu:
      return each([](V x) { return elu(x); });
    case Activation::kLeakyRelu:
      return each([alpha = epilogue.alpha](V x) { return x < V{} ? x * alpha : x; });
    case Activation::kSilu:
      return each([](V x) { return silu(x); });
    case Activation::kHardSilu:
      return each([](V x) { return hard_silu(x); });
    case Activation::kGelu:
      return each([](V x) { return gelu(x); });
    case Activation::kGeluTanh:
      return each([](V x) { return gelu_tanh(x); });
    default:   // GCOVR_EXCL_LINE: the others only cut
      return;  // GCOVR_EXCL_LINE
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
