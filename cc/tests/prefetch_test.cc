// What direct plans prefetch, which no result shows: the rows that the next pair of rows needs.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/tests/compare.h"
#include "cc/tests/counted_kernels.h"
#include "cc/tests/links.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using Job = cpu::DirectJob<float>;

struct Prefetched {
  Op op;
  Geometry g;
  int64_t column_blocks;
  int64_t source_rows;  // for each pair of rows
};

void check_prefetches(const Prefetched& c) {
  const Geometry& g = c.g;
  const std::string text = describe(c.op, g);
  const bool forward = c.op == Op::kForward;
  const auto [width, height] =
      forward ? std::pair(g.width.out, g.height.out) : std::pair(g.width.in, g.height.in);
  const auto [source_width, source_height] =
      forward ? std::pair(g.width.in, g.height.in) : std::pair(g.width.out, g.height.out);
  const Tensor<float> input(std::vector<float>(g.input_elements()));
  const Tensor<float> filter(std::vector<float>(g.filter_elements()));
  const Tensor<float> output(std::vector<float>(g.output_elements()));
  const float* const source = forward ? input.data() : output.data();
  float* const result = forward ? output.data() : input.data();
  std::vector<Job> jobs;
  observer<Job> = [&jobs](const Job& job) { jobs.push_back(job); };
  const cpu::PlanPointer plan = implementation(c.op, "direct").plan({c.op, Dtype::kFloat, g}, 1);
  const Memory workspace(plan->workspace_bytes);
  const void* const a = forward ? static_cast<const void*>(source) : filter.data();
  const void* const b = forward ? static_cast<const void*>(filter.data()) : source;
  plan->run({a, b, result, workspace.data()}, {1, nullptr});
  observer<Job> = nullptr;

  const int64_t pairs = (height + 1) / 2;
  check(static_cast<int64_t>(jobs.size()) == pairs * c.column_blocks, text + ": jobs");
  for (int64_t i = 0; i < static_cast<int64_t>(jobs.size()); ++i) {
    // A block of columns after the other.
    const int64_t block = i / pairs, y = i % pairs * 2;
    const auto at = [&](const float* tensor, int64_t row, int64_t rows, int64_t columns) {
      const int64_t column = columns * block / c.column_blocks;
      return row < rows
                 ? reinterpret_cast<const char*>(tensor + (row * columns + column) * g.channels)
                 : nullptr;
    };
    check(jobs[i].rows.result[0] == result + y * width * g.channels, text + ": rows in order");
    int64_t last = 0;
    for (const int64_t row : {y, std::min(y + 1, height - 1)}) {
      for (const auto& link : links_of(g.height, forward, row)) {
        last = std::max(last, link.second);
      }
    }
    for (int64_t r = 0; r < 2; ++r) {
      check(jobs[i].next_result[r] == at(result, y + 2 + r, height, width), text + ": result");
    }
    for (int64_t r = 0; r < 2 * cpu::kMostDirectShift; ++r) {
      const char* const expected =
          r < c.source_rows ? at(source, last + 1 + r, source_height, source_width) : nullptr;
      check(jobs[i].next_source[r] == expected, text + ": source");
    }
  }
}

TF_DWBP_TEST(the_next_pair_of_rows_is_prefetched) {
  const Axis same{40, 40, 3, 1, 1, 1}, halved{40, 20, 3, 2, 1, 0}, odd{41, 41, 3, 1, 1, 1};
  const auto nhwc = [](int64_t channels, const Axis& h, const Axis& w) {
    return Geometry{Layout::kNHWC, 1, channels, 1, h, w};
  };
  check_prefetches({Op::kForward, nhwc(128, same, same), 1, 2});
  check_prefetches({Op::kForward, nhwc(128, odd, same), 1, 2});
  check_prefetches({Op::kForward, nhwc(256, halved, halved), 1, 4});
  check_prefetches({Op::kInputGrad, nhwc(128, same, same), 1, 2});
  // Two rows of the result take a row more of the source.
  check_prefetches({Op::kInputGrad, nhwc(256, halved, halved), 1, 1});
  // (3 + 2 + 1) * 40 + 4 * 40 columns of 4096 bytes are 2.5 times the cache's share.
  check_prefetches({Op::kForward, nhwc(1024, same, same), 2, 2});
  check_prefetches({Op::kInputGrad, nhwc(1024, odd, same), 2, 2});
}

// A visit of the filter gradient prefetches as many bytes as the next one reads, in lines that its
// tiles share; of the first visit, which has a next one.
TF_DWBP_TEST(the_next_visit_is_prefetched) {
  using FilterJob = cpu::FilterGradJob<float>;
  const Axis height{130, 130, 3, 1, 1, 1}, width{128, 128, 3, 1, 1, 1};
  const Geometry g{Layout::kNHWC, 1, 128, 1, height, width};
  const cpu::FilterGradPlan plan(cpu::FilterGradPlan::Mode::kDirect, g, cpu::dispatch(), 4, 4, 1);
  check(plan.prefetches && plan.vertical.size() == 1 && plan.horizontal.size() == 1, "its plan");
  const Tensor<float> input(std::vector<float>(g.input_elements()));
  const Tensor<float> out(std::vector<float>(g.output_elements()));
  const Tensor<float> filter(g.filter_elements());
  std::vector<FilterJob> jobs;
  observer<FilterJob> = [&jobs](const FilterJob& job) { jobs.push_back(job); };
  const cpu::PlanPointer made =
      implementation(Op::kFilterGrad, "direct").plan({Op::kFilterGrad, Dtype::kFloat, g}, 1);
  const Memory workspace(made->workspace_bytes);
  made->run({input.data(), out.data(), filter.data(), workspace.data()}, {1, nullptr});
  observer<FilterJob> = nullptr;

  const int64_t row = 128 * 128, rows = plan.visit_rows;
  const auto* next_out = reinterpret_cast<const char*>(out.data() + rows * row);
  // Rows of the first visit meet one more than there are of them, since one lies outside.
  const auto* next_source = reinterpret_cast<const char*>(input.data() + (rows + 1) * row);
  int64_t steps = 0;
  for (int64_t i = 0; i < plan.channel_blocks; ++i) steps += jobs[i].row_count * jobs[i].tile_count;
  const int64_t bytes = rows * row * 4, lines = (bytes + 64 * steps - 1) / (64 * steps);
  for (int64_t i = 0; i < plan.channel_blocks; ++i) {
    const FilterJob& job = jobs[i];
    check(job.next_out == next_out && job.next_source == next_source, "where");
    check(job.out_lines == lines && job.source_lines == lines, "how much");
    next_out += job.row_count * job.tile_count * lines * 64;
    next_source += job.row_count * job.tile_count * lines * 64;
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
