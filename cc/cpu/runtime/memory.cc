#include "cc/cpu/runtime/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
conv::Error check_memory(const char* name, const conv::Shape& shape, int64_t element_bytes) {
  static const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  double needed = static_cast<double>(element_bytes);
  for (int64_t size : *shape) needed *= static_cast<double>(size);
  if (needed <= machine) return "";
  return std::string(name) + " " + conv::to_string(*shape) + " asks for " +
         std::to_string(static_cast<int64_t>(needed)) +
         " bytes, but this machine has a memory of " +
         std::to_string(static_cast<int64_t>(machine)) + " bytes";
}

void want_huge_pages(void* data, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  if (bytes < kHugePagesBytes) return;
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

int64_t l3_bytes_of(const char* asked) {
  // Python has checked that it is a number of MB.
  if (asked != nullptr && *asked != '\0') {
    return std::clamp<int64_t>(std::strtoll(asked, nullptr, 10), 0, kMostL3Megabytes) << 20;
  }
#if defined(_SC_LEVEL3_CACHE_SIZE)
  return std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
#else
  return 0;
#endif
}

int64_t l3_bytes() {
  static const int64_t found = l3_bytes_of(std::getenv("TF_DWBP_L3_MB"));
  return found;
}

}  // namespace tf_dwbp::cpu
