// What a custom call tells its handler, besides the tensors. No TensorFlow and no XLA: the one side
// is compiled with XLA's own headers, the other with those for its users, which do not mix.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/call.h"
#include "cc/conv/geometry.h"
#include "cc/cpu/type.h"

namespace tf_dwbp::xla {

struct Request {
  conv::Op op;
  cpu::Type type;
  conv::Geometry geometry;
  int64_t workers;  // threads that the workspace has room for; on a GPU, of no meaning
};

// The attribute, an array of numbers, and the dictionary that holds it, in MLIR's notation.
constexpr char kRequest[] = "request";
std::string to_dictionary(const Request& request);
Request from_attribute(const int64_t* numbers);

}  // namespace tf_dwbp::xla
