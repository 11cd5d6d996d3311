// The shared memory of an emulated block, which knows of each element who wrote and read it last.
//
// What a GPU does not forgive is an error here, whatever the order of threads: an access that is
// not aligned to its size or lies outside, a read of what nobody has written, and two threads at
// the same element between two barriers, unless both read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

// What watches every access is not watched itself: it would take as long again.
#if defined(__SANITIZE_ADDRESS__)
#define TF_DWBP_UNWATCHED [[gnu::no_sanitize("address", "undefined")]]
#else
#define TF_DWBP_UNWATCHED
#endif

namespace tf_dwbp::emulator {

// Why a GPU could not make an access to any memory, or null.
const char* misaligned(const void* data, int bytes);

class WatchedMemory {
 public:
  // For the next block: so many bytes, all NaN, of which none has been written.
  void reset(int bytes);
  // All threads of the block have come to a barrier.
  void pass_barrier() { ++epoch_; }

  unsigned char* data() const { return data_.get(); }

  // What is wrong with an access by a thread of the block, or null.
  TF_DWBP_UNWATCHED const char* read(const void* from, int bytes, int thread);
  const char* write(const void* to, int bytes, int thread);
  // The same for a copy that begins; write() it when it has ended.
  const char* begin_write(const void* to, int bytes, int thread);

 private:
  // Of two bytes: no type is smaller.
  static constexpr int kUnit = 2;
  static constexpr int kSeveral = -1;
  // Between which barriers it was last written and read, counted over all blocks, and by whom.
  struct Unit {
    uint64_t written = 0;
    uint64_t read = 0;
    int writer = 0;
    int reader = 0;
  };

  TF_DWBP_UNWATCHED const char* write_at(uint64_t epoch, const void* to, int bytes, int thread);
  TF_DWBP_UNWATCHED const char* find(const void* data, int bytes, Unit** unit);

  int bytes_ = 0;
  // Aligned to 16 bytes, as all that is allocated here.
  std::unique_ptr<unsigned char[]> data_;
  std::vector<Unit> units_;
  uint64_t epoch_ = 0;
  uint64_t first_ = 0;  // epoch of the block
};

}  // namespace tf_dwbp::emulator
