#include "cc/gpu/tiled.h"

#include "cc/conv/gather.h"
#include "cc/conv/implementations.h"
#include "cc/gpu/for_device.h"
#include "cc/gpu/kernels/kernels.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Error;
using conv::Geometry;
using conv::Op;
using conv::Problem;

// In NCHW, of whole vectors.
Windows aligned_windows(const Problem& problem) {
  Windows windows = windows_of(problem);
  if (problem.geometry.layout == conv::Layout::kNCHW) {
    align(windows.configuration, kVectorBytes / static_cast<int>(bytes_of(problem.dtype)),
          &windows.width);
  }
  return windows;
}

std::string pair(int64_t rows, int64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

std::string describe_tile(const Tile& tile, int shared_bytes, int blocks_resident) {
  return "tiles of " + pair(tile.rows, tile.columns) + " of " +
         pair(tile.source_rows, tile.source_columns) + " staged positions, " +
         std::to_string(shared_bytes) + " bytes of shared memory, registers for " +
         std::to_string(blocks_resident) + " blocks a multiprocessor";
}

class Gather : public Plan {
 public:
  explicit Gather(const Problem& problem) : Plan(problem), windows_(aligned_windows(problem)) {}

  Error run(const Tensors& tensors, void* stream) const override {
    const GatherTiling* tiling = nullptr;
    const Error error = find_tiling(&tiling);
    if (!error.empty()) return error;
    const Geometry& g = problem.geometry;
    const TiledGather call{g.batch,
                           g.channels,
                           windows_.height,
                           windows_.width,
                           /*reversed=*/problem.op == Op::kForward,
                           *tiling};
    const Instance instance{g.layout, index_for(problem.op, windows_.configuration)};
    return kernels(problem.dtype).gather_tiled(instance, call, {problem, tensors}, stream);
  }

  std::string describe() const override {
    const GatherTiling* tiling = nullptr;
    const Error error = find_tiling(&tiling);
    if (!error.empty()) return "tiles that are chosen for the GPU that runs them; " + error;
    return describe_tile(tiling->tile, tiling->shared_bytes, tiling->blocks_resident) + ", " +
           std::to_string(tiling->blocks) + " blocks of " + std::to_string(tiling->threads) +
           " threads";
  }

 private:
  Error find_tiling(const GatherTiling** tiling) const {
    const int bytes = static_cast<int>(bytes_of(problem.dtype));
    return tilings_.find(
        problem.dtype,
        [&](const Device& device) {
          return GatherTiling(problem.geometry, windows_, device, bytes);
        },
        tiling);
  }

  const Windows windows_;
  mutable ForDevice<GatherTiling> tilings_;
};

class FilterGrad : public Plan {
 public:
  FilterGrad(const Problem& problem, const Windows& windows)
      : Plan(problem),
        instance_{problem.geometry.layout, index_for(problem.op, windows.configuration)},
        call_{problem.geometry.batch, problem.geometry.channels, windows.height, windows.width,
              FilterGradTiling(problem.geometry, windows, problem.dtype)} {
    workspace_bytes = bytes_of_parts(problem.geometry, call_.tiling.parts, problem.dtype);
  }

  Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).filter_grad_tiled(instance_, call_, tensors, stream);
  }

  std::string describe() const override {
    const FilterGradTiling& tiling = call_.tiling;
    return describe_tile(tiling.tile, tiling.shared_bytes, tiling.blocks_resident) + ", " +
           std::to_string(tiling.parts) + " parts of " + std::to_string(tiling.tiles_of_part) +
           " tiles, " + std::to_string(tiling.parts * tiling.channel_blocks) + " blocks";
  }

 private:
  const Instance instance_;
  const TiledFilterGrad call_;
};

}  // namespace

std::string tiled_declines(const Problem& problem) {
  std::string why = conv::declines_without_products(problem);
  if (!why.empty()) return why;
  Windows windows;
  why = find_windows(problem, &windows);
  if (!why.empty()) return why;
  const Configuration& c = windows.configuration;
  if (index_for(problem.op, c) >= 0) return "";
  const conv::Axis& axis = problem.geometry.height;
  return "no kernel is compiled for " + std::to_string(c.taps) + "x" + std::to_string(c.taps) +
         " taps and stride " + std::to_string(axis.stride);
}

PlanPointer plan_tiled(const Problem& problem) {
  if (problem.op != Op::kFilterGrad) return std::make_unique<Gather>(problem);
  return std::make_unique<FilterGrad>(problem, aligned_windows(problem));
}

}  // namespace tf_dwbp::gpu
