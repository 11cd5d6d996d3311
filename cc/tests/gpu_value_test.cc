// The GPU kernels, emulated, on Inf and NaN, on long sums, and on tensors beyond 32 bits.

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/tests/gpu_compare.h"

namespace tf_dwbp::gpu {
namespace {

// An Inf or NaN reaches what it is linked to, and nothing else.
template <typename T>
void check_confined(Op op, const Geometry& g, T bad, const Implementation& by) {
  const Example clean(op, g);
  const PlanPointer made = plan({op, dtype_of(T()), g}, &by);
  for (const bool in_first : {true, false}) {
    const std::vector<int>& operand = in_first ? clean.a : clean.b;
    std::vector<int> where(operand.size(), 0), finite = operand;
    std::vector<T> values = to<T>(operand);
    for (size_t i = 0; i < operand.size(); i += operand.size() / 3 + 1) {
      where[i] = 1;
      finite[i] = 0;
      values[i] = bad;
    }
    const std::vector<int> ones((in_first ? clean.b : clean.a).size(), 1);
    const std::vector<int> met =
        in_first ? by_definition(op, g, where, ones) : by_definition(op, g, ones, where);
    const std::vector<int> rest =
        in_first ? by_definition(op, g, finite, clean.b) : by_definition(op, g, clean.a, finite);
    const std::vector<T> result =
        in_first ? call<T>(*made, values, to<T>(clean.b)) : call<T>(*made, to<T>(clean.a), values);
    bool right = true;
    for (size_t i = 0; i < result.size(); ++i) {
      const bool is_finite = std::isfinite(static_cast<double>(widen(result[i])));
      right &= met[i] > 0 ? !is_finite : same(result[i], from_int<T>(rest[i]));
    }
    check(right, "what an infinite or NaN operand touches: " + describe(op, g));
  }
}

// Sums that each implementation has taken again, of the two that gather and of the filter gradient.
std::map<std::string, int64_t> again[2];

template <typename T>
void check_all_confined(Op op, const Geometry& g, T bad) {
  for (const Implementation* by : takers({op, dtype_of(T()), g})) {
    const int64_t before = taken_again();
    check_confined<T>(op, g, bad, *by);
    again[op == Op::kFilterGrad][by->name] += taken_again() - before;
  }
}

TF_DWBP_TEST(operands_that_are_not_finite) {
  for (const Layout layout : kLayouts)
    for (const Op op : kAllOps)
      for (const int64_t multiplier : {1, 2})
        for (const int64_t stride : {1, 2}) {
          for (const int64_t width : {5, 17}) {
            const Geometry g{
                layout, 2, 5, multiplier, same_padded(6, 3, stride), same_padded(width, 3, stride)};
            for (const float bad : {INFINITY, NAN}) {
              check_all_confined<float>(op, g, bad);
              check_all_confined<double>(op, g, bad);
            }
            check_all_confined<Half>(op, g, Half{0x7c00});
            check_all_confined<Bfloat16>(op, g, Bfloat16{0x7f80});
          }
          // Blocks with several images, planes and bands of these.
          if (multiplier > 1) continue;
          const Geometry g{
              layout, 3, 24, 1, same_padded(61, 5, stride), same_padded(39, 5, stride)};
          check_all_confined<float>(op, g, NAN);
        }
  for (const Implementation& by : implementations()) {
    if (by.name == std::string("zeros") || by.name == std::string("general")) continue;
    check(again[0][by.name] > 0, by.name + std::string(" has gathered sums again"));
    check(again[1][by.name] > 0, by.name + std::string(" has summed parts again"));
  }
}

// A million terms that are no sums of powers of two: as exact as a few.
TF_DWBP_TEST(long_sums_lose_nothing) {
  for (const Layout layout : kLayouts)
    for (const int64_t filter : {1, 3})
      for (const auto& [size, batch] : {std::pair<int64_t, int64_t>(512, 4), {200, 26}}) {
        const Axis axis{size, size, filter, 1, 1, 0};
        const Geometry g{layout, batch, 1, 1, axis, axis};
        const float value = 0.1f;
        const std::vector<float> in(g.input_elements(), value), out(g.output_elements(), value);
        const Problem problem{Op::kFilterGrad, Dtype::kFloat, g};
        for (const Implementation* by : takers(problem)) {
          const std::vector<float> sums = call<float>(*plan(problem, by), in, out);
          for (int64_t tap = 0; tap < filter * filter; ++tap) {
            const auto terms =
                static_cast<double>(batch * (size - tap / filter) * (size - tap % filter));
            const double exact = static_cast<double>(value) * value * terms;
            check(std::abs(sums[tap] - exact) <= 4e-6 * exact,
                  std::string("a long sum by ") + by->name);
          }
        }
      }
}

// Zeros that take no memory as long as they are not written.
struct Zeros {
  explicit Zeros(int64_t elements)
      : bytes(elements * sizeof(Half)),
        data(static_cast<Half*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Zeros() { munmap(data, bytes); }
  size_t bytes;
  Half* data;
};

// How many taps link a position to one in the last four of the other tensor.
int links(Op op, const Axis& axis, int64_t position, int64_t first) {
  int count = 0;
  for (int64_t k = 0; k < axis.filter; ++k) {
    const int64_t offset = k - axis.pad_before;
    const int64_t other = op == Op::kForward ? position + offset : position - offset;
    count += other >= first && other < axis.in;
  }
  return count;
}

// All zero but for their last rows, which are 1. Only the last blocks are run: those that have
// these rows.
void check_end(Op op, const Geometry& g, const Implementation& by) {
  const auto [first, second] = operands_of(op);
  Zeros a(elements_of(first, g)), b(elements_of(second, g));
  const PlanPointer planned = plan({op, Dtype::kHalf, g}, &by);
  Zeros result(elements_of(result_of(op), g)), workspace(planned->workspace_bytes / 2);
  const int64_t channels = g.layout == Layout::kNHWC ? g.channels : 1;
  const int64_t row = g.width.in * channels, ones = 4 * row;
  for (const auto& [operand, zeros] : {std::pair(first, &a), std::pair(second, &b)}) {
    const int64_t size = elements_of(operand, g);
    const int64_t filled = operand == Operand::kFilter ? size : ones;
    std::fill_n(zeros->data + size - filled, filled, from_int<Half>(1));
  }
  check(g.input_elements() > int64_t{1} << 31, "so many elements");
  const conv::Error error = run(*planned, {a.data, b.data, result.data, workspace.data}, nullptr);
  check(error.empty(), error);
  const int64_t size = elements_of(result_of(op), g);
  bool right = true;
  if (op == Op::kFilterGrad) {
    // The last tap, for the last channel, in the last row and column of taps.
    const int64_t reach = g.height.filter - 1 - g.height.pad_before;
    const auto expected = from_int<Half>(static_cast<int>((4 - reach) * (g.width.in - reach)));
    right = same(result.data[size - 1], expected);
  } else {
    for (int64_t i = 0; i < 2 * row; ++i) {
      const int64_t x = i / channels % g.width.in, y = g.height.in - 2 + i / row;
      const int expected = links(op, g.height, y, g.height.in - 4) * links(op, g.width, x, 0);
      right &= same(result.data[size - 2 * row + i], from_int<Half>(expected));
    }
  }
  check(right, "the end of large tensors: " + describe(op, g) + ", " + by.name);
}

// Tensors of more than 2^31 elements, in many planes or in one.
TF_DWBP_TEST(elements_beyond_32_bits) {
  state().order = Order::kForward;
  for (const Layout layout : kLayouts)
    for (const int64_t filter : {3, 4})
      for (const Op op : kAllOps)
        for (const auto& [channels, height, width] :
             {std::tuple<int64_t, int64_t, int64_t>(128, 262150, 64), {1, 10800000, 200}}) {
          const Geometry g{layout,
                           1,
                           channels,
                           1,
                           same_padded(height, filter, 1),
                           same_padded(width, filter, 1)};
          for (const Implementation* by : special_takers({op, Dtype::kHalf, g})) {
            // Each of these goes through many tiles.
            const bool long_parts = op == Op::kFilterGrad && by == &named("staged");
            state().last_blocks = long_parts ? 4 : 256;
            check_end(op, g, *by);
          }
        }
  state().last_blocks = 0x7fffffff;
}

}  // namespace
}  // namespace tf_dwbp::gpu
