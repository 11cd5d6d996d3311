// The GPU kernels behind a C interface, for tests/gpu/harness.py: on a GPU by nvcc, on an emulated
// one by a C++ compiler. Functions that can fail return the text of what went wrong, or null.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cc/conv/problem.h"
#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"
#include "cc/gpu/implementations.h"
#include "cc/gpu/kernels/kernels.h"

#define TF_DWBP_C extern "C" TF_DWBP_EXPORT

namespace tf_dwbp::gpu {
namespace {

const char* keep(const conv::Error& error) {
  static thread_local std::string kept;
  kept = error;
  return kept.empty() ? nullptr : kept.c_str();
}

}  // namespace

// A plan of the problem that the text stands for, and the workspace that it wants; by the
// implementation of that name, where there is one that takes it.
TF_DWBP_C const char* tf_dwbp_plan(const char* text, const char* implementation, Plan** plan,
                                   int64_t* workspace_bytes) {
  conv::Problem problem;
  PlanPointer made;
  conv::Error error = conv::read_problem(text, &problem);
  if (error.empty()) error = make_plan(problem, &made);
  if (!error.empty()) return keep(error);
  for (const Implementation& by : implementations()) {
    if (by.name == std::string(implementation) && by.declines(problem).empty()) {
      made = by.plan(problem);
      made->implementation = by.name;
    }
  }
  *workspace_bytes = made->workspace_bytes;
  *plan = made.release();
  return nullptr;
}
TF_DWBP_C const char* tf_dwbp_run(const Plan* plan, const void* a, const void* b, void* result,
                                  void* workspace, const void* bias, void* stream) {
  return keep(run(*plan, {a, b, result, workspace, bias}, stream));
}
TF_DWBP_C const char* tf_dwbp_free_plan(Plan* plan) {
  delete plan;
  return nullptr;
}
// The text stays until the next one is asked for.
TF_DWBP_C const char* tf_dwbp_explain(const char* text, const char** explanation) {
  static thread_local std::string kept;
  conv::Problem problem;
  const conv::Error error = conv::read_problem(text, &problem);
  if (error.empty()) kept = explain(problem);
  *explanation = kept.c_str();
  return keep(error);
}

#if defined(__CUDACC__)

TF_DWBP_C const char* tf_dwbp_device(char* name, int64_t bytes) {
  int count = 0;
  conv::Error error = to_error(cudaGetDeviceCount(&count), "no GPU");
  cudaDeviceProp properties;
  if (error.empty()) error = to_error(cudaGetDeviceProperties(&properties, 0), "no GPU");
  if (error.empty()) std::strncpy(name, properties.name, bytes - 1);
  return keep(error);
}
TF_DWBP_C const char* tf_dwbp_allocate(void** data, int64_t bytes) {
  return keep(to_error(cudaMalloc(data, bytes), "cudaMalloc"));
}
TF_DWBP_C const char* tf_dwbp_free(void* data) {
  return keep(to_error(cudaFree(data), "cudaFree"));
}
TF_DWBP_C const char* tf_dwbp_fill(void* data, int value, int64_t bytes) {
  return keep(to_error(cudaMemset(data, value, bytes), "cudaMemset"));
}
// Waits for all that was launched before.
TF_DWBP_C const char* tf_dwbp_copy(void* to, const void* from, int64_t bytes) {
  const conv::Error error = to_error(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "cudaMemcpy");
  return keep(error.empty() ? to_error(cudaDeviceSynchronize(), "running") : error);
}
TF_DWBP_C int tf_dwbp_emulated() { return 0; }
TF_DWBP_C void tf_dwbp_vary(uint64_t) {}

// "gather_nhwc<float, 0>" is not told by the runtime; the registers and local bytes of all are.
TF_DWBP_C const char* tf_dwbp_resources(const char* text, int64_t* most_registers,
                                        int64_t* most_local_bytes) {
  conv::Problem problem;
  conv::Error error = conv::read_problem(text, &problem);
  if (!error.empty()) return keep(error);
  for (const void* kernel : kernels(problem.dtype).all()) {
    cudaFuncAttributes attributes;
    error = to_error(cudaFuncGetAttributes(&attributes, kernel), "attributes");
    if (!error.empty()) return keep(error);
    *most_registers = std::max<int64_t>(*most_registers, attributes.numRegs);
    *most_local_bytes = std::max<int64_t>(*most_local_bytes, attributes.localSizeBytes);
  }
  return nullptr;
}

#else

TF_DWBP_C const char* tf_dwbp_device(char* name, int64_t bytes) {
  std::strncpy(name, "an emulated GPU", bytes - 1);
  return nullptr;
}
// As CUDA aligns memory.
TF_DWBP_C const char* tf_dwbp_allocate(void** data, int64_t bytes) {
  if (posix_memalign(data, 256, bytes) != 0) *data = nullptr;
  return *data == nullptr ? "out of memory" : nullptr;
}
TF_DWBP_C const char* tf_dwbp_free(void* data) {
  std::free(data);
  return nullptr;
}
TF_DWBP_C const char* tf_dwbp_fill(void* data, int value, int64_t bytes) {
  std::memset(data, value, bytes);
  return nullptr;
}
TF_DWBP_C const char* tf_dwbp_copy(void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, bytes);
  return nullptr;
}
TF_DWBP_C int tf_dwbp_emulated() { return 1; }
// What runs from now on meets another device, another order of threads and blocks, and other
// limits of a grid.
TF_DWBP_C void tf_dwbp_vary(uint64_t seed) {
  using emulator::Order;
  constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled,
                               Order::kShuffled};
  // As sm_75, sm_86, sm_80 and sm_90 share memory.
  constexpr Device kDevices[] = {{2, 64 << 10, 0},
                                 {84, 100 << 10, 1 << 10},
                                 {4, 164 << 10, 1 << 10},
                                 {132, 228 << 10, 1 << 10}};
  emulator::State& state = emulator::state();
  state.order = kOrders[seed % 4];
  state.device = kDevices[seed / 4 % 4];
  state.most_blocks = seed / 16 % 8 == 0 ? 1 + static_cast<int64_t>(seed / 128 % 3) : 0x7fffffff;
  state.seed = seed;
}
TF_DWBP_C const char* tf_dwbp_resources(const char*, int64_t*, int64_t*) { return nullptr; }

#endif

}  // namespace tf_dwbp::gpu
