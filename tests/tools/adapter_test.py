"""What adapters of other frameworks are told of a call."""

import sys

import pytest

from tf_dwbp.conformance import cases
from tf_dwbp.tools import adapter


def _few():
    """A case of each combination of padding, shape, stride and dilation, in both layouts."""
    chosen = cases.select(dtypes=["float"], ops=["forward"], orders=[0])
    return chosen[::7]


def test_geometry_adds_up():
    for case in _few():
        found = adapter.geometry(case.input_sizes, case.filter_shape, **case.attributes)
        assert found.strides == case.stride
        assert found.dilations == case.dilation
        assert (found.layout, found.padding) == (case.layout, case.padding)
        sizes = case.shape.height, case.shape.width
        taps = case.shape.filter_height, case.shape.filter_width
        first = case.layout.index("H")
        expected = case.shapes["output"][first : first + 2]
        for i in range(2):
            extent = (taps[i] - 1) * case.dilation[i] + 1
            room = sizes[i] + found.before[i] + found.after[i] - extent
            outputs = max(0, room // case.stride[i] + 1)
            assert found.outputs[i] == outputs == expected[i], case.id
            if case.padding == "SAME":
                assert 0 <= found.after[i] - found.before[i] <= 1, case.id
            if 0 not in found.outputs:
                assert found.output_padding[i] == room % case.stride[i], case.id
        if 0 in found.outputs:
            with pytest.raises(NotImplementedError, match="^no transposed convolution of nothing"):
                _ = found.output_padding
        if case.padding == "VALID":
            assert found.before == found.after == (0, 0)
        if case.padding == "EXPLICIT":
            assert (found.before[0], found.after[0]) == cases.EXPLICIT_ROWS
            assert (found.before[1], found.after[1]) == cases.EXPLICIT_COLUMNS


def test_epilogues_are_absent():
    epilogue = {"bias": None, "activation": "relu", "alpha": 0.0}
    with pytest.raises(NotImplementedError, match="^absent here: .*bias and activation and alpha$"):
        adapter.geometry((1, 2, 3, 4), (1, 1, 4, 1), [1] * 4, "SAME", **epilogue)


def test_a_layout_that_does_not_exist():
    with pytest.raises(ValueError, match="^data_format is 'NCWH', but must be NHWC or NCHW$"):
        adapter.geometry((1, 2, 3, 4), (1, 1, 4, 1), [1] * 4, "SAME", data_format="NCWH")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
