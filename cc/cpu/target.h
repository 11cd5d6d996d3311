// The instruction sets that the kernels were compiled for, and which of them to use.
#pragma once

namespace tf_dwbp::cpu {

// In rising order of preference.
enum class Target { kBaseline, kAvx2, kAvx512 };

// The best one that was compiled and that this processor has. The environment variable
// TF_DWBP_CPU_ISA (baseline, avx2, avx512) may ask for a lesser one; it is read once.
Target best_target();

const char* name_of(Target target);

}  // namespace tf_dwbp::cpu
