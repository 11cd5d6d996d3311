// The type of elements where only the running program knows it.
#pragma once

#include "cc/cpu/element.h"

namespace tf_dwbp::cpu {

enum class Type { kHalf, kBfloat16, kFloat, kDouble };

// function(T()), with T for the type.
template <typename Function>
auto with_type(Type type, Function function) {
  switch (type) {
    case Type::kHalf:
      return function(Half());
    case Type::kBfloat16:
      return function(Bfloat16());
    case Type::kFloat:
      return function(float());
    case Type::kDouble:
      break;
  }
  return function(double());
}

}  // namespace tf_dwbp::cpu
