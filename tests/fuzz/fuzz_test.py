"""`tf-dwbp fuzz` finds planted faults, shrinks them, and its lines repeat them."""

import contextlib
import functools
import io
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tf_dwbp import _native, cli
from tf_dwbp.fuzz import runner, shrink
from tf_dwbp.tools import problem

_SUPPORT = pathlib.Path(__file__).absolute().parents[1] / "support"


@pytest.fixture(autouse=True)
def _targets(monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(_SUPPORT), os.environ.get("PYTHONPATH", "")])
    )


@pytest.fixture
def _patient(monkeypatch):
    """A busy machine, too, shrinks as far as it goes."""
    patient = functools.partial(shrink.shrink, most_seconds=1000)
    monkeypatch.setattr(runner, "shrink", patient)


def _fuzz(*arguments):
    """The exit status, and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            status = cli.main(["fuzz", *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
    return status, printed.getvalue()


def _lines(printed):
    """The lines that repeat failures: arguments, and verdicts."""
    lines = [line for line in printed.splitlines() if line.startswith("tf-dwbp fuzz ")]
    return [(shlex.split(line, comments=True)[2:], line.partition("  # ")[2]) for line in lines]


def _case_of(arguments):
    return problem.parse(arguments[arguments.index("--case") + 1])


def _fuzz_target(name, *arguments):
    return _fuzz("--target", f"fuzz_targets:{name}", "--seed", 5, "--cases", 40, *arguments)


def _fuzz_quickly(name, *arguments):
    """Without TensorFlow, which takes seconds to load: what is planted is no matter of that."""
    return _fuzz_target(name, "--arrays", "numpy", *arguments)


def test_a_right_function_passes():
    status, printed = _fuzz_target("right", "--dtype", "float", "double")
    assert status == 0, printed
    assert "no failure" in printed


@pytest.mark.usefixtures("_patient")
def test_a_wrong_function_is_found_shrunk_and_repeated(tmp_path):
    """The same seed makes the same calls, too."""
    path = tmp_path / "json"
    found = []
    for _ in range(2):
        status, printed = _fuzz_quickly("wrong", "--cases", 12, "--json", path)
        assert status == 1
        found.append(json.loads(path.read_text(encoding="utf-8"))["failures"][0])
    assert found[0] == found[1]
    arguments, verdict = _lines(printed)[0]
    assert verdict.startswith("wrong: "), verdict
    smallest = _case_of(arguments)
    assert (smallest.batch, smallest.height, smallest.width, smallest.channels) == (1, 3, 1, 2)
    assert smallest.filter_sizes[:2] == (1, 1) and smallest.dtype == "float"

    again, printed = _fuzz(*arguments)
    assert again == 1
    assert _lines(printed)[0][0][:2] == arguments[:2]
    repaired = [a.replace(":wrong", ":right") for a in arguments]
    assert _fuzz(*repaired)[0] == 0


def test_the_sign_of_zero_is_judged():
    status, printed = _fuzz_quickly("negative_zeros", "--data", "integers")
    assert status == 1
    assert _lines(printed)[0][1].startswith("wrong: -0 where 0 is right")


def test_calls_that_differ_from_each_other():
    options = ("--data", "real", "--dtype", "double", "--deterministic")
    status, printed = _fuzz_quickly("restless", *options)
    assert status == 1
    assert {verdict.partition(":")[0] for _, verdict in _lines(printed)} == {"differs"}


@pytest.mark.usefixtures("_patient")
def test_a_function_that_dies():
    status, printed = _fuzz_quickly("deadly")
    assert status == 1
    arguments, verdict = _lines(printed)[0]
    assert verdict.startswith("dies: SIGABRT"), verdict
    smallest = _case_of(arguments)
    assert (smallest.height, smallest.channels) == (3, 2)


def test_a_function_that_hangs():
    options = ("--limit", 2, "--cases", 6, "--dtype", "float")
    status, printed = _fuzz_quickly("hanging", *options)
    assert status == 1
    arguments, verdict = _lines(printed)[0]
    assert verdict.startswith("hangs: "), verdict
    assert _case_of(arguments).height >= 3


@pytest.mark.usefixtures("_patient")
def test_a_function_that_refuses():
    status, printed = _fuzz_quickly("refusing")
    assert status == 1
    arguments, verdict = _lines(printed)[0]
    assert verdict.startswith("refuses: NotImplementedError: dilations")
    smallest = _case_of(arguments)
    assert sorted((smallest.dilation_y, smallest.dilation_x)) == [1, 2]


def test_invalid_calls_are_refused_by_who_checks():
    status, printed = _fuzz_target("right", "--invalid", "--cases", 300)
    assert status == 0, printed
    assert "calls that are not valid" in printed


@pytest.mark.parametrize(
    ("name", "expected", "cases"),
    # All calls of the second fail, and each is shrunk.
    [("accepting", "accepts: ", 60), ("mumbling", "unclear: ValueError: bad", 5)],
)
def test_invalid_calls_that_pass(name, expected, cases):
    status, printed = _fuzz_target(name, "--invalid", "--cases", cases)
    assert status == 1
    lines = [line for line in _lines(printed) if line[1].startswith(expected)]
    arguments, _ = lines[0]
    assert "--change" in arguments
    again, printed = _fuzz(*arguments)
    assert again == 1
    assert _lines(printed)[0][1].startswith(expected)


def test_our_ops_in_two_ways():
    options = ("--cases", 24, "--seed", 8, "--isa", "baseline", "--threads", 1, 2, "--offset", 0, 0)
    status, printed = _fuzz(*options, "--execution", "eager", "function")
    assert status == 0, printed


def test_implementations_that_others_come_before(tmp_path):
    """Each of them is reached, and what it declines is no failure."""
    path = tmp_path / "json"
    options = ("--cases", 72, "--seed", 12, "--isa", "baseline", "--threads", 1, "--json", path)
    status, printed = _fuzz(*options, "--op", "filter_grad", "--execution", "eager")
    assert status == 0, printed
    found = json.loads(path.read_text(encoding="utf-8"))
    names = [name for names in _native.implementations().values() for name in names[2:]]
    assert found["forced"] == list(dict.fromkeys(names))
    assert found["calls"] > 2 * found["cases"]
    assert found["implementations"]["filter tapwise"] > 0


def test_a_forced_implementation_makes_the_calls_that_it_takes(tmp_path):
    path = tmp_path / "json"
    text = "filter_grad:half:NHWC:b2:9x8x64m1:k3x3:s1x1:d1x1:VALID"
    options = ("--impl", "tapwise", "--threads", 1, "--isa", "baseline", "--json", path)
    options += ("--data", "special")  # of which no relations are checked
    # Five calls eagerly and one in a function; or none, since it is declined.
    for case, calls in ((text, 6), (text.replace("filter_grad", "forward"), 0)):
        executions = ("eager", "function")
        status, printed = _fuzz("--case", case, *options, "--execution", *executions)
        assert status == 0, printed
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["calls"] == found["implementations"]["filter tapwise"] == calls


@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", "nonsense"),
        ("--impl", "nonsense"),
        ("--target", "no_such_module:function", "--arrays", "numpy"),
        ("--target", "fuzz_targets:right", "--op", "forward", "input_grad"),
        ("--case", "input_grad:float"),
        ("--change", "strides=[1]"),
        ("--case", "forward:float:NHWC:b1:1x1x1m1:k1x1:s1x1:d1x1:SAME", "--invalid"),
        ("--cases", "5", "--minutes", "1"),
        ("--minutes", "0"),
        ("--json", "/no/such/directory/file"),
    ],
)
def test_usage(arguments, capsys):
    assert _fuzz(*arguments)[0] == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_interrupt_prints_what_was_found_so_far():
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tf_dwbp",
            "fuzz",
            "--target",
            "fuzz_targets:right",
            "--arrays",
            "numpy",
            "--minutes",
            "9",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr.readline() or True
    time.sleep(4)  # some calls will have been made, or a busy machine is still starting
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped by Ctrl-C" in printed
    assert "Traceback" not in errors


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
