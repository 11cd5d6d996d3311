// 16-bit types on an emulated GPU: a float rounded to the nearest, ties to even.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cc/gpu/device/emulator.h"

namespace tf_dwbp::gpu {

void narrow(float x, Bfloat16* y) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) {
    y->bits = static_cast<uint16_t>(bits >> 16 | 0x40);
  } else {
    y->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

void narrow(float x, Half* y) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float magnitude = std::abs(x);
  if (x != x) {
    y->bits = sign | 0x7e00;
  } else if (magnitude >= 65520.0f) {
    y->bits = sign | 0x7c00;
  } else {
    // Units of the last place: 2^-24 for subnormals; nearbyint rounds ties to even.
    const int exponent = magnitude == 0 ? -14 : std::max(-14, std::ilogb(magnitude));
    const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
    // A carry runs over into the exponent, as it should.
    y->bits = static_cast<uint16_t>(sign | (units + ((exponent + 14) << 10)));
  }
}

}  // namespace tf_dwbp::gpu
