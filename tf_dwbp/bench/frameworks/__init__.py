"""Other frameworks as peers: each in a process of its own, where no TensorFlow is loaded.

Their threads go on spinning after a call, and their allocators and settings hold for a process.
"""

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Framework:
    """A framework, and the module here that has it make calls."""

    title: str
    module: str  # beside this one; it has `prepare(call, threads) -> Contender`
    distributions: dict[str, str]  # what has to be installed -> the module that it brings

    @property
    def prepare(self) -> Callable:
        """Its function, which imports the framework; raises Refused for what that cannot do."""
        return importlib.import_module(f"{__name__}.{self.module}").prepare

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""
        if all(_is_there(module) for module in self.distributions.values()):
            return None
        return f"{self.title} is not installed: pip install {' '.join(self.distributions)}"

    @property
    def version(self) -> str:
        return importlib.metadata.version(next(iter(self.distributions)))


def _is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


FRAMEWORKS = {
    "torch": Framework("PyTorch", "pytorch", {"torch": "torch"}),
    "litert": Framework(
        "LiteRT",
        "litert",
        {"ai-edge-litert": "ai_edge_litert", "flatbuffers": "flatbuffers"},
    ),
    "ort": Framework(
        "ONNX Runtime", "onnx_runtime", {"onnxruntime": "onnxruntime", "onnx": "onnx"}
    ),
    "openvino": Framework("OpenVINO", "openvino_cpu", {"openvino": "openvino"}),
}
