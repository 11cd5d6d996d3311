"""Other frameworks as peers: what they compute, and their process, in which it is timed."""

import dataclasses
import os
import pathlib
import sys
from unittest import mock

import pytest
from absl.testing import parameterized

import lone_worker
import numpy_framework
from bench_cases import DILATED, MULTIPLIER, PLAIN, STRIDED, assert_right, skip_without
from tf_dwbp.bench import elsewhere, measure, peers, shapes
from tf_dwbp.bench.call import DTYPES, OPS, Call
from tf_dwbp.bench.contender import Refused
from tf_dwbp.bench.frameworks import FRAMEWORKS

_SUPPORT = pathlib.Path(numpy_framework.__file__).parent
# A process that loads nothing but what it names.
_WORKER = (
    lone_worker.PREAMBLE.partition("channel")[0]
    + "import numpy_framework\nnumpy_framework.main()\n"
)
_LAYOUTS = ("NHWC", "NCHW")
_RUNTIMES = {"litert": "NHWC", "ort": "NCHW", "openvino": "NCHW"}


@pytest.fixture(scope="module", autouse=True)
def _stand_in(tmp_path_factory):
    """What is called in the other process is NumPy."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "some_worker.py").write_text(_WORKER, encoding="utf-8")
    path = os.pathsep.join([str(folder), str(_SUPPORT), os.environ.get("PYTHONPATH", "")])
    elsewhere._process.cache_clear()
    with (
        mock.patch.object(elsewhere, "_WORKER_MODULE", "some_worker"),
        mock.patch.dict(os.environ, {"PYTHONPATH": path}),
    ):
        yield
    for layout in _LAYOUTS:
        elsewhere._process(layout, 2)._worker.stop()
    elsewhere._process.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [PLAIN, STRIDED, DILATED, MULTIPLIER], ids=lambda s: s.name)
@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("theirs", _LAYOUTS)
def test_results_of_another_process(theirs, layout, shape, dtype):
    call = Call(shape, dtype, layout, "forward")
    assert_right(elsewhere.prepare(theirs, call, 2), call)


def test_cold_calls_take_turns_there():
    call = Call(PLAIN, "float32", "NHWC", "forward", cold=True)
    contender = elsewhere.prepare("NHWC", call, 2)
    for _ in range(3):
        assert_right(contender, call)


def test_it_is_timed_there():
    run = elsewhere.prepare("NHWC", Call(PLAIN, "float32", "NHWC", "forward"), 2).run
    with mock.patch.object(elsewhere._Process, "ask", autospec=True) as ask:
        ask.return_value = {"seconds": 2.0}
        assert measure.block(run, 3, lambda: pytest.fail("nobody's clock here"), 0.5) == 2.0
        (asked,) = ask.call_args_list
        assert (asked.kwargs["calls"], asked.kwargs["lead_in"]) == (3, 0.5)
    times = measure.alternate({"there": run, "here": lambda: None}, rounds=2)
    assert min(times["there"]) >= numpy_framework.SECONDS
    assert max(times["here"]) < numpy_framework.SECONDS


def test_calls_of_two_shapes_take_turns():
    calls = [Call(shape, "float32", "NHWC", "forward") for shape in (PLAIN, STRIDED)]
    contenders = [elsewhere.prepare("NHWC", call, 2) for call in calls]
    for _ in range(2):
        for contender, call in zip(contenders, calls, strict=True):
            assert_right(contender, call)


def test_a_refusal_and_a_death():
    with pytest.raises(Refused, match="the forward op alone"):
        elsewhere.prepare("NCHW", Call(PLAIN, "float32", "NHWC", "backward"), 2).run()
    fatal = dataclasses.replace(PLAIN, channels=numpy_framework.FATAL_CHANNELS)
    with pytest.raises(OSError, match="its process ended: SIGABRT"):
        elsewhere.prepare("NCHW", Call(fatal, "float32", "NHWC", "forward"), 2).run()
    call = Call(PLAIN, "float32", "NHWC", "forward")
    assert_right(elsewhere.prepare("NCHW", call, 2), call)


def test_what_is_not_installed_is_said():
    with mock.patch("importlib.util.find_spec", return_value=None):
        assert peers.missing("ort") == (
            "ONNX Runtime is not installed: pip install onnxruntime onnx"
        )
        assert peers.missing("litert").endswith("pip install ai-edge-litert flatbuffers")
        assert peers.missing("onednn") is None
    assert set(FRAMEWORKS) < set(peers.PEERS)


class FrameworksTest(parameterized.TestCase):
    """In this process, where they are installed."""

    def _prepare(self, name, call):
        for module in FRAMEWORKS[name].distributions.values():
            skip_without(self, module)
        return FRAMEWORKS[name].prepare(call, 1)

    @parameterized.product(
        shape=(PLAIN, STRIDED, DILATED, MULTIPLIER),
        layout=_LAYOUTS,
        dtype=list(DTYPES),
        op=list(OPS),
    )
    def test_torch(self, shape, layout, dtype, op):
        call = Call(shape, dtype, layout, op)
        assert_right(self._prepare("torch", call), call)

    def test_torch_cannot_pad_unevenly_at_stride_1(self):
        shape = dataclasses.replace(PLAIN, filter=2)
        with self.assertRaisesRegex(Refused, "cannot express"):
            self._prepare("torch", Call(shape, "float32", "NHWC"))

    def test_torch_can_express_every_shape(self):
        for shape in shapes.SHAPES:
            small = dataclasses.replace(shape, batch=1, channels=1)
            self._prepare("torch", Call(small, "float32", "NHWC"))

    @parameterized.product(
        name=list(_RUNTIMES),
        shape=(PLAIN, STRIDED, DILATED, MULTIPLIER),
        layout=_LAYOUTS,
    )
    def test_runtimes(self, name, shape, layout):
        call = Call(shape, "float32", layout, "forward")
        assert_right(self._prepare(name, call), call)

    @parameterized.parameters(*_RUNTIMES)
    def test_runtimes_have_no_gradients_here(self, name):
        with self.assertRaisesRegex(Refused, "the forward op alone"):
            self._prepare(name, Call(PLAIN, "float32", "NHWC", "filter_grad"))

    def test_litert_takes_no_explicit_padding(self):
        text = "forward:float:NHWC:b1:9x7x5m2:k3x2:s2x1:d1x2:EXPLICIT(1,2,3,0)"
        with self.assertRaisesRegex(Refused, "SAME and VALID"):
            self._prepare("litert", Call(shapes.Given(text), "float32", "NHWC", "forward"))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
