// Vectors of the widest kind that the instruction set has, and conversions from and to memory.
//
// Everything is in an unnamed namespace, and nothing of the standard library is used: functions
// compiled for different instruction sets under one name would be merged by the linker.
#pragma once

#include <cstdint>
#include <type_traits>  // types alone, as of <utility>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cc/conv/dtype.h"

namespace tf_dwbp::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

constexpr int kFloats = kVectorBytes / sizeof(float);

typedef float FloatVector __attribute__((vector_size(kVectorBytes)));
typedef double DoubleVector __attribute__((vector_size(kVectorBytes)));
typedef int32_t IntVector __attribute__((vector_size(kVectorBytes)));
typedef int64_t LongVector __attribute__((vector_size(kVectorBytes)));
typedef uint32_t BitsVector __attribute__((vector_size(kVectorBytes)));
typedef uint16_t WordVector __attribute__((vector_size(kVectorBytes)));
typedef uint16_t HalfVector __attribute__((vector_size(kVectorBytes / 2)));

template <typename To, typename From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// Unaligned, and free of the rules on aliasing.
template <typename V>
inline V load_bits(const void* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <typename V>
inline void store_bits(void* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

template <int kBytes>
using RawVector __attribute__((vector_size(kBytes))) = uint8_t;
template <int kBytes>
using RawInts __attribute__((vector_size(kBytes))) = int32_t;

// Past the caches; `to` is aligned to a vector.
inline void store_non_temporal(void* to, FloatVector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(static_cast<float*>(to), bit_cast<__m512>(v));
#elif defined(__AVX__)
  _mm256_stream_ps(static_cast<float*>(to), bit_cast<__m256>(v));
#else
  store_bits(to, v);
#endif
}

// Makes what was row_wise visible to the threads that this one tells of its end.
inline void fence_non_temporal() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// The conversions below serve scalars (uint32_t, float) and vectors (BitsVector, FloatVector)
// alike; comparisons of vectors yield masks, which ?: takes lane by lane. They stay clear of
// denormal floats, so that they are right under any mode of the processor.

template <typename F, typename U>
inline F float_of_half(U half) {
  const U zero = half & 0u;
  const U sign = (half & 0x8000u) << 16;
  const U magnitude = (half & 0x7fffu) << 13;
  const U top = zero + (0x1fu << 23);
  const U exponent = magnitude & top;
  // Rebias the exponent; Inf and NaN go all the way up.
  const U normal = magnitude + (112u << 23);
  const U special = magnitude + (224u << 23);
  // A denormal half counts units of 2^-24: read it as a mantissa of 2^-14, then take that off.
  const U one = zero + (113u << 23);
  const U denormal = bit_cast<U>(bit_cast<F>(magnitude + one) - bit_cast<F>(one));
  const U finite = exponent == zero ? denormal : normal;
  return bit_cast<F>((exponent == top ? special : finite) | sign);
}

template <typename U, typename F>
inline U half_of_float(F value) {
  const U bits = bit_cast<U>(value);
  const U zero = bits & 0u;
  const U sign = bits & 0x80000000u;
  const U magnitude = bits ^ sign;
  // From 2^16 up: Inf, or NaN made quiet. Between 65520 and that, rounding carries to Inf.
  const U nan = zero + 0x7e00u;
  const U infinity = zero + 0x7c00u;
  const U special = magnitude > (zero + 0x7f800000u) ? nan : infinity;
  // Below 2^-14, adding 0.5 makes the processor round to a multiple of 2^-24.
  const U denormal =
      bit_cast<U>(bit_cast<F>(magnitude) + bit_cast<F>(zero + (126u << 23))) - (126u << 23);
  const U normal =
      (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;  // ties to even
  const U finite = magnitude < (zero + (113u << 23)) ? denormal : normal;
  return (magnitude >= (zero + (143u << 23)) ? special : finite) | (sign >> 16);
}

template <typename U, typename F>
inline U bfloat16_of_float(F value) {
  const U bits = bit_cast<U>(value);
  const U zero = bits & 0u;
  const U nan = (bits >> 16) | 0x40u;
  const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // ties to even
  return (bits & 0x7fffffffu) > (zero + 0x7f800000u) ? nan : rounded;
}

// How elements of T become lanes of the accumulator's type and back: vectors of them, or one.
template <typename T>
struct Lanes;

template <>
struct Lanes<float> {
  using Vector = FloatVector;
  static constexpr int kCount = kFloats;
  static Vector load(const float* from) { return load_bits<Vector>(from); }
  static void store(float* to, Vector v) { store_bits(to, v); }
  static float widen(float x) { return x; }
  static float narrow(float x) { return x; }
};

template <>
struct Lanes<double> {
  using Vector = DoubleVector;
  static constexpr int kCount = kFloats / 2;
  static Vector load(const double* from) { return load_bits<Vector>(from); }
  static void store(double* to, Vector v) { store_bits(to, v); }
  static double widen(double x) { return x; }
  static double narrow(double x) { return x; }
};

template <>
struct Lanes<Bfloat16> {
  using Vector = FloatVector;
  static constexpr int kCount = kFloats;
#if defined(__AVX512BW__) && !defined(__clang__)
  // One shuffle moves the bits to where they belong: the upper half of each lane.
  static Vector load(const Bfloat16* from) {
    constexpr WordVector kWords = {16, 0, 16, 1, 16, 2,  16, 3,  16, 4,  16, 5,  16, 6,  16, 7,
                                   16, 8, 16, 9, 16, 10, 16, 11, 16, 12, 16, 13, 16, 14, 16, 15};
    const __m512i bits =
        _mm512_maskz_inserti64x4(0xff, _mm512_setzero_si512(), load_bits<__m256i>(from), 0);
    return bit_cast<Vector>(__builtin_shuffle(bit_cast<WordVector>(bits), kWords));
  }
  // bfloat16_of_float(), with masks.
  static void store(Bfloat16* to, Vector v) {
    constexpr WordVector kWords = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
    const __m512i bits = bit_cast<__m512i>(v);
    const __m512 value = bit_cast<__m512>(v);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    rounded = _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    const WordVector words = __builtin_shuffle(bit_cast<WordVector>(rounded), kWords);
    __builtin_memcpy(to, &words, 2 * kCount);
  }
#else
  static Vector load(const Bfloat16* from) {
    return bit_cast<Vector>(__builtin_convertvector(load_bits<HalfVector>(from), BitsVector) << 16);
  }
  static void store(Bfloat16* to, Vector v) {
    store_bits(to, __builtin_convertvector(bfloat16_of_float<BitsVector>(v), HalfVector));
  }
#endif
  static float widen(Bfloat16 x) { return bit_cast<float>(uint32_t{x.bits} << 16); }
  static Bfloat16 narrow(float x) {
    return {static_cast<uint16_t>(bfloat16_of_float<uint32_t>(x))};
  }
};

template <>
struct Lanes<Half> {
  using Vector = FloatVector;
  static constexpr int kCount = kFloats;
#if defined(__AVX512F__)
  // The unmasked forms make GCC 12 warn of its own headers.
  static constexpr __mmask16 kAll = 0xffff;
  static Vector load(const Half* from) {
    return bit_cast<Vector>(_mm512_maskz_cvtph_ps(kAll, load_bits<__m256i>(from)));
  }
  static void store(Half* to, Vector v) {
    store_bits(to, _mm512_maskz_cvtps_ph(kAll, bit_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT));
  }
#elif defined(__F16C__)
  static Vector load(const Half* from) {
    return bit_cast<Vector>(_mm256_cvtph_ps(load_bits<__m128i>(from)));
  }
  static void store(Half* to, Vector v) {
    store_bits(to, _mm256_cvtps_ph(bit_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT));
  }
#else
  static Vector load(const Half* from) {
    return float_of_half<FloatVector>(
        __builtin_convertvector(load_bits<HalfVector>(from), BitsVector));
  }
  static void store(Half* to, Vector v) {
    store_bits(to, __builtin_convertvector(half_of_float<BitsVector>(v), HalfVector));
  }
#endif
  // One element as vectors have it, NaNs too: where vectors end differs from isa to isa.
#if defined(__F16C__)
  static float widen(Half x) { return _cvtsh_ss(x.bits); }
  static Half narrow(float x) { return {_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT)}; }
#else
  static float widen(Half x) { return float_of_half<float>(uint32_t{x.bits}); }
  static Half narrow(float x) { return {static_cast<uint16_t>(half_of_float<uint32_t>(x))}; }
#endif
};

// One element of a tensor, which may lie at any address.
template <typename T>
inline AccumulatorOf<T> read(const T* from) {
  T element;
  __builtin_memcpy(&element, from, sizeof element);
  return Lanes<T>::widen(element);
}
template <typename T>
inline void write(T* to, AccumulatorOf<T> value) {
  const T element = Lanes<T>::narrow(value);
  __builtin_memcpy(to, &element, sizeof element);
}

template <typename V>
using IndexOf = std::conditional_t<sizeof(V{}[0]) == 8, LongVector, IntVector>;

// Picks lanes from the two vectors one after the other.
#if defined(__clang__)
template <typename V, int... kIndices>
inline V pick(V a, V b, std::integer_sequence<int, kIndices...>) {
  return __builtin_shufflevector(a, b, kIndices...);
}
#else
template <typename V, int... kIndices>
inline V pick(V a, V b, std::integer_sequence<int, kIndices...>) {
  return __builtin_shuffle(a, b, IndexOf<V>{kIndices...});
}
#endif

// Picks the lanes that `index` names.
template <typename V>
inline V pick_at(V v, IndexOf<V> index) {
#if defined(__clang__)
  V picked;
  for (unsigned lane = 0; lane < sizeof(V) / sizeof(v[0]); ++lane) picked[lane] = v[index[lane]];
  return picked;
#else
  return __builtin_shuffle(v, index);
#endif
}

// The same of two vectors, whose lanes are counted one after the other.
template <typename V>
inline V pick_at(V a, V b, IndexOf<V> index) {
#if defined(__clang__)
  constexpr int kCount = sizeof(V) / sizeof(a[0]);
  V picked;
  for (int lane = 0; lane < kCount; ++lane) {
    picked[lane] = index[lane] < kCount ? a[index[lane]] : b[index[lane] - kCount];
  }
  return picked;
#else
  return __builtin_shuffle(a, b, index);
#endif
}

// An integer_sequence of kFunction(i) for all lanes i.
template <typename Function, int... kLanes>
constexpr auto map_lanes(Function, std::integer_sequence<int, kLanes...>) {
  return std::integer_sequence<int, Function::at(kLanes)...>{};
}

template <int kCount>
struct Evens {
  static constexpr int at(int i) { return 2 * i; }
};
template <int kCount>
struct Odds {
  static constexpr int at(int i) { return 2 * i + 1; }
};
// One step of a transposition: the blocks of `kSize` lanes that lie off the diagonal change
// places.
template <int kCount, int kSize>
struct UpperBlocks {
  static constexpr int at(int i) { return (i & kSize) == 0 ? i : i - kSize + kCount; }
};
template <int kCount, int kSize>
struct LowerBlocks {
  static constexpr int at(int i) { return (i & kSize) == 0 ? i + kSize : i + kCount; }
};

template <typename Function, int kCount, typename V>
inline V pick_by(V a, V b) {
  return pick(a, b, map_lanes(Function{}, std::make_integer_sequence<int, kCount>{}));
}

template <int kCount, typename V>
inline V evens(V a, V b) {
  return pick_by<Evens<kCount>, kCount>(a, b);
}
template <int kCount, typename V>
inline V odds(V a, V b) {
  return pick_by<Odds<kCount>, kCount>(a, b);
}

// Transposes a square matrix of kCount vectors.
template <int kCount, int kSize = 1, typename V>
inline void transpose(V* rows) {
  if constexpr (kSize < kCount) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      if ((i & kSize) != 0) continue;
      const V upper = rows[i];
      const V lower = rows[i + kSize];
      rows[i] = pick_by<UpperBlocks<kCount, kSize>, kCount>(upper, lower);
      rows[i + kSize] = pick_by<LowerBlocks<kCount, kSize>, kCount>(upper, lower);
    }
    transpose<kCount, 2 * kSize>(rows);
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
