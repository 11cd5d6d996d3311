// Each number that was tuned, with its unit and its reason. Measured on Intel Xeons and AMD EPYCs
// (Zen 4) with AVX-512, two cores, 1 to 2 MB of L2 a core. Those that differ between instruction
// sets decide on no result; others may decide on the order of the filter gradient's sums.
#pragma once

#include <cstdint>

namespace tf_dwbp::cpu {

// Threads

// Items for each worker, so that threads finish together.
constexpr int64_t kItemsOfWorker = 4;
constexpr int64_t items_wanted(int64_t workers) {
  return workers == 1 ? 1 : workers * kItemsOfWorker;
}
// Channel blocks of a chunk at least: narrow strips of memory are slow to read.
constexpr int64_t kLeastChannelBlocks = 4;
// Cycles that an output vector costs besides its taps: loads, stores, loop.
constexpr double kCyclesOfVector = 4;
// Cycles that an activation costs an output vector if it is more than cutting off.
constexpr double kCyclesOfCurve = 20;
// Cycles of work for each thread at least. Waking one takes 5 to 100 microseconds, and a few of the
// caller's.
constexpr double kCyclesOfWorker = 60e3;
// Microseconds in which the caller looks again and again whether the others are done, before it
// goes to sleep: being woken may take longer.
constexpr int64_t kPatienceMicroseconds = 50;

// Memory

// Bytes of both tensors. Larger ones come from far away, and not from a core's own cache, wherever
// the last op has left them: what is needed next is prefetched. In training that is so for nearly
// all layers; loops over the same tensors do not show it.
constexpr int64_t kFarBytes = 1 << 20;
// Bytes that a core reads and writes in a cycle where they come from far away.
constexpr double kFarBytesOfCycle = 8;
// Bytes. Buffers this large get large pages: where they are fresh from the system, faulting them in
// by pages of 4 KB takes longer than filling them. The C library keeps smaller ones.
constexpr int64_t kHugePagesBytes = 16 << 20;

// Packing (kernels/pack.h)

// Bytes ahead that copies prefetch what they will need.
constexpr int kCopyAheadBytes = 1024;

// Bytes of the widest vector of any instruction set.
constexpr int64_t kWidestVectorBytes = 64;

// Lines: forward, input gradient

// Elements. Shorter lines leave many lanes of a vector idle.
constexpr int64_t kLeastLine = 10;
// The same for planes of 16-bit types, which are widened first.
constexpr int64_t kLeastNarrowLine = 40;
// Planes with rows of so many elements that are read in place lose to packed tiles where they come
// from memory, as tensors of so many bytes do. (A tenth; from a cache they win a third to a half.)
constexpr int64_t kLongLine = 40;
constexpr int64_t kMostLinesBytes = 32 << 20;
// Channels of pixels that are split or joined, with a stride of 2, faster than they are packed.
constexpr int64_t kMostLineChannelsApart = 4;
// Bytes beyond a band's first rows that are prefetched, of the result too, where planes come from
// far away: short rows are taken side by side, which the processor does not foresee. A fifth to a
// half faster from memory, a tenth slower from a cache.
constexpr int64_t kLinesAheadBytes = 4096;
// Bytes. The ring of rows stays in L2.
constexpr int64_t kLinesBytes = 256 << 10;
// Rows of the result in a block at most, and steps that they take: all are listed, once for many
// planes.
constexpr int64_t kMostLineRows = 256;
constexpr int64_t kMostLineSteps = 1024;

// Direct: forward, input gradient

// Registers. With two rows, sums and what is held of the source have to fit: columns of a tile for
// shifts of 1 and 2, and pairs of columns.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kDirectColumns[] = {7, 7};
constexpr int kDirectPairs = 4;
#else
constexpr int kDirectColumns[] = {4, 3};
constexpr int kDirectPairs = 2;
#endif
// Taps that are taken at the same time where there may be any number of them. What they need of a
// row has to fit as well.
constexpr int kDirectLongSet = 3;
// What a tile costs, in columns, besides its columns: all tiles are of the width for which that is
// least.
constexpr int64_t kDirectTileCost = 1;
// Bytes. What a pair of rows reads and writes stays in L2 until the next pair has read it too.
constexpr int64_t kDirectCacheBytes = 640 << 10;
// Bytes. A result this large would leave the caches before anybody reads it: non-temporal stores
// spare reading it first. (At 26 MB neutral, at 13 MB a loss.)
constexpr int64_t kNonTemporalBytes = 32 << 20;
// Where this share of L3 is more, a result has to be that large. (With 480 MB of L3, results of
// 51 MB take 1.25 times as long past the caches where tensors are in L3, and as long where not.)
constexpr int64_t kNonTemporalShareOfL3 = 8;
// The share for 16-bit types, whose conversions hide what stores wait for (1.15 to 1.35, and 1.15).
constexpr int64_t kNarrowNonTemporalShareOfL3 = 1;
// Results of so many times the source are little but stores: L3 does not matter. (0.8 to 0.85 from
// memory; 1.15 from L3.)
constexpr int64_t kMostlyStores = 2;
// MB of L3 that can be told at most: far above any machine's.
constexpr int64_t kMostL3Megabytes = 1 << 20;
// Bytes. 4K aliasing: columns this far apart share few sets of the caches, and evict each other
// less when written in longer pieces; and a load waits for an earlier store whose address is equal
// modulo this.
constexpr int64_t kAliasingBytes = 4096;
// Rows. With longer periods, the next rows are those that follow, not those after the period.
constexpr int64_t kLongPeriod = 4;

// Packed: forward, input gradient

// Columns of a block at most, of the result and about that many of the source: what neighbouring
// blocks both read is little then.
constexpr int64_t kBlockColumns = 128;
// What a tile costs, in columns, besides its columns; and what it costs at least, since with fewer
// sums multiply-adds wait for each other.
constexpr int kPackedTileCost = 2;
constexpr int kLeastPackedTileCost = 7;
// Bytes. A band of one channel block stays in L1 while it is summed ...
constexpr int64_t kBandBytes = 24 << 10;
constexpr int64_t kWriteBufferBytes = 24 << 10;
// ... and the packed tile of an item stays in L2.
constexpr int64_t kPackedBytes = 160 << 10;
// Bytes. A larger packed tile is not held: the source is taken row by row.
constexpr int64_t kMostPackedBytes = 2 << 20;
// Rows of a block at least: each cut packs some rows twice.
constexpr int64_t kLeastBlockRows = 4;

// Filter gradient

// Registers. Columns of a wide tile, and vertical taps for 1, 2, ... horizontal ones: sums, and the
// columns of out_backprop that are held, have to fit. Eight sums or more hide the latency. And, for
// lines, horizontal taps for 1, 2, ... vertical ones.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kFilterGradColumns = 7;
constexpr int kFilterGradRows[] = {7, 5, 3, 3, 3, 3, 3};
constexpr int kFilterGradLineColumns[] = {3, 3, 3, 3, 3, 3, 3};
#else
constexpr int kFilterGradColumns = 4;
constexpr int kFilterGradRows[] = {7, 4, 3, 2, 2, 1, 1};
constexpr int kFilterGradLineColumns[] = {3, 3, 3, 2, 2, 1, 1};
#endif
// Positions of out_backprop. So long a sum is kept without compensation.
constexpr int64_t kVisitTerms = 256;
// Bytes. A visit reads so many, or so many for each byte of a sum.
constexpr int64_t kVisitBytes = 256 << 10;
constexpr int64_t kBytesOfSum = 4;
// Bytes of a pixel. Fewer share vectors with those of other images.
constexpr int64_t kFewChannelsBytes = 64;
// Bytes. Larger packed tiles of one of the widest vectors are not held: taps are taken one by one.
constexpr int64_t kMostFilterGradPackedBytes = 1 << 20;
// Parts make work for many threads, and make sums that have to be added up: so many at most, of
// so many positions at least, with sums of so many bytes in all.
constexpr int64_t kMostParts = 32;
// Parts for each worker that are work for all; then channels are not cut as well, and whole rows
// are read and prefetched.
constexpr int64_t kPartsOfWorker = 2;
constexpr int64_t kTermsOfPart = 128;
constexpr int64_t kPartsBytes = 1 << 20;
// Bytes. The packed tiles of an item stay in L2.
constexpr int64_t kFilterGradPackedBytes = 192 << 10;

// Lines. Elements of out_backprop that are worth sums of their own, at least.
constexpr int64_t kElementsOfLinesPart = 4096;
// Bytes. Sums of an item's groups of channels stay in L2; those of one group at the least.
constexpr int64_t kLinesSumBytes = 64 << 10;
constexpr int64_t kMostLinesSumBytes = 1 << 20;

// On Eigen

// Registers. Sums of so many columns, or taps, by two packets of channels have to fit; or of half
// as many by four.
constexpr int kEigenTile = 4;
// Columns at a time: what neighbours both read is little then.
constexpr int64_t kEigenColumns = 64;
// Channels at a time: long pieces of memory are read faster; but a packed tile stays in L1 ...
constexpr int64_t kEigenLanes = 1024;
constexpr int64_t kEigenPackedLanes = 64;
// ... and all that a worker needs for a block of them in L2. Bytes.
constexpr int64_t kEigenBytes = 512 << 10;

}  // namespace tf_dwbp::cpu
