// Stock's depthwise ops in a graph become ours: the rules.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cc/conv/activation.h"
#include "cc/conv/export.h"
#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/types.h"

namespace tf_dwbp::swap {

// The mark of a node of ours that was made of several.
inline constexpr char kMerged[] = "_tf_dwbp_merged";

// What became of one depthwise op of a graph.
struct Entry {
  std::string node;             // its name in the graph that runs
  std::string traced_node;      // its name in the function that it was traced in, and that
  std::string traced_function;  // function's; "" where that is the graph itself
  std::string op;               // stock's name of the op
  std::string device;           // "" before placement
  bool ours = false;            // whether our op computes it
  std::string why;  // "renamed ...", "traced so", "merged ...", or why it was left to stock
};

// Bits that choose among the ops, in the order of conv::Op.
using Ops = unsigned;

// Where the nodes of a graph run, as far as the rules have to know.
enum class Process {
  kThis,     // in this process
  kUnknown,  // in a process that the node names, if it names one
  kAnother,  // in a process that may not have our ops
  kSeveral,  // in several ones
};

// Whether the graph, as bytes, can hold any depthwise op; most graphs hold none, and are not
// parsed.
bool may_have_depthwise(const char* bytes, size_t size);

// The place of stock's op in kStockNames, as of its bit in Ops, or -1.
int index_of(std::string_view op);

// What we call stock's op.
TF_DWBP_EXPORT std::string our_name(std::string_view stock);

// Whether we have a kernel for the device, for a tensor of the type.
TF_DWBP_EXPORT bool has_kernel(const std::string& op, tensorflow::DataType dtype,
                               const tensorflow::DeviceType& device);

// Why a node with our name could not run where that of another op, `stock`, would; "" where it can.
std::string no_kernel(const tensorflow::NodeDef& node, const std::string& stock);

// Ours for an activation that is an op of stock's.
std::optional<conv::Activation> activation_of(std::string_view stock);

// Whether a function is what TensorFlow makes of an eager call, whose op has been decided upon, and
// must not be decided upon for all calls to come.
bool is_eager_call(std::string_view function);

// Whether an op is one of stock's, also as stock fuses it, or one of ours.
bool is_depthwise(std::string_view op);

// Why stock's op, which may be asked for, is not swapped wherever it is; "" if it may be.
TF_DWBP_EXPORT std::string why_not(int index, Ops ops, Process process);

// What becomes of a depthwise op: it is renamed to ours where
//   - it is one of `ops`,
//   - if stock has fused it with the bias that follows it, and perhaps an activation, our fused op
//     has that activation,
//   - its device is of a kind that our op has a kernel for, for its type,
//   - the graph lies in this process: others need not have our ops.
// All else about a node stays: name, inputs, control inputs, device, attributes (colocation among
// them) and debug information. A mark is added that tells what was renamed from what was ours.
// nullopt for ops of other kinds.
std::optional<Entry> rename(tensorflow::NodeDef* node, Ops ops, Process process);

// The same for the nodes of a graph, of which those named in `wanted` must stay; where the forward
// op is asked for, ours are merged with what follows them then: merge.h. Functions in the graph's
// library are not touched: TensorFlow hands over those that it does not inline as graphs of their
// own, and XLA compiles the others. `changed` counts those that were renamed, and the merged ones.
std::vector<Entry> rename(tensorflow::GraphDef* graph, Ops ops, const std::set<std::string>& wanted,
                          int* changed);

// What a depthwise op is, and those of a function.
TF_DWBP_EXPORT Entry look_at(const tensorflow::NodeDef& node);
std::vector<Entry> look_at(const tensorflow::FunctionDef& function);

}  // namespace tf_dwbp::swap
