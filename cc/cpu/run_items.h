// Has workers do the items of a call.
#pragma once

#include <cstdint>

#include "cc/cpu/plan.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/parallel.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// Each thread that takes part makes a Worker of what all share, the `call` and the `scratch`, and
// of its own part of the workspace.
template <typename Worker, typename Call, typename Scratch>
void run_items(const Plan& plan, int64_t items, double cycles, const Parallel& parallel,
               const Call& call, const Scratch& scratch, const WorkerParts& parts,
               void* workspace) {
  share(parallel, plan.workers, items, cycles, [&](Items* left, int64_t worker) {
    const ScopedIeeeDenormals ieee;
    Worker runner(call, scratch, parts.of(worker, workspace));
    for (int64_t item; left->take(worker, &item);) runner.run(item);
  });
}

}  // namespace tf_dwbp::cpu
