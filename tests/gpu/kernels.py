"""The library of GPU kernels (cc/tests/gpu_harness.cu) by ctypes."""

import contextlib
import ctypes
import json
import time

import numpy as np

from tf_dwbp.tools.problem import Problem


class GpuError(Exception):
    """The library's message."""


def conclude(library, options, start, calls, failures) -> int:
    """Says how many calls failed since `start`, in a JSON file too; returns the exit status."""
    passed, seconds = calls - len(failures), time.monotonic() - start
    device = library.device()
    print(f"{passed} passed, {len(failures)} failed, {seconds:.0f} s on {device}")
    if options.json:
        found = {"device": device, "passed": passed, "failed": len(failures), "seconds": seconds}
        document = json.dumps(found | {"failures": failures[:50]}, indent=1)
        options.json.write_text(document + "\n", encoding="utf-8")
    return 1 if failures else 0


def problem_of(
    op,
    dtype,
    input_sizes,
    filter_shape,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
) -> Problem:
    """The problem that a call of an op is, in the words of the ops."""
    nhwc = data_format == "NHWC"
    rows, columns = (1, 2) if nhwc else (2, 3)
    padded = explicit_paddings[2:6] if nhwc else explicit_paddings[4:8]
    return Problem(
        op,
        dtype,
        data_format,
        input_sizes[0],
        input_sizes[rows],
        input_sizes[columns],
        *filter_shape[2:],
        *filter_shape[:2],
        strides[rows],
        strides[columns],
        dilations[rows],
        dilations[columns],
        padding,
        tuple(padded) or (0, 0, 0, 0),
    )


class Plan:
    """How the library will compute a problem, which it is told by its text."""

    def __init__(self, library, problem, implementation=""):
        self._library = library
        self.handle = ctypes.c_void_p()
        size = ctypes.c_int64()
        words = [str(problem).encode(), implementation.encode()]
        library.check("tf_dwbp_plan", *words, ctypes.byref(self.handle), ctypes.byref(size))
        self.workspace_bytes = size.value

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._library.check("tf_dwbp_free_plan", self.handle)

    def launch(self, a, b, result, workspace, stream=None, bias=None):
        """Addresses are numbers; nothing is waited for."""
        addresses = (a, b, result, workspace, bias, stream)
        pointers = [ctypes.c_void_p(address) for address in addresses]
        self._library.check("tf_dwbp_run", self.handle, *pointers)


_GUARD = np.full(256, 0xAA, np.uint8)


class Buffer:
    """Memory of the GPU, on both sides of which nothing else may write.

    `offset` is where it begins, in bytes behind a multiple of 256. Memory that is only read ends
    where its allocation does, and has no guards, so that sanitizers see who reads beyond.
    """

    def __init__(self, library, size, offset=0, guarded=True):
        self._library = library
        self.size = size
        self._base = ctypes.c_void_p()
        guard = len(_GUARD) if guarded else 0
        before = guard + offset
        total = max(1, before + size + guard)
        library.check("tf_dwbp_allocate", ctypes.byref(self._base), ctypes.c_int64(total))
        self.data = ctypes.c_void_p(self._base.value + before)
        self._guards = (offset, before + size) if guarded else ()
        for start in self._guards:
            self._copy(self._base.value + start, _GUARD.ctypes.data, _GUARD.nbytes)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._library.check("tf_dwbp_free", self._base)

    def _copy(self, to, source, size):
        to, source = ctypes.c_void_p(to), ctypes.c_void_p(source)
        self._library.check("tf_dwbp_copy", to, source, ctypes.c_int64(size))

    def check_guards(self, what):
        """GpuError if something was written right before or behind it."""
        for start, where in zip(self._guards, ("before", "behind"), strict=False):
            found = np.empty_like(_GUARD)
            self._copy(found.ctypes.data, self._base.value + start, found.nbytes)
            if (found != _GUARD).any():
                raise GpuError(f"something was written {where} the {what}")

    def write(self, array):
        self._copy(self.data.value, array.ctypes.data, array.nbytes)

    def read(self, array, offset=0):
        self._copy(array.ctypes.data, self.data.value + offset, array.nbytes)
        return array

    def fill(self, byte):
        self._library.check("tf_dwbp_fill", self.data, byte, ctypes.c_int64(self.size))


class Library:
    """What the shared library offers."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))

    def check(self, function, *arguments):
        function = getattr(self._library, function)
        function.restype = ctypes.c_char_p
        message = function(*arguments)
        if message:
            raise GpuError(message.decode())

    @property
    def emulated(self):
        return bool(self._library.tf_dwbp_emulated())

    def device(self):
        """The GPU's name; GpuError where there is none."""
        name = ctypes.create_string_buffer(256)
        self.check("tf_dwbp_device", name, ctypes.c_int64(len(name)))
        return name.value.decode()

    def resources(self, problem):
        """Registers, and bytes that spilled, of the kernel of its type that takes most of them."""
        registers, spilled = ctypes.c_int64(), ctypes.c_int64()
        text = str(problem).encode()
        self.check("tf_dwbp_resources", text, ctypes.byref(registers), ctypes.byref(spilled))
        return registers.value, spilled.value

    def explain(self, problem):
        """What is known of how the problem would be computed: lines of "name: value"."""
        text = ctypes.c_char_p()
        self.check("tf_dwbp_explain", str(problem).encode(), ctypes.byref(text))
        return text.value.decode()

    def vary(self, number):
        """Lets an emulated GPU be another one, with other orders of threads and blocks."""
        self._library.tf_dwbp_vary(ctypes.c_uint64(number))

    def allocate(self, size, offset=0, guarded=True):
        return Buffer(self, size, offset, guarded)

    def plan(self, problem, implementation=""):
        return Plan(self, problem, implementation)

    def compute(self, problem, operands, result, offsets=(0, 0, 0), implementation=""):
        """Fills the array `result`, and checks that nothing else is written.

        Args:
          problem: what to compute.
          operands: arrays, two or with a bias three.
          result: an array.
          offsets: where the first, the second (and the bias) and the result begin, in elements.
          implementation: which is to compute it, if it takes it.
        """
        places = [*offsets[:2], offsets[1]]
        with contextlib.ExitStack() as stack:
            plan = stack.enter_context(self.plan(problem, implementation))
            buffers = []
            for array, offset in zip(operands, places, strict=False):
                buffer = self.allocate(array.nbytes, offset * array.itemsize, guarded=False)
                stack.enter_context(buffer).write(array)
                buffers.append(buffer)
            on_result = stack.enter_context(
                self.allocate(result.nbytes, offsets[2] * result.itemsize)
            )
            workspace = stack.enter_context(self.allocate(plan.workspace_bytes))
            on_result.fill(0xAA)
            workspace.fill(0xFF)  # NaN
            addresses = [buffer.data.value for buffer in (*buffers[:2], on_result, workspace)]
            plan.launch(*addresses, bias=buffers[2].data.value if len(buffers) > 2 else None)
            on_result.read(result)
            on_result.check_guards("result")
            workspace.check_guards("workspace")
            for array, buffer in zip(operands, buffers, strict=True):
                if buffer.read(np.empty_like(array)).tobytes() != array.tobytes():
                    raise GpuError("an operand was written to")
        return result
