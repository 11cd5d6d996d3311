// A graph optimizer, through TensorFlow's plug-in interface, that renames stock's depthwise ops to
// ours, also in functions that TensorFlow does not execute as graphs of their own.
//
// TensorFlow calls it for each function that is instantiated, after its own optimizers.

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cc/swap/merge.h"
#include "cc/swap/rename.h"
#include "cc/swap/state.h"
#include "tensorflow/c/experimental/grappler/grappler.h"
#include "tensorflow/c/tf_buffer.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/grappler/grappler_item.h"
#include "tensorflow/core/grappler/optimizers/custom_graph_optimizer_registry.h"

namespace tf_dwbp::swap {
namespace {

void set_output(const char* bytes, size_t size, TF_Buffer* output, TF_Status* status) {
  void* data = std::malloc(size);
  if (data == nullptr && size > 0) {
    TF_SetStatus(status, TF_RESOURCE_EXHAUSTED, "tf_dwbp: no memory for the graph");
    return;
  }
  std::memcpy(data, bytes, size);
  output->data = data;
  output->length = size;
  output->data_deallocator = [](void* bytes, size_t) { std::free(bytes); };
  TF_SetStatus(status, TF_OK, "");
}

// The names of the nodes that must be there afterwards.
std::set<std::string> wanted(const tensorflow::grappler::GrapplerItem& item) {
  std::set<std::string> names = {item.save_op, item.restore_op, item.save_restore_loc_tensor};
  for (const auto& [name, value] : item.feed) names.insert(name);
  for (const auto* some : {&item.fetch, &item.init_ops, &item.keep_ops}) {
    names.insert(some->begin(), some->end());
  }
  for (const auto& runner : item.queue_runners) {
    names.insert(runner.enqueue_op_name().begin(), runner.enqueue_op_name().end());
    names.insert({runner.close_op_name(), runner.cancel_op_name()});
  }
  std::set<std::string> nodes;  // where tensors are named, too
  for (const std::string& name : names) nodes.emplace(node_of(name));
  return nodes;
}

void optimize(void*, const TF_Buffer* input, const TF_GrapplerItem* item, TF_Buffer* output,
              TF_Status* status) {
  const char* bytes = static_cast<const char*>(input->data);
  tensorflow::GraphDef graph;
  if (!may_have_depthwise(bytes, input->length) ||
      !graph.ParseFromArray(bytes, static_cast<int>(input->length))) {
    set_output(bytes, input->length, output, status);
    return;
  }
  int changed = 0;
  // The function's name, which the C interface has no call for; in TensorFlow the item is this
  // struct behind an opaque pointer. The op library loads under no other version than it was built
  // for, so the layout is the right one.
  const auto* grappler_item = reinterpret_cast<const tensorflow::grappler::GrapplerItem*>(item);
  std::vector<Entry> entries;
  // Graphs that are frozen or converted are optimized to be kept, where our ops may not be known.
  if (grappler_item->id != "graph_to_optimize" && !is_eager_call(grappler_item->id)) {
    entries = rename(&graph, installs().ops(), wanted(*grappler_item), &changed);
  }
  // All graphs of sessions are called that; they are told apart when they are executed.
  if (!entries.empty() && grappler_item->id != "tf_graph") {
    ledger().optimized(grappler_item->id, std::move(entries));
  }
  if (changed == 0) {
    set_output(bytes, input->length, output, status);
    return;
  }
  const std::string result = graph.SerializeAsString();
  set_output(result.data(), result.size(), output, status);
}

// Whether a plug-in is registered for the type of device.
bool is_taken(const std::string& type) {
  using Create = decltype(tensorflow::grappler::PluginGraphOptimizerRegistry::CreateOptimizers);
  // Of libtensorflow_cc, which this library is not linked to, but Python has loaded.
  auto* const create = reinterpret_cast<Create*>(
      dlsym(RTLD_DEFAULT,
            "_ZN10tensorflow8grappler28PluginGraphOptimizerRegistry16CreateOptimizersERKSt3set"
            "INSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt4lessIS8_ESaIS8_EE"));
  return create != nullptr && !create({type}).empty();
}

// The types of device that this plug-in is registered for, and is to be registered for next.
// TensorFlow asks it about graphs with nodes on such a device, and then shows it all of their
// nodes: one for the CPU alone would miss graphs that lie on a GPU as a whole.
std::set<std::string>& registered_types() {
  static auto* const types = new std::set<std::string>;
  return *types;
}
const char* g_next_type = tensorflow::DEVICE_CPU;

}  // namespace
}  // namespace tf_dwbp::swap

// What TensorFlow looks for in a plug-in, each time that it is told to load one.
extern "C" TF_DWBP_EXPORT void TF_InitGraph(TP_OptimizerRegistrationParams* params,
                                            TF_Status* status) {
  using namespace tf_dwbp::swap;
  registered_types().insert(g_next_type);
  params->device_type = g_next_type;
  params->optimizer->create_func = [] { return static_cast<void*>(&installs()); };
  params->optimizer->optimize_func = optimize;
  params->optimizer->destroy_func = [](void*) {};
  TF_SetStatus(status, TF_OK, "");
}

// To be called, by one thread, before TensorFlow is told to load the plug-in for the CPU (0) or
// for GPUs (1): 0 if it may be; 1 if it is registered; 2 if another plug-in is. TensorFlow would
// abort the process at a second one.
extern "C" TF_DWBP_EXPORT int tf_dwbp_swap_prepare(int gpu) {
  using namespace tf_dwbp::swap;
  g_next_type = gpu ? tensorflow::DEVICE_GPU : tensorflow::DEVICE_CPU;
  if (registered_types().count(g_next_type) > 0) return 1;
  return is_taken(g_next_type) ? 2 : 0;
}
