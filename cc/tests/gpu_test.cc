// The GPU kernels, emulated, against the definition: every instance of them, in every type and
// layout, in several orders of a block's threads. Buffers are exactly as large as the tensors, so
// that a sanitizer sees any access beyond them.

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"
#include "cc/tests/emulator.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Axis;
using conv::Geometry;
using conv::Layout;
using conv::Op;
using conv::Operand;
using emulator::Order;
using emulator::state;
using testing::by_definition;
using testing::check;
using testing::describe;
using testing::elements_of;
using testing::from_int;
using testing::pattern;
using testing::same;

constexpr Op kOps[] = {Op::kForward, Op::kInputGrad, Op::kFilterGrad};
constexpr Layout kLayouts[] = {Layout::kNHWC, Layout::kNCHW};
constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};

// Calls the op on tensors that begin `shift` elements after an aligned address.
template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                    int shift = 0) {
  const auto shifted = [&](std::vector<T> data) {
    data.insert(data.begin(), shift, from_int<T>(0));
    return data;
  };
  const std::vector<T> shifted_a = shifted(a), shifted_b = shifted(b);
  std::vector<T> result = shifted(std::vector<T>(elements_of(result_of(op), g), from_int<T>(77)));
  std::vector<unsigned char> workspace(workspace_bytes<T>(op, g), 0xff);
  const conv::Error error = run<T>(op, g, shifted_a.data() + shift, shifted_b.data() + shift,
                                   result.data() + shift, workspace.data(), nullptr);
  check(error.empty(), describe(op, g) + ": " + error);
  result.erase(result.begin(), result.begin() + shift);
  return result;
}

template <typename T>
std::vector<T> to(const std::vector<int>& values) {
  std::vector<T> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(), from_int<T>);
  return converted;
}

template <typename T>
bool equal(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same<T>);
}

struct Problem {
  Op op;
  Geometry g;
  std::vector<int> a, b, expected;

  Problem(Op op, const Geometry& g) : op(op), g(g) {
    const auto [first, second] = operands_of(op);
    a = pattern(elements_of(first, g), 1);
    b = pattern(elements_of(second, g), 2);
    expected = by_definition(op, g, a, b);
  }

  template <typename T>
  bool solved(int shift = 0) const {
    return equal(call<T>(op, g, to<T>(a), to<T>(b), shift), to<T>(expected));
  }
};

int64_t taken_again() { return state().counts["gather again"] + state().counts["part again"]; }

// Each call takes the next order. Nothing that is finite may come out as NaN and be taken again:
// that would hide that something was read before it was written.
template <typename T>
void compare(const Problem& problem, int shift = 0) {
  static int turn = 0;
  state().order = kOrders[turn++ % 3];
  const int64_t before = taken_again();
  check(problem.solved<T>(shift),
        describe(problem.op, problem.g) + ", " + std::to_string(sizeof(T)) + " bytes");
  check(taken_again() == before, describe(problem.op, problem.g) + ": taken again");
}

// Two of the types, in turn.
void compare_all(Geometry g, int shift = 0) {
  static int turn = 0;
  const bool first = turn++ % 2 == 0;
  for (const Layout layout : kLayouts) {
    g.layout = layout;
    for (const Op op : kOps) {
      const Problem problem(op, g);
      if (first) {
        compare<Half>(problem, shift);
        compare<float>(problem, shift);
      } else {
        compare<Bfloat16>(problem, shift);
        compare<double>(problem, shift);
      }
    }
  }
}

Axis same_padded(int64_t in, int64_t filter, int64_t stride, int64_t dilation = 1) {
  const int64_t out = (in + stride - 1) / stride;
  const int64_t reach = (out - 1) * stride + (filter - 1) * dilation + 1;
  return {in, out, filter, stride, dilation, std::max<int64_t>(0, reach - in) / 2};
}

// A few channels, vectors of them, and more than a block has, also such that vectors don't fit.
TF_DWBP_TEST(configurations_and_channels) {
  for (const int64_t filter : {3, 5, 7})
    for (const int64_t stride : {1, 2})
      for (const int64_t channels : {1, 3, 8, 40, 50}) {
        if (filter > 3 && channels != 8) continue;
        compare_all({Layout::kNHWC, 2, channels, 1, same_padded(9, filter, stride),
                     same_padded(16, filter, stride)});
      }
}

// Paddings up to beyond the filter, outputs that end before the input does.
TF_DWBP_TEST(borders) {
  for (const int64_t filter : {3, 5, 7})
    for (const int64_t stride : {1, 2})
      for (const int64_t pad : {0, 1, 2, 9})
        for (const int64_t in : {1, 7})
          for (const int64_t out : {1, 4}) {
            const Axis axis{in, out, filter, stride, 1, pad};
            compare_all({Layout::kNHWC, 1, 3, 1, axis, {6, 6 / stride, filter, stride, 1, 1}});
            compare_all({Layout::kNHWC, 1, 2, 1, {5, 5 / stride, filter, stride, 1, 2}, axis});
          }
}

TF_DWBP_TEST(dilated) {
  for (const int64_t filter : {3, 5})
    for (const int64_t dilation : {2, 3, 20})
      for (const int64_t in : {1, 7, 16}) {
        const Axis axis = same_padded(in, filter, 1, dilation);
        compare_all({Layout::kNHWC, 1, 3, 1, axis, same_padded(9, filter, 1)});
        compare_all({Layout::kNHWC, 1, 4, 1, same_padded(5, filter, 1, 2), axis});
      }
  const int64_t most = 2147483647;
  compare_all({Layout::kNHWC, 1, 4, 1, same_padded(4, 3, 1, most), same_padded(5, 3, 1, most)});
  compare_all({Layout::kNHWC, 1, 4, 1, same_padded(4, 3, most, most), same_padded(5, 3, most, 1)});
}

// What fits no configuration.
TF_DWBP_TEST(the_rest_is_general) {
  for (const int64_t multiplier : {1, 2, 3})
    for (const int64_t channels : {1, 9})
      for (const auto& [h, w] : {std::pair(same_padded(6, 1, 1), same_padded(7, 1, 1)),
                                 std::pair(same_padded(6, 2, 1), same_padded(7, 4, 1)),
                                 std::pair(same_padded(9, 3, 2), same_padded(8, 3, 1)),
                                 std::pair(same_padded(9, 3, 1), same_padded(8, 3, 3)),
                                 std::pair(same_padded(9, 3, 2, 2), same_padded(8, 3, 2, 3)),
                                 std::pair(same_padded(9, 3, 3, 2), same_padded(8, 3, 6, 4)),
                                 std::pair(same_padded(4, 9, 1), same_padded(3, 11, 1)),
                                 std::pair(same_padded(5, 3, 1), same_padded(5, 3, 1))}) {
        compare_all({Layout::kNHWC, 2, channels, multiplier, h, w});
      }
}

// Tiles of blocks and of threads end with the image or before, and there are several each way.
TF_DWBP_TEST(tiles_have_ends) {
  for (int64_t size = 1; size <= 40; size += size < 10 ? 1 : 6)
    for (const int64_t stride : {1, 2}) {
      compare_all(
          {Layout::kNHWC, 1, 4, 1, same_padded(size, 3, stride), same_padded(5, 3, stride)});
      compare_all(
          {Layout::kNHWC, 1, 4, 1, same_padded(5, 5, stride), same_padded(size, 5, stride)});
    }
  compare_all({Layout::kNHWC, 1, 36, 1, same_padded(60, 3, 1), same_padded(70, 3, 1)});
  compare_all({Layout::kNHWC, 1, 2, 1, same_padded(40, 7, 1), same_padded(300, 7, 1)});
}

// Many images and channels: several planes a block, several tiles and images a part.
TF_DWBP_TEST(planes_and_parts) {
  const Axis seven = same_padded(7, 3, 1);
  for (const int64_t channels : {1, 2, 7, 33}) {
    compare_all({Layout::kNHWC, 30, channels, 1, seven, seven});
    compare_all({Layout::kNHWC, 9, channels, 1, same_padded(14, 5, 2), same_padded(14, 5, 2)});
  }
  compare_all({Layout::kNHWC, 2, 600, 1, seven, seven});
}

// Small GPUs have little shared memory.
TF_DWBP_TEST(any_device) {
  const emulator::State before = state();
  for (const int kilobytes : {48, 228})
    for (const int64_t filter : {3, 7}) {
      state().device = {kilobytes, kilobytes << 10};
      compare_all(
          {Layout::kNHWC, 1, 18, 1, same_padded(20, filter, 1), same_padded(30, filter, 1)});
      compare_all({Layout::kNHWC, 1, 34, 1, same_padded(9, filter, 1), same_padded(30, filter, 1)});
    }
  state().device = before.device;
}

// Kernels walk over what a grid can't hold.
TF_DWBP_TEST(grids_are_limited) {
  for (const int64_t blocks : {1, 3}) {
    state().most_blocks = blocks;
    for (const int64_t stride : {1, 2}) {
      compare_all(
          {Layout::kNHWC, 2, 70, 1, same_padded(20, 3, stride), same_padded(30, 3, stride)});
      compare_all({Layout::kNHWC, 2, 70, 2, same_padded(9, 3, stride), same_padded(8, 3, stride)});
    }
  }
  state().most_blocks = 0x7fffffff;
}

// Slices of tensors begin anywhere.
TF_DWBP_TEST(pointers_that_are_not_aligned) {
  for (const int shift : {1, 2, 3})
    for (const int64_t filter : {3, 5})
      for (const int64_t stride : {1, 2}) {
        compare_all({Layout::kNHWC, 1, 16, 1, same_padded(9, filter, stride),
                     same_padded(16, filter, stride)},
                    shift);
      }
}

// An Inf or NaN reaches what it is linked to, and nothing else.
template <typename T>
void check_confined(Op op, const Geometry& g, T bad) {
  const Problem clean(op, g);
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
        in_first ? call<T>(op, g, values, to<T>(clean.b)) : call<T>(op, g, to<T>(clean.a), values);
    bool right = true;
    for (size_t i = 0; i < result.size(); ++i) {
      const bool is_finite = std::isfinite(static_cast<double>(widen(result[i])));
      right &= met[i] > 0 ? !is_finite : same(result[i], from_int<T>(rest[i]));
    }
    check(right, "what an infinite or NaN operand touches: " + describe(op, g));
  }
}

TF_DWBP_TEST(operands_that_are_not_finite) {
  for (const Layout layout : kLayouts)
    for (const Op op : kOps)
      for (const int64_t multiplier : {1, 2})
        for (const int64_t stride : {1, 2})
          for (const int64_t width : {5, 17}) {
            const Geometry g{
                layout, 2, 5, multiplier, same_padded(6, 3, stride), same_padded(width, 3, stride)};
            for (const float bad : {INFINITY, NAN}) {
              check_confined<float>(op, g, bad);
              check_confined<double>(op, g, bad);
            }
            check_confined<Half>(op, g, Half{0x7c00});
            check_confined<Bfloat16>(op, g, Bfloat16{0x7f80});
          }
  check(state().counts["gather again"] > 0, "sums were gathered again");
  check(state().counts["part again"] > 0, "parts were summed again");
}

// A million terms that are no sums of powers of two: as exact as a few.
TF_DWBP_TEST(long_sums_lose_nothing) {
  for (const Layout layout : kLayouts)
    for (const int64_t filter : {1, 3}) {
      const Axis axis{512, 512, filter, 1, 1, 0};
      const Geometry g{layout, 4, 1, 1, axis, axis};
      const float value = 0.1f;
      const std::vector<float> in(g.input_elements(), value), out(g.output_elements(), value);
      const std::vector<float> sums = call<float>(Op::kFilterGrad, g, in, out);
      for (int64_t tap = 0; tap < filter * filter; ++tap) {
        const double terms = 4.0 * (512 - tap / filter) * (512 - tap % filter);
        const double exact = static_cast<double>(value) * value * terms;
        check(std::abs(sums[tap] - exact) <= 4e-6 * exact, "a long sum");
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

// Tensors of more than 2^31 elements, all zero but for their last rows, which are 1. Only the last
// blocks are run: those that have these rows.
TF_DWBP_TEST(elements_beyond_32_bits) {
  state().last_blocks = 256;
  state().order = Order::kForward;
  for (const Layout layout : kLayouts)
    for (const int64_t filter : {3, 4})
      for (const Op op : kOps) {
        const Axis h = same_padded(262150, filter, 1), w = same_padded(64, filter, 1);
        const Geometry g{layout, 1, 128, 1, h, w};
        const auto [first, second] = operands_of(op);
        Zeros a(elements_of(first, g)), b(elements_of(second, g));
        Zeros result(elements_of(result_of(op), g)), workspace(workspace_bytes<Half>(op, g));
        const int64_t channels = layout == Layout::kNHWC ? g.channels : 1;
        const int64_t row = w.in * channels, ones = 4 * row;
        for (const auto& [operand, zeros] : {std::pair(first, &a), std::pair(second, &b)}) {
          const int64_t size = elements_of(operand, g);
          const int64_t filled = operand == Operand::kFilter ? size : ones;
          std::fill_n(zeros->data + size - filled, filled, from_int<Half>(1));
        }
        check(g.input_elements() > int64_t{1} << 31, "so many elements");
        const conv::Error error =
            run<Half>(op, g, a.data, b.data, result.data, workspace.data, nullptr);
        check(error.empty(), error);
        const int64_t size = elements_of(result_of(op), g);
        bool right = true;
        if (op == Op::kFilterGrad) {
          // The last tap, for the last channel, in the last row and column of taps.
          const int64_t reach = filter - 1 - h.pad_before;
          const auto expected = from_int<Half>(static_cast<int>((4 - reach) * (w.in - reach)));
          right = same(result.data[size - 1], expected);
        } else {
          for (int64_t i = 0; i < 2 * row; ++i) {
            const int64_t x = i / channels % w.in, y = h.in - 2 + i / row;
            const int expected = links(op, h, y, h.in - 4) * links(op, w, x, 0);
            right &= same(result.data[size - 2 * row + i], from_int<Half>(expected));
          }
        }
        check(right, "the end of large tensors: " + describe(op, g));
      }
  state().last_blocks = 0x7fffffff;
}

TF_DWBP_TEST(empty_tensors) {
  const Axis axis = same_padded(3, 3, 1);
  compare_all({Layout::kNHWC, 0, 2, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 0, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 0, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, {0, 0, 3, 1, 1, 1}, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, axis, {3, 0, 5, 1, 1, 0}});
  compare_all({Layout::kNHWC, 2, 2, 2, axis, {3, 0, 5, 1, 1, 0}});
}

// The same bits in any order of threads and blocks, with values whose sums do round.
template <typename T>
void check_orders(Op op, const Geometry& g) {
  const auto [first, second] = operands_of(op);
  std::vector<T> a = to<T>(pattern(elements_of(first, g), 1));
  std::vector<T> b = to<T>(pattern(elements_of(second, g), 2));
  for (T& x : a) x = static_cast<T>(x * static_cast<T>(0.1));
  std::vector<T> results[3];
  for (int i = 0; i < 3; ++i) {
    state().order = kOrders[i];
    results[i] = call<T>(op, g, a, b);
  }
  check(results[0] == results[1] && results[0] == results[2], "orders: " + describe(op, g));
}

TF_DWBP_TEST(the_same_bits_in_any_order) {
  for (const Layout layout : kLayouts)
    for (const Op op : kOps)
      for (const int64_t multiplier : {1, 2}) {
        const Geometry g{layout, 6, 40, multiplier, same_padded(20, 3, 1), same_padded(21, 3, 1)};
        check_orders<float>(op, g);
        check_orders<double>(op, g);
      }
}

// Without any one of the barriers some kernel must fail, or the emulator would not see a race.
TF_DWBP_TEST(no_barrier_is_missed_unseen) {
  std::vector<Problem> problems;
  for (const Layout layout : kLayouts)
    for (const Op op : kOps)
      for (const int64_t multiplier : {1, 2}) {
        problems.emplace_back(
            op, Geometry{layout, 6, 40, multiplier, same_padded(20, 3, 1), same_padded(21, 3, 1)});
      }
  const auto solves_all = [&](int removed) {
    state().removed_barrier = removed;
    state().most_blocks = 1;  // so that blocks use their shared memory again
    const int64_t before = taken_again();
    bool solved = true;
    for (const Order order : kOrders) {
      state().order = order;
      for (const Problem& problem : problems) {
        solved = solved && problem.solved<float>() && taken_again() == before;
      }
    }
    state().removed_barrier = -1;
    state().most_blocks = 0x7fffffff;
    return solved;
  };
  check(solves_all(-1), "with all barriers");
  const std::vector<std::string>& barriers = state().barriers;
  for (int i = 0; i < static_cast<int>(barriers.size()); ++i) {
    check(!solves_all(i), "seen to be missing: the barrier at " + barriers[i]);
  }
  check(barriers.size() > 5, "barriers were reached");
}

template <typename T>
void add_kernels(std::set<const void*>* all) {
  for (const void* kernel : kernels<T>()) all->insert(kernel);
}

// The last test: the others, which compare, have run every kernel that there is.
TF_DWBP_TEST(zz_every_kernel_was_run) {
  std::set<const void*> all;
  add_kernels<Half>(&all);
  add_kernels<Bfloat16>(&all);
  add_kernels<float>(&all);
  add_kernels<double>(&all);
  check(state().launched == all, std::to_string(state().launched.size()) + " kernels of " +
                                     std::to_string(all.size()) + " were run");
  std::printf("%zu kernels, %lld blocks\n", all.size(), static_cast<long long>(state().blocks));
}

}  // namespace
}  // namespace tf_dwbp::gpu
