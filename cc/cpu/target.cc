#include "cc/cpu/target.h"

#include <cstdlib>
#include <cstring>

namespace tf_dwbp::cpu {
namespace {

bool has_avx2() {
#if defined(TF_DWBP_HAVE_AVX2)
  __builtin_cpu_init();
  // Clang before 17 does not know "f16c" here; every processor with AVX2 and FMA has it.
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

Target find_target() {
  const char* wanted = std::getenv("TF_DWBP_CPU_ISA");
  if (wanted != nullptr && std::strcmp(wanted, name_of(Target::kBaseline)) == 0) {
    return Target::kBaseline;
  }
  return has_avx2() ? Target::kAvx2 : Target::kBaseline;
}

}  // namespace

Target best_target() {
  static const Target target = find_target();
  return target;
}

const char* name_of(Target target) { return target == Target::kAvx2 ? "avx2" : "baseline"; }

}  // namespace tf_dwbp::cpu
