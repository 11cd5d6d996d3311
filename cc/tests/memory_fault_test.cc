// Calls for which memory runs out: std::bad_alloc reaches the caller, nothing leaks, nothing hangs,
// and the next call is right.

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "cc/tests/compare.h"

namespace {

// Allocations that there are, and, while faults are on, the number of the next one.
std::atomic<int64_t> live{0};
std::atomic<bool> faults{false};
std::atomic<int64_t> next{0};
std::atomic<int64_t> first_fault{0};
std::atomic<bool> all_after{false};

void* allocate(size_t bytes) {
  if (faults.load()) {
    const int64_t number = next.fetch_add(1);
    if (number == first_fault || (all_after && number > first_fault)) return nullptr;
  }
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory != nullptr) live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) live.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

// In the place of the library's, for the whole program; arrays come this way too.
void* operator new(size_t bytes) {
  void* const memory = allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }

namespace tf_dwbp::testing {
namespace {

class ScopedFault {
 public:
  ScopedFault(int64_t first, bool all) {
    next = 0;
    first_fault = first;
    all_after = all;
    faults = true;
  }
  ~ScopedFault() { faults = false; }
};

// Has each allocation of a call fail in turn, then each with all that follow.
template <typename T>
void check_faults(Op op, const Geometry& g, const How& how) {
  if (!sampled()) return;
  const Example example(op, g);
  const Tensor<T> a(operand<T>(example.a)), b(operand<T>(example.b));
  const std::vector<T> expected = to<T>(example.expected);
  const std::string text =
      describe(op, g) + ", " + type_name<T>() + ", " + std::to_string(how.workers) + " workers: ";
  int thrown = 0;
  const auto runs = [&](bool* failed) {
    Tensor<T> result(static_cast<int64_t>(expected.size()));
    cpu::PlanPointer planned;
    const conv::Error error = cpu::make_plan({op, dtype_of(T()), g}, how.workers, &planned);
    check(error.empty(), text + error);
    const Memory workspace(planned->workspace_bytes);
    try {
      cpu::run(*planned, {a.data(), b.data(), result.data(), workspace.data()}, how.parallel);
    } catch (const std::bad_alloc&) {
      *failed = true;
      return true;
    }
    return result.equals(expected);
  };
  for (const bool all : {false, true}) {
    bool reached = true;
    for (int64_t n = 0; reached; ++n) {
      const int64_t before = live;
      bool failed = false, right = false;
      {
        const ScopedFault fault(n, all);
        // The plan is made under faults, too.
        try {
          right = runs(&failed);
        } catch (const std::bad_alloc&) {
          failed = right = true;
        }
        shared_pool().drain();
        reached = next > n;
      }
      const bool kept = live == before;
      thrown += failed;
      check(right, text + "what is returned in spite of a fault is right");
      check(kept, text + "nothing leaks after allocation " + std::to_string(n));
      if (!reached) {
        check(!failed, text + "no fault, no exception");
      } else {
        bool again = false;
        check(runs(&again) && !again, text + "the next call is right");
        shared_pool().drain();
      }
      if (n > 10000) return check(false, text + "allocations without end");
    }
  }
  check(thrown > 0, text + "exceptions were thrown");
}

TF_DWBP_TEST(memory_may_run_out) {
  const Axis nine{9, 9, 3, 1, 1, 1}, half{30, 15, 3, 2, 1, 1}, long_{1, 1, 1, 1, 1, 0};
  for (const int64_t workers : {1, 4}) {
    const How how = by_threads(workers);
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
      for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
        check_faults<float>(op, {layout, 4, 32, 1, half, nine}, how);      // direct
        check_faults<Half>(op, {layout, 5, 3, 2, nine, half}, how);        // packed, shared vectors
        check_faults<double>(op, {layout, 2, 20, 1, half, half}, how);     // pairs
        check_faults<Bfloat16>(op, {layout, 2, 17, 3, long_, nine}, how);  // multiplier
      }
    // Row by row, tap by tap.
    const Axis one{1, 3, 3, 1, 1, 2}, wide{50, 50, 3, 1, 1, 1};
    check_faults<float>(Op::kInputGrad, {Layout::kNCHW, 1, 1, 1000, one, wide}, how);
    check_faults<float>(Op::kFilterGrad,
                        {Layout::kNCHW, 1, 1, 1, {300, 1, 300, 1, 1, 0}, {600, 256, 3, 1, 172, 0}},
                        how);
  }
}

// A plan holds all that its runs need, but for the workspace; what threads are asked with is
// theirs.
TF_DWBP_TEST(runs_of_a_plan_allocate_nothing) {
  const Axis nine{9, 9, 3, 1, 1, 1}, half{30, 15, 3, 2, 1, 1};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
    for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad})
      for (const int64_t channels : {3, 20, 64}) {
        const Geometry g{layout, 3, channels, 1, half, nine};
        const conv::Problem problem{op, Dtype::kFloat, g};
        for (const cpu::Implementation& by : cpu::implementations(op)) {
          if (!by.declines(problem).empty()) continue;
          const cpu::PlanPointer planned = by.plan(problem, 1);
          const auto [first, second] = operands_of(op);
          const Tensor<float> a(elements_of(first, g)), b(elements_of(second, g));
          const Tensor<float> result(elements_of(result_of(op), g));
          const Memory workspace(planned->workspace_bytes);
          int64_t allocations = 0;
          {
            const ScopedFault none(std::numeric_limits<int64_t>::max(), false);
            cpu::run(*planned, {a.data(), b.data(), result.data(), workspace.data()},
                     serially().parallel);
            allocations = next;
          }
          check(allocations == 0, to_text(problem) + ", " + by.name + ": " +
                                      std::to_string(allocations) + " allocations");
        }
      }
}

}  // namespace
}  // namespace tf_dwbp::testing
