// Plans of the GPU kernels: what they take of shared memory and as workspace, and what they ask of
// a device. Nothing is run but once.

#include <algorithm>
#include <limits>
#include <string>

#include "cc/gpu/tiling.h"
#include "cc/gpu/tuning.h"
#include "cc/tests/gpu_compare.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::gpu {
namespace {

using testing::operand;
using testing::Random;
using testing::random_geometry;

constexpr int64_t kSeed = 7;

// sm_75, 80, 86 (89 and 120 alike), 90 (and 100).
constexpr Device kDevices[] = {
    {72, 64 << 10, 0},
    {108, 164 << 10, 1 << 10},
    {84, 100 << 10, 1 << 10},
    {132, 228 << 10, 1 << 10},
};

bool is_one_thread_tile(const Tile& tile) { return tile.thread_rows * tile.thread_columns == 1; }

// As many blocks share a multiprocessor as their registers allow, on all devices.
void check_room(const Problem& problem) {
  Windows windows;
  if (!find_windows(problem, &windows).empty()) return;
  const auto check_bytes = [&](const Device& device, const Tile& tile, int bytes, int blocks) {
    // One thread tile is as large as it is.
    if (is_one_thread_tile(tile) && bytes <= kMostSharedBytes) return;
    const int unit = kSharedUnit;
    const int taken = (bytes + unit - 1) / unit * unit + device.reserved_bytes;
    check(bytes <= kMostSharedBytes && blocks * taken <= device.shared_bytes,
          to_text(problem) + ": " + std::to_string(bytes) + " bytes of shared memory, of " +
              std::to_string(device.shared_bytes) + " for " + std::to_string(blocks) + " blocks");
  };
  if (problem.op == Op::kFilterGrad) {
    const FilterGradTiling tiling(problem.geometry, windows, problem.dtype);
    check(
        tiling.shared_bytes <= kFilterGradBytes ||
            (is_one_thread_tile(tiling.tile) && tiling.shared_bytes <= kMostSharedBytes),
        to_text(problem) + ": " + std::to_string(tiling.shared_bytes) + " bytes of shared memory");
    return;
  }
  for (const Device& device : kDevices) {
    const GatherTiling tiling(problem.geometry, windows, device,
                              static_cast<int>(bytes_of(problem.dtype)));
    check_bytes(device, tiling.tile, tiling.shared_bytes, tiling.blocks_resident);
    check(tiling.planes >= 1 && tiling.threads <= kThreads, to_text(problem));
    const int bytes = static_cast<int>(bytes_of(problem.dtype));
    const ThreadTile thread = gather_tile(windows.configuration, problem.geometry.layout, bytes);
    check(problem.geometry.layout == Layout::kNCHW ||
              tiling.threads % (tiling.lanes * thread.channels) == 0,
          to_text(problem) + ": threads for whole positions");
  }
}

// The first window's vector is one in memory, and results and source have moved together.
TF_DWBP_TEST(windows_are_aligned) {
  for (const Configuration& c : kGatherConfigurations)
    for (const int vector : {2, 4, 8})
      for (int origin = -9; origin < 9; ++origin) {
        const WindowAxis before{20, 20, 0, origin, 1};
        WindowAxis axis = before;
        align(c, vector, &axis);
        const std::string what = std::to_string(c.taps) + " taps from " + std::to_string(origin);
        if (!reads_vectors(c)) {
          check(axis.source_origin == origin && axis.result_origin == 0, what);
          continue;
        }
        const int lead = lead_of(c, axis);
        check((axis.source_origin + lead) % vector == 0, what);
        check(lead >= 0 && tail(c, lead) >= 0 && lead < c.taps, what);
        const int back = before.source_origin - axis.source_origin;
        check(back >= 0 && back < vector && c.result_step * -axis.result_origin == back, what);
        WindowAxis phases = before;
        phases.phase_stride = 2;
        align(c, vector, &phases);
        check(phases.source_origin == origin, "phases have no vectors in memory");
      }
}

// Small planes, as many as there may be, are staged together.
TF_DWBP_TEST(as_many_blocks_as_registers_allow_have_room) {
  int64_t number = 0;
  for (const int64_t taps : {3, 5, 7})
    for (const int64_t stride : {1, 2})
      for (const Layout layout : kLayouts)
        for (const Op op : kAllOps)
          for (const Dtype dtype : kDtypes)
            for (int i = 0; i < 12; ++i) {
              Random random(kSeed, number++);
              const Axis axis = same_padded(random.log_between(1, 230), taps, stride);
              const Axis other = random.one_in(2) ? axis : same_padded(i + 1, taps, stride);
              check_room({op,
                          dtype,
                          {layout, random.log_between(1, 300), random.log_between(1, 2000), 1, axis,
                           other}});
            }
}

int64_t operand_bytes(const Problem& problem) {
  const Geometry& g = problem.geometry;
  return (g.input_elements() + g.output_elements()) * bytes_of(problem.dtype);
}

void check_workspace(const Problem& problem) {
  for (const Implementation& by : implementations()) {
    if (!by.declines(problem).empty()) continue;
    const PlanPointer made = plan(problem, &by);
    const int64_t one_part = bytes_of_parts(problem.geometry, 1, problem.dtype);
    check(made->workspace_bytes <= std::max(one_part, operand_bytes(problem) / 2),
          to_text(problem) + ", " + by.name + ": " + std::to_string(made->workspace_bytes) +
              " bytes of workspace, " + std::to_string(operand_bytes(problem)) + " of operands");
    check(made->workspace_bytes == 0 || made->workspace_bytes >= one_part, "not less than a part");
  }
}

TF_DWBP_TEST(a_workspace_is_small_beside_the_operands) {
  for (int64_t number = 0; number < 3000; ++number) {
    Random random(kSeed, number);
    Problem problem{Op::kFilterGrad, random.any_of({Dtype::kHalf, Dtype::kFloat, Dtype::kDouble}),
                    random_geometry(&random, {1e9, 1e8})};
    Geometry& g = problem.geometry;
    check_workspace(problem);
    // Windows that kernels are compiled for, over images from one element on.
    const int64_t taps = random.any_of<int64_t>({3, 5, 7}), stride = random.between(1, 2);
    g = {g.layout,
         random.log_between(1, 10000),
         random.log_between(1, 100),
         1,
         same_padded(random.log_between(1, 60), taps, stride),
         same_padded(random.log_between(1, 60), taps, stride)};
    check_workspace(problem);
  }
  // A filter as large as the image.
  const Axis large = same_padded(56, 56, 1);
  for (const Layout layout : kLayouts)
    for (const Dtype dtype : kDtypes)
      for (const int64_t batch : {1, 8, 100}) {
        check_workspace({Op::kFilterGrad, dtype, {layout, batch, 64, 1, large, large}});
      }
}

// The largest tensors that a call may have.
TF_DWBP_TEST(a_workspace_is_counted_in_63_bits) {
  for (const int64_t taps : {1 << 9, 1 << 15}) {
    const Axis axis{1, 1, taps, 1, 1, taps / 2};
    for (const Layout layout : kLayouts)
      for (const Dtype dtype : kDtypes)
        for (const int64_t batch : {int64_t{1} << 40, int64_t{1} << 48}) {
          const Problem problem{Op::kFilterGrad, dtype, {layout, batch, 1 << 10, 1, axis, axis}};
          check_workspace(problem);
          check(plan(problem)->workspace_bytes > 0, to_text(problem));
        }
  }
}

TF_DWBP_TEST(a_device_is_read_once) {
  const Device before = state().device;
  const Axis axis = same_padded(9, 3, 1);
  int64_t& reads = state().counts["read device"];
  int multiprocessors = 901;
  for (const Layout layout : kLayouts)
    for (int again = 0; again < 2; ++again) {
      const Example example(Op::kForward, {layout, 2, 4, 1, axis, axis});
      const Problem problem{Op::kForward, Dtype::kFloat, example.g};
      state().device = {multiprocessors++, 100 << 10, 1 << 10};
      const int64_t reads_before = reads;
      for (const Implementation* by : special_takers(problem)) {
        const PlanPointer planned = plan(problem, by);
        for (int i = 0; i < 3; ++i) {
          call<float>(*planned, operand<float>(example.a), operand<float>(example.b));
        }
        call<float>(*plan(problem, by), operand<float>(example.a), operand<float>(example.b));
      }
      check(reads == reads_before + 1, std::to_string(reads - reads_before) + " reads of a device");
    }
  state().device = before;
}

// `explain` is asked of any sizes, also of those whose threads 63 bits do not count.
TF_DWBP_TEST(calls_that_no_memory_holds_are_explained) {
  const Axis one{1, 1, 1, 1, 1, 0};
  const Problem largest{
      Op::kForward, Dtype::kHalf, {Layout::kNCHW, int64_t{1} << 29, int64_t{1} << 30, 1, one, one}};
  check(plan(largest, &named("general"))->describe() ==
            "9223372036854775807 threads of 8 positions each",
        "as many as there are numbers");
}

}  // namespace
}  // namespace tf_dwbp::gpu
