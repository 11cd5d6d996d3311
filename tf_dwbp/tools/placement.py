"""Where calls have to run: libraries and plug-ins that are loaded first, and a device.

On a device, soft placement is off, so that TensorFlow refuses what the device has no kernel for
instead of running it elsewhere. That is not enough: what is called may move to another device by
itself. So TensorFlow's own record is read. In eager mode and in a `tf.function` these are the
graphs that it made ready for each device, as the device's executor runs them: after placement,
copies between devices and constant folding. A function that XLA compiles is one kernel, whose
device its results tell.

TensorFlow is imported when it is needed: in workers.
"""

import argparse
import contextlib
import dataclasses
import mmap
import pathlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from tf_dwbp.tools import arrays, console, targets

# What a plug-in for a device, its kernels, its graph optimizer or its profiler exports.
_PLUG_IN_SYMBOLS = (
    b"SE_InitPlugin\0",
    b"TFNPD_InitPlugin\0",
    b"TF_InitKernel\0",
    b"TF_InitGraph\0",
    b"TF_InitProfiler\0",
)
_DEVICE = re.compile(r"(?:/?device:)?([A-Za-z][A-Za-z0-9_]*):(\d+)")
_MARK = re.compile(r"\btf_dwbp_call_(\d+)/")

# Nodes of a graph that compute nothing: they pass on, copy, or hold what has been computed.
_PLUMBING = {
    *("_Arg", "_DeviceArg", "_Retval", "_DeviceRetval", "_Send", "_Recv", "_HostSend", "_HostRecv"),
    *("Const", "HostConst", "_EagerConst", "Identity", "IdentityN", "Snapshot", "StopGradient"),
    *("PreventGradient", "NoOp", "Placeholder", "PlaceholderWithDefault"),
    *("Shape", "ShapeN", "Size", "Rank", "Switch", "Merge", "CheckNumerics"),
}


class Unusable(Exception):
    """A library cannot be loaded, or there is no such device. Says which, and what there is."""


def device_name(text: str) -> str:
    """The name of a device as users write it, "GPU:0". Raises ValueError if it is none."""
    found = _DEVICE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not the name of a device, such as GPU:0 or MY_NPU:0")
    return f"{found[1].upper()}:{int(found[2])}"


def is_plug_in(path: str) -> bool:
    """Whether a library is a plug-in, to be loaded as such, and not a library of ops.

    Loading it to find out would run what it registers: the names are looked for in the file.
    """
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return any(content.find(symbol) >= 0 for symbol in _PLUG_IN_SYMBOLS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `of` reads."""
    parser.add_argument(
        "--device",
        type=_device_argument,
        metavar="NAME",
        help="judge on this device, such as GPU:0 or MY_NPU:0, in one process; what TensorFlow "
        "says it ran elsewhere does not agree",
    )
    parser.add_argument(
        "--load-library",
        action="append",
        default=[],
        metavar="PATH",
        help="load a device's plug-in, or a library of ops, before all else; may be repeated",
    )


def of(arguments: argparse.Namespace) -> "Placement":
    """The placement that a command line asks for."""
    return Placement(arguments.device, tuple(arguments.load_library), arrays.of(arguments))


def target_of(arguments: argparse.Namespace) -> str | None:
    """What a command line has judged, None for our ops: on a device, stock's unless it says so."""
    target = arguments.target or (targets.STOCK if arguments.device else targets.OURS)
    return None if target == targets.OURS else target


def _device_argument(text):
    try:
        return device_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where calls run. By default: where TensorFlow likes, with nothing loaded before.

    Or without TensorFlow, where a function of NumPy arrays is called.
    """

    device: str | None = None  # as `device_name` has it
    libraries: tuple[str, ...] = ()
    arrays: str = targets.TENSORFLOW  # what a function takes: one of `targets.ARRAYS`

    @property
    def words(self) -> list[str]:
        """These as words of a command line, which `split` reads, and users write."""
        device = ["--device", self.device] if self.device else []
        kind = ["--arrays", self.arrays] if self.without_tensorflow else []
        libraries = [word for path in self.libraries for word in ("--load-library", path)]
        return device + libraries + kind

    @property
    def without_tensorflow(self) -> bool:
        """Whether a function of NumPy arrays is called."""
        return self.arrays == targets.NUMPY

    def words_for(self, target: str, op: str | None = None) -> list[str]:
        """The first of a program's options that have a call of `target` made again here."""
        if target == targets.OURS and not self.words:
            return []
        return [*self.words, "--target", target, *(["--op", op] if op else [])]

    def options(self, target: str, op: str | None = None) -> str:
        """The same as the beginning of a line."""
        words = self.words_for(target, op)
        return f"{shlex.join(words)} " if words else ""

    @classmethod
    def split(cls, words: Sequence[str]) -> tuple["Placement", list[str]]:
        """A placement from the beginning of a list of words, and the others."""
        words, device, libraries, kind = list(words), None, [], targets.TENSORFLOW
        while words[:1] in (["--device"], ["--load-library"], ["--arrays"]):
            option, value, *words = words
            if option == "--device":
                device = value
            elif option == "--arrays":
                kind = value
            else:
                libraries.append(value)
        return cls(device, tuple(libraries), kind), words

    def prepare(self) -> None:
        """Loads the libraries and looks for the device. To be called before TensorFlow is used.

        Raises:
          Unusable: a library cannot be loaded, or there is no such device.
        """
        for path in self.libraries:
            _load(path)
        if self.device is None:
            return
        import tensorflow as tf

        tf.config.set_soft_device_placement(False)
        try:
            devices = [_short(device.name) for device in tf.config.list_logical_devices()]
        except Exception as error:  # whatever a plug-in's initialisation leads to
            raise Unusable(f"TensorFlow's devices: {console.one_line(error)}") from None
        if self.device not in devices:
            raise Unusable(f"device {self.device}: there are {', '.join(devices)}")

    def scope(self):
        """A context, in eager mode and in graphs, in which calls are made."""
        if self.device is None:
            return contextlib.nullcontext()
        import tensorflow as tf

        return tf.device(f"/device:{self.device}")

    @contextlib.contextmanager
    def recorded(self) -> Iterator["Record"]:
        """Records what the calls of the block run."""
        record = Record(self.device)
        if self.device is None:
            yield record
            return
        from tensorflow.python.eager import context

        eager = context.context()
        eager.clear_kernel_cache()  # what has run before would not be recorded again
        eager.enable_run_metadata()
        try:
            eager.export_run_metadata()  # of what ran before the block
            with self.scope():
                yield record
            record.read(eager.export_run_metadata())
        finally:
            eager.disable_run_metadata()


ANYWHERE = Placement()


class Record:
    """What TensorFlow says that it ran, and where."""

    def __init__(self, device: str | None):
        self._device = device
        self._nodes = []  # (number of the call or None, op, device)

    def read(self, metadata) -> None:
        """Takes in a `RunMetadata`."""
        for function in metadata.function_graphs:
            for graph in function.partition_graphs:
                for node in graph.node:
                    if _computes(node):
                        found = _MARK.search(node.name)
                        number = int(found[1]) if found else None
                        self._nodes.append((number, node.op, _short(node.device)))

    def elsewhere(self, call: int | None = None) -> str:
        """What did not run on the device that was asked for; empty if all did, or none was asked.

        Args:
          call: the number that `mark` was given, of one call in a graph; None: all that ran.
        """
        if self._device is None:
            return ""
        # A node that has lost its mark may be of any call: it speaks against each, and for none.
        wrong = [
            f"{op} ran on {device}"
            for number, op, device in self._nodes
            if device != self._device and (call is None or number in (call, None))
        ]
        if wrong:
            return f"{', '.join(dict.fromkeys(wrong))}, not on {self._device}"
        if not any(call is None or number == call for number, _, _ in self._nodes):
            return f"TensorFlow has no record of an op that ran on {self._device}"
        return ""

    def results_elsewhere(self, results: Iterable) -> str:
        """The same for one kernel that XLA compiled, by the tensors that it returned."""
        if self._device is None:
            return ""
        found = [_short(getattr(result, "device", "") or "no device") for result in results]
        wrong = [device for device in dict.fromkeys(found) if device != self._device]
        return f"ran on {', '.join(wrong)}, not on {self._device}" if wrong else ""


def refusal_anywhere(call: Callable[[], object]) -> str:
    """Why TensorFlow refuses a call while it makes a graph; empty if it does not.

    Nothing is placed then, so that it is no device's doing. The ops' shape functions, say, refuse
    calls with an empty result which kernels may compute.
    """
    import tensorflow as tf

    try:
        with tf.Graph().as_default():
            call()
    except Exception as error:
        return console.one_line(error)
    return ""


def mark(call: int) -> str:
    """A name scope for one of several calls in a graph, so that its ops are known."""
    return f"tf_dwbp_call_{call}"


def _computes(node):
    """Whether a node computes anything but integers, such as shapes, which TensorFlow's CPU may."""
    if node.op in _PLUMBING:
        return False
    import tensorflow as tf

    types = [tf.as_dtype(value.type) for value in node.attr.values() if value.type]
    return not types or not all(dtype.is_integer or dtype.is_bool for dtype in types)


def _load(path):
    try:
        plug_in = is_plug_in(path)
    except (OSError, ValueError) as error:  # ValueError: an empty file, or a null character
        raise Unusable(f"library {path}: {getattr(error, 'strerror', None) or error}") from None
    import tensorflow as tf
    from tensorflow.python.framework import load_library

    load = load_library.load_pluggable_device_library if plug_in else tf.load_op_library
    try:
        load(str(pathlib.Path(path).absolute()))  # without a slash, the loader would search
    except Exception as error:  # the library's own, too
        raise Unusable(f"library {path}: {console.one_line(error)}") from None


def _short(device):
    """A device's name without job, replica and task."""
    return device.rpartition("/")[2].removeprefix("device:")
