// The GPU kernels, emulated: that the order of threads does not matter, that barriers do, and that
// every kernel has been run.

#include <cmath>
#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cc/gpu/kernels/kernels.h"
#include "cc/tests/gpu_compare.h"

namespace tf_dwbp::gpu {
namespace {

// The same bits in any order of threads and blocks, with values whose sums do round.
template <typename T>
void check_orders(Op op, const Geometry& g) {
  const auto [first, second] = operands_of(op);
  std::vector<T> a = to<T>(pattern(elements_of(first, g), 1));
  std::vector<T> b = to<T>(pattern(elements_of(second, g), 2));
  for (T& x : a) x = static_cast<T>(x * static_cast<T>(0.1));
  const Problem problem{op, dtype_of(T()), g};
  for (const Implementation* by : takers(problem)) {
    std::vector<T> results[3];
    for (int i = 0; i < 3; ++i) {
      state().order = kOrders[i];
      results[i] = call<T>(*plan(problem, by), a, b);
    }
    check(results[0] == results[1] && results[0] == results[2],
          "orders: " + describe(op, g) + ", " + by->name);
  }
}

TF_DWBP_TEST(the_same_bits_in_any_order) {
  for (const Layout layout : kLayouts)
    for (const Op op : kAllOps)
      for (const auto& [multiplier, filter] : {std::pair<int64_t, int64_t>(1, 3), {1, 5}, {2, 3}}) {
        const Geometry g{
            layout, 6, 40, multiplier, same_padded(20, filter, 1), same_padded(21, filter, 1)};
        check_orders<float>(op, g);
        check_orders<double>(op, g);
      }
}

// A call whose source has NaN at the edges of some rows, and what it makes of them.
struct NanCall {
  Example example;
  const Implementation* by;
  std::vector<float> expected;

  NanCall(Example of, const Implementation* by) : example(std::move(of)), by(by) {
    state().order = Order::kForward;
    expected = result();
  }
  std::vector<float> result() const {
    std::vector<float> a = to<float>(example.a), b = to<float>(example.b);
    std::vector<float>& source = example.op == Op::kInputGrad ? b : a;
    for (size_t i = 0; i < source.size(); i += 41) source[i] = NAN;
    return call<float>(*plan({example.op, Dtype::kFloat, example.g}, by), a, b);
  }
  bool right() const { return same_bits(result(), expected); }
};

// Without any one of the barriers some launch must fail, whatever the order of threads, or the
// emulator would not see a race. It does not watch global memory, where sums that are taken again
// are written after others: there some result must be wrong, in some order.
TF_DWBP_TEST(no_barrier_is_missed_unseen) {
  // Of 23 rows, five by five, of an odd number of images: strips in NHWC read the last from the one
  // of two buffers that the next block's first are staged in.
  std::vector<std::pair<Example, const Implementation*>> examples;
  std::vector<NanCall> of_nan;
  for (const Layout layout : kLayouts)
    for (const Op op : kAllOps)
      for (const auto& [multiplier, filter] : {std::pair<int64_t, int64_t>(1, 3), {1, 5}, {2, 3}}) {
        const Example example(op, Geometry{layout, 5, 40, multiplier, same_padded(23, filter, 1),
                                           same_padded(21, filter, 1)});
        for (const Implementation* by : takers({op, Dtype::kFloat, example.g})) {
          examples.emplace_back(example, by);
          of_nan.emplace_back(example, by);
        }
      }
  // Parts of several tiles: sums of so many small images are a large workspace.
  const Axis small = same_padded(3, 5, 1);
  const Example many(Op::kFilterGrad, Geometry{Layout::kNHWC, 300, 1, 1, small, small});
  for (const Implementation* by : takers({many.op, Dtype::kFloat, many.g})) {
    examples.emplace_back(many, by);
  }
  // Those of each example.
  std::vector<std::set<int>> reached;
  const auto reaches = [&](size_t example, int removed) {
    return removed < 0 || reached[example].count(removed) > 0;
  };
  const auto launches_all = [&](Order order, int removed) {
    state().order = order;
    state().removed_barrier = removed;
    state().most_blocks = 1;  // so that blocks use their shared memory again
    const int64_t before = failed_launches;
    for (size_t i = 0; i < examples.size() && failed_launches == before; ++i) {
      if (!reaches(i, removed)) continue;
      state().reached.clear();
      const bool right = solved<float>(examples[i].first, /*shift=*/0, examples[i].second);
      if (reached.size() == i) reached.push_back(state().reached);
      check(right || removed >= 0, "with all barriers");
    }
    state().removed_barrier = -1;
    state().most_blocks = 0x7fffffff;
    return failed_launches == before;
  };
  const auto all_right = [&](int removed) {
    state().removed_barrier = removed;
    bool right = true;
    for (const Order order : kOrders) {
      state().order = order;
      for (size_t i = 0; i < of_nan.size() && right; ++i) {
        if (reaches(i, removed)) right = of_nan[i].right();
      }
    }
    state().removed_barrier = -1;
    return right;
  };
  for (const Order order : kOrders) check(launches_all(order, -1), "with all barriers");
  check(all_right(-1), "with all barriers, with a NaN");
  const std::vector<std::string>& barriers = state().barriers;
  for (int i = 0; i < static_cast<int>(barriers.size()); ++i) {
    if (barriers[i].find(".cuh:") == std::string::npos) continue;  // a test's own
    check(!launches_all(kOrders[i % 3], i) || !all_right(i),
          "seen to be missing: the barrier at " + barriers[i]);
  }
  check(barriers.size() > 5, "barriers were reached");
}

// The others, which compare, have run every kernel that there is.
TF_DWBP_LAST_TEST(every_kernel_was_run) {
  std::set<const void*> all;
  for (const Dtype dtype : kDtypes) {
    for (const void* kernel : kernels(dtype).all()) all.insert(kernel);
  }
  int64_t missing = 0;
  for (const void* kernel : all) missing += state().launched.count(kernel) == 0;
  check(missing == 0,
        std::to_string(missing) + " kernels of " + std::to_string(all.size()) + " were not run");
  std::printf("%zu kernels, %lld blocks\n", all.size(), static_cast<long long>(state().blocks));
}

}  // namespace
}  // namespace tf_dwbp::gpu
