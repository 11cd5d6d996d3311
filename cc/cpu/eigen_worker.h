// What a thread does for eigen.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/cpu/eigen_cut.h"
#include "cc/cpu/eigen_lanes.h"
#include "cc/cpu/eigen_packets.h"
#include "cc/cpu/filter_grad_axis.h"

namespace tf_dwbp::cpu::eigen {

using conv::begin_of_part;
using conv::ceil_div;
using conv::TapRange;
using Eigen::internal::ploadu;
using Eigen::internal::pmadd;
using Eigen::internal::pset1;
using Eigen::internal::pstoreu;

// Does items, one after the other.
template <typename T>
class Worker {
  using Acc = AccumulatorOf<T>;
  using P = Packet<Acc>;

 public:
  // `other` is the filter, or, for the filter gradient, out_backprop. `bias` is the epilogue's.
  Worker(const Cut<T>& cut, const T* source, const T* other, const T* bias, void* scratch)
      : cut_(cut),
        g_(cut.g),
        source_(source),
        other_(other),
        bias_(bias),
        tile_(cut.tile.in(scratch)),
        filter_(cut.filter.in(scratch)),
        row_(cut.row.in(scratch)),
        block_bias_(cut.bias.in(scratch)),
        from_{cut.from_places.in(scratch)},
        to_{cut.to_places.in(scratch)},
        rows_(cut.row_pointers.in(scratch)),
        held_rows_(cut.held_rows.in(scratch)) {
    // Idle lanes of a packet are summed like the others; nobody looks at their sums.
    std::fill(tile_, tile_ + cut.tile.count, Acc{0});
    std::fill(filter_, filter_ + cut.filter.count, Acc{0});
    std::fill(row_, row_ + cut.row.count, Acc{0});
  }

  // The forward op and the input gradient.
  void gather(int64_t item, T* result) {
    const int64_t part = item % cut_.parts, block = item / cut_.parts % cut_.blocks;
    set_block(item / cut_.parts / cut_.blocks, block);
    for_rows(begin_of_part(cut_.rows, cut_.parts, part),
             begin_of_part(cut_.rows, cut_.parts, part + 1), [&](int64_t y, const TapRange& rows) {
               T* const to = result + place_of_row(y);
               const int64_t stride = cut_.column_period * cut_.to.column;
               if (cut_.direct_to) {
                 Acc* const row = reinterpret_cast<Acc*>(to) + to_.places[0];
                 sum_row(rows, row, stride);
                 return finish_row(row, stride);
               }
               sum_row(rows, row_, cut_.lanes);
               finish_row(row_, cut_.lanes);
               for_each(to_, cut_.lanes, columns_, stride,
                        [row = row_, to](int64_t i, int64_t at) { convert(row[i], &to[at]); });
             });
  }

  // The filter gradient of a block, from a part of all images' rows.
  void sum_filter(int64_t item, Acc* sums) {
    const int64_t part = item % cut_.parts;
    std::fill(sums, sums + 2 * cut_.filter.count, Acc{0});
    int64_t terms = 0;
    for_images(g_.height.result(), begin_of_part(cut_.rows, cut_.parts, part),
               begin_of_part(cut_.rows, cut_.parts, part + 1),
               [&](int64_t image, int64_t begin, int64_t end) {
                 set_block(image, item / cut_.parts);
                 for_rows(begin, end, [&](int64_t y, const TapRange& rows) {
                   terms += columns_;
                   if (terms > kVisitTerms) {
                     end_visit(sums);
                     terms = columns_;
                   }
                   add_row(y, rows);
                 });
               });
    end_visit(sums);
  }

 private:
  // Columns of the result that follow each other in their phase and have the same taps.
  struct Run {
    int64_t first, count;
    TapRange taps;  // source: in the packed tile
  };

  void set_block(int64_t image, int64_t block) {
    image_ = image;
    if (block == block_) return;
    block_ = block;
    channel_ = block * cut_.lanes;
    count_ = std::min(cut_.lanes, g_.channels - channel_);
    from_.count = to_.count = count_;
    for (int64_t lane = 0; lane < count_; ++lane) {
      from_.places[lane] = (channel_ + lane) / g_.repeat * g_.multiplier * cut_.from.channel;
      to_.places[lane] = (channel_ + lane) * cut_.to.channel;
    }
    from_.nhwc = to_.nhwc = to_.adjacent = g_.layout == conv::Layout::kNHWC;
    from_.adjacent = to_.adjacent && g_.multiplier * g_.repeat == 1;
    if (!cut_.filter_grad) pack_filter();
    for (int64_t lane = 0; cut_.epilogue.bias && lane < count_; ++lane) {
      convert(bias_[channel_ + lane], &block_bias_[lane]);
    }
  }

  int64_t place_of_row(int64_t y) const {
    return image_ * cut_.to.image + y * cut_.to.row + first_ * cut_.to.column;
  }

  void pack_filter() {
    const int64_t all = g_.channels * g_.multiplier;
    for (int64_t tap = 0; tap < cut_.taps; ++tap) {
      const T* from = other_ + (g_.reversed ? cut_.taps - 1 - tap : tap) * all;
      for (int64_t lane = 0; lane < count_; ++lane) {
        for (int64_t m = 0; m < g_.multiplier; ++m) {
          convert(from[(channel_ + lane) * g_.multiplier + m],
                  &filter_[(m * cut_.taps + tap) * cut_.lanes + lane]);
        }
      }
    }
  }

  // Calls `f(y, vertical taps)` for these rows of the result, with some of their columns at a time.
  // Both come phase by phase: those of a phase have the same taps, up to borders, and meet evenly
  // spaced positions of the source, which alone are in the packed tile.
  template <typename Function>
  void for_rows(int64_t begin, int64_t end, const Function& f) {
    for (int64_t phase = 0; phase < cut_.column_period; ++phase) {
      const int64_t all = ceil_div(g_.width.result() - phase, cut_.column_period);
      for (int64_t i = 0; i < all; i += cut_.columns) {
        set_columns(phase + i * cut_.column_period, std::min(cut_.columns, all - i));
        for (int64_t y0 = begin; y0 < std::min(end, begin + cut_.row_period); ++y0) {
          for (int64_t y = y0; y < end; y += cut_.row_period) {
            const TapRange rows = held_ > 0 ? g_.height.at(y) : TapRange{};
            set_rows(rows);
            f(y, rows);
          }
        }
      }
    }
  }

  void set_columns(int64_t first, int64_t columns) {
    first_ = first;
    columns_ = columns;
    low_ = g_.width.source();
    int64_t high = -1;
    std::array<TapRange, kEigenColumns> taps;
    const int64_t step = g_.width.source_step();
    for (int64_t x = 0; x < columns; ++x) {
      taps[x] = g_.width.at(first + x * cut_.column_period);
      if (taps[x].count == 0) continue;
      low_ = std::min(low_, taps[x].source - (taps[x].count - 1) * step);
      high = std::max(high, taps[x].source);
    }
    held_ = high < 0 ? 0 : (high - low_) / step + 1;
    std::fill(held_rows_, held_rows_ + cut_.slots, -1);
    touched_ = -1;
    run_count_ = 0;
    for (int64_t x = 0, end; x < columns; x = end) {
      TapRange range = taps[x];
      if (range.count > 0) range.source = (range.source - low_) / step;
      for (end = x + 1; end < columns; ++end) {
        if (taps[end].tap != range.tap || taps[end].count != range.count) break;
      }
      runs_[run_count_++] = {x, end - x, range};
    }
  }

  // Points rows_ to the rows of the source that these taps meet, in the tensor or the packed tile.
  void set_rows(const TapRange& rows) {
    const int64_t stride = std::min(g_.width.source_step(), g_.width.source()) * cut_.from.column;
    stride_ = cut_.direct_from ? stride : cut_.lanes;
    for (int64_t r = 0; r < rows.count; ++r) {
      const int64_t y = rows.source - r * g_.height.source_step();
      const T* const from =
          source_ + image_ * cut_.from.image + y * cut_.from.row + low_ * cut_.from.column;
      if (cut_.direct_from) {
        rows_[r] = reinterpret_cast<const Acc*>(from) + from_.places[0];
        if (y > touched_) touch(rows_[r], held_, stride);
        continue;
      }
      const int64_t slot = y / g_.height.source_step() % cut_.slots;
      for (int64_t m = 0; m < g_.multiplier; ++m) {
        Acc* const to = tile_ + (m * cut_.slots + slot) * cut_.held * cut_.lanes;
        rows_[m * cut_.slots + r] = to;
        if (held_rows_[slot] == y) continue;
        const T* const plane = from + m * cut_.from.channel;
        for_each(from_, cut_.lanes, held_, stride,
                 [plane, to](int64_t i, int64_t at) { convert(plane[at], &to[i]); });
      }
      held_rows_[slot] = y;
    }
    touched_ = rows.count > 0 ? rows.source : touched_;
  }

  // Reads a row once in the order of memory, which the processor foresees, before its columns are
  // read in tiles, which it does not.
  void touch(const Acc* row, int64_t columns, int64_t stride) const {
    for (int64_t x = 0; x < columns; ++x, row += stride) {
      for (int64_t lane = 0; lane < count_; lane += 64 / int64_t{sizeof(Acc)}) {
        static_cast<void>(*static_cast<const volatile Acc*>(row + lane));
      }
    }
  }

  // Calls `f(source, filter)` for each m and vertical tap: what a run's first column meets by its
  // first horizontal tap, and that tap. The next tap meets what lies one column before.
  template <typename Function>
  void for_filter_rows(const TapRange& rows, const TapRange& taps, const Function& f) const {
    const int64_t next = std::min(g_.height.tap_step(), g_.height.taps()) * g_.width.taps();
    for (int64_t m = 0; m < g_.multiplier; ++m) {
      const int64_t tap = m * cut_.taps + rows.tap * g_.width.taps() + taps.tap;
      for (int64_t r = 0; r < rows.count; ++r) {
        f(rows_[m * cut_.slots + r] + taps.source * stride_,
          filter_ + (tap + r * next) * cut_.lanes);
      }
    }
  }

  // Calls `f(lane, packets)` for all lanes, the number of packets, kMost or what is left, as a
  // constant.
  template <int kMost, typename Function>
  void for_lanes(const Function& f) const {
    for (int64_t lane = 0; lane < count_; lane += kMost * kPacket<Acc>) {
      with_constant<kMost>(ceil_div(count_ - lane, kPacket<Acc>),
                           [&](auto packets) { f(lane, packets); });
    }
  }

  // A row of the result, with columns x of a run and what they meet counted in the source's rows:
  //   for x: for lane: to[x][lane] =
  //       sum over m, r, k of source[m][r][x * shift - k][lane] * filter[m][r][k][lane]
  void sum_row(const TapRange& rows, Acc* to, int64_t to_stride) const {
    for (int64_t n = 0; n < run_count_; ++n) {
      const Run& run = runs_[n];
      const int64_t tiles = ceil_div(run.count, kEigenTile);
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t x = begin_of_part(run.count, tiles, i);
        TapRange taps = run.taps;
        taps.source += x * cut_.shift;
        with_constant<kEigenTile>(begin_of_part(run.count, tiles, i + 1) - x, [&](auto columns) {
          constexpr int kPackets = columns > 2 ? 2 : 4;
          for_lanes<kPackets>([&](int64_t lane, auto packets) {
            sum_tile<columns, packets>(rows, taps, lane, to + (run.first + x) * to_stride + lane,
                                       to_stride);
          });
        });
      }
    }
  }

  // The epilogue of a row of sums.
  void finish_row(Acc* row, int64_t stride) const {
    const conv::Epilogue& epilogue = cut_.epilogue;
    if (epilogue.empty()) return;
    for (int64_t x = 0; x < columns_; ++x, row += stride) {
      for (int64_t lane = 0; epilogue.bias && lane < count_; ++lane) row[lane] += block_bias_[lane];
      if (epilogue.activation == conv::Activation::kLinear) continue;
      for (int64_t lane = 0; lane < count_; ++lane) {
        row[lane] = static_cast<Acc>(conv::activate(epilogue, row[lane]));
      }
    }
  }

  template <int kColumns, int kPackets>
  void sum_tile(const TapRange& rows, const TapRange& taps, int64_t lane, Acc* to,
                int64_t to_stride) const {
    const int64_t stride = stride_, shift = cut_.shift * stride;
    const int64_t next = std::min(g_.width.tap_step(), g_.width.taps()) * cut_.lanes;
    P sums[kColumns][kPackets];
    for (auto& column : sums) std::fill_n(column, kPackets, pset1<P>(Acc{0}));
    for_filter_rows(rows, taps, [&](const Acc* source, const Acc* filter) {
      source += lane;
      filter += lane;
#pragma GCC unroll 4
      for (int64_t k = 0; k < taps.count; ++k, source -= stride, filter += next) {
        for (int i = 0; i < kPackets; ++i) {
          const P weight = ploadu<P>(filter + i * kPacket<Acc>);
          for (int x = 0; x < kColumns; ++x) {
            sums[x][i] =
                pmadd(ploadu<P>(source + x * shift + i * kPacket<Acc>), weight, sums[x][i]);
          }
        }
      }
    });
    for (int x = 0; x < kColumns; ++x) {
      for (int i = 0; i < kPackets; ++i) pstoreu(to + x * to_stride + i * kPacket<Acc>, sums[x][i]);
    }
  }

  // A row of out_backprop:
  //   for r: for k: for lane: filter[r][k][lane] +=
  //       sum over x of source[r][x * shift - k][lane] * out[x][lane]
  void add_row(int64_t y, const TapRange& rows) {
    const T* const from = other_ + place_of_row(y);
    const int64_t stride = cut_.column_period * cut_.to.column;
    const Acc* out = row_;
    if (cut_.direct_to) {
      out = reinterpret_cast<const Acc*>(from) + to_.places[0];
      touch(out, columns_, stride);
    } else {
      for_each(to_, cut_.lanes, columns_, stride,
               [row = row_, from](int64_t i, int64_t at) { convert(from[at], &row[i]); });
    }
    const int64_t out_stride = cut_.direct_to ? stride : cut_.lanes;
    for (int64_t n = 0; n < run_count_; ++n) {
      const Run& run = runs_[n];
      const int64_t tiles = ceil_div(run.taps.count, kEigenTile);
      for_filter_rows(rows, run.taps, [&](const Acc* source, Acc* filter) {
        for (int64_t i = 0; i < tiles; ++i) {
          const int64_t k = begin_of_part(run.taps.count, tiles, i);
          with_constant<kEigenTile>(
              begin_of_part(run.taps.count, tiles, i + 1) - k, [&](auto taps) {
                constexpr int kPackets = taps > 2 ? 2 : 4;
                for_lanes<kPackets>([&](int64_t lane, auto packets) {
                  add_tile<taps, packets>(source - k * stride_ + lane, run.count,
                                          out + run.first * out_stride + lane, out_stride,
                                          filter + k * cut_.lanes + lane);
                });
              });
        }
      });
    }
  }

  template <int kTaps, int kPackets>
  void add_tile(const Acc* source, int64_t columns, const Acc* out, int64_t out_stride,
                Acc* filter) const {
    const int64_t stride = stride_, shift = cut_.shift * stride, lanes = cut_.lanes;
    P sums[kTaps][kPackets];
    for (int k = 0; k < kTaps; ++k) {
      for (int i = 0; i < kPackets; ++i) {
        sums[k][i] = ploadu<P>(filter + k * lanes + i * kPacket<Acc>);
      }
    }
    for (int64_t x = 0; x < columns; ++x, source += shift, out += out_stride) {
      for (int i = 0; i < kPackets; ++i) {
        const P value = ploadu<P>(out + i * kPacket<Acc>);
        for (int k = 0; k < kTaps; ++k) {
          sums[k][i] = pmadd(ploadu<P>(source - k * stride + i * kPacket<Acc>), value, sums[k][i]);
        }
      }
    }
    for (int k = 0; k < kTaps; ++k) {
      for (int i = 0; i < kPackets; ++i) {
        pstoreu(filter + k * lanes + i * kPacket<Acc>, sums[k][i]);
      }
    }
  }

  // Adds the visit's sums, which are short, to those of the part.
  void end_visit(Acc* sums) {
    Acc* const losts = sums + cut_.filter.count;
    for (int64_t i = 0; i < cut_.filter.count; i += kPacket<Acc>) {
      P sum = ploadu<P>(sums + i), lost = ploadu<P>(losts + i);
      add_compensated(ploadu<P>(filter_ + i), &sum, &lost);
      pstoreu(sums + i, sum);
      pstoreu(losts + i, lost);
      pstoreu(filter_ + i, pset1<P>(Acc{0}));
    }
  }

  const Cut<T>& cut_;
  const conv::Gathering& g_;
  const T* const source_;
  const T* const other_;
  const T* const bias_;
  Acc* const tile_;        // [m][row][column][lane] of the source
  Acc* const filter_;      // [m][tap][lane]
  Acc* const row_;         // [column][lane] of the result or out_backprop
  Acc* const block_bias_;  // [lane]
  int64_t image_ = 0, block_ = -1;
  int64_t channel_ = 0, count_ = 0;  // of the block: its first, and how many
  Lanes from_, to_;
  int64_t first_ = 0, columns_ = 0;  // of the result
  int64_t low_ = 0, held_ = 0;       // of the source: first column, columns
  std::array<Run, kEigenColumns> runs_;
  int64_t run_count_ = 0;
  const Acc** const rows_;    // [m][vertical tap]: rows of the source ...
  int64_t stride_ = 0;        // ... from column to column
  int64_t* const held_rows_;  // which row of the source lies in a row of the packed tile
  int64_t touched_ = 0;       // rows up to this one have been touched
};

}  // namespace tf_dwbp::cpu::eigen
