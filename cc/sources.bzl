"""The C++ sources and the instruction sets: the one list that Bazel and setup.py both read.

Plain literals only, since setup.py executes this file as Python.
"""

# What a call is, and the CPU kernels' driver: no TensorFlow, baseline instructions.
CORE_SOURCES = [
    "cc/conv/attributes.cc",
    "cc/conv/call.cc",
    "cc/conv/epilogue.cc",
    "cc/conv/gather.cc",
    "cc/conv/implementations.cc",
    "cc/conv/problem.cc",
    "cc/conv/verbose.cc",
    "cc/cpu/cost.cc",
    "cc/cpu/depthwise.cc",
    "cc/cpu/direct.cc",
    "cc/cpu/direct_tiles.cc",
    "cc/cpu/eigen.cc",
    "cc/cpu/explain.cc",
    "cc/cpu/filter_grad.cc",
    "cc/cpu/filter_grad_axis.cc",
    "cc/cpu/filter_grad_columns.cc",
    "cc/cpu/filter_grad_lines.cc",
    "cc/cpu/filter_grad_lines_plan.cc",
    "cc/cpu/filter_grad_plan.cc",
    "cc/cpu/implementations.cc",
    "cc/cpu/lines.cc",
    "cc/cpu/lines_plan.cc",
    "cc/cpu/packed.cc",
    "cc/cpu/packed_filter.cc",
    "cc/cpu/packed_plan.cc",
    "cc/cpu/packed_tiles.cc",
    "cc/cpu/runtime/isa.cc",
    "cc/cpu/runtime/memory.cc",
    "cc/cpu/runtime/parallel.cc",
    "cc/cpu/runtime/paths.cc",
    "cc/cpu/zeros.cc",
]

# The types of cc/conv/dtype.h, in C++. Without one of them no library links.
TYPES = [
    "Half",
    "Bfloat16",
    "float",
    "double",
]

# Compiled once for each of CPU_ISAS and TYPES, with -DTF_DWBP_ISA=<name> -DTF_DWBP_TYPE=<type>.
KERNEL_SOURCE = "cc/cpu/kernels/kernels.cc"

# Name of an instruction set -> its compiler flags. All but the baseline are for x86-64 and
# are chosen at run time (cc/cpu/runtime/isa.cc).
CPU_ISAS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": [
        "-mavx2",
        "-mfma",
        "-mf16c",
        "-mavx512f",
        "-mavx512bw",
        "-mavx512dq",
        "-mavx512vl",
    ],
}

# The GPU kernels' driver, compiled as the above are.
GPU_CORE_SOURCES = [
    "cc/gpu/depthwise.cc",
    "cc/gpu/general.cc",
    "cc/gpu/implementations.cc",
    "cc/gpu/staged.cc",
    "cc/gpu/staged_tiling.cc",
    "cc/gpu/strip_tiling.cc",
    "cc/gpu/strip_tiling_nhwc.cc",
    "cc/gpu/strips.cc",
    "cc/gpu/tiled.cc",
    "cc/gpu/tiling.cc",
    "cc/gpu/window.cc",
    "cc/gpu/zeros.cc",
]

# Compiled once for each of TYPES, with -DTF_DWBP_TYPE=<name>: by nvcc, or, for a program
# that emulates a GPU, as C++.
GPU_KERNEL_SOURCE = "cc/gpu/kernels/kernels.cu"

# Instead of CUDA, for a program or a library that emulates a GPU.
EMULATOR_SOURCES = [
    "cc/gpu/device/emulated_rounding.cc",
    "cc/gpu/device/emulator.cc",
    "cc/gpu/device/watched_memory.cc",
]

# nvcc's flags apart from the architectures. Kernels call constexpr functions of cc/conv.
GPU_FLAGS = [
    "-std=c++17",
    "-O3",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra",
    "-DNDEBUG",
]

# The shared library that TensorFlow loads.
LIBRARY_SOURCES = CORE_SOURCES + [
    "cc/swap/eager_rewrite.cc",
    "cc/swap/execution_pass.cc",
    "cc/swap/graph_optimizer.cc",
    "cc/swap/ledger.cc",
    "cc/swap/merge.cc",
    "cc/swap/rename.cc",
    "cc/swap/state.cc",
    "cc/tensorflow/depthwise_op.cc",
    "cc/tensorflow/first_copy.cc",
    "cc/tensorflow/ops.cc",
    "cc/tensorflow/read_call.cc",
]

# Added to it where there is an nvcc.
GPU_LIBRARY_SOURCES = GPU_CORE_SOURCES + [
    "cc/tensorflow/gpu_depthwise_op.cc",
]

# The shared library that is loaded after it: what XLA makes of the ops.
XLA_SOURCES = [
    "cc/swap/compiled.cc",
    "cc/xla/handler.cc",
    "cc/xla/lowering.cc",
]

# Added to it where there is an nvcc.
GPU_XLA_SOURCES = [
    "cc/xla/gpu_handler.cc",
    "cc/xla/gpu_lowering.cc",
]

# A program of its own that tests the core without TensorFlow, under the sanitizers.
TEST_SOURCES = [
    "cc/tests/activation_test.cc",
    "cc/tests/call_test.cc",
    "cc/tests/counted_kernels.cc",
    "cc/tests/definition.cc",
    "cc/tests/direct_plan_test.cc",
    "cc/tests/dispatch_test.cc",
    "cc/tests/eigen_test.cc",
    "cc/tests/epilogue.cc",
    "cc/tests/explain_test.cc",
    "cc/tests/filter_grad_lines_test.cc",
    "cc/tests/filter_grad_plan_test.cc",
    "cc/tests/filter_grad_tiles_test.cc",
    "cc/tests/gather_test.cc",
    "cc/tests/geometry_test.cc",
    "cc/tests/implementations_test.cc",
    "cc/tests/kernel_test.cc",
    "cc/tests/large_result_test.cc",
    "cc/tests/lines_test.cc",
    "cc/tests/main.cc",
    "cc/tests/memory_fault_test.cc",
    "cc/tests/packed_test.cc",
    "cc/tests/parallel_test.cc",
    "cc/tests/plan_test.cc",
    "cc/tests/plans_test.cc",
    "cc/tests/prefetch_test.cc",
    "cc/tests/problem_test.cc",
    "cc/tests/random_problem.cc",
    "cc/tests/random_test.cc",
    "cc/tests/special_value_test.cc",
]

# A program that runs the GPU kernels on the CPU.
GPU_TEST_SOURCES = [
    "cc/tests/definition.cc",
    "cc/tests/emulator_test.cc",
    "cc/tests/epilogue.cc",
    "cc/tests/gpu_implementations_test.cc",
    "cc/tests/gpu_order_test.cc",
    "cc/tests/gpu_plan_test.cc",
    "cc/tests/gpu_staged_test.cc",
    "cc/tests/gpu_strips_nhwc_test.cc",
    "cc/tests/gpu_strips_test.cc",
    "cc/tests/gpu_test.cc",
    "cc/tests/gpu_value_test.cc",
    "cc/tests/main.cc",
    "cc/tests/random_problem.cc",
]

# A library of the GPU kernels for tests/gpu/harness.py: for a GPU, or for the emulator.
GPU_HARNESS_SOURCES = [
    "cc/tests/gpu_harness.cu",
]
