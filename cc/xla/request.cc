#include "cc/xla/request.h"

#include <type_traits>

namespace tf_dwbp::xla {
namespace {

// Calls visit(number) for each number of a request, in order; to read or to write them.
template <typename Request, typename Visit>
void for_each_number(Request* request, Visit visit) {
  auto& g = request->geometry;
  visit(request->op);
  visit(request->type);
  visit(request->workers);
  visit(g.layout);
  visit(g.batch);
  visit(g.channels);
  visit(g.multiplier);
  for (auto* axis : {&g.height, &g.width}) {
    visit(axis->in);
    visit(axis->out);
    visit(axis->filter);
    visit(axis->stride);
    visit(axis->dilation);
    visit(axis->pad_before);
  }
}

}  // namespace

std::string to_dictionary(const Request& request) {
  std::string numbers;
  for_each_number(&request, [&](auto number) {
    numbers += (numbers.empty() ? " " : ", ") + std::to_string(static_cast<int64_t>(number));
  });
  return "{" + std::string(kRequest) + " = array<i64:" + numbers + ">}";
}

Request from_attribute(const int64_t* numbers) {
  Request request;
  for_each_number(&request, [&](auto& number) {
    number = static_cast<std::decay_t<decltype(number)>>(*numbers++);
  });
  return request;
}

}  // namespace tf_dwbp::xla
