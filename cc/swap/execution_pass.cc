// A pass over every graph that TensorFlow is about to execute: a function's or a session's, placed,
// and after all optimizers, if there were any. It renames what the graph optimizer could not reach,
// since TensorFlow's optimizers are off or taken by another plug-in, and records what runs.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cc/swap/rename.h"
#include "cc/swap/state.h"
#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/common_runtime/device_set.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/graph/graph.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::Edge;
using tensorflow::FunctionDef;
using tensorflow::FunctionLibraryDefinition;
using tensorflow::Graph;
using tensorflow::GraphOptimizationPassOptions;
using tensorflow::Node;
using tensorflow::NodeDef;

Process process_of(const Graph& graph, const tensorflow::DeviceSet* devices) {
  std::set<std::string> processes;
  bool another = false;
  for (const Node* node : graph.op_nodes()) {
    if (!node->has_assigned_device_name()) continue;
    tensorflow::DeviceNameUtils::ParsedName name;
    if (!tensorflow::DeviceNameUtils::ParseFullName(node->assigned_device_name(), &name)) continue;
    if (name.has_job) processes.insert(name.job + ":" + std::to_string(name.task));
    const tensorflow::Device* device =
        devices == nullptr ? nullptr : devices->FindDeviceByName(node->assigned_device_name());
    another = another || (device != nullptr && !device->IsLocal());
  }
  if (processes.size() > 1) return Process::kSeveral;
  return another ? Process::kAnother : Process::kThis;
}

// Puts a node of another op in the node's place. An op's node cannot change its op.
absl::Status replace(Graph* graph, Node* node, NodeDef def) {
  absl::Status status;
  def.set_device(node->def().device());
  Node* const with = graph->AddNode(std::move(def), &status);
  if (!status.ok()) return status;
  with->set_assigned_device_name(node->assigned_device_name());
  for (const Edge* edge : node->in_edges()) {
    graph->AddEdge(edge->src(), edge->src_output(), with, edge->dst_input());
  }
  const std::vector<const Edge*> out_edges(node->out_edges().begin(), node->out_edges().end());
  for (const Edge* edge : out_edges) {
    Node* const dst = edge->dst();
    const int output = edge->src_output(), input = edge->dst_input();
    graph->RemoveEdge(edge);
    graph->AddEdge(with, output, dst, input);
  }
  graph->RemoveNode(node);
  return absl::OkStatus();
}

template <typename Attributes>
bool is_compiled(const Attributes& attributes) {
  const auto found = attributes.find("_XlaMustCompile");
  return found != attributes.end() && found->second.b();
}

// Functions that a graph calls, and these in turn, though not those that XLA compiles.
class Called {
 public:
  explicit Called(const FunctionLibraryDefinition& library) : library_(library) {}

  void add(const NodeDef& node) {
    if (is_compiled(node.attr())) return;
    add(node.op());
    for (const auto& [name, value] : node.attr()) {
      if (value.has_func()) add(value.func().name());
      for (const auto& function : value.list().func()) add(function.name());
    }
  }

 private:
  void add(const std::string& name) {
    const FunctionDef* function = library_.Find(name);
    if (function == nullptr || is_compiled(function->attr()) || !seen_.insert(name).second) return;
    std::vector<Entry> entries = look_at(*function);
    if (!entries.empty()) ledger().called(name, std::move(entries));
    for (const NodeDef& node : function->node_def()) add(node);
  }

  const FunctionLibraryDefinition& library_;
  std::set<std::string> seen_;
};

class ExecutionPass : public tensorflow::GraphOptimizationPass {
 public:
  absl::Status Run(const GraphOptimizationPassOptions& options) override {
    if (options.graph == nullptr || !is_recording()) return absl::OkStatus();
    const std::string name = name_of(options);
    if (is_eager_call(name)) return absl::OkStatus();
    Graph* const graph = options.graph->get();
    std::vector<Node*> nodes;
    for (Node* node : graph->op_nodes()) {
      if (is_depthwise(node->type_string())) nodes.push_back(node);
    }
    std::vector<Entry> entries;
    const Ops ops = installs().ops();
    const Process process = nodes.empty() ? Process::kThis : process_of(*graph, options.device_set);
    for (Node* node : nodes) {
      NodeDef def = node->def();
      def.set_device(node->assigned_device_name());
      std::optional<Entry> entry = rename(&def, ops, process);
      if (def.op() != node->type_string()) TF_RETURN_IF_ERROR(replace(graph, node, def));
      entries.push_back(*std::move(entry));
    }
    if (options.flib_def != nullptr && options.flib_def->num_functions() > 0) {
      Called called(*options.flib_def);
      for (const Node* node : graph->op_nodes()) called.add(node->def());
    }
    ledger().executed(name, entries);
    return absl::OkStatus();
  }

 private:
  static std::string name_of(const GraphOptimizationPassOptions& options) {
    if (options.function_def != nullptr) return options.function_def->signature().name();
    if (options.is_function_graph) return options.debug_filename_prefix;
    // A session makes a graph for each set of what it is to compute.
    return "a session's graph " + std::to_string(ledger().next_number());
  }
};

// When the library is loaded, before there are threads that read TensorFlow's list of passes.
REGISTER_OPTIMIZATION(tensorflow::OptimizationPassRegistry::POST_REWRITE_FOR_EXEC, 1000,
                      ExecutionPass);

}  // namespace
}  // namespace tf_dwbp::swap
