// The instruction sets that the kernels were compiled for, and which of them to use.
#pragma once

namespace tf_dwbp::cpu {

struct Dispatch;  // kernels/kernels.h

// THE list, in rising order of preference: X(name, what __builtin_cpu_supports() has to say). The
// flags that kernels are compiled with stand in cc/sources.bzl, under the same names.
#define TF_DWBP_BASELINE(X) X(baseline, true)
#if defined(TF_DWBP_HAVE_AVX2)
// Clang before 17 does not know "f16c" here; every processor with AVX2 and FMA has it.
#define TF_DWBP_AVX2(X) X(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define TF_DWBP_AVX2(X)
#endif
#if defined(TF_DWBP_HAVE_AVX512)
#define TF_DWBP_AVX512(X)                                                                  \
  X(avx512, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&             \
                __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#else
#define TF_DWBP_AVX512(X)
#endif
#define TF_DWBP_ISAS(X) TF_DWBP_BASELINE(X) TF_DWBP_AVX2(X) TF_DWBP_AVX512(X)

struct Isa {
  const char* name;
  bool runs;  // here: the processor, and the system it runs, can execute it
  const Dispatch* kernels;
};

// The best one that was compiled and that this processor has. The environment variable
// TF_DWBP_CPU_ISA (a name) may ask for a lesser one; it is read once.
const Isa& isa();

}  // namespace tf_dwbp::cpu
