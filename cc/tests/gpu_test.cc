// The GPU kernels, emulated, against the definition: every instance of them, in every type and
// layout, in several orders of a block's threads.

#include <utility>

#include "cc/tests/gpu_compare.h"

namespace tf_dwbp::gpu {
namespace {

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
      state().device = {kilobytes, kilobytes << 10, kilobytes > 64 ? 1 << 10 : 0};
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

TF_DWBP_TEST(empty_tensors) {
  const Axis axis = same_padded(3, 3, 1);
  compare_all({Layout::kNHWC, 0, 2, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 0, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 0, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, {0, 0, 3, 1, 1, 1}, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, axis, {3, 0, 5, 1, 1, 0}});
  compare_all({Layout::kNHWC, 2, 2, 2, axis, {3, 0, 5, 1, 1, 0}});
}

}  // namespace
}  // namespace tf_dwbp::gpu
