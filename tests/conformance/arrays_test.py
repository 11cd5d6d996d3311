"""`tf-dwbp conformance --arrays numpy`: functions of NumPy arrays are judged without TensorFlow."""

import contextlib
import io
import json
import shlex
import sys
from unittest import mock

import pytest

import without_tensorflow
from tf_dwbp import cli
from tf_dwbp.tools import targets

_FEW = ("--quick", "--dtype", "bfloat16", "--layout", "NHWC")


pytestmark = pytest.mark.usefixtures("support_for_workers")


@pytest.fixture(scope="module", name="program")
def _program(tmp_path_factory):
    return without_tensorflow.Program(tmp_path_factory.mktemp("without_tensorflow"))


def _judge(program, name, *arguments):
    op = () if "--case" in arguments else ("--op", "forward")
    options = ("--target", f"numpy_targets:{name}", "--arrays", "numpy", *op)
    done = program.run("conformance", *options, *arguments)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def _cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_a_right_function_agrees_and_nothing_imports_tensorflow(program, tmp_path):
    file = tmp_path / "run.json"
    done = _judge(program, "forward", "--quick", "--layout", "NCHW", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["counts"] == {"forward eager": {"agrees": 240}}
    assert {cell["dtype"] for cell in found["cells"]} == {"half", "bfloat16", "float", "double"}
    assert found["tensorflow_version"] is None
    assert list(found["versions"]) == ["numpy"]
    assert f"numpy {found['versions']['numpy']}, " in done.stdout
    assert not program.tensorflow_was_imported


def test_tensorflow_that_is_installed_stays_out_of_the_workers():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        options = ("--target", "numpy_targets:alone", "--arrays", "numpy", "--op", "forward")
        status = cli.main(["conformance", *options, *_FEW])
    assert status == 0, printed.getvalue()


def test_a_wrong_function_is_found_and_its_line_repeats_it(program, tmp_path):
    file = tmp_path / "run.json"
    done = _judge(program, "wrong", *_FEW, "--json", file)
    assert done.returncode == 1, done.stdout + done.stderr
    for cell in _cells(file):
        found = {outcome["verdict"] for outcome in cell["outcomes"]["wrong eager"]}
        mixed_up = cell["shape"]["channels"] > 1 and cell["shape"]["multiplier"] > 1
        assert found == {"WRONG" if mixed_up else "agrees"}, cell["id"]

    lines = [line.strip() for line in done.stdout.splitlines()]
    line = next(line for line in lines if line.startswith("tf-dwbp conformance "))
    again = program.run(*shlex.split(line)[1:])
    assert again.returncode == 1, again.stdout + again.stderr
    assert "1 cell: wrong eager 1 WRONG, 1 fail" in again.stdout
    assert not program.tensorflow_was_imported


def test_what_a_function_raises_is_a_refusal(program, tmp_path):
    file = tmp_path / "run.json"
    assert _judge(program, "refusing", *_FEW, "--json", file).returncode == 1
    for cell in _cells(file):
        (outcome,) = cell["outcomes"]["refusing eager"]
        dilated = cell["dilation"] != [1, 1]
        assert outcome["verdict"] == ("refuses" if dilated else "agrees"), cell["id"]
        assert outcome.get("message", "") == (
            "NotImplementedError: no dilations" if dilated else ""
        )


def test_a_function_that_writes_to_its_operands_is_wrong(program, tmp_path):
    file = tmp_path / "run.json"
    case = ("--case", "forward:float:NHWC:b2:10x10x8m1:k3x3:s1x1:d1x1:SAME")
    assert _judge(program, "writing", *case, "--json", file).returncode == 1
    (outcome,) = _cells(file)[0]["outcomes"]["writing eager"]
    assert (outcome["verdict"], outcome["message"]) == (
        "WRONG",
        "the call changed its operand 'input'",
    )


def test_a_module_that_does_not_exist(program):
    done = program.run(
        "conformance", "--target", "numpy_nothing:at_all", "--arrays", "numpy", *_FEW
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "cannot use numpy_nothing:at_all: ModuleNotFoundError: No module named 'numpy_nothing'"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "--arrays numpy is for --target MODULE:FUNCTION"),
        (("--target", "stock"), "--arrays numpy is for --target MODULE:FUNCTION"),
        (("--target", "a:b", "--execution", "eager", "jit"), "--execution jit makes a program"),
        (("--target", "a:b", "--execution", "function"), "--execution function makes a program"),
        (("--target", "a:b", "--order", "0", "1"), "--order: --arrays numpy has no gradients"),
        (("--target", "a:b", "--order", "2"), "--order: --arrays numpy has no gradients"),
        (("--target", "a:b", "--stock", "--no-stock"), "--stock asks stock TensorFlow, and"),
        (("--target", "a:b", "--device", "CPU:0"), "--device is TensorFlow's, which --arrays"),
        (("--target", "a:b", "--load-library", "c.so"), "--load-library is TensorFlow's"),
    ],
)
def test_usage_errors(program, arguments, text):
    done = program.run("conformance", "--arrays", "numpy", *_FEW, *arguments)
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1]
    assert not program.tensorflow_was_imported


def _main(*arguments):
    """The status, and what was printed, where TensorFlow is not installed."""
    printed = io.StringIO()
    with (
        mock.patch.object(targets, "has_tensorflow", return_value=False),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            return cli.main(
                ["conformance", "--op", "forward", *_FEW, *arguments]
            ), printed.getvalue()
        except SystemExit as stop:
            return stop.code, printed.getvalue()


def test_stock_is_left_out_where_tensorflow_is_not_installed():
    options = ("--target", "numpy_targets:alone", "--arrays", "numpy", "--stock")
    status, printed = _main(*options)
    assert status == 0, printed
    assert "without stock TensorFlow, which is not installed\n" in printed
    assert "stock Eigen" not in printed


@pytest.mark.parametrize("target", [(), ("--target", "stock"), ("--target", "numpy_targets:alone")])
def test_what_takes_tensors_needs_tensorflow(target):
    status, printed = _main(*target)
    assert status == 2
    assert printed == (
        "tf-dwbp conformance: TensorFlow is not installed; without it, only functions of NumPy "
        "arrays can be judged: --target MODULE:FUNCTION --arrays numpy\n"
    )


def test_stock_is_asked_beside_a_function_of_arrays_if_wanted(tmp_path):
    file = tmp_path / "run.json"
    case = ("--case", "forward:float:NHWC:b2:10x10x8m1:k3x3:s1x1:d1x1:SAME")
    options = ("--target", "numpy_targets:forward", "--arrays", "numpy", "--stock", *case)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = cli.main(["conformance", *options, "--json", str(file)])
    assert status == 0, printed.getvalue()
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["paths"] == ["forward eager", "stock Eigen", "stock oneDNN", "stock XLA"]
    assert set(_cells(file)[0]["outcomes"]) == set(found["paths"])
    assert found["tensorflow_version"]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
