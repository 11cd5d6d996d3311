"""The library of GPU kernels (cc/tests/gpu_harness.cu) by ctypes."""

import ctypes

import numpy as np

from tf_dwbp.tools.problem import Problem


class GpuError(Exception):
    """The library's message."""


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

    def __init__(self, library, problem):
        self._library = library
        self.handle = ctypes.c_void_p()
        size = ctypes.c_int64()
        text = str(problem).encode()
        library.check("tf_dwbp_plan", text, ctypes.byref(self.handle), ctypes.byref(size))
        self.workspace_bytes = size.value

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._library.check("tf_dwbp_free_plan", self.handle)

    def launch(self, a, b, result, workspace, stream=None):
        """Addresses are numbers; nothing is waited for."""
        pointers = [ctypes.c_void_p(address) for address in (a, b, result, workspace, stream)]
        self._library.check("tf_dwbp_run", self.handle, *pointers)


class Buffer:
    """Memory of the GPU."""

    def __init__(self, library, size):
        self._library = library
        self.size = size
        self.data = ctypes.c_void_p()
        library.check("tf_dwbp_allocate", ctypes.byref(self.data), ctypes.c_int64(max(1, size)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._library.check("tf_dwbp_free", self.data)

    def write(self, array):
        pointer = array.ctypes.data_as(ctypes.c_void_p)
        self._library.check("tf_dwbp_copy", self.data, pointer, ctypes.c_int64(array.nbytes))

    def read(self, array, offset=0):
        pointer = array.ctypes.data_as(ctypes.c_void_p)
        source = ctypes.c_void_p((self.data.value or 0) + offset)
        self._library.check("tf_dwbp_copy", pointer, source, ctypes.c_int64(array.nbytes))
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

    def allocate(self, size):
        return Buffer(self, size)

    def plan(self, problem):
        return Plan(self, problem)

    def compute(self, problem, a, b, result):
        """Fills the array `result` from arrays, and checks that nothing beyond it is written."""
        guard = np.full(256, 0xAA, np.uint8)
        with (
            self.plan(problem) as plan,
            self.allocate(a.nbytes) as on_a,
            self.allocate(b.nbytes) as on_b,
            self.allocate(result.nbytes + guard.nbytes) as on_result,
            self.allocate(plan.workspace_bytes) as workspace,
        ):
            on_a.write(a)
            on_b.write(b)
            on_result.fill(0xAA)
            workspace.fill(0xFF)  # NaN
            addresses = [buffer.data.value for buffer in (on_a, on_b, on_result, workspace)]
            plan.launch(*addresses)
            on_result.read(result)
            if (on_result.read(np.empty_like(guard), result.nbytes) != guard).any():
                raise GpuError("something was written behind the result")
        return result
