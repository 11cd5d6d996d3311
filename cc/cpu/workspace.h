// A workspace and its parts. Sizes are counted, and pointers found, by the same object.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"

namespace tf_dwbp::cpu {

// A part of a workspace: `count` elements of E.
template <typename E>
struct Part {
  int64_t offset = 0;  // in bytes
  int64_t count = 0;

  E* in(void* workspace) const {
    return reinterpret_cast<E*>(static_cast<char*>(workspace) + offset);
  }
};

// Lays out parts one after the other, each aligned to 64 bytes.
class WorkspaceLayout {
 public:
  template <typename E>
  Part<E> add(int64_t count) {
    const Part<E> part{bytes_, count};
    constexpr int64_t kAlignment = 64;
    const int64_t bytes = std::min(kMostBytes, conv::product_or_most({count, sizeof(E)}));
    bytes_ = std::min(kMostBytes, bytes_ + conv::ceil_div(bytes, kAlignment) * kAlignment);
    return part;
  }
  int64_t bytes() const { return bytes_; }

 private:
  // No machine has as many.
  static constexpr int64_t kMostBytes = int64_t{1} << 60;
  int64_t bytes_ = 0;
};

// The same parts for each of several workers.
struct WorkerParts {
  Part<char> all;
  int64_t bytes_of_worker = 0;

  WorkerParts() = default;
  WorkerParts(const WorkspaceLayout& worker, int64_t workers, WorkspaceLayout* layout)
      : all(layout->add<char>(conv::product_or_most({worker.bytes(), workers}))),
        bytes_of_worker(worker.bytes()) {}

  // The worker's own workspace.
  void* of(int64_t worker, void* workspace) const {
    return all.in(workspace) + worker * bytes_of_worker;
  }
};

}  // namespace tf_dwbp::cpu
