// What check_attributes() and check_call() accept, infer and refuse. The texts of the errors are
// tested where users meet them, in tests/bad_input_test.py.

#include "cc/conv/call.h"

#include <string>
#include <utility>
#include <vector>

#include "cc/tests/check.h"

namespace tf_dwbp::conv {
namespace {

using testing::check;
using Sizes = std::vector<int64_t>;

constexpr int64_t kMax = 2147483647;

UserAttributes good_attributes() { return {{1, 2, 3, 1}, "SAME", {}, "NHWC", {1, 1, 2, 1}}; }

Call call_of(const UserAttributes& user, Shape input, Shape filter, Shape output) {
  Call call(Op::kInputGrad);
  call.input = input;
  call.filter = filter;
  call.output = output;
  check(check_attributes(user, &call.attributes).empty(), "good attributes");
  return call;
}

void expect_error(const Error& error, const std::string& part) {
  check(error.find(part) != Error::npos, "'" + error + "' should contain '" + part + "'");
}

TF_DWBP_TEST(attributes_are_read_in_the_order_of_the_layout) {
  UserAttributes user{{1, 1, 2, 3}, "EXPLICIT", {0, 0, 0, 0, 1, 2, 3, 4}, "NCHW", {1, 1, 4, 5}};
  Attributes a;
  check(check_attributes(user, &a).empty(), "accepted");
  check(a.layout == Layout::kNCHW && a.padding == Padding::kExplicit, "layout and padding");
  check(a.height.stride == 2 && a.height.dilation == 4, "height");
  check(a.height.pad_before == 1 && a.height.pad_after == 2, "padding of height");
  check(a.width.stride == 3 && a.width.dilation == 5, "width");
  check(a.width.pad_before == 3 && a.width.pad_after == 4, "padding of width");
}

TF_DWBP_TEST(bad_attributes_are_refused) {
  Attributes a;
  const auto refused = [&](auto change, const char* part) {
    UserAttributes user = good_attributes();
    change(&user);
    expect_error(check_attributes(user, &a), part);
  };
  refused([](auto* u) { u->strides = {1, 2}; }, "strides must have 4 elements");
  refused([](auto* u) { u->strides = {}; }, "strides must have 4 elements");
  refused([](auto* u) { u->strides = {1, 0, 1, 1}; }, "[1, 0, 1, 1]");
  refused([](auto* u) { u->dilations = {1, 1, kMax + 1, 1}; }, "[1, 1, 2147483648, 1]");
  refused([](auto* u) { u->dilations = {1, 1, 1, 2}; }, "dilations must be 1 for batch");
  refused([](auto* u) { u->explicit_paddings = {1}; }, "must be empty unless padding is EXPLICIT");
  refused([](auto* u) { u->padding = "EXPLICIT"; }, "must have 8 elements");
  refused([](auto* u) { u->padding = "same"; }, "'same'");
  refused([](auto* u) { u->data_format = "NCHW_VECT_C"; }, "'NCHW_VECT_C'");
}

TF_DWBP_TEST(sizes_of_outputs_and_paddings) {
  struct Row {
    const char* padding;
    int64_t in, filter, stride, dilation, out, pad_before;
  };
  // By hand, from the formulas in the documentation of tf.nn.convolution; EXPLICIT is [1, 2].
  for (const Row& row :
       {Row{"SAME", 10, 3, 1, 1, 10, 1}, Row{"SAME", 10, 3, 2, 1, 5, 0},
        Row{"SAME", 9, 4, 2, 1, 5, 1}, Row{"SAME", 9, 3, 3, 2, 3, 1}, Row{"SAME", 2, 7, 1, 1, 2, 3},
        Row{"SAME", 0, 3, 2, 1, 0, 0}, Row{"SAME", 5, 1, 4, 1, 2, 0},
        Row{"VALID", 10, 3, 1, 1, 8, 0}, Row{"VALID", 10, 3, 3, 2, 2, 0},
        Row{"VALID", 2, 3, 1, 1, 0, 0}, Row{"VALID", 2, 7, 2, 1, 0, 0},
        Row{"VALID", 3, 3, 5, 1, 1, 0}, Row{"EXPLICIT", 10, 3, 1, 1, 11, 1},
        Row{"EXPLICIT", 1, 3, 2, 2, 0, 1}, Row{"EXPLICIT", 2, 3, 2, 2, 1, 1}}) {
    UserAttributes user{{1, row.stride, 1, 1}, row.padding, {}, "NHWC", {1, row.dilation, 1, 1}};
    if (user.padding == "EXPLICIT") user.explicit_paddings = {0, 0, 1, 2, 0, 0, 0, 0};
    Call call =
        call_of(user, Sizes{2, row.in, 1, 3}, Sizes{row.filter, 1, 3, 2}, Sizes{2, kUnknown, 1, 6});
    const std::string text =
        std::string(row.padding) + " " + std::to_string(row.in) + " " + std::to_string(row.filter);
    check(check_call(&call).empty(), text);
    check((*call.output)[1] == row.out, text + ": out");
    const Axis axis = geometry_of(call).height;
    check(axis.out == row.out && axis.in == row.in && axis.filter == row.filter, text + ": axis");
    check(row.out == 0 || axis.pad_before == row.pad_before, text + ": pad_before");
    (*call.output)[1] = row.out + 1;
    expect_error(check_call(&call), "must have a height of " + std::to_string(row.out));
  }
}

TF_DWBP_TEST(unknown_sizes_are_inferred) {
  Call call = call_of(good_attributes(), std::nullopt, Sizes{3, 3, 4, 2},
                      Sizes{7, kUnknown, kUnknown, kUnknown});
  check(check_call(&call).empty(), "accepted");
  check(*call.input == (Sizes{7, kUnknown, kUnknown, 4}), "input");
  check(*call.output == (Sizes{7, kUnknown, kUnknown, 8}), "output");

  call = call_of(good_attributes(), Sizes{2, 5, 6, 4}, std::nullopt, std::nullopt);
  check(check_call(&call).empty(), "accepted");
  check(*call.filter == (Sizes{kUnknown, kUnknown, 4, kUnknown}), "filter");
  check(*call.output == (Sizes{2, 3, 2, kUnknown}), "SAME needs no filter for its size");

  call = call_of(good_attributes(), std::nullopt, std::nullopt, std::nullopt);
  check(check_call(&call).empty() && call.input->size() == 4, "nothing known");
}

TF_DWBP_TEST(sizes_that_overflow_are_refused) {
  Call call = call_of(good_attributes(), Sizes{kMax, kMax, kMax, 3}, std::nullopt, std::nullopt);
  expect_error(check_call(&call), "elements in all");
  call = call_of(good_attributes(), Sizes{1, kMax + 1, 1, 1}, std::nullopt, std::nullopt);
  expect_error(check_call(&call), "height of at most 2147483647");
  call = call_of(good_attributes(), std::nullopt, Sizes{kMax + 1, 1, 1, 0}, std::nullopt);
  expect_error(check_call(&call), "height between 1 and 2147483647");
  call =
      call_of(good_attributes(), std::nullopt, Sizes{1, 1, kMax, int64_t{1} << 40}, std::nullopt);
  expect_error(check_call(&call), "elements in all");
  call = call_of(good_attributes(), std::nullopt, Sizes{kUnknown, 1, kMax, int64_t{1} << 40},
                 std::nullopt);
  expect_error(check_call(&call), "2^63 channels");
  call = call_of(good_attributes(), Sizes{kMax, 9, 9, 1}, Sizes{1, 1, 1, int64_t{1} << 40},
                 std::nullopt);
  expect_error(check_call(&call),
               "out_backprop [2147483647, 5, 3, 1099511627776] must have at most");
}

TF_DWBP_TEST(sizes_given_as_data) {
  check(check_sizes("input_sizes", {0, 1, 2, 3}).empty(), "accepted");
  expect_error(check_sizes("input_sizes", {1, 2, 3}), "input_sizes must have 4 elements");
  expect_error(check_sizes("input_sizes", {1, 2, -3, 4}), "[1, 2, -3, 4]");
}

}  // namespace
}  // namespace tf_dwbp::conv
