// What is chosen at run time: the instruction set, the type; and what stands beside the kernels.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/far.h"
#include "cc/cpu/runtime/isa.h"
#include "cc/cpu/runtime/memory.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/tests/compare.h"

// As programs find them that load the library.
extern "C" const char* tf_dwbp_path_name(int path);
extern "C" int64_t tf_dwbp_path_count(int path);

namespace tf_dwbp::testing {
namespace {

// The best that this processor has, or the one that TF_DWBP_CPU_ISA asks for, if that is less.
TF_DWBP_TEST(the_instruction_set_is_the_best_that_may_be_used) {
  std::string best = "baseline";
  const char* const asked = std::getenv("TF_DWBP_CPU_ISA");
  const std::string wish = asked == nullptr ? "" : asked;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2 && wish != "baseline") best = "avx2";
  if (avx512 && wish != "baseline" && wish != "avx2") best = "avx512";
#endif
  check(cpu::isa().name == best, cpu::isa().name);
}

TF_DWBP_TEST(tensors_that_no_machine_holds) {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  using Sizes = std::vector<int64_t>;
  check(cpu::check_memory("x", Sizes{1, machine}, 1).empty(), "all of the memory");
  check(cpu::check_memory("x", Sizes{}, 8).empty(), "a scalar");
  check(cpu::check_memory("x", Sizes{0, machine, 4}, 8).empty(), "no elements");
  const std::string text =
      " bytes, but this machine has a memory of " + std::to_string(machine) + " bytes";
  const Sizes two{2, machine};
  check(cpu::check_memory("x", two, 4) ==
            "x " + conv::to_string(two) + " asks for " + std::to_string(8 * machine) + text,
        "eight times the memory");
}

TF_DWBP_TEST(the_size_of_the_last_cache) {
  check(cpu::l3_bytes_of("0") == 0, "none");
  check(cpu::l3_bytes_of("480") == int64_t{480} << 20, "480 MB");
  check(cpu::l3_bytes_of("9999999") == int64_t{1} << 40, "more than there is");
  check(cpu::l3_bytes_of(nullptr) >= 0 && cpu::l3_bytes_of("") == cpu::l3_bytes_of(nullptr),
        "what the system says");
}

// By a result's MB: float, where it is as large as the source, and where it is four times that;
// half.
TF_DWBP_TEST(results_past_the_caches) {
  const auto least = [](double source_share, int64_t element_bytes, int64_t l3_megabytes) {
    int64_t megabytes = 1;
    const auto goes = [&] {
      const double bytes = static_cast<double>(megabytes) * (1 << 20);
      return cpu::goes_past_caches(bytes, bytes * source_share, element_bytes, l3_megabytes << 20);
    };
    while (!goes()) ++megabytes;
    return megabytes;
  };
  for (const int64_t unknown_or_small : {0, 16, 32}) {
    for (const int64_t element_bytes : {2, 4, 8})
      for (const double share : {0.25, 1.0, 4.0})
        check(least(share, element_bytes, unknown_or_small) == 32, "small caches");
  }
  for (const int64_t element_bytes : {4, 8}) {
    check(least(1, element_bytes, 480) == 60, "an eighth of a large L3");
    check(least(0.51, element_bytes, 480) == 60, "nearly two of the result");
    check(least(0.5, element_bytes, 480) == 32, "mostly stores");
  }
  check(least(1, 2, 480) == 480 && least(0.25, 2, 480) == 480, "half");
}

// The kernel tells in which mappings large pages are wanted: "hg" among a mapping's flags.
bool wants_huge_pages(const void* data) {
  std::FILE* const maps = std::fopen("/proc/self/smaps", "r");
  if (maps == nullptr) return false;
  char line[512];
  bool here = false, wanted = false;
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    uintptr_t begin, end;
    if (std::sscanf(line, "%lx-%lx", &begin, &end) == 2) {
      const auto at = reinterpret_cast<uintptr_t>(data);
      here = begin <= at && at < end;
    } else if (here && std::strncmp(line, "VmFlags:", 8) == 0) {
      wanted = std::strstr(line, " hg") != nullptr;
    }
  }
  std::fclose(maps);
  return wanted;
}

TF_DWBP_TEST(large_pages_are_wanted_behind_large_buffers) {
  constexpr int64_t kHugePage = int64_t{2} << 20, kLarge = int64_t{16} << 20;
  constexpr int64_t kMapped = 4 * kLarge;
  void* const mapped = mmap(nullptr, kMapped, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  const auto base = reinterpret_cast<uintptr_t>(mapped);
  auto* const first = reinterpret_cast<char*>((base + kHugePage) / kHugePage * kHugePage);
  // Where there are no large pages, nobody can want them.
  const bool known = madvise(first + 3 * kLarge, kHugePage, MADV_HUGEPAGE) == 0 &&
                     wants_huge_pages(first + 3 * kLarge);
  cpu::want_huge_pages(first, kLarge - 1);
  check(!wants_huge_pages(first), "not behind a small buffer");
  char* const data = first + 4096;
  cpu::want_huge_pages(data, kLarge);
  check(!wants_huge_pages(data), "not where other things lie, too: before");
  check(wants_huge_pages(first + kHugePage) == known, "from the first page that is the buffer's");
  check(wants_huge_pages(first + kLarge - 1) == known, "to the last");
  check(!wants_huge_pages(first + kLarge), "not where other things lie, too: after");
  char* const aligned = first + 3 * kLarge / 2;
  cpu::want_huge_pages(aligned, kLarge);
  check(!wants_huge_pages(aligned - 1), "not before an aligned buffer");
  check(wants_huge_pages(aligned) == known, "the whole of an aligned buffer: the first page");
  check(wants_huge_pages(aligned + kLarge - 1) == known, "and the last");
  check(!wants_huge_pages(aligned + kLarge), "not after an aligned buffer");
  munmap(mapped, kMapped);
}

TF_DWBP_TEST(paths_have_names_and_counts) {
  const int paths = static_cast<int>(cpu::Path::kCount);
  for (int i = 0; i < paths; ++i) {
    const auto path = static_cast<cpu::Path>(i);
    check(tf_dwbp_path_name(i) == name_of(path) && *name_of(path) != '\0', "a name");
    check(tf_dwbp_path_count(i) == count_of(path), "its count");
  }
  check(tf_dwbp_path_name(paths) == nullptr && tf_dwbp_path_name(-1) == nullptr, "no more names");
  check(tf_dwbp_path_count(paths) == 0 && tf_dwbp_path_count(-1) == 0, "no more counts");
  constexpr int kFar = 1 << 28;
  check(tf_dwbp_path_name(kFar) == nullptr && tf_dwbp_path_count(kFar) == 0, "nor far beyond");
  const int64_t before = count_of(cpu::Path::kZeros);
  const Axis axis{3, 3, 3, 1, 1, 1};
  compare<float>(Op::kForward, {Layout::kNHWC, 0, 3, 1, axis, axis}, serially());
  check(count_of(cpu::Path::kZeros) == before + 1, "counted once");
}

// What is written to stderr while `f` runs.
template <typename Function>
std::string said(const Function& f) {
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) return "no temporary file";
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  f();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::rewind(file);
  char text[1024];
  const size_t length = std::fread(text, 1, sizeof text, file);
  std::fclose(file);
  return std::string(text, length);
}

// A line for each, if TF_DWBP_VERBOSE asks for it; computed they are either way.
TF_DWBP_TEST(calls_are_told_of_and_explained) {
  const char* const set = std::getenv("TF_DWBP_VERBOSE");
  const std::string wish = set == nullptr ? "" : set;
  const Axis axis{3, 3, 3, 1, 1, 1};
  const Geometry g{Layout::kNHWC, 1, 64, 1, axis, axis};
  const conv::Problem problem{Op::kForward, Dtype::kFloat, g};
  cpu::PlanPointer plan;
  if (!cpu::make_plan(problem, 1, &plan).empty()) {
    check(plan == nullptr, "no plan where there is an error");
    return;
  }
  const Tensor<float> input(std::vector<float>(g.input_elements(), 1));
  const Tensor<float> filter(std::vector<float>(g.filter_elements(), 1));
  const Tensor<float> output(g.output_elements());
  const Memory workspace(plan->workspace_bytes);
  const std::string text = said([&] {
    cpu::run(*plan, {input.data(), filter.data(), output.data(), workspace.data()}, {1, nullptr});
  });
  check(output.data()[0] == 4 && output.data()[4 * 64] == 9, "computed");
  const std::string expected = std::string("tf_dwbp,cpu,") + cpu::isa().name + "," +
                               plan->implementation + "," + to_text(problem) + ",";
  if (wish.empty() || wish == "0") {
    check(text.empty(), "nothing is told: " + text);
  } else {
    check(text.find(expected) == 0, text);
    double milliseconds = -1;
    char rest[8] = "";
    std::sscanf(text.c_str() + std::min(expected.size(), text.size()), "%lf %7s", &milliseconds,
                rest);
    check(milliseconds >= 0 && milliseconds < 1e5 && std::string(rest) == "ms", text);
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
