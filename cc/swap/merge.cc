#include "cc/swap/merge.h"

#include <map>
#include <string_view>
#include <utility>

#include "cc/swap/rename.h"
#include "cc/tensorflow/names.h"
#include "tensorflow/core/framework/node_def.pb.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::GraphDef;
using tensorflow::NodeDef;

constexpr char kColocated[] = "_class";

bool is_control(std::string_view input) { return !input.empty() && input[0] == '^'; }

// What a node's attribute is where it is left out, since it is the default.
std::string layout_of(const NodeDef& node) {
  const auto found = node.attr().find("data_format");
  return found == node.attr().end() ? "NHWC" : found->second.s();
}

tensorflow::DataType type_of(const NodeDef& node) {
  const auto found = node.attr().find("T");
  return found == node.attr().end() ? tensorflow::DT_INVALID : found->second.type();
}

// A graph's edges from the side of what is used.
class Uses {
 public:
  Uses(const GraphDef& graph, const std::set<std::string>& wanted) : graph_(graph) {
    for (int i = 0; i < graph.node_size(); ++i) {
      const NodeDef& node = graph.node(i);
      for (int input = 0; input < node.input_size(); ++input) {
        const bool is_first = input == 0 && !is_control(node.input(0));
        uses_[node_of(node.input(input))].push_back(is_first ? i : -1);
      }
      const auto colocated = node.attr().find(kColocated);
      if (colocated == node.attr().end()) continue;
      for (const std::string& other : colocated->second.list().s()) {
        uses_[std::string_view(other).substr(other.find('@') + 1)].push_back(-1);
        uses_[node.name()].push_back(-1);
      }
    }
    for (const std::string& name : wanted) uses_[name].push_back(-1);
  }

  // The place of the only node that knows of this one, if it is the first operand there; else -1.
  int only(const NodeDef& node) const {
    const auto found = uses_.find(node.name());
    if (found == uses_.end() || found->second.size() != 1) return -1;
    const int place = found->second.front();
    const bool fits = place >= 0 && type_of(graph_.node(place)) == type_of(node) &&
                      graph_.node(place).device() == node.device() &&
                      graph_.node(place).attr().count(kColocated) == 0;
    return fits ? place : -1;
  }

 private:
  const GraphDef& graph_;
  std::map<std::string_view, std::vector<int>> uses_;  // -1: not as the first operand
};

// The node that computes what all of them do, the forward op first.
NodeDef fused(const std::vector<const NodeDef*>& nodes, conv::Activation activation) {
  const NodeDef &forward = *nodes[0], &bias_add = *nodes[1], &last = *nodes.back();
  NodeDef node = forward;
  node.set_name(last.name());
  node.set_op(kFusedName);
  node.clear_input();
  for (const std::string* input : {&forward.input(0), &forward.input(1), &bias_add.input(1)}) {
    node.add_input(*input);
  }
  std::set<std::string> controls;
  for (const NodeDef* one : nodes) {
    for (const std::string& input : one->input()) {
      if (is_control(input) && controls.insert(input).second) node.add_input(input);
    }
  }
  auto& attributes = *node.mutable_attr();
  attributes["num_bias"].set_i(1);
  attributes["activation"].set_s(name_of(activation));
  const auto alpha = last.attr().find("alpha");  // LeakyRelu's
  attributes["alpha"].set_f(alpha == last.attr().end() ? 0.2f : alpha->second.f());
  attributes[kMerged].set_b(true);
  return node;
}

}  // namespace

std::string_view node_of(std::string_view input) {
  if (is_control(input)) return input.substr(1);
  return input.substr(0, input.rfind(':'));
}

std::vector<Merged> merge(GraphDef* graph, const std::set<std::string>& wanted) {
  const std::string ours = our_name(kStockNames[0]);
  std::map<int, std::pair<std::string, NodeDef>> merged;  // by the place of the last node
  std::set<int> gone;
  {
    const Uses uses(*graph, wanted);
    for (int i = 0; i < graph->node_size(); ++i) {
      const NodeDef& forward = graph->node(i);
      if (forward.op() != ours) continue;
      const int second = uses.only(forward);
      if (second < 0) continue;
      const NodeDef& bias_add = graph->node(second);
      if (bias_add.op() != "BiasAdd" || layout_of(bias_add) != layout_of(forward)) continue;
      std::vector<const NodeDef*> nodes = {&forward, &bias_add};
      int last = second;
      conv::Activation activation = conv::Activation::kLinear;
      if (const int third = uses.only(bias_add); third >= 0) {
        if (const auto found = activation_of(graph->node(third).op())) {
          activation = *found;
          nodes.push_back(&graph->node(third));
          last = third;
        }
      }
      NodeDef node = fused(nodes, activation);
      if (!no_kernel(node, forward.op()).empty()) continue;
      merged.emplace(last, std::make_pair(forward.name(), std::move(node)));
      gone.insert(i);
      if (last != second) gone.insert(second);
    }
  }
  if (merged.empty()) return {};
  GraphDef result;
  std::vector<Merged> found;
  result.mutable_node()->Reserve(graph->node_size());
  for (int i = 0; i < graph->node_size(); ++i) {
    if (gone.count(i) > 0) continue;
    NodeDef* const node = result.add_node();
    const auto one = merged.find(i);
    node->Swap(one == merged.end() ? graph->mutable_node(i) : &one->second.second);
    if (one != merged.end()) found.push_back({one->second.first, node});
  }
  graph->mutable_node()->Swap(result.mutable_node());
  return found;
}

}  // namespace tf_dwbp::swap
