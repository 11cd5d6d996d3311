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
  refused([](auto* u) { u->explicit_paddings = {1, 2}; },
          "explicit_paddings must be empty unless padding is EXPLICIT, but padding is SAME and "
          "explicit_paddings is [1, 2]");
  const auto padded = [](std::vector<int64_t> list) {
    return [list](UserAttributes* u) {
      u->padding = "EXPLICIT";
      u->explicit_paddings = list;
    };
  };
  for (const int at : {0, 1, 6, 7}) {
    std::vector<int64_t> list(8, 0);
    list[at] = 3;
    refused(padded(list), "explicit_paddings must be 0 for batch and channels, but is [");
  }
  for (const int at : {2, 3, 4, 5}) {
    std::vector<int64_t> list(8, 0);
    for (const int64_t amount : {int64_t{-1}, kMax + 1}) {
      list[at] = amount;
      refused(padded(list), "explicit_paddings must be between 0 and 2147483647, but is [");
    }
    UserAttributes most = good_attributes();
    list[at] = kMax;
    padded(list)(&most);
    check(check_attributes(most, &a).empty(), "the largest padding");
  }
  for (const int axis : {0, 3}) {
    for (const int64_t step : {0, 2}) {
      refused([&](auto* u) { u->strides[axis] = step; },
              "strides must be 1 for batch and channels");
      refused([&](auto* u) { u->dilations[axis] = step; },
              "dilations must be 1 for batch and channels");
    }
  }
  for (const int axis : {1, 2}) {
    for (const int64_t step : {int64_t{0}, kMax + 1}) {
      refused([&](auto* u) { u->strides[axis] = step; },
              "strides must be between 1 and 2147483647, but is [");
      refused([&](auto* u) { u->dilations[axis] = step; },
              "dilations must be between 1 and 2147483647, but is [");
    }
  }
  UserAttributes most{{1, kMax, kMax, 1}, "VALID", {}, "NHWC", {1, kMax, kMax, 1}};
  check(check_attributes(most, &a).empty(), "the largest steps");
  refused([](auto* u) { u->padding = "same"; },
          "padding must be SAME, VALID or EXPLICIT, but is 'same'");
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
  // TensorFlow multiplies sizes in their order, and ends a call whose product overflows.
  UserAttributes padded = good_attributes();
  padded.padding = "EXPLICIT";
  padded.explicit_paddings = {0, 0, kMax, kMax, kMax, kMax, 0, 0};
  padded.strides = {1, 1, 1, 1};
  call = call_of(padded, Sizes{2, 1, 1, 605}, Sizes{1, 1, 605, 0}, std::nullopt);
  expect_error(check_call(&call), "sizes before a 0 included");
  call = call_of(padded, Sizes{0, 1, 1, 605}, Sizes{1, 1, 605, 1}, std::nullopt);
  check(check_call(&call).empty(), "no images, of any size");
}

TF_DWBP_TEST(shapes_that_do_not_fit_are_refused) {
  const auto refused = [](Shape input, Shape filter, Shape output, const std::string& text,
                          const char* padding = "SAME") {
    UserAttributes user = good_attributes();
    user.padding = padding;
    if (user.padding == "EXPLICIT") user.explicit_paddings = {0, 0, 1, 2, 3, 4, 0, 0};
    Call call = call_of(user, input, filter, output);
    const Error error = check_call(&call);
    check(error == text, "'" + error + "' should be '" + text + "'");
  };
  const Sizes input{2, 10, 12, 3}, filter{5, 4, 3, 2};
  refused(Sizes{2, 10, 12}, filter, std::nullopt,
          "input_sizes must have 4 dimensions, [batch, height, width, channels], but has 3: "
          "input_sizes [2, 10, 12]");
  refused(input, Sizes{5, 4, 3, 2, 1}, std::nullopt,
          "filter must have 4 dimensions, [height, width, channels, depth multiplier], but has 5: "
          "filter [5, 4, 3, 2, 1]");
  refused(input, filter, Sizes{},
          "out_backprop must have 4 dimensions, [batch, height, width, channels], but has 0: "
          "out_backprop []");
  refused(
      input, filter, Sizes{3, 5, 4, 6},
      "out_backprop [3, 5, 4, 6] must have the batch size of input_sizes [2, 10, 12, 3], 2, but "
      "has 3");
  refused(input, Sizes{5, 4, 7, 2}, std::nullopt,
          "input_sizes [2, 10, 12, 3] has 3 channels, but filter [5, 4, 7, 2] must have as many: "
          "its third size is 7");
  refused(input, filter, Sizes{2, 5, 4, 5},
          "out_backprop [2, 5, 4, 5] must have 6 channels, but has 5: filter [5, 4, 3, 2] maps 3 "
          "channels to 2 each");
  const std::string given = "input_sizes [2, 10, 12, 3] and filter [5, 4, 3, 2] give with padding ";
  refused(input, filter, Sizes{2, 6, 4, 6},
          "out_backprop [2, 6, 4, 6] must have a height of 5, but has 6: that is what " + given +
              "SAME, stride 2 and dilation 1");
  refused(input, filter, Sizes{2, 3, 7, 6},
          "out_backprop [2, 3, 7, 6] must have a width of 2, but has 7: that is what " + given +
              "VALID, stride 3 and dilation 2",
          "VALID");
  refused(input, filter, Sizes{2, 5, 7, 6},
          "out_backprop [2, 5, 7, 6] must have a width of 5, but has 7: that is what " + given +
              "EXPLICIT [3, 4], stride 3 and dilation 2",
          "EXPLICIT");
  refused(input, Sizes{0, 4, 3, 2}, std::nullopt,
          "filter [0, 4, 3, 2] must have a height between 1 and 2147483647, but has 0");
  refused(input, Sizes{kUnknown, 0, 3, 2}, std::nullopt,
          "filter [?, 0, 3, 2] must have a width between 1 and 2147483647, but has 0");
  refused(Sizes{2, 10, kMax + 1, 3}, std::nullopt, std::nullopt,
          "input_sizes [2, 10, 2147483648, 3] must have a width of at most 2147483647, but has "
          "2147483648");
}

TF_DWBP_TEST(operands_have_the_names_of_their_op) {
  struct Row {
    Op op;
    const char *input, *filter, *output;
  };
  for (const Row& row : {Row{Op::kForward, "input", "filter", "output"},
                         Row{Op::kInputGrad, "input_sizes", "filter", "out_backprop"},
                         Row{Op::kFilterGrad, "input", "filter_sizes", "out_backprop"}}) {
    Call call(row.op);
    call.input = Sizes{1};
    call.filter = Sizes{2};
    call.output = Sizes{3};
    const char* const names[] = {row.input, row.filter, row.output};
    for (const Operand operand : {Operand::kInput, Operand::kFilter, Operand::kOutput}) {
      const int at = static_cast<int>(operand);
      check(call.name(operand) == std::string(names[at]), names[at]);
      check(*call.shape(operand) == Sizes{at + 1}, names[at]);
    }
  }
}

TF_DWBP_TEST(sizes_given_as_data) {
  check(check_sizes("input_sizes", {0, 1, 2, 3}).empty(), "accepted");
  expect_error(check_sizes("input_sizes", {1, 2, 3}), "input_sizes must have 4 elements");
  expect_error(check_sizes("input_sizes", {1, 2, -3, 4}), "[1, 2, -3, 4]");
  expect_error(check_sizes("input_sizes", {1, 2, 3, -1}), "[1, 2, 3, -1]");
}

TF_DWBP_TEST(a_bias_has_a_number_for_each_channel) {
  const auto with_bias = [](Shape filter, Shape bias) {
    Call call(Op::kForward);
    check(check_attributes({{1, 1, 1, 1}, "SAME", {}, "NHWC", {1, 1, 1, 1}}, &call.attributes)
              .empty(),
          "attributes");
    call.input = Sizes{2, 4, 5, 3};
    call.filter = filter;
    call.epilogue.bias = true;
    call.bias = bias;
    return call;
  };
  Call call = with_bias(Sizes{3, 3, 3, 2}, Sizes{6});
  check(check_call(&call).empty(), "as many as the output's channels");
  call = with_bias(Sizes{3, 3, 3, 2}, std::nullopt);
  check(check_call(&call).empty() && call.bias == Sizes{6}, "inferred from the output");
  call = with_bias(std::nullopt, Sizes{6});
  check(check_call(&call).empty() && call.output == Sizes{2, 4, 5, 6}, "and the output from it");
  call = with_bias(Sizes{3, 3, 3, 2}, Sizes{3});
  expect_error(check_call(&call),
               "bias must have a number for each of the 6 channels of output [2, 4, 5, 6], but has "
               "3: bias [3]");
  call = with_bias(Sizes{3, 3, 3, 2}, Sizes{1, 6});
  expect_error(check_call(&call),
               "bias must have 1 dimension, [channels of the output], but has 2: bias [1, 6]");
  call.epilogue.bias = false;
  check(check_call(&call).empty(), "nobody looks at a bias that is not wanted");
}

}  // namespace
}  // namespace tf_dwbp::conv
