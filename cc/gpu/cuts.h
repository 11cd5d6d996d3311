// Sizes that are worth a look.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"

namespace tf_dwbp::gpu {

// The least power of two from so many on, or `most`, which is one.
inline int power_of_two_from(int64_t value, int most) {
  int power = 1;
  while (power < value && power < most) power *= 2;
  return power;
}

// How much longer a device takes that has room for more blocks than there are.
inline double idle(double wanted, double blocks) { return std::max(1.0, wanted / blocks); }

// Calls try_size(size) for even cuts of `all`, from the largest allowed to 1.
template <typename Try>
void for_each_cut(int64_t all, int most, Try try_size) {
  int last = 0;
  for (int64_t cuts = conv::ceil_div(all, most); last != 1; cuts = cuts * 3 / 2 + 1) {
    const int size = static_cast<int>(conv::ceil_div(all, std::min(cuts, all)));
    if (size != last) try_size(size);
    last = size;
  }
}

}  // namespace tf_dwbp::gpu
