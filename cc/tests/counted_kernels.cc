#include "cc/tests/counted_kernels.h"

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "cc/cpu/runtime/dispatch.h"
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
      next_result{0}, one_row{0}, next_lines{0}, accumulate{0}, masked{0}, shared{0}, ring{0},
      direct_epilogue{0}, packed_epilogue{0};

  static Kinds& get() {
    static Kinds kinds;
    return kinds;
  }
};

template <typename T>
void observe(const cpu::DirectJob<T>& job) {
  Kinds<T>& kinds = Kinds<T>::get();
  kinds.downwards += job.downwards;
  kinds.write_buffer += job.write_buffer != nullptr && !job.non_temporal;
  kinds.non_temporal += job.non_temporal;
  kinds.next_source += job.next_source[0] != nullptr;
  kinds.next_result += job.next_result[0] != nullptr;
  kinds.one_row += job.rows.result[1] == nullptr;
  kinds.direct_epilogue += job.epilogue != nullptr;
}
template <typename T>
void observe(const cpu::FilterGradJob<T>& job) {
  Kinds<T>::get().next_lines += job.out_lines > 0;
}
template <typename T>
void observe(const cpu::PackedJob<T>& job) {
  Kinds<T>::get().accumulate += job.accumulate;
  Kinds<T>::get().packed_epilogue += job.epilogue != nullptr;
  Kinds<T>::get().masked += job.tile_count > 0 && job.tiles[0].first_mask >= 0;
}
template <typename T>
void observe(const cpu::PackJob<T>& job) {
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
    if (observer<Job>) observer<Job>(job);
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
  constexpr int kPacked = 2, kDirect = kPacked + 2 * cpu::kMostPackedColumns;
  constexpr int kLong = kDirect + sizeof kernels->dwconv_direct / sizeof(void*);
  constexpr int kPairs = kLong + sizeof kernels->dwconv_direct_long / sizeof(void*);
  constexpr int kSpread = kPairs + sizeof kernels->dwconv_direct_pairs / sizeof(void*);
  constexpr int kFilterGrad = kSpread + 3;
  constexpr int kReduce = kFilterGrad + sizeof kernels->dwconv_filter_grad / sizeof(void*);
  constexpr int kLines = kReduce + 2;
  constexpr int kFilterGradLines = kLines + sizeof kernels->dwconv_lines / sizeof(void*);
  constexpr int kFold = kFilterGradLines + sizeof kernels->dwconv_filter_grad_lines / sizeof(void*);
  static_assert(sizeof *kernels - offsetof(cpu::Kernels<T>, pack) == (kFold + 1) * sizeof(void*),
                "no kernel is left out");
  put_in_place<0, T>(&kernels->pack, "pack");
  put_in_place<1, T>(&kernels->unpack, "unpack");
  put_in_place<kPacked, T>(&kernels->dwconv_packed, "dwconv_packed");
  put_in_place<kDirect, T>(&kernels->dwconv_direct, "dwconv_direct");
  put_in_place<kLong, T>(&kernels->dwconv_direct_long, "dwconv_direct_long");
  put_in_place<kPairs, T>(&kernels->dwconv_direct_pairs, "dwconv_direct_pairs");
  put_in_place<kLines, T>(&kernels->dwconv_lines, "dwconv_lines");
  put_in_place<kSpread, T>(&kernels->widen, "widen");
  put_in_place<kSpread + 1, T>(&kernels->spread_in, "spread_in");
  put_in_place<kSpread + 2, T>(&kernels->spread_out, "spread_out");
  put_in_place<kFilterGradLines, T>(&kernels->dwconv_filter_grad_lines, "dwconv_filter_grad_lines");
  put_in_place<kFold, T>(&kernels->fold_lines, "fold_lines");
  put_in_place<kFilterGrad, T>(&kernels->dwconv_filter_grad, "dwconv_filter_grad");
  put_in_place<kReduce, T>(&kernels->reduce_images, "reduce_images");
  put_in_place<kReduce + 1, T>(&kernels->reduce_parts, "reduce_parts");

  const std::string type = type_name<T>();
  Kinds<T>& kinds = Kinds<T>::get();
  for (const auto& [name, runs] : {std::pair("direct, downwards", &kinds.downwards),
                                   std::pair("direct, over a write buffer", &kinds.write_buffer),
                                   std::pair("direct, past the caches", &kinds.non_temporal),
                                   std::pair("direct, prefetch of the source", &kinds.next_source),
                                   std::pair("direct, prefetch of the result", &kinds.next_result),
                                   std::pair("direct, one row", &kinds.one_row),
                                   std::pair("direct, an epilogue", &kinds.direct_epilogue),
                                   std::pair("packed, an epilogue", &kinds.packed_epilogue),
                                   std::pair("filter gradient, prefetch", &kinds.next_lines),
                                   std::pair("packed, taps beyond the borders", &kinds.masked),
                                   std::pair("pack or unpack, images share vectors", &kinds.shared),
                                   std::pair("pack, around a ring", &kinds.ring)}) {
    counted().push_back({type + " " + name, runs});
  }
  // Sums of rows are added up in the accumulator's type.
  if (std::is_floating_point_v<T>)
    counted().push_back({type + " packed, row-wise", &kinds.accumulate});
}

cpu::Dispatch counted_table() {
  cpu::Dispatch table = *cpu::isa().kernels;
#define TF_DWBP_PUT_IN_PLACE(kind, T, name)         \
  static cpu::Kernels<T> counted_##T = *table.kind; \
  put_all_in_place(&counted_##T);                   \
  table.kind = &counted_##T;
  TF_DWBP_DTYPES(TF_DWBP_PUT_IN_PLACE)
#undef TF_DWBP_PUT_IN_PLACE
  return table;
}

}  // namespace

std::vector<KernelCount> kernel_counts() {
  cpu::dispatch();
  std::vector<KernelCount> counts;
  for (const Counted& c : counted()) counts.push_back({c.name, c.runs->load()});
  return counts;
}

}  // namespace testing

const cpu::Dispatch& cpu::dispatch() {
  static const Dispatch table = testing::counted_table();
  return table;
}

}  // namespace tf_dwbp
