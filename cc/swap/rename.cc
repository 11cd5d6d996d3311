#include "cc/swap/rename.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "cc/swap/merge.h"
#include "cc/tensorflow/names.h"
#include "tensorflow/core/framework/function.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/device_name_utils.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::DeviceNameUtils;
using tensorflow::DeviceType;
using tensorflow::NodeDef;

constexpr std::string_view kOurs = TF_DWBP_PREFIX;  // followed by stock's name
constexpr std::string_view kFused = "_FusedDepthwiseConv2dNative";
constexpr char kMark[] = "_tf_dwbp_renamed";
constexpr char kRenamedFused[] =
    "renamed with the bias that follows it (_FusedDepthwiseConv2dNative)";
constexpr char kMergedWhy[] = "merged with the bias that follows it";

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Stock's name for our op; "" for others.
std::string_view stock_name(std::string_view op) {
  if (op == kFusedName) return kStockNames[0];
  if (!starts_with(op, kOurs) || index_of(op.substr(kOurs.size())) < 0) return "";
  return op.substr(kOurs.size());
}

// Makes our fused op of stock's; false, with the node as it was, where ours has no such activation.
bool fuse(NodeDef* node) {
  auto& attributes = *node->mutable_attr();
  const auto& fused = attributes["fused_ops"].list();
  if (attributes["num_args"].i() != 1 || fused.s_size() < 1 || fused.s_size() > 2 ||
      fused.s(0) != "BiasAdd") {
    return false;
  }
  conv::Activation activation = conv::Activation::kLinear;
  if (fused.s_size() == 2) {
    const auto found = activation_of(fused.s(1));
    if (!found) return false;
    activation = *found;
  }
  node->set_op(kFusedName);
  attributes["num_bias"].set_i(1);
  attributes["activation"].set_s(name_of(activation));
  attributes["alpha"].set_f(attributes["leakyrelu_alpha"].f());
  attributes["explicit_paddings"].mutable_list();
  for (const char* name : {"num_args", "fused_ops", "epsilon", "leakyrelu_alpha"}) {
    attributes.erase(name);
  }
  return true;
}

bool has_kernel(const NodeDef& node, const DeviceType& type) {
  return tensorflow::FindKernelDef(type, node, nullptr, nullptr).ok();
}

// Whether the nodes are spread over the processes of a cluster.
bool spans_processes(const tensorflow::GraphDef& graph) {
  std::set<std::pair<std::string, int>> processes;
  DeviceNameUtils::ParsedName device;
  for (const NodeDef& node : graph.node()) {
    if (DeviceNameUtils::ParseFullName(node.device(), &device) && device.has_job) {
      processes.emplace(device.job, device.task);
    }
  }
  return processes.size() > 1;
}

// Whether the node names a process that need not be this one.
bool names_a_process(const NodeDef& node) {
  DeviceNameUtils::ParsedName device;
  return DeviceNameUtils::ParseFullName(node.device(), &device) && device.has_job &&
         device.job != "localhost";
}

}  // namespace

bool may_have_depthwise(const char* bytes, size_t size) {
  return std::string_view(bytes, size).find(kStockNames[0]) != std::string_view::npos;
}

int index_of(std::string_view op) {
  if (!starts_with(op, kStockNames[0])) return -1;
  for (int i = 0; i < static_cast<int>(std::size(kStockNames)); ++i) {
    if (op == kStockNames[i]) return i;
  }
  return -1;
}

std::string our_name(std::string_view stock) { return std::string(kOurs) + std::string(stock); }

bool is_eager_call(std::string_view function) { return starts_with(function, "__wrapped__"); }

bool is_depthwise(std::string_view op) {
  return index_of(op) >= 0 || starts_with(op, kFused) || !stock_name(op).empty();
}

bool has_kernel(const std::string& op, tensorflow::DataType dtype, const DeviceType& device) {
  NodeDef node;
  node.set_op(op);
  (*node.mutable_attr())["T"].set_type(dtype);
  return has_kernel(node, device);
}

std::string no_kernel(const NodeDef& node, const std::string& stock) {
  DeviceNameUtils::ParsedName device;
  if (DeviceNameUtils::ParseFullName(node.device(), &device) && device.has_type) {
    if (has_kernel(node, DeviceType(device.type))) return "";
    return "no kernel of ours for " + device.type + " and this type";
  }
  // The device is not chosen yet, and the choice must not depend on whose kernels there are.
  NodeDef of_stock = node;
  of_stock.set_op(stock);
  for (const char* type : {tensorflow::DEVICE_CPU, tensorflow::DEVICE_GPU}) {
    if (has_kernel(of_stock, DeviceType(type)) && !has_kernel(node, DeviceType(type))) {
      return std::string("not placed yet, and no kernel of ours for ") + type + " and this type";
    }
  }
  return "";
}

std::optional<conv::Activation> activation_of(std::string_view stock) {
  constexpr std::pair<std::string_view, conv::Activation> kOfStock[] = {
      {"Relu", conv::Activation::kRelu},
      {"Relu6", conv::Activation::kRelu6},
      {"Elu", conv::Activation::kElu},
      {"LeakyRelu", conv::Activation::kLeakyRelu}};
  for (const auto& [name, activation] : kOfStock) {
    if (name == stock) return activation;
  }
  return std::nullopt;
}

std::string why_not(int index, Ops ops, Process process) {
  if ((ops & (1u << index)) == 0) {
    return ops == 0 ? "not installed" : "not among the ops that were asked for";
  }
  if (process == Process::kAnother) return "in another process";
  if (process == Process::kSeveral) return "the graph spans several processes";
  return "";
}

std::optional<Entry> rename(NodeDef* node, Ops ops, Process process) {
  if (!is_depthwise(node->op())) return std::nullopt;
  Entry entry = look_at(*node);
  if (entry.ours) return entry;
  const bool fused = index_of(node->op()) < 0;
  NodeDef ours = *node;
  if (fused && !fuse(&ours)) return entry;  // by an activation that ours does not have
  std::string why = why_not(fused ? 0 : index_of(entry.op), ops, process);
  if (why.empty() && process == Process::kUnknown && names_a_process(*node)) {
    why = "not placed yet, and perhaps in another process";
  }
  if (!fused) ours.set_op(our_name(entry.op));
  if (why.empty()) why = no_kernel(ours, node->op());
  if (!why.empty()) {
    entry.why = fused ? entry.why + ", " + why : why;
    return entry;
  }
  (*ours.mutable_attr())[kMark].set_b(true);
  *node = std::move(ours);
  return look_at(*node);
}

std::vector<Entry> rename(tensorflow::GraphDef* graph, Ops ops, const std::set<std::string>& wanted,
                          int* changed) {
  *changed = 0;
  const Process process = spans_processes(*graph) ? Process::kSeveral : Process::kUnknown;
  std::vector<Entry> entries;
  for (NodeDef& node : *graph->mutable_node()) {
    const std::string op = node.op();
    if (std::optional<Entry> entry = rename(&node, ops, process)) {
      *changed += node.op() != op;
      entries.push_back(*std::move(entry));
    }
  }
  if (!why_not(0, ops, process).empty()) return entries;
  for (const Merged& merged : merge(graph, wanted)) {
    ++*changed;
    const auto entry = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
      return other.node == merged.forward;
    });
    *entry = look_at(*merged.into);
  }
  return entries;
}

Entry look_at(const NodeDef& node) {
  Entry entry;
  // Where it was traced, if it was inlined since.
  entry.node = node.name();
  entry.device = node.device();
  const auto& debug = node.experimental_debug_info();
  entry.traced_node =
      debug.original_node_names_size() > 0 ? debug.original_node_names(0) : node.name();
  if (debug.original_func_names_size() > 0) entry.traced_function = debug.original_func_names(0);
  if (const std::string_view stock = stock_name(node.op()); !stock.empty()) {
    entry.op = stock;
    entry.ours = true;
    const auto& attributes = node.attr();
    entry.why = attributes.contains(kMerged)  ? kMergedWhy
                : !attributes.contains(kMark) ? "traced so"
                : node.op() == kFusedName     ? kRenamedFused
                                              : "renamed";
  } else if (starts_with(node.op(), kFused)) {
    entry.op = std::string(kStockNames[0]);
    entry.why = "fused with what follows it (" + node.op() + ")";
  } else {
    entry.op = node.op();
  }
  return entry;
}

std::vector<Entry> look_at(const tensorflow::FunctionDef& function) {
  std::vector<Entry> entries;
  for (const NodeDef& node : function.node_def()) {
    if (!is_depthwise(node.op())) continue;
    entries.push_back(look_at(node));
    Entry& entry = entries.back();
    if (entry.why.empty()) entry.why = "in a function that TensorFlow did not optimize";
  }
  return entries;
}

}  // namespace tf_dwbp::swap
