// The faults that the device can be told to have, each after public reports.

#ifndef TF_DWBP_TESTS_DEVICE_FAULTS_H_
#define TF_DWBP_TESTS_DEVICE_FAULTS_H_

#include <array>
#include <atomic>
#include <cstdlib>
#include <string_view>

namespace my_npu {

// The environment variable that holds the name of a fault.
inline constexpr char kVariable[] = "MY_NPU_FAULT";

enum class Fault {
  kNone,
  // Gradients take output channel c * multiplier + m for m * channels + c: tensorflow#126254.
  kMultiplierOrder,
  // Taps stay side by side, whatever the dilations: tensorflow#56498.
  kDilationsIgnored,
  // Columns have the stride of rows: tensorflow#33005.
  kOneStride,
  // SAME puts the odd pixel of padding before the image instead of behind it.
  kPaddingBefore,
  // EXPLICIT is computed as VALID, but for the size of the output.
  kExplicitIgnored,
  // Images that are NCHW are read as if they were NHWC.
  kLayoutIgnored,
  // Sums are kept with 8 bits: tensorflow#24430.
  kLowPrecision,
  // Images behind the first are taken to be the first: pytorch#188335.
  kFirstImageOnly,
  // Taps beyond the border read the pixel nearest to them, not zero.
  kClampedBorder,
  // Elements that no product goes into are not written: what uninitialised memory held remains.
  kNotWritten,
};

inline constexpr std::array<std::string_view, 11> kNames = {
    "",
    "multiplier_order",
    "dilations_ignored",
    "one_stride",
    "padding_before",
    "explicit_ignored",
    "layout_ignored",
    "low_precision",
    "first_image_only",
    "clamped_border",
    "not_written",
};

// What the environment asks for. An unknown name ends the process: no test may pass by a typo.
inline Fault Asked() {
  const char* asked = std::getenv(kVariable);
  const std::string_view name = asked ? asked : "";
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Fault>(i);
  }
  std::abort();
}

inline std::atomic<Fault> present = Fault::kNone;

// The fault of the call that runs: tests change it from one to the next, and wait for each.
inline Fault Present() { return present.load(std::memory_order_relaxed); }
inline void BeginCall() { present.store(Asked(), std::memory_order_relaxed); }

}  // namespace my_npu

#endif  // TF_DWBP_TESTS_DEVICE_FAULTS_H_
