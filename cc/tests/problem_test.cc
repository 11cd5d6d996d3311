// The text of a problem: written, read, and refused.

#include "cc/conv/problem.h"

#include <cmath>
#include <string>

#include "cc/conv/epilogue.h"
#include "cc/tests/check.h"

namespace tf_dwbp::conv {
namespace {

using testing::check;

TF_DWBP_TEST(a_text_stands_for_a_problem) {
  for (const char* text : {
           "input_grad:float:NHWC:b32:56x55x128m1:k3x5:s2x1:d1x2:SAME",
           "forward:half:NCHW:b0:1x9x3m8:k1x1:s1x1:d1x1:VALID",
           "filter_grad:bfloat16:NHWC:b1:7x8x9m2:k3x2:s5x4:d7x6:EXPLICIT(1,2,30,4)",
           "filter_grad:double:NCHW:b1:7x8x9m2:k3x2:s5x4:d7x6:EXPLICIT(0,0,0,0)",
           "forward:half:NCHW:b0:1x9x3m8:k1x1:s1x1:d1x1:VALID:bias",
           "forward:half:NCHW:b0:1x9x3m8:k1x1:s1x1:d1x1:SAME:relu",
           "forward:half:NHWC:b0:1x9x3m8:k1x1:s1x1:d1x1:EXPLICIT(1,2,3,4):bias+gelu_tanh",
           "forward:half:NHWC:b0:1x9x3m8:k1x1:s1x1:d1x1:SAME:bias+leaky_relu(0.2)",
           "forward:half:NHWC:b0:1x9x3m8:k1x1:s1x1:d1x1:SAME:leaky_relu(-3)",
           "forward:half:NHWC:b0:1x9x3m8:k1x1:s1x1:d1x1:SAME:leaky_relu(0.00001)",
       }) {
    Problem problem;
    const Error error = read_problem(text, &problem);
    check(error.empty(), error);
    check(to_text(problem) == text, to_text(problem));
  }
  Problem problem;
  check(read_problem("filter_grad:bfloat16:NCHW:b3:17x18x9m2:k3x2:s5x4:d7x6:EXPLICIT(1,2,30,4)",
                     &problem)
            .empty(),
        "read");
  const Geometry& g = problem.geometry;
  check(problem.op == Op::kFilterGrad && problem.dtype == Dtype::kBfloat16, "op and dtype");
  check(g.layout == Layout::kNCHW && g.batch == 3 && g.channels == 9 && g.multiplier == 2, "sizes");
  const auto is = [](const Axis& a, const Axis& b) {
    return a.in == b.in && a.out == b.out && a.filter == b.filter && a.stride == b.stride &&
           a.dilation == b.dilation && a.pad_before == b.pad_before && a.pad_after == b.pad_after;
  };
  check(is(g.height, {17, 2, 3, 5, 7, 1, 2}), "height: (17 + 3 - 15) / 5 + 1");
  check(is(g.width, {18, 12, 2, 4, 6, 30, 4}), "width: (18 + 34 - 7) / 4 + 1");
}

TF_DWBP_TEST(a_text_that_stands_for_none_is_refused) {
  const std::string good = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME";
  Problem problem;
  for (size_t length = 0; length < good.size(); ++length) {
    check(!read_problem(good.substr(0, length), &problem).empty(), good.substr(0, length));
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = '!';
    check(!read_problem(bad, &problem).empty(), bad);
  }
  const auto refused = [&](const std::string& text, const std::string& why) {
    const Error error = read_problem(text, &problem);
    check(error.find(why) != std::string::npos, "'" + text + "': " + error);
  };
  const std::string example = "is not a problem such as " + good;
  refused(good + " ", "padding must be SAME, VALID or EXPLICIT");
  refused("input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME(1,1,1,1)", example);
  refused("input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:EXPLICIT", example);
  refused("input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:EXPLICIT(1,1,1)", example);
  refused("input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:EXPLICIT(1,1,1,1)x", example);
  refused("input_grad:float:NHWC:b-2:56x56x128m1:k3x3:s2x2:d1x1:SAME", example);
  refused("input_grad:float:NHWC:b99999999999999999999:56x56x128m1:k3x3:s2x2:d1x1:SAME", example);
  const std::string plain = "forward:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME";
  check(read_problem(plain + ":bias+relu6", &problem).empty() && problem.epilogue.bias &&
            problem.epilogue.activation == Activation::kRelu6,
        "an epilogue");
  check(read_problem(plain, &problem).empty() && problem.epilogue.empty(), "and none");
  const std::string huge = "1" + std::string(40, '0'), tiny = "0." + std::string(60, '0') + "1";
  for (const float alpha : {INFINITY, -INFINITY, NAN}) {
    const conv::Error error = conv::check_alpha(alpha);
    check(error.find("alpha must be a finite number, but is ") == 0, error);
  }
  for (const std::string alpha :
       {"", "1.", ".5", "1e3", "+1", "--1", "-", "nan", "0.2.1", huge.c_str(), tiny.c_str()}) {
    check(!read_problem(plain + ":leaky_relu(" + alpha + ")", &problem).empty(), alpha);
  }
  for (const std::string epilogue :
       {"", "bias+", "relu+bias", "+relu", "linear", "bias+linear", "Relu", "relu6(1)", "bias:relu",
        "bias+bias", "leaky_relu", "leaky_relu(", "leaky_relu(1", "leaky_relu(1)x", "biasrelu"}) {
    refused(plain + ":" + epilogue,
            "epilogue must be bias, one of relu, relu6, elu, leaky_relu(alpha), silu, hard_silu, "
            "gelu, gelu_tanh, or both with + between them, but is '" +
                epilogue + "'");
  }
  refused(good + ":relu",
          "an epilogue is the forward op's alone, but op is 'input_grad' and epilogue 'relu'");
  refused("backward:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME",
          "op must be forward, input_grad or filter_grad, but is 'backward'");
  refused("forward:float64:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME",
          "dtype must be one of half, bfloat16, float, double, but is 'float64'");
  refused("forward:float:HWCN:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME", "data_format must be");
  refused("forward:float:NHWC:b32:56x56x128m1:k3x3:s0x2:d1x1:SAME", "strides must be between 1");
  refused("forward:float:NHWC:b32:56x56x128m1:k0x3:s1x2:d1x1:SAME", "filter [0, 3, 128, 1] must");
  refused("forward:float:NHWC:b3:9999999999x56x128m1:k1x3:s1x2:d1x1:SAME", "of at most 2147483647");
}

}  // namespace
}  // namespace tf_dwbp::conv
