#include "cc/cpu/runtime/memory.h"

#include <sys/mman.h>
#include <unistd.h>

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

}  // namespace tf_dwbp::cpu
