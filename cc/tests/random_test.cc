// Calls at random, of sizes from one element to whole layers, on small integers, whose sums are
// exact: whatever the threads that are planned for and those that come, and wherever the tensors
// lie, the result is the definition's to the bit, and nothing else is written to.

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "cc/conv/dtype.h"
#include "cc/cpu/runtime/isa.h"
#include "cc/tests/compare.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::testing {
namespace {

// Where no time is given.
constexpr int64_t kFewCases = 60;
constexpr int kMostSecondsOfCase = 300;

struct Case {
  Geometry geometry;
  Op op;
  Dtype type;
  How how;
  conv::Epilogue epilogue;
  std::string text;

  Case(int64_t seed, int64_t number, Random* random) {
    const bool large = random->one_in(40);
    geometry = random_geometry(random, large ? Budget{2e8, 1.4e7} : Budget{2e7, 2e6});
    op = random->any_of({Op::kForward, Op::kInputGrad, Op::kFilterGrad});
    type = random->any_of({Dtype::kHalf, Dtype::kBfloat16, Dtype::kFloat, Dtype::kDouble});
    how.workers = random->between(1, 8);
    how.parallel = shared_pool().parallel(random->between(1, 8), random->any_of({0.0, 60e3}));
    for (int64_t* offset : {&how.offsets.a, &how.offsets.b, &how.offsets.result}) {
      *offset = random->one_in(2) ? 0 : random->between(1, 31);
    }
    if (op == Op::kForward && random->one_in(2)) epilogue = random_epilogue(random);
    const std::string name = name_of(type);
    // Each implementation that takes it, the first of all as often as the others.
    std::vector<const cpu::Implementation*> takers;
    for (const cpu::Implementation& candidate : cpu::implementations(op)) {
      if (candidate.declines({op, type, geometry, epilogue}).empty()) takers.push_back(&candidate);
    }
    const int64_t others = static_cast<int64_t>(takers.size()) - 1;
    how.implementation = takers[others > 0 && random->one_in(2) ? random->between(1, others) : 0];
    text = std::string("TF_DWBP_CPU_ISA=") + cpu::isa().name + " core_test --seed " +
           std::to_string(seed) + " --case " + std::to_string(number) + "  # " +
           describe(op, geometry) + ", " + to_text(epilogue) + ", " + name + ", " +
           how.implementation->name + ", " + std::to_string(how.workers) + " workers planned, " +
           std::to_string(how.parallel.threads) + " threads, offsets " +
           std::to_string(how.offsets.a) + " " + std::to_string(how.offsets.b) + " " +
           std::to_string(how.offsets.result);
  }

  template <typename T>
  bool right(Random* random) const {
    const auto [first, second] = operands_of(op);
    std::vector<int> a(elements_of(first, geometry)), b(elements_of(second, geometry));
    fill(random, &a);
    fill(random, &b);
    std::vector<int> bias(epilogue.bias ? geometry.out_channels() : 0);
    fill(random, &bias);
    const std::vector<T> result =
        call<T>(op, geometry, operand<T>(a), operand<T>(b), how, epilogue, operand<T>(bias));
    const std::vector<int> sums = by_definition(op, geometry, a, b);
    return epilogue.empty() ? same_bits(result, to<T>(sums))
                            : finished_right(epilogue, geometry, sums, bias, result);
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
