"""Memory for calls of the GPU kernels: what is written around it is seen, at both ends."""

import ctypes
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parents[1]))

from gpu import kernels  # noqa: E402


class _Memory:
    """A library's memory, without the library."""

    def __init__(self):
        self.blocks = {}

    def check(self, function, *arguments):
        if function == "tf_dwbp_allocate":
            pointer, size = arguments[0]._obj, arguments[1].value
            block = np.zeros(size + 256, np.uint8)
            pointer.value = block.ctypes.data + -block.ctypes.data % 256
            self.blocks[pointer.value] = block
        elif function == "tf_dwbp_copy":
            ctypes.memmove(arguments[0], arguments[1], arguments[2].value)
        elif function == "tf_dwbp_fill":
            ctypes.memset(arguments[0], arguments[1], arguments[2].value)
        elif function == "tf_dwbp_free":
            del self.blocks[arguments[0].value]


@pytest.mark.parametrize("offset", [0, 6])
@pytest.mark.parametrize("size", [0, 1, 300])
def test_what_is_written_beside_a_buffer_is_seen(offset, size):
    memory = _Memory()
    with kernels.Buffer(memory, size, offset) as buffer:
        assert buffer.data.value % 256 == offset
        buffer.fill(0x17)
        written = np.arange(size).astype(np.uint8)
        buffer.write(written)
        assert (buffer.read(np.empty_like(written)) == written).all()
        buffer.check_guards("result")
        for where, at in (
            ("before", -1),
            ("before", -256),
            ("behind", size),
            ("behind", size + 255),
        ):
            place = ctypes.c_uint8.from_address(buffer.data.value + at)
            intact, place.value = place.value, 0x17
            with pytest.raises(kernels.GpuError, match=f"written {where} the result"):
                buffer.check_guards("result")
            place.value = intact
        buffer.check_guards("result")
    with kernels.Buffer(memory, size, offset, guarded=False) as buffer:
        # Nothing behind it, but for what NumPy's array was made longer to be aligned.
        (block,) = memory.blocks.values()
        assert len(block) - 256 == max(1, size + offset)
        assert buffer.data.value % 256 == offset
    assert not memory.blocks


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
