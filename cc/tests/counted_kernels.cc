#include "cc/tests/counted_kernels.h"

#include <atomic>
#include <type_traits>
#include <utility>

#include "cc/cpu/tables.h"
#include "cc/tests/compare.h"

namespace tf_dwbp {
namespace testing {
namespace {

struct Counted {
  std::string name;
  const std::atomic<int64_t>* runs;
};

std::vector<Counted>& counted() {
  static std::vector<Counted> all;
  return all;
}

// A kind of job of a type that a kernel may get.
template <typename T>
struct Kinds {
  std::atomic<int64_t> downwards{0}, write_buffer{0}, non_temporal{0}, next_source{0},
      next_result{0}, one_row{0}, next_lines{0}, accumulate{0}, masked{0}, shared{0}, ring{0};

  static Kinds& get() {
    static Kinds kinds;
    return kinds;
  }
};

template <typename T>
void observe(const cpu::DirectJob<T>& job) {
  Kinds<T>& kinds = Kinds<T>::get();
  kinds.downwards += job.downwards;
  kinds.write_buffer += job.stage != nullptr && !job.stream;
  kinds.non_temporal += job.stream;
  kinds.next_source += job.next_source[0] != nullptr;
  kinds.next_result += job.next_result[0] != nullptr;
  kinds.one_row += job.rows.result[1] == nullptr;
}
template <typename T>
void observe(const cpu::FilterSumJob<T>& job) {
  Kinds<T>::get().next_lines += job.out_lines > 0;
}
template <typename T>
void observe(const cpu::SumJob<T>& job) {
  Kinds<T>::get().accumulate += job.accumulate;
  Kinds<T>::get().masked += job.tile_count > 0 && job.tiles[0].first_mask >= 0;
}
template <typename T>
void observe(const cpu::CopyJob<T>& job) {
  using Kind = Kinds<std::remove_const_t<T>>;
  Kind::get().shared += job.lanes.images > 1;
  Kind::get().ring += job.first_slot + job.rows > job.slots;
}
template <typename Job>
void observe(const Job&) {}

// In the place of a kernel. kId tells those of a type apart.
template <typename T, int kId, typename Job>
struct InPlace {
  static inline void (*kernel)(const Job&) = nullptr;
  static inline std::atomic<int64_t> runs{0};

  static void run(const Job& job) {
    runs.fetch_add(1, std::memory_order_relaxed);
    observe(job);
    kernel(job);
  }
};

template <int kId, typename T, typename Job>
void put_kernel_in_place(void (**kernel)(const Job&), const std::string& name) {
  if (*kernel == nullptr) return;
  using Counter = InPlace<T, kId, Job>;
  Counter::kernel = *kernel;
  *kernel = Counter::run;
  counted().push_back({type_name<T>() + " " + name, &Counter::runs});
}

template <int kId, typename T, typename Entries, size_t... kIndices>
void put_each_in_place(Entries* entries, const std::string& name, std::index_sequence<kIndices...>);

// A kernel, or an array of them, of arrays, ..., whose ids begin at kId.
template <int kId, typename T, typename Entry>
void put_in_place(Entry* entry, const std::string& name) {
  if constexpr (std::is_array_v<Entry>) {
    put_each_in_place<kId, T>(entry, name, std::make_index_sequence<std::extent_v<Entry>>{});
  } else {
    put_kernel_in_place<kId, T>(entry, name);
  }
}

template <int kId, typename T, typename Entries, size_t... kIndices>
void put_each_in_place(Entries* entries, const std::string& name,
                       std::index_sequence<kIndices...>) {
  constexpr int kEach = sizeof(*entries)[0] / sizeof(void*);
  (put_in_place<kId + static_cast<int>(kIndices) * kEach, T>(
       &(*entries)[kIndices], name + "[" + std::to_string(kIndices) + "]"),
   ...);
}

template <typename T>
void put_all_in_place(cpu::Kernels<T>* kernels) {
  constexpr int kSums = 2, kDirect = kSums + 2 * cpu::kMaxTile;
  constexpr int kPairs = kDirect + sizeof kernels->direct / sizeof(void*);
  constexpr int kFilterSums = kPairs + sizeof kernels->direct_pairs / sizeof(void*);
  constexpr int kFilterFold = kFilterSums + sizeof kernels->filter_sum / sizeof(void*);
  static_assert(sizeof *kernels == (kFilterFold + 2) * sizeof(void*), "no kernel is left out");
  put_in_place<0, T>(&kernels->load, "load");
  put_in_place<1, T>(&kernels->store, "store");
  put_in_place<kSums, T>(&kernels->sum, "sum");
  put_in_place<kDirect, T>(&kernels->direct, "direct");
  put_in_place<kPairs, T>(&kernels->direct_pairs, "direct_pairs");
  put_in_place<kFilterSums, T>(&kernels->filter_sum, "filter_sum");
  put_in_place<kFilterFold, T>(&kernels->filter_fold, "filter_fold");
  put_in_place<kFilterFold + 1, T>(&kernels->filter_finish, "filter_finish");

  const std::string type = type_name<T>();
  Kinds<T>& kinds = Kinds<T>::get();
  for (const auto& [name, runs] : {std::pair("direct, downwards", &kinds.downwards),
                                   std::pair("direct, over a write buffer", &kinds.write_buffer),
                                   std::pair("direct, past the caches", &kinds.non_temporal),
                                   std::pair("direct, prefetch of the source", &kinds.next_source),
                                   std::pair("direct, prefetch of the result", &kinds.next_result),
                                   std::pair("direct, one row", &kinds.one_row),
                                   std::pair("filter sum, prefetch", &kinds.next_lines),
                                   std::pair("sum, taps beyond the borders", &kinds.masked),
                                   std::pair("load or store, images share vectors", &kinds.shared),
                                   std::pair("load, around a ring", &kinds.ring)}) {
    counted().push_back({type + " " + name, runs});
  }
  // Sums of rows are added up in the accumulator's type.
  if (std::is_floating_point_v<T>)
    counted().push_back({type + " sum, row-wise", &kinds.accumulate});
}

cpu::KernelTable counted_table() {
  cpu::KernelTable table = cpu::compiled_kernel_table();
  put_all_in_place(&table.half_);
  put_all_in_place(&table.bfloat16_);
  put_all_in_place(&table.float_);
  put_all_in_place(&table.double_);
  return table;
}

}  // namespace

std::vector<KernelCount> kernel_counts() {
  cpu::kernel_table();
  std::vector<KernelCount> counts;
  for (const Counted& c : counted()) counts.push_back({c.name, c.runs->load()});
  return counts;
}

}  // namespace testing

const cpu::KernelTable& cpu::kernel_table() {
  static const KernelTable table = testing::counted_table();
  return table;
}

}  // namespace tf_dwbp
