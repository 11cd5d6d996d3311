#include "cc/gpu/device/watched_memory.h"

#include <algorithm>

namespace tf_dwbp::emulator {

const char* misaligned(const void* data, int bytes) {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0;
  return aligned ? nullptr : "an access is not aligned to its size";
}

void WatchedMemory::reset(int bytes) {
  // Of exactly this size, for the sanitizer, which watches accesses that do not come by here.
  data_.reset(new unsigned char[bytes]);
  std::fill_n(data_.get(), bytes, 0xff);
  bytes_ = bytes;
  units_.resize(std::max<size_t>(units_.size(), bytes / kUnit));
  first_ = ++epoch_;
}

const char* WatchedMemory::find(const void* data, int bytes, Unit** unit) {
  const auto at = reinterpret_cast<uintptr_t>(data),
             begin = reinterpret_cast<uintptr_t>(data_.get());
  if (at < begin || at + bytes > begin + bytes_) return "an access is outside of shared memory";
  *unit = units_.data() + (at - begin) / kUnit;
  return misaligned(data, bytes);
}

const char* WatchedMemory::read(const void* from, int bytes, int thread) {
  Unit* unit = nullptr;
  if (const char* const wrong = find(from, bytes, &unit)) return wrong;
  for (const Unit* const end = unit + bytes / kUnit; unit != end; ++unit) {
    if (unit->written < first_) return "shared memory is read that nobody has written";
    if (unit->written == epoch_ && unit->writer != thread) {
      return "a thread reads what another has written since the last barrier";
    }
    unit->reader = unit->read == epoch_ && unit->reader != thread ? kSeveral : thread;
    unit->read = epoch_;
  }
  return nullptr;
}

const char* WatchedMemory::write(const void* to, int bytes, int thread) {
  return write_at(epoch_, to, bytes, thread);
}

const char* WatchedMemory::begin_write(const void* to, int bytes, int thread) {
  return write_at(/*epoch=*/0, to, bytes, thread);
}

const char* WatchedMemory::write_at(uint64_t epoch, const void* to, int bytes, int thread) {
  Unit* unit = nullptr;
  if (const char* const wrong = find(to, bytes, &unit)) return wrong;
  for (const Unit* const end = unit + bytes / kUnit; unit != end; ++unit) {
    if (unit->read == epoch_ && unit->reader != thread) {
      return "a thread writes what another has read since the last barrier";
    }
    if (unit->written == epoch_ && unit->writer != thread) {
      return "two threads write the same without a barrier between";
    }
    unit->written = epoch;
    unit->writer = thread;
  }
  return nullptr;
}

}  // namespace tf_dwbp::emulator
