#include "cc/conv/epilogue.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace tf_dwbp::conv {
namespace {

constexpr char kBias[] = "bias";

std::string names() {
  std::string all;
  for (const Activation activation : kActivations) {
    if (activation == Activation::kLinear) continue;
    all += (all.empty() ? "" : ", ") + std::string(name_of(activation));
    if (activation == Activation::kLeakyRelu) all += "(alpha)";
  }
  return all;
}

// Digits, with a point among them and a minus before them if need be; of a number that float has.
bool read_alpha(const std::string& text, float* alpha) {
  const std::string digits = text.substr(text.compare(0, 1, "-") == 0 ? 1 : 0);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const size_t point = std::min(digits.find('.'), digits.size());
  const std::string whole = digits.substr(0, point);
  const std::string part = point < digits.size() ? digits.substr(point + 1) : "0";
  if (whole.empty() || part.empty() || !std::all_of(whole.begin(), whole.end(), is_digit) ||
      !std::all_of(part.begin(), part.end(), is_digit)) {
    return false;
  }
  *alpha = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *alpha);
  const bool zero = digits.find_first_not_of("0.") == std::string::npos;
  // By its bits: where the processor takes denormals for zeros, a comparison does, too.
  uint32_t bits;
  std::memcpy(&bits, alpha, sizeof bits);
  return zero || (read.ec == std::errc() && bits << 1 != 0 && check_alpha(*alpha).empty());
}

}  // namespace

std::string to_text(const Epilogue& epilogue) {
  std::string text = epilogue.bias ? kBias : "";
  if (epilogue.activation == Activation::kLinear) return text;
  text += (text.empty() ? "" : "+") + std::string(name_of(epilogue.activation));
  if (epilogue.activation == Activation::kLeakyRelu) {
    char digits[64];
    const auto end =
        std::to_chars(digits, digits + sizeof digits, epilogue.alpha, std::chars_format::fixed);
    text += "(" + std::string(digits, end.ptr) + ")";
  }
  return text;
}

Error read_epilogue(const std::string& text, Epilogue* epilogue) {
  *epilogue = {};
  const Error error = "epilogue must be bias, one of " + names() +
                      ", or both with + between them, but is '" + text + "'";
  std::string name = text;
  const std::string both = std::string(kBias) + "+";
  if (text == kBias || text.compare(0, both.size(), both) == 0) {
    epilogue->bias = true;
    if (text == kBias) return "";
    name = text.substr(both.size());
  }
  const size_t open = name.find('(');
  const bool parameter = open != std::string::npos;
  if (!read_name(name.substr(0, open), kActivations, &epilogue->activation) ||
      epilogue->activation == Activation::kLinear ||
      parameter != (epilogue->activation == Activation::kLeakyRelu)) {
    return error;
  }
  if (!parameter) return "";
  const bool closed = name.back() == ')';
  const std::string alpha = name.substr(open + 1, name.size() - open - 2);
  return closed && read_alpha(alpha, &epilogue->alpha) ? "" : error;
}

Error check_alpha(float alpha) {
  if (std::isfinite(alpha)) return "";
  return "alpha must be a finite number, but is " + std::to_string(alpha);
}

double activate(const Epilogue& epilogue, double x) {
  // Of an argument far from 0, powers and erfc lose as many bits as it has before the point.
  using Exact = long double;
  // The least that is not the limit for -Inf yet, whose product with 0 would be NaN.
  const double finite = x < -1000 ? -1000 : x;
  switch (epilogue.activation) {
    case Activation::kLinear:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kRelu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::kElu:
      return x < 0 ? std::expm1(x) : x;
    case Activation::kLeakyRelu:
      return x < 0 ? epilogue.alpha * x : x;
    case Activation::kSilu:
      // Neither power overflows.
      return static_cast<double>(x < 0 ? finite * std::exp(Exact{finite}) / (1 + std::exp(finite))
                                       : x / (1 + std::exp(-x)));
    case Activation::kHardSilu:
      return x < -3 ? -0.0 : x > 3 ? x : x * ((x + 3) / 6);
    case Activation::kGelu:
      return static_cast<double>(finite * (std::erfc(-finite * std::sqrt(Exact{0.5})) / 2));
    case Activation::kGeluTanh: {
      const Exact inner = std::sqrt(8 / std::acos(Exact{-1})) *
                          (finite + Exact{0.044715L} * finite * finite * finite);
      return static_cast<double>(x < 0 ? finite * std::exp(inner) / (1 + std::exp(inner))
                                       : x / (1 + std::exp(-inner)));
    }
  }
  return x;  // GCOVR_EXCL_LINE: all activations have been taken
}

}  // namespace tf_dwbp::conv
