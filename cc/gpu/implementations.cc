#include "cc/gpu/implementations.h"

#include "cc/conv/implementations.h"
#include "cc/gpu/general.h"
#include "cc/gpu/staged.h"
#include "cc/gpu/strips.h"
#include "cc/gpu/tiled.h"
#include "cc/gpu/zeros.h"

namespace tf_dwbp::gpu {

const std::vector<Implementation>& implementations() {
  static const std::vector<Implementation> kAll = {
      {conv::kZeros, zeros_declines, plan_zeros},  {"strips", strips_decline, plan_strips},
      {"tiled", tiled_declines, plan_tiled},       {"staged", staged_declines, plan_staged},
      {"general", general_declines, plan_general},
  };
  return kAll;
}

conv::Error choose(const conv::Problem& problem, const Implementation** chosen) {
  return conv::choose(problem, implementations(), chosen);
}

}  // namespace tf_dwbp::gpu
