// TensorFlow's pool threads flush denormals to zero, the calling thread may not: a result would
// depend on who computed it. Kernels run under the IEEE rules, and restore what they found.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace tf_dwbp::cpu {

class ScopedIeeeDenormals {
 public:
  ScopedIeeeDenormals() : saved_(read()) { write(saved_ & ~kFlushBits); }
  ~ScopedIeeeDenormals() { write(saved_); }
  ScopedIeeeDenormals(const ScopedIeeeDenormals&) = delete;
  ScopedIeeeDenormals& operator=(const ScopedIeeeDenormals&) = delete;

 private:
#if defined(__SSE__)
  using Mode = uint32_t;
  static constexpr Mode kFlushBits = 0x8040;  // flush-to-zero, denormals-are-zero
  static Mode read() { return _mm_getcsr(); }
  static void write(Mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
  using Mode = uint64_t;
  static constexpr Mode kFlushBits = Mode{1} << 24 | Mode{1} << 19;  // FZ, FZ16
  static Mode read() {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void write(Mode mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#else
  using Mode = int;
  static constexpr Mode kFlushBits = 0;
  static Mode read() { return 0; }
  static void write(Mode) {}
#endif

  Mode saved_;
};

}  // namespace tf_dwbp::cpu
