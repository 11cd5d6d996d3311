// Whether a sanitizer watches the program, and how to talk to it.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define TF_DWBP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TF_DWBP_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TF_DWBP_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TF_DWBP_TSAN 1
#endif

#if defined(TF_DWBP_ASAN)
#include <sanitizer/asan_interface.h>
#endif
#if defined(TF_DWBP_ASAN) || defined(TF_DWBP_TSAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace tf_dwbp::testing {

#if defined(TF_DWBP_ASAN)
constexpr bool kAddressSanitized = true;
#else
constexpr bool kAddressSanitized = false;
#endif

#if defined(TF_DWBP_ASAN) || defined(TF_DWBP_TSAN)
constexpr bool kSanitized = true;
inline void at_sanitizer_death(void (*function)()) { __sanitizer_set_death_callback(function); }
#else
constexpr bool kSanitized = false;
inline void at_sanitizer_death(void (*)()) {}
#endif

// From now on nobody may touch these bytes, until allow() is called.
inline void forbid(const void* data, long bytes) {
#if defined(TF_DWBP_ASAN)
  __asan_poison_memory_region(data, bytes);
#else
  (void)data, (void)bytes;
#endif
}
inline void allow(const void* data, long bytes) {
#if defined(TF_DWBP_ASAN)
  __asan_unpoison_memory_region(data, bytes);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace tf_dwbp::testing
