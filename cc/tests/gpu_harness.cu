// The GPU kernels behind a C interface, for tests/gpu/harness.py: on a GPU by nvcc, on an emulated
// one by a C++ compiler. Functions that can fail return the text of what went wrong, or null.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cc/conv/call.h"
#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"

#define TF_DWBP_C extern "C" TF_DWBP_EXPORT

namespace tf_dwbp::gpu {
namespace {

const char* keep(const conv::Error& error) {
  static thread_local std::string kept;
  kept = error;
  return kept.empty() ? nullptr : kept.c_str();
}

// A call as the op's user writes it.
struct Request {
  conv::Op op;
  Dtype type;
  int64_t input[4];
  int64_t filter[4];
  int64_t strides[4];
  int64_t dilations[4];
  int64_t explicit_paddings[8];
  const char* padding;
  const char* data_format;
};

conv::Error read(const Request& request, conv::Geometry* geometry) {
  const auto list = [](const int64_t* values, int n) {
    return std::vector<int64_t>(values, values + n);
  };
  conv::UserAttributes user;
  user.strides = list(request.strides, 4);
  user.dilations = list(request.dilations, 4);
  user.padding = request.padding;
  user.data_format = request.data_format;
  if (user.padding == "EXPLICIT") user.explicit_paddings = list(request.explicit_paddings, 8);
  conv::Call call(request.op);
  conv::Error error = conv::check_attributes(user, &call.attributes);
  call.input = list(request.input, 4);
  call.filter = list(request.filter, 4);
  if (error.empty()) error = conv::check_call(&call);
  if (error.empty()) *geometry = conv::geometry_of(call);
  return error;
}

}  // namespace

TF_DWBP_C const char* tf_dwbp_workspace_bytes(const Request* request, int64_t* bytes) {
  conv::Geometry g;
  conv::Error error = read(*request, &g);
  if (!error.empty()) return keep(error);
  *bytes = workspace_bytes(request->type, request->op, g);
  return nullptr;
}

TF_DWBP_C const char* tf_dwbp_run(const Request* request, const void* a, const void* b,
                                  void* result, void* workspace, void* stream) {
  conv::Geometry g;
  conv::Error error = read(*request, &g);
  if (!error.empty()) return keep(error);
  return keep(run(request->type, request->op, g, a, b, result, workspace, stream));
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

// "gather_nhwc<float, 0>" is not told by the runtime; the registers and local bytes of all are.
TF_DWBP_C const char* tf_dwbp_resources(Dtype type, int64_t* most_registers,
                                        int64_t* most_local_bytes) {
  return keep(with_dtype(type, [&](auto element) {
    for (const void* kernel : kernels<decltype(element)>()) {
      cudaFuncAttributes attributes;
      conv::Error error = to_error(cudaFuncGetAttributes(&attributes, kernel), "attributes");
      if (!error.empty()) return error;
      *most_registers = std::max<int64_t>(*most_registers, attributes.numRegs);
      *most_local_bytes = std::max<int64_t>(*most_local_bytes, attributes.localSizeBytes);
    }
    return conv::Error();
  }));
}

#else

TF_DWBP_C const char* tf_dwbp_device(char* name, int64_t bytes) {
  std::strncpy(name, "an emulated GPU", bytes - 1);
  return nullptr;
}
TF_DWBP_C const char* tf_dwbp_allocate(void** data, int64_t bytes) {
  *data = std::malloc(bytes);
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
TF_DWBP_C const char* tf_dwbp_resources(Dtype, int64_t*, int64_t*) { return nullptr; }

#endif

}  // namespace tf_dwbp::gpu
