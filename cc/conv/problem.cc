#include "cc/conv/problem.h"

#include <algorithm>
#include <array>
#include <vector>

namespace tf_dwbp::conv {
namespace {

constexpr char kExample[] = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME";

std::string pair(int64_t rows, int64_t columns) {
  return std::to_string(rows) + "x" + std::to_string(columns);
}

// Reads a text from its beginning.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  // What stands before the next one of `ends`, or before the end.
  std::string word(const char* ends) {
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of(ends, at_), text_.size());
    return text_.substr(begin, at_ - begin);
  }

  // These characters, or it fails.
  void expect(const char* characters) {
    for (; *characters != '\0'; ++characters) {
      if (at_ == text_.size() || text_[at_] != *characters) {
        failed_ = true;
        return;
      }
      ++at_;
    }
  }

  // A number below 2^63, in digits.
  int64_t number() {
    int64_t value = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      failed_ |= __builtin_mul_overflow(value, 10, &value) ||
                 __builtin_add_overflow(value, text_[at_] - '0', &value);
    }
    failed_ |= at_ == begin;
    return value;
  }

  bool ended() const { return at_ == text_.size(); }
  bool failed() const { return failed_; }

 private:
  const std::string& text_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

std::string to_text(const Problem& problem) {
  const Geometry& g = problem.geometry;
  const Axis &h = g.height, &w = g.width;
  std::string text = std::string(name_of(problem.op)) + ":" + name_of(problem.dtype) + ":" +
                     name_of(g.layout) + ":b" + std::to_string(g.batch) + ":" + pair(h.in, w.in) +
                     "x" + std::to_string(g.channels) + "m" + std::to_string(g.multiplier) + ":k" +
                     pair(h.filter, w.filter) + ":s" + pair(h.stride, w.stride) + ":d" +
                     pair(h.dilation, w.dilation) + ":" + name_of(g.padding);
  if (g.padding == Padding::kExplicit) {
    text += "(" + std::to_string(h.pad_before) + "," + std::to_string(h.pad_after) + "," +
            std::to_string(w.pad_before) + "," + std::to_string(w.pad_after) + ")";
  }
  if (!problem.epilogue.empty()) text += ":" + to_text(problem.epilogue);
  return text;
}

Error read_problem(const std::string& text, Problem* problem) {
  Reader reader(text);
  const std::string op = reader.word(":");
  reader.expect(":");
  const std::string dtype = reader.word(":");
  reader.expect(":");
  UserAttributes user;
  user.data_format = reader.word(":");
  reader.expect(":b");
  const int64_t batch = reader.number();
  reader.expect(":");
  const int64_t height = reader.number();
  reader.expect("x");
  const int64_t width = reader.number();
  reader.expect("x");
  const int64_t channels = reader.number();
  reader.expect("m");
  const int64_t multiplier = reader.number();
  const auto read_pair = [&](const char* before) {
    reader.expect(before);
    const int64_t rows = reader.number();
    reader.expect("x");
    return std::array{rows, reader.number()};
  };
  const auto [filter_height, filter_width] = read_pair(":k");
  const auto strides = read_pair(":s");
  const auto dilations = read_pair(":d");
  reader.expect(":");
  user.padding = reader.word("(:");
  std::array<int64_t, 4> explicit_paddings{};
  if (user.padding == name_of(Padding::kExplicit)) {
    for (int i = 0; i < 4; ++i) {
      reader.expect(i == 0 ? "(" : ",");
      explicit_paddings[i] = reader.number();
    }
    reader.expect(")");
  }
  const bool finished = !reader.ended();
  if (finished) reader.expect(":");
  const std::string epilogue = reader.word("");
  if (reader.failed() || !reader.ended()) {
    return "'" + text + "' is not a problem such as " + kExample;
  }
  if (!read_name(op, std::array{Op::kForward, Op::kInputGrad, Op::kFilterGrad}, &problem->op)) {
    return "op must be forward, input_grad or filter_grad, but is '" + op + "'";
  }
  if (!read_name(dtype, kDtypes, &problem->dtype)) {
    std::string names;
    for (const Dtype known : kDtypes)
      names += (names.empty() ? "" : ", ") + std::string(name_of(known));
    return "dtype must be one of " + names + ", but is '" + dtype + "'";
  }
  problem->epilogue = {};
  if (finished) {
    const Error error = read_epilogue(epilogue, &problem->epilogue);
    if (!error.empty()) return error;
    if (problem->op != Op::kForward) {
      return "an epilogue is the forward op's alone, but op is '" + op + "' and epilogue '" +
             epilogue + "'";
    }
  }

  const bool nhwc = user.data_format != name_of(Layout::kNCHW);
  const auto ordered = [nhwc](int64_t n, int64_t h, int64_t w, int64_t c) {
    return nhwc ? std::vector<int64_t>{n, h, w, c} : std::vector<int64_t>{n, c, h, w};
  };
  user.strides = ordered(1, strides[0], strides[1], 1);
  user.dilations = ordered(1, dilations[0], dilations[1], 1);
  if (user.padding == name_of(Padding::kExplicit)) {
    const auto& [top, bottom, left, right] = explicit_paddings;
    user.explicit_paddings = nhwc ? std::vector<int64_t>{0, 0, top, bottom, left, right, 0, 0}
                                  : std::vector<int64_t>{0, 0, 0, 0, top, bottom, left, right};
  }
  Call call(problem->op);
  Error error = check_attributes(user, &call.attributes);
  if (!error.empty()) return error;
  call.input = ordered(batch, height, width, channels);
  call.filter = std::vector<int64_t>{filter_height, filter_width, channels, multiplier};
  error = check_call(&call);
  if (error.empty()) problem->geometry = geometry_of(call);
  return error;
}

}  // namespace tf_dwbp::conv
