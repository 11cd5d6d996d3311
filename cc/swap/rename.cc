#include "cc/swap/rename.h"

#include <set>
#include <string_view>
#include <utility>

#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/util/device_name_utils.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::DeviceNameUtils;
using tensorflow::DeviceType;
using tensorflow::NodeDef;

constexpr std::string_view kStock[] = {"DepthwiseConv2dNative",
                                       "DepthwiseConv2dNativeBackpropInput",
                                       "DepthwiseConv2dNativeBackpropFilter"};
constexpr std::string_view kOurs = "TfDwbp>";  // followed by stock's name
constexpr std::string_view kFused = "_FusedDepthwiseConv2dNative";

// The op's place in kStock, or -1.
int index_of(std::string_view op) {
  for (int i = 0; i < 3; ++i) {
    if (op == kStock[i]) return i;
  }
  return -1;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
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

bool has_kernel(const NodeDef& node, const DeviceType& type) {
  return tensorflow::FindKernelDef(type, node, nullptr, nullptr).ok();
}

// Why the node, already with our name, could not run where stock's would; "" where it can.
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

// Where the node was traced, if it was inlined since.
void read_origin(const NodeDef& node, Entry* entry) {
  const auto& debug = node.experimental_debug_info();
  entry->traced_node =
      debug.original_node_names_size() > 0 ? debug.original_node_names(0) : node.name();
  if (debug.original_func_names_size() > 0) entry->traced_function = debug.original_func_names(0);
}

}  // namespace

bool may_have_depthwise(const char* bytes, size_t size) {
  return std::string_view(bytes, size).find(kStock[0]) != std::string_view::npos;
}

std::vector<Entry> rename(tensorflow::GraphDef* graph, Ops ops, int* renamed) {
  *renamed = 0;
  const bool spread = spans_processes(*graph);
  std::vector<Entry> entries;
  for (NodeDef& node : *graph->mutable_node()) {
    Entry entry;
    entry.node = node.name();
    entry.device = node.device();
    read_origin(node, &entry);
    const std::string op = node.op();
    const int index = index_of(op);
    if (index >= 0) {
      entry.op = op;
      if ((ops & (1u << index)) == 0) {
        entry.why = ops == 0 ? "not installed" : "not among the ops that were asked for";
      } else if (spread) {
        entry.why = "the graph spans several processes";
      } else {
        node.set_op(std::string(kOurs) + op);
        entry.why = no_kernel(node, op);
        entry.ours = entry.why.empty();
        if (entry.ours) {
          entry.why = "renamed";
          ++*renamed;
        } else {
          node.set_op(op);
        }
      }
    } else if (starts_with(op, kFused)) {
      entry.op = std::string(kStock[0]);
      entry.why = "fused with what follows it (" + op + ")";
    } else if (starts_with(op, kOurs) && index_of(op.substr(kOurs.size())) >= 0) {
      entry.op = op.substr(kOurs.size());
      entry.ours = true;
      entry.why = "traced so";
    } else {
      continue;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace tf_dwbp::swap
