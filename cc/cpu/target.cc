#include "cc/cpu/target.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace tf_dwbp::cpu {
namespace {

// Whether this processor, and the system it runs, can execute what the target was compiled to.
bool runs(Target target) {
  switch (target) {
    case Target::kBaseline:
      return true;
    case Target::kAvx2:
#if defined(TF_DWBP_HAVE_AVX2)
      // Clang before 17 does not know "f16c" here; every processor with AVX2 and FMA has it.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
      return false;
#endif
    case Target::kAvx512:
#if defined(TF_DWBP_HAVE_AVX512)
      return runs(Target::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
#else
      return false;
#endif
  }
  return false;  // GCOVR_EXCL_LINE: all targets have been named
}

Target find_target() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  const char* wanted = std::getenv("TF_DWBP_CPU_ISA");
  Target best = Target::kBaseline;
  for (const Target target : {Target::kBaseline, Target::kAvx2, Target::kAvx512}) {
    if (runs(target)) best = target;
    if (wanted != nullptr && std::strcmp(wanted, name_of(target)) == 0) break;
  }
  return best;
}

}  // namespace

Target best_target() {
  static const Target target = find_target();
  return target;
}

const char* name_of(Target target) {
  switch (target) {
    case Target::kAvx512:
      return "avx512";
    case Target::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace tf_dwbp::cpu
