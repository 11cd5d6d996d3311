// Our forward op and the bias and activation that follow it in a graph become our op with an
// epilogue. TensorFlow does so for its own ops, of which it knows what they compute.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tensorflow/core/framework/graph.pb.h"

namespace tf_dwbp::swap {

// The name of the node that a tensor or an input is of: NAME, NAME:NUMBER or ^NAME.
std::string_view node_of(std::string_view input);

// What one of our forward ops, of that name, was merged into: the last node of those that it was
// merged with, whose name others know.
struct Merged {
  std::string forward;
  const tensorflow::NodeDef* into;  // as long as the graph is not changed
};

// Merges each of our forward ops with the BiasAdd that follows it and, if one follows that, a Relu,
// Relu6, Elu or LeakyRelu, where
//   - nobody else has what lies between, as data, by a control edge or for the graph's user: the
//     graph's user wants, under their names, the nodes in `wanted`,
//   - types, layouts and devices are the same, and no node is to be where another is (colocation).
// The merged node has the last one's name, and the control inputs of all.
std::vector<Merged> merge(tensorflow::GraphDef* graph, const std::set<std::string>& wanted);

}  // namespace tf_dwbp::swap
