// What programs that load the library may ask it, in C.

#include <cstring>
#include <string>
#include <vector>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/implementations.h"
#include "cc/tests/compare.h"

extern "C" int64_t tf_dwbp_explain(const char* problem, int64_t workers, char* buffer, int64_t size,
                                   int* status);
extern "C" const char* tf_dwbp_implementation_name(int op, int index);

namespace tf_dwbp::testing {
namespace {

TF_DWBP_TEST(a_text_is_explained_in_c) {
  const std::string text = "forward:float:NHWC:b2:9x9x64m1:k3x3:s1x1:d1x1:SAME";
  conv::Problem problem;
  check(conv::read_problem(text, &problem).empty(), "read");
  const std::string expected = cpu::explain(problem, 2);
  const cpu::Implementation* chosen = nullptr;
  const bool taken = cpu::choose(problem, &chosen).empty();
  int status = -1;
  const int64_t size = static_cast<int64_t>(expected.size());
  check(tf_dwbp_explain(text.c_str(), 2, nullptr, 0, &status) == size, "bytes that are needed");
  check(status == (taken ? 0 : 1), "whether it is computed");
  std::vector<char> all(size + 1, 'x'), part(6, 'x');
  check(tf_dwbp_explain(text.c_str(), 2, all.data(), size + 1, &status) == size, "bytes");
  check(expected == all.data(), "the explanation");
  check(tf_dwbp_explain(text.c_str(), 2, part.data(), 5, &status) == size, "bytes of all");
  check(std::memcmp(part.data(), (expected.substr(0, 4) + '\0' + 'x').data(), 6) == 0, "a part");
  check(tf_dwbp_explain(text.c_str(), 0, all.data(), 0, &status) > 0, "no workers are one");
  check(tf_dwbp_explain("nonsense", 1, all.data(), size, &status) > 0 && status == 2, "no problem");
  check(std::strstr(all.data(), "'nonsense' is not a problem such as ") == all.data(), "why");
}

TF_DWBP_TEST(implementations_have_names_in_c) {
  for (const Op op : kAllOps) {
    const auto& list = cpu::implementations(op);
    for (size_t i = 0; i < list.size(); ++i) {
      check(list[i].name == std::string(tf_dwbp_implementation_name(static_cast<int>(op), i)),
            list[i].name);
    }
    for (const int index : {-1, static_cast<int>(list.size())}) {
      check(tf_dwbp_implementation_name(static_cast<int>(op), index) == nullptr, "no more");
    }
  }
  for (const int op : {-1, 3}) check(tf_dwbp_implementation_name(op, 0) == nullptr, "no such op");
}

TF_DWBP_TEST(a_problem_without_products_is_explained) {
  const Axis axis{9, 9, 3, 1, 1, 1};
  const std::string text =
      cpu::explain({Op::kForward, Dtype::kFloat, {Layout::kNHWC, 0, 64, 1, axis, axis}}, 1);
  check(text.find("implementation: zeros\nplan: the result has no products, and is zeros\n") !=
            std::string::npos,
        text);
}

}  // namespace
}  // namespace tf_dwbp::testing
