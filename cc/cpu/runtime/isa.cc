#include "cc/cpu/runtime/isa.h"

#include <cstdlib>
#include <cstring>

#include "cc/cpu/kernels/kernels.h"

namespace tf_dwbp::cpu {

// avx2::dispatch(), ...
#define TF_DWBP_POINTER(kind, T, name) , &kKernels_##T
#define TF_DWBP_DISPATCH(isa, supported)                                                     \
  namespace isa {                                                                            \
  const Dispatch* dispatch() {                                                               \
    static const Dispatch made = {kKernels_float.registers TF_DWBP_DTYPES(TF_DWBP_POINTER)}; \
    return &made;                                                                            \
  }                                                                                          \
  }
TF_DWBP_ISAS(TF_DWBP_DISPATCH)
#undef TF_DWBP_DISPATCH
#undef TF_DWBP_POINTER

namespace {

Isa find_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#define TF_DWBP_ISA_OF(name, supported) {#name, static_cast<bool>(supported), name::dispatch()},
  const Isa all[] = {TF_DWBP_ISAS(TF_DWBP_ISA_OF)};
#undef TF_DWBP_ISA_OF
  const char* wanted = std::getenv("TF_DWBP_CPU_ISA");
  const Isa* best = all;
  for (const Isa& isa : all) {
    if (isa.runs) best = &isa;
    if (wanted != nullptr && std::strcmp(wanted, isa.name) == 0) break;
  }
  return *best;
}

}  // namespace

const Isa& isa() {
  static const Isa found = find_isa();
  return found;
}

}  // namespace tf_dwbp::cpu
