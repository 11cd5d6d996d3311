// Stock's depthwise ops in a graph become ours: the rules.
#pragma once

#include <string>
#include <vector>

#include "tensorflow/core/framework/graph.pb.h"

namespace tf_dwbp::swap {

// What became of one depthwise op of a graph.
struct Entry {
  std::string node;             // its name in the graph that runs
  std::string traced_node;      // its name in the function that it was traced in, and that
  std::string traced_function;  // function's; "" where that is the graph itself
  std::string op;               // stock's name of the op
  std::string device;           // "" before placement
  bool ours = false;            // whether our op computes it
  std::string why;              // "renamed", "traced so", or why it was left to stock
};

// Bits that choose among the ops, in the order of conv::Op.
using Ops = unsigned;
inline constexpr Ops kAllOps = 7;

// Whether the graph, as bytes, can hold any depthwise op; most graphs hold none, and are not
// parsed.
bool may_have_depthwise(const char* bytes, size_t size);

// Renames each depthwise op among the graph's nodes to ours where
//   - it is one of `ops`,
//   - stock has not fused it with what follows it,
//   - its device is of a kind that our op has a kernel for, for its type,
//   - the graph lies in one process: others need not have our ops.
// All else about a node stays: name, inputs, control inputs, device, attributes (colocation among
// them) and debug information. Functions in the graph's library are not touched: TensorFlow hands
// over those that it does not inline as graphs of their own, and XLA compiles the others.
// Returns what became of each; `renamed` counts those that were renamed.
std::vector<Entry> rename(tensorflow::GraphDef* graph, Ops ops, int* renamed);

}  // namespace tf_dwbp::swap
