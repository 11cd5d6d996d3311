// Depthwise convolution and its gradients on a GPU: what cc/cpu/depthwise.h says, for pointers
// into the GPU's memory. No CUDA in here, so that whoever calls needs none.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/dtype.h"
#include "cc/conv/export.h"
#include "cc/conv/geometry.h"

namespace tf_dwbp::gpu {

// The bytes of the GPU's memory that run() wants as `workspace`, aligned to 16 bytes.
template <typename T>
int64_t workspace_bytes(conv::Op op, const conv::Geometry& geometry);

// Launches, on the current device and `stream` (a cudaStream_t), what writes every element of
// `result`, which is result_of(op); `a` and `b` are the other two operands, in conv::Operand's
// order. Nothing is allocated, and nothing waited for. The order of each sum depends on nothing
// but the geometry. Sums of 16-bit types are kept in float and rounded once.
//
// Returns the text of what is wrong, empty if nothing is: the CUDA runtime's errors, of this
// launch or left behind by an earlier one.
//
// T is Half, Bfloat16, float or double.
template <typename T>
[[nodiscard]] conv::Error run(conv::Op op, const conv::Geometry& geometry, const T* a, const T* b,
                              T* result, void* workspace, void* stream);

// The same for a type that is known at run time.
TF_DWBP_EXPORT int64_t workspace_bytes(Dtype dtype, conv::Op op, const conv::Geometry& geometry);
[[nodiscard]] TF_DWBP_EXPORT conv::Error run(Dtype dtype, conv::Op op,
                                             const conv::Geometry& geometry, const void* a,
                                             const void* b, void* result, void* workspace,
                                             void* stream);

// All kernels of a type, for tests: that each was run, and what each takes of a multiprocessor.
template <typename T>
std::vector<const void*> kernels();

}  // namespace tf_dwbp::gpu
