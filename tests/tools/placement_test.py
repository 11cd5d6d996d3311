"""Names of devices, kinds of libraries, and what is read from TensorFlow's record."""

import argparse
import sys

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from tf_dwbp.tools import arrays, placement
from tf_dwbp.tools.placement import ANYWHERE, Placement, Record

_HERE = "/job:localhost/replica:0/task:0/device:"


@pytest.mark.parametrize(
    "text, name",
    [
        ("GPU:0", "GPU:0"),
        ("gpu:1", "GPU:1"),
        ("MY_NPU:12", "MY_NPU:12"),
        ("/device:XPU:0", "XPU:0"),
        ("/GPU:0", None),
        ("GPU", None),
        ("GPU:", None),
        ("GPU:-1", None),
        ("/job:a/device:GPU:0", None),
        ("", None),
    ],
)
def test_names_of_devices(text, name):
    if name:
        assert placement.device_name(text) == name
    else:
        with pytest.raises(ValueError, match="is not the name of a device, such as GPU:0"):
            placement.device_name(text)


def test_a_command_line_is_kept_in_words():
    parser = argparse.ArgumentParser()
    placement.add_options(parser)
    arrays.add_option(parser)
    words = ["--device", "GPU:0", "--load-library", "a b.so", "--load-library", "c.so"]
    given = placement.of(parser.parse_args(words))
    assert given == Placement("GPU:0", ("a b.so", "c.so"))
    assert given.words == words
    assert Placement.split([*words, "stock", "a:b"]) == (given, ["stock", "a:b"])
    assert Placement.split(["stock"]) == (ANYWHERE, ["stock"])
    assert placement.of(parser.parse_args([])) == ANYWHERE
    prefix = "--device GPU:0 --load-library 'a b.so' --load-library c.so --target stock --op x "
    assert given.options("stock", "x") == prefix
    assert ANYWHERE.options("ours", "x") == ""
    assert ANYWHERE.options("a:b", "x") == "--target a:b --op x "


def test_plug_ins_are_told_from_libraries_of_ops(tmp_path):
    for symbol in ("SE_InitPlugin", "TF_InitKernel", "TFNPD_InitPlugin", "TF_InitGraph"):
        plug_in = tmp_path / f"{symbol}.so"
        plug_in.write_bytes(b"\x7fELF...\0" + symbol.encode() + b"\0malloc\0")
        assert placement.is_plug_in(str(plug_in))
    other = tmp_path / "ops.so"
    other.write_bytes(b"\x7fELF...\0TF_InitKernelOfMine\0malloc\0")
    assert not placement.is_plug_in(str(other))


def _metadata(*nodes):
    """A record of nodes: (op, name, device, type)."""
    metadata = config_pb2.RunMetadata()
    graph = metadata.function_graphs.add().partition_graphs.add()
    for op, name, device, dtype in nodes:
        node = graph.node.add(op=op, name=name, device=_HERE + device)
        node.attr["T"].type = tf.as_dtype(dtype).as_datatype_enum
    return metadata


def _record(*nodes):
    record = Record("MY_NPU:0")
    record.read(_metadata(*nodes))
    return record


_NODE = ("DepthwiseConv2dNative", "tf_dwbp_call_0/a", "MY_NPU:0", "float32")
_ELSEWHERE = ("Conv2D", "tf_dwbp_call_1/a", "CPU:0", "float32")


def test_all_that_computes_must_run_there():
    assert _record(_NODE).elsewhere() == ""
    assert _record(_NODE, _ELSEWHERE).elsewhere() == "Conv2D ran on CPU:0, not on MY_NPU:0"
    other = ("Conv2D", "a", "MY_NPU:1", "float32")
    assert _record(other).elsewhere() == "Conv2D ran on MY_NPU:1, not on MY_NPU:0"
    nothing = "TensorFlow has no record of an op that ran on MY_NPU:0"
    assert _record().elsewhere() == nothing
    assert _record(("Const", "a", "MY_NPU:0", "float32")).elsewhere() == nothing


def test_copies_and_shapes_may_be_elsewhere():
    helpers = (
        ("_Send", "a", "CPU:0", "float32"),
        ("Const", "b", "CPU:0", "float32"),
        ("StridedSlice", "c", "CPU:0", "int32"),
        ("Shape", "d", "CPU:0", "float32"),
    )
    assert _record(_NODE, *helpers).elsewhere() == ""
    assert "no record" in _record(*helpers).elsewhere()


def test_each_call_in_a_graph_is_told_of_by_itself():
    record = _record(_NODE, _ELSEWHERE)
    assert record.elsewhere(0) == ""
    assert record.elsewhere(1) == "Conv2D ran on CPU:0, not on MY_NPU:0"
    assert "no record" in record.elsewhere(2)
    # What an optimizer has named anew may be anybody's: it speaks against each call, and for none.
    assert "no record" in _record(("Conv2D", "fused", "MY_NPU:0", "float32")).elsewhere(0)
    record = _record(_NODE, ("Conv2D", "fused", "CPU:0", "float32"))
    assert record.elsewhere(0) == "Conv2D ran on CPU:0, not on MY_NPU:0"
    # Deeper in the graph, and behind what an optimizer puts before a name.
    inlined = ("Conv2D", "Optimizer/tf_dwbp_call_0/PartitionedCall/b", "CPU:0", "float32")
    assert "Conv2D ran on CPU:0" in _record(inlined).elsewhere(0)


def test_results_of_a_compiled_function():
    with tf.device("CPU:0"):
        result = tf.constant(1.0)
    assert Record("CPU:0").results_elsewhere([result]) == ""
    assert Record("GPU:0").results_elsewhere([result]) == "ran on CPU:0, not on GPU:0"
    assert Record("GPU:0").results_elsewhere([1.0]) == "ran on no device, not on GPU:0"


def test_without_a_device_nothing_is_elsewhere():
    with ANYWHERE.recorded() as record:
        tf.constant(1.0)
    assert record.elsewhere() == ""
    assert record.results_elsewhere([None]) == ""


def test_a_device_that_there_is_not():
    soft = tf.config.get_soft_device_placement()
    try:
        with pytest.raises(placement.Unusable, match="device NO_NPU:0: there are .*CPU:0"):
            Placement("NO_NPU:0").prepare()
        assert not tf.config.get_soft_device_placement()
    finally:
        tf.config.set_soft_device_placement(soft)


def test_refusals_before_any_device():
    valid = {"strides": [1, 1, 1, 1], "padding": "VALID"}

    def call(size):
        return lambda: tf.raw_ops.DepthwiseConv2dNative(
            input=tf.zeros([1, size, size, 1]), filter=tf.zeros([3, 3, 1, 1]), **valid
        )

    assert placement.refusal_anywhere(call(3)) == ""
    assert "ValueError: Negative dimension size" in placement.refusal_anywhere(call(2))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
