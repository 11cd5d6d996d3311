// Problems at random, of sizes from one element to whole layers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cc/conv/epilogue.h"
#include "cc/tests/definition.h"

namespace tf_dwbp::testing {

// SplitMix64: the same everywhere.
class Random {
 public:
  Random(int64_t seed, int64_t number)
      : state_(static_cast<uint64_t>(seed) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(number)) {
    next();
  }

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // From `least` to `most`, both of them too.
  int64_t between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(next() % static_cast<uint64_t>(most - least + 1));
  }
  bool one_in(int64_t n) { return between(1, n) == 1; }
  // Each size is about as likely as its double.
  int64_t log_between(int64_t least, int64_t most) {
    const double unit = static_cast<double>(next() >> 11) / static_cast<double>(uint64_t{1} << 53);
    const double low = std::log(static_cast<double>(least));
    const double high = std::log(static_cast<double>(most + 1));
    return std::min(most, static_cast<int64_t>(std::exp(low + unit * (high - low))));
  }
  template <typename T>
  T any_of(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  uint64_t state_;
};

// What the definition takes a few hundredths of a second for, and sometimes ten times that.
struct Budget {
  double products;
  double elements;
};

// A call that conv takes for valid, cut to the budget.
Geometry random_geometry(Random* random, const Budget& budget);

// One that does something.
conv::Epilogue random_epilogue(Random* random);

// Small integers, as often negative as positive, so that the longest sums stay far below 2^24.
void fill(Random* random, std::vector<int>* values);

}  // namespace tf_dwbp::testing
