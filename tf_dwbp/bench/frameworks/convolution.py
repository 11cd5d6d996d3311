"""What the runtimes for inference have in common: a forward op, whose filter is a constant."""

import dataclasses

import numpy as np

from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Refused
from tf_dwbp.tools.adapter import Geometry, geometry


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A forward op in the layout that the framework has, whatever the call's."""

    layout: str
    input: np.ndarray
    filter: np.ndarray  # height, width, channels, multiplier
    geometry: Geometry
    transposed: bool  # whether the call's layout is the other one

    @classmethod
    def of(cls, call: Call, layout: str) -> "Convolution":
        """Raises Refused for all but the forward op."""
        if call.op != "forward":
            raise Refused("it has the forward op alone")
        arrays, problem = call.tensors(), call.problem
        other = call.layout != layout
        return cls(
            layout,
            np.ascontiguousarray(_moved(arrays["input"], layout) if other else arrays["input"]),
            arrays["filter"],
            geometry(problem.input_sizes, problem.filter_sizes, **problem.attributes),
            other,
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        depth = self.filter.shape[2] * self.filter.shape[3]
        if self.layout == "NHWC":
            return (len(self.input), *self.geometry.outputs, depth)
        return (len(self.input), depth, *self.geometry.outputs)

    def to_call(self, result: np.ndarray) -> np.ndarray:
        """A result in the call's layout."""
        back = "NCHW" if self.layout == "NHWC" else "NHWC"
        return _moved(result, back) if self.transposed else result


def _moved(array, layout):
    """From the other layout to this one."""
    return array.transpose(*((0, 2, 3, 1) if layout == "NHWC" else (0, 3, 1, 2)))
