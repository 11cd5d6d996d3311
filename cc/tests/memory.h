// Memory of exactly so many bytes, all NaN at first, of which a test learns when something around
// it is touched.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cc/tests/sanitizers.h"

namespace tf_dwbp::testing {

// AddressSanitizer stops whoever touches what lies around; without it, guards tell afterwards who
// has written there.
class Memory {
 public:
  // `offset` bytes after a multiple of 64.
  explicit Memory(int64_t bytes, int64_t offset = 0) : bytes_(bytes), before_(kGuard + offset) {
    void* base = nullptr;
    if (posix_memalign(&base, 64, before_ + bytes_ + kGuardAfter) != 0) throw std::bad_alloc();
    base_ = static_cast<unsigned char*>(base);
    std::memset(base_, kMark, before_);
    std::memset(base_ + before_, 0xff, bytes_);
    std::memset(base_ + before_ + bytes_, kMark, kGuardAfter);
    forbid(base_, before_);
  }
  ~Memory() {
    allow(base_, before_);
    std::free(base_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return base_ + before_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(base_ + before_);
  }

  // Whether nobody has written around it.
  bool intact() const {
    if (kAddressSanitized) return true;
    for (int64_t i = 0; i < before_; ++i) {
      if (base_[i] != kMark) return false;
    }
    for (int64_t i = before_ + bytes_; i < before_ + bytes_ + kGuardAfter; ++i) {
      if (base_[i] != kMark) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kGuard = 256;
  static constexpr int64_t kGuardAfter = kAddressSanitized ? 0 : kGuard;
  static constexpr unsigned char kMark = 0xa5;

  int64_t bytes_;
  int64_t before_;
  unsigned char* base_;
};

}  // namespace tf_dwbp::testing
