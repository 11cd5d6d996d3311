// The machine's memory, for results and workspaces.
#pragma once

#include <cstdint>

#include "cc/conv/call.h"
#include "cc/conv/export.h"

namespace tf_dwbp::cpu {

// Whether this machine could hold a tensor. An allocation that it can't back may succeed, and then
// kill the process when it is written to.
[[nodiscard]] TF_DWBP_EXPORT conv::Error check_memory(const char* name, const conv::Shape& shape,
                                                      int64_t element_bytes);

// Asks for large pages behind a large buffer: where it is fresh from the system, faulting it in by
// pages of 4 KB takes longer than filling it. Only a hint.
TF_DWBP_EXPORT void want_huge_pages(void* data, int64_t bytes);

// Bytes of the machine's last cache: what TF_DWBP_L3_MB says, in MB, which is read once, or what
// the system knows; otherwise 0. Virtual machines tell the host's, which others use as well.
TF_DWBP_EXPORT int64_t l3_bytes();
// The same, of what the variable says; nullptr: it is not set.
TF_DWBP_EXPORT int64_t l3_bytes_of(const char* asked);

}  // namespace tf_dwbp::cpu
