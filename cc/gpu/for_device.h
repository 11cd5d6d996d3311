// What a plan chooses when it is first run on a device of a kind, and keeps.
#pragma once

#include <list>
#include <mutex>
#include <utility>

#include "cc/gpu/kernels/kernels.h"

namespace tf_dwbp::gpu {

// One for each kind of device; each stays where it is. Any number of threads may ask.
template <typename Choice>
class ForDevice {
 public:
  // The choice for the current device, which choose(device) makes if there is none yet.
  template <typename Choose>
  conv::Error find(Dtype dtype, Choose choose, const Choice** choice) {
    Device device;
    const conv::Error error = kernels(dtype).current_device(&device);
    if (!error.empty()) return error;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [known, made] : choices_) {
      *choice = &made;
      if (known == device) return "";
    }
    choices_.emplace_back(device, choose(device));
    *choice = &choices_.back().second;
    return "";
  }

 private:
  std::mutex mutex_;
  std::list<std::pair<Device, Choice>> choices_;
};

}  // namespace tf_dwbp::gpu
