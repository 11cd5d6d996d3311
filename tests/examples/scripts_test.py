"""The scripts in examples/ end well, say what they saw, and end badly where that is wrong."""

import os
import pathlib
import runpy
import sys

import pytest
import tensorflow as tf

from tf_dwbp import nn

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_FOLDER = _ROOT / "examples"
_LONGEST = 55  # lines

# Script -> what its output has.
_SAYS = {
    "keras_model": ("Depthwise ops: 6 ours, 0 stock's\n", "by TensorFlow's ops 0."),
    "mixed_precision_jit": ("jit, bfloat16: loss ",),
    "serve_saved_model": ("another process served [2, 20, 30, 3]",),
    "training_step": ("in 20 steps; gradient equals TensorFlow's",),
    "wrong_implementation": ("exit status 1; wrong:\n  forward:float:NHWC:b2:9x8x3m2",),
}
_MARKS = {"mixed_precision_jit": pytest.mark.xla}
_PARAMETERS = [pytest.param(name, marks=_MARKS.get(name, ())) for name in _SAYS]


def _run(name):
    """Runs a script in this process, and returns its exit status."""
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(_FOLDER / f"{name}.py"), run_name="__main__")
    return ended.value.code or 0


@pytest.mark.parametrize("name", _PARAMETERS)
def test_a_script_sees_what_it_should(name, capfd, monkeypatch):
    # For the processes that some start.
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert _run(name) == 0
    out = capfd.readouterr().out
    for text in _SAYS[name]:
        assert text in out


def test_a_script_fails_where_a_gradient_is_wrong(monkeypatch):
    right = nn.depthwise_conv2d

    @tf.custom_gradient
    def wrong(images, kernel):
        attributes = {"strides": [1, 2, 2, 1], "padding": "SAME"}
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            output = right(images, kernel, **attributes)

        def gradient(upstream):
            return None, 1.001 * tape.gradient(output, kernel, upstream)

        return output, gradient

    monkeypatch.setattr(nn, "depthwise_conv2d", lambda *tensors, **_: wrong(*tensors))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        _run("training_step")


def test_all_scripts_are_tested_short_and_in_the_docs():
    names = {path.stem for path in _FOLDER.glob("*.py")}
    page = (_ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    assert names == {*_SAYS, "verdicts"}
    for name in names:
        assert f"`{name}.py`" in page
        lines = (_FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= _LONGEST


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
