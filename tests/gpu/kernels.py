"""The library of GPU kernels (cc/tests/gpu_harness.cu) by ctypes."""

import ctypes

import numpy as np

TYPES = ("half", "bfloat16", "float", "double")  # in the order of the library's numbers
OPS = ("forward", "input_grad", "filter_grad")


class GpuError(Exception):
    """The library's message."""


class _Request(ctypes.Structure):
    _fields_ = [
        ("op", ctypes.c_int),
        ("type", ctypes.c_int),
        ("input", ctypes.c_int64 * 4),
        ("filter", ctypes.c_int64 * 4),
        ("strides", ctypes.c_int64 * 4),
        ("dilations", ctypes.c_int64 * 4),
        ("explicit_paddings", ctypes.c_int64 * 8),
        ("padding", ctypes.c_char_p),
        ("data_format", ctypes.c_char_p),
    ]


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

    def resources(self, dtype):
        """Registers, and bytes that spilled, of the kernel that takes most of them."""
        registers, spilled = ctypes.c_int64(), ctypes.c_int64()
        index = TYPES.index(dtype)
        self.check("tf_dwbp_resources", index, ctypes.byref(registers), ctypes.byref(spilled))
        return registers.value, spilled.value

    def allocate(self, size):
        return Buffer(self, size)

    def request(
        self,
        op,
        dtype,
        input_sizes,
        filter_shape,
        strides,
        padding,
        explicit_paddings=(),
        data_format="NHWC",
        dilations=(1, 1, 1, 1),
    ):
        """A call, in the words of the ops."""
        return _Request(
            OPS.index(op),
            TYPES.index(dtype),
            (ctypes.c_int64 * 4)(*input_sizes),
            (ctypes.c_int64 * 4)(*filter_shape),
            (ctypes.c_int64 * 4)(*strides),
            (ctypes.c_int64 * 4)(*dilations),
            (ctypes.c_int64 * 8)(*explicit_paddings),
            padding.encode(),
            data_format.encode(),
        )

    def workspace_bytes(self, request):
        size = ctypes.c_int64()
        self.check("tf_dwbp_workspace_bytes", ctypes.byref(request), ctypes.byref(size))
        return size.value

    def launch(self, request, a, b, result, workspace, stream=None):
        """Addresses are numbers; nothing is waited for."""
        pointers = [ctypes.c_void_p(address) for address in (a, b, result, workspace, stream)]
        self.check("tf_dwbp_run", ctypes.byref(request), *pointers)

    def compute(self, request, a, b, result):
        """Fills the array `result` from arrays, and checks that nothing beyond it is written."""
        guard = np.full(256, 0xAA, np.uint8)
        with (
            self.allocate(a.nbytes) as on_a,
            self.allocate(b.nbytes) as on_b,
            self.allocate(result.nbytes + guard.nbytes) as on_result,
            self.allocate(self.workspace_bytes(request)) as workspace,
        ):
            on_a.write(a)
            on_b.write(b)
            on_result.fill(0xAA)
            workspace.fill(0xFF)  # NaN
            addresses = [buffer.data.value for buffer in (on_a, on_b, on_result, workspace)]
            self.launch(request, *addresses)
            on_result.read(result)
            if (on_result.read(np.empty_like(guard), result.nbytes) != guard).any():
                raise GpuError("something was written behind the result")
        return result
