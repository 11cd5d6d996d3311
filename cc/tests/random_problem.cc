#include "cc/tests/random_problem.h"

#include <string>

#include "cc/conv/call.h"
#include "cc/tests/check.h"

namespace tf_dwbp::testing {
namespace {

double elements(const std::vector<int64_t>& sizes) {
  double product = 1;
  for (const int64_t size : sizes) product *= static_cast<double>(size);
  return product;
}

struct Axes {
  int64_t in, filter;
  conv::AxisAttributes attributes;
};

Axes random_axis(Random* random) {
  Axes axis{};
  axis.in = random->one_in(15) ? random->log_between(261, 20000) : random->log_between(1, 260);
  axis.filter =
      random->one_in(2) ? random->any_of<int64_t>({1, 2, 3, 3, 3, 5, 7}) : random->between(1, 15);
  axis.attributes.stride = random->one_in(2) ? random->between(1, 2) : random->between(1, 5);
  axis.attributes.dilation = random->one_in(2) ? 1 : random->between(1, 8);
  const int64_t extent = (axis.filter - 1) * axis.attributes.dilation + 1;
  // Up to beyond the filter.
  const int64_t most = random->one_in(3) ? 2 * extent + 3 : extent / 2 + 1;
  axis.attributes.pad_before = random->between(0, most);
  axis.attributes.pad_after = random->between(0, most);
  return axis;
}

int64_t random_channels(Random* random) {
  if (random->one_in(2)) return random->log_between(1, 2048);
  // Whole vectors of 4, 8, ... 64 lanes, and one beside.
  const int64_t lanes = random->any_of<int64_t>({4, 8, 16, 32, 64});
  const int64_t channels = lanes * random->log_between(1, 2048 / lanes) + random->between(-1, 1);
  return std::clamp<int64_t>(channels, 1, 2048);
}

}  // namespace

Geometry random_geometry(Random* random, const Budget& budget) {
  conv::Call call(Op::kForward);
  Axes height = random_axis(random);
  Axes width = random->one_in(2) ? random_axis(random) : height;
  call.attributes.layout = random->any_of({Layout::kNHWC, Layout::kNCHW});
  call.attributes.padding =
      random->any_of({conv::Padding::kSame, conv::Padding::kValid, conv::Padding::kExplicit});
  int64_t batch = random->log_between(1, 64), channels = random_channels(random);
  int64_t multiplier = random->one_in(2) ? 1 : random->between(1, 8);
  if (random->one_in(60)) {
    *random->any_of<int64_t*>({&batch, &channels, &multiplier, &height.in}) = 0;
  }
  for (;;) {
    call.attributes.height = height.attributes;
    call.attributes.width = width.attributes;
    if (call.attributes.padding != conv::Padding::kExplicit) {
      call.attributes.height.pad_before = call.attributes.height.pad_after = 0;
      call.attributes.width.pad_before = call.attributes.width.pad_after = 0;
    }
    const bool nhwc = call.attributes.layout == Layout::kNHWC;
    using Sizes = std::vector<int64_t>;
    call.input = nhwc ? Sizes{batch, height.in, width.in, channels}
                      : Sizes{batch, channels, height.in, width.in};
    call.filter = Sizes{height.filter, width.filter, channels, multiplier};
    call.output.reset();
    const conv::Error error = check_call(&call);
    if (!error.empty()) {
      check(false, "a valid call is refused: " + error);
      return {};
    }
    const double out = elements(*call.output), taps = elements({height.filter, width.filter});
    // The definition has each element of the input, and of the filter, once for each lane.
    const double multiples = static_cast<double>(std::max<int64_t>(1, multiplier));
    const double most = std::max({elements(*call.input) * multiples, out,
                                  taps * static_cast<double>(batch * channels * multiplier)});
    if (out * taps <= budget.products && most <= budget.elements) break;
    int64_t* const size = random->any_of<int64_t*>(
        {&batch, &channels, &multiplier, &height.in, &width.in, &height.in, &width.in});
    *size = std::max<int64_t>(1, *size - std::max<int64_t>(1, *size / 3));
  }
  return geometry_of(call);
}

conv::Epilogue random_epilogue(Random* random) {
  const auto last = static_cast<int64_t>(conv::kActivations.size()) - 1;
  const auto kind = conv::kActivations[random->between(0, last)];
  return {kind == conv::Activation::kLinear || random->one_in(2), kind,
          random->any_of({0.0f, 0.2f, 0.3f, -1.5f, 2.0f})};
}

void fill(Random* random, std::vector<int>* values) {
  constexpr int kValues[16] = {0, 1, 2, -1, -2, 0, 1, -1, 3, -3, 0, 1, 2, -1, -2, 0};
  uint64_t bits = 0;
  for (size_t i = 0; i < values->size(); ++i) {
    if (i % 16 == 0) bits = random->next();
    (*values)[i] = kValues[bits & 15];
    bits >>= 4;
  }
}

}  // namespace tf_dwbp::testing
