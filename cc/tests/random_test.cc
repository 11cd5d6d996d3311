// Calls at random, of sizes from one element to whole layers, on small integers, whose sums are
// exact: whatever the threads that are planned for and those that come, and wherever the tensors
// lie, the result is the definition's to the bit, and nothing else is written to.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/dtype.h"
#include "cc/cpu/runtime/isa.h"
#include "cc/tests/compare.h"

namespace tf_dwbp::testing {
namespace {

// Where no time is given.
constexpr int64_t kFewCases = 60;
constexpr int kMostSecondsOfCase = 300;

// SplitMix64: the same everywhere.
class Random {
 public:
  Random(int64_t seed, int64_t number)
      : state_(static_cast<uint64_t>(seed) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(number)) {
    next();
  }

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // From `least` to `most`, both of them too.
  int64_t between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(next() % static_cast<uint64_t>(most - least + 1));
  }
  bool one_in(int64_t n) { return between(1, n) == 1; }
  // Each size is about as likely as its double.
  int64_t log_between(int64_t least, int64_t most) {
    const double unit = static_cast<double>(next() >> 11) / static_cast<double>(uint64_t{1} << 53);
    const double low = std::log(static_cast<double>(least));
    const double high = std::log(static_cast<double>(most + 1));
    return std::min(most, static_cast<int64_t>(std::exp(low + unit * (high - low))));
  }
  template <typename T>
  T any_of(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  uint64_t state_;
};

// What the definition takes a few hundredths of a second for, and sometimes ten times that.
struct Budget {
  double products;
  double elements;
};

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

// A call that conv takes for valid, cut to the budget.
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

// Small integers, as often negative as positive, so that the longest sums stay far below 2^24.
template <typename Values>
void fill(Random* random, Values* values) {
  constexpr int kValues[16] = {0, 1, 2, -1, -2, 0, 1, -1, 3, -3, 0, 1, 2, -1, -2, 0};
  uint64_t bits = 0;
  for (size_t i = 0; i < values->size(); ++i) {
    if (i % 16 == 0) bits = random->next();
    (*values)[i] = kValues[bits & 15];
    bits >>= 4;
  }
}

struct Case {
  Geometry geometry;
  Op op;
  Dtype type;
  How how;
  std::string text;

  Case(int64_t seed, int64_t number, Random* random) {
    const bool large = random->one_in(40);
    geometry = random_geometry(random, large ? Budget{2e8, 1.4e7} : Budget{2e7, 2e6});
    op = random->any_of({Op::kForward, Op::kInputGrad, Op::kFilterGrad});
    type = random->any_of({Dtype::kHalf, Dtype::kBfloat16, Dtype::kFloat, Dtype::kDouble});
    how.workers = random->between(1, 8);
    how.parallel = shared_pool().parallel(random->between(1, 8), random->any_of({0.0, 60e3}));
    for (int64_t* offset : {&how.a_offset, &how.b_offset, &how.result_offset}) {
      *offset = random->one_in(2) ? 0 : random->between(1, 31);
    }
    const std::string name = name_of(type);
    // Each implementation that takes it, the first of all as often as the others.
    std::vector<const cpu::Implementation*> takers;
    for (const cpu::Implementation& candidate : cpu::implementations(op)) {
      if (candidate.declines({op, type, geometry}).empty()) takers.push_back(&candidate);
    }
    const int64_t others = static_cast<int64_t>(takers.size()) - 1;
    how.implementation = takers[others > 0 && random->one_in(2) ? random->between(1, others) : 0];
    text = std::string("TF_DWBP_CPU_ISA=") + cpu::isa().name + " core_test --seed " +
           std::to_string(seed) + " --case " + std::to_string(number) + "  # " +
           describe(op, geometry) + ", " + name + ", " + how.implementation->name + ", " +
           std::to_string(how.workers) + " workers planned, " +
           std::to_string(how.parallel.threads) + " threads, offsets " +
           std::to_string(how.a_offset) + " " + std::to_string(how.b_offset) + " " +
           std::to_string(how.result_offset);
  }

  template <typename T>
  bool right(Random* random) const {
    const auto [first, second] = operands_of(op);
    std::vector<int> a(elements_of(first, geometry)), b(elements_of(second, geometry));
    fill(random, &a);
    fill(random, &b);
    const std::vector<T> result = call<T>(op, geometry, operand<T>(a), operand<T>(b), how);
    return same_bits(result, to<T>(by_definition(op, geometry, a, b)));
  }
};

void run_case(int64_t seed, int64_t number) {
  Random random(seed, number);
  const Case drawn(seed, number, &random);
  say_at_death(drawn.text.c_str(), kMostSecondsOfCase);
  const bool right =
      with_dtype(drawn.type, [&](auto t) { return drawn.right<decltype(t)>(&random); });
  check(right, drawn.text);
  say_at_death("random_calls, between cases", 0);
}

TF_DWBP_TEST(random_calls) {
  const Options& o = options();
  if (o.one_case >= 0) return run_case(o.seed, o.one_case);
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  int64_t number = 0;
  if (o.random_seconds > 0) {
    while (seconds() < o.random_seconds) run_case(o.seed, number++);
  } else {
    for (; number < kFewCases; ++number) {
      if (sampled()) run_case(o.seed, number);
    }
  }
  std::printf("random calls of seed %lld: 0 to %lld\n", static_cast<long long>(o.seed),
              static_cast<long long>(number - 1));
}

}  // namespace
}  // namespace tf_dwbp::testing
