"""On a device: the plug-in's faults are found, and what ran elsewhere is no agreement."""

import contextlib
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest

import device_plug_in
import device_targets
from tf_dwbp import _library, cli
from tf_dwbp.conformance import cases, runner
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import problem, targets
from tf_dwbp.tools.placement import Placement

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_TEXT = "forward:float:NHWC:b2:10x10x8m1:k3x3:s1x1:d1x1:SAME"
_CASE = cases.Case.of(problem.parse(_TEXT))
_BOTH = (targets.EAGER, targets.FUNCTION)


@pytest.fixture(autouse=True)
def _targets(monkeypatch):
    paths = [str(_ROOT / "tests/support"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delenv(device_plug_in.FAULT, raising=False)


def _place():
    return Placement(device_plug_in.NAME, (device_plug_in.path(),))


def _quick(**filters):
    return cases.select(["float"], quick=True, orders=[0], **filters)


def _run(selected, target=targets.STOCK, executions=_BOTH):
    return runner.run(selected, target, executions=executions, placement=_place())


def _words():
    return ["--device", device_plug_in.NAME, "--load-library", device_plug_in.path()]


def _main(*arguments):
    """The exit status, standard output and standard error of the program."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = cli.main([*arguments])
        except SystemExit as stop:
            status = stop.code
    return status, output.getvalue(), errors.getvalue()


def test_a_device_without_faults_agrees():
    run = _run(_quick())
    assert not run.failing, run.failing[0].failures
    assert run.judged == run.paths == ["MY_NPU:0 eager", "MY_NPU:0 function"]
    assert run.counts("MY_NPU:0 eager") == {Verdict.AGREES: len(run.cells)}
    # The forward op's shape function refuses, in graphs, what has no pixel of output.
    for cell in run.cells:
        case = cell.case
        rows, columns = (case.layout.index(axis) for axis in "HW")
        sizes = case.shapes["output"]
        empty = case.op == "forward" and 0 in (sizes[rows], sizes[columns])
        expected = Verdict.BARRED if empty else Verdict.AGREES
        assert cell.outcome("MY_NPU:0 function").verdict is expected, case.id
    assert Verdict.BARRED in run.counts("MY_NPU:0 function")


def test_the_list_of_faults_is_read():
    assert len(device_plug_in.FAULTS) == 10


@pytest.fixture(scope="module", name="found")
def _found():
    """What the quick cut finds of each fault."""
    device_plug_in.path()  # built here, or the tests are skipped
    command = [sys.executable, "-m", "device_faults"]
    path = os.pathsep.join([str(_ROOT / "tests/support"), str(_ROOT)])
    done = subprocess.run(
        command,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": path},
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("fault", device_plug_in.FAULTS)
def test_every_fault_is_found_by_the_quick_cut(fault, found):
    right = {"forward"} if fault == "multiplier_order" else set()
    for op, verdicts in found[fault].items():
        if op in right:
            assert verdicts == found[""][op]
        else:
            assert verdicts["WRONG"] and set(verdicts) <= {"WRONG", "agrees"}, op
    assert all(set(verdicts) == {"agrees"} for verdicts in found[""].values())


def test_a_fault_is_found_by_the_run_itself(monkeypatch):
    """In the processes of `tf-dwbp conformance`."""
    monkeypatch.setenv(device_plug_in.FAULT, "first_image_only")
    run = _run(_quick(op="input_grad"), executions=[targets.EAGER])
    assert {failure.verdict for cell in run.failing for failure in cell.failures} == {Verdict.WRONG}
    assert run.failing


def test_gradients_run_on_the_device():
    selected = cases.select(["float"], quick=True, orders=[1, 2])
    plain = [case for case in selected if case.shape.name == "plain"][::5]
    run = _run(plain)
    assert not run.failing, run.failing[0].failures


@pytest.mark.parametrize(
    "target, verdict, text",
    [
        (targets.STOCK, Verdict.REFUSES, "MY_NPU"),
        ("device_targets:softly", Verdict.ELSEWHERE, "ran on CPU:0, not on MY_NPU:0"),
    ],
)
def test_what_the_device_has_no_kernel_for(target, verdict, text):
    run = _run([cases.Case.of(problem.parse(_TEXT.replace("float", "half")))], target)
    for path in run.paths:
        outcome = run.cells[0].outcome(path)
        assert outcome.verdict is verdict
        assert text in outcome.message


def _run_by_batch():
    """The outcomes of the functions of `device_targets`, eagerly and in one graph, by name."""
    texts = [
        _TEXT.replace("b2", f"b{number}") for number in range(1, len(device_targets.BY_BATCH) + 1)
    ]
    run = _run([cases.Case.of(problem.parse(text)) for text in texts], "device_targets:by_batch")
    assert run.paths == [f"by_batch on MY_NPU:0 {execution}" for execution in _BOTH]
    pairs = zip(device_targets.BY_BATCH, run.cells, strict=True)
    return {
        function.__name__: tuple(cell.outcome(path) for path in run.paths)
        for function, cell in pairs
    }


def test_what_ran_elsewhere_is_no_agreement():
    outcomes = _run_by_batch()
    for name in ("there", "there_from_a_function_of_its_own"):
        assert {outcome.verdict for outcome in outcomes.pop(name)} == {Verdict.AGREES}
    for name in ("on_the_cpu", "on_the_cpu_from_a_function_of_its_own"):
        for outcome in outcomes.pop(name):
            assert outcome.verdict is Verdict.ELSEWHERE
            assert "DepthwiseConv2dNative ran on CPU:0, not on MY_NPU:0" in outcome.message
    nothing = "TensorFlow has no record of an op that ran on MY_NPU:0"
    for outcome in (*outcomes.pop("numpy"), outcomes["folded"][1]):
        assert (outcome.verdict, outcome.message) == (Verdict.ELSEWHERE, nothing)
    assert outcomes.pop("folded")[0].verdict is Verdict.WRONG  # eagerly it ran, of other tensors
    assert not outcomes


def test_the_record_tells_whose_kernel_ran(monkeypatch):
    """The fault shows it in the numbers: the device's are wrong, and the CPU's are right."""
    monkeypatch.setenv(device_plug_in.FAULT, "low_precision")
    outcomes = _run_by_batch()
    for name in ("there", "there_from_a_function_of_its_own"):
        assert {outcome.verdict for outcome in outcomes[name]} == {Verdict.WRONG}
    for name in ("on_the_cpu", "on_the_cpu_from_a_function_of_its_own"):
        assert {outcome.verdict for outcome in outcomes[name]} == {Verdict.ELSEWHERE}


def test_the_cpu_is_a_device_too():
    place = Placement("CPU:0")
    run = runner.run([_CASE], targets.STOCK, executions=targets.EXECUTIONS, placement=place)
    assert run.paths == [f"CPU:0 {execution}" for execution in targets.EXECUTIONS]
    assert not run.failing, run.failing[0].failures


@pytest.mark.skipif(
    not hasattr(_library, "in_program"), reason="import tf_dwbp loads the library in every process"
)
def test_our_library_is_not_loaded_where_it_is_not_judged():
    run = _run([_CASE], "device_targets:libraries", [targets.EAGER])
    (outcome,) = run.cells[0].outcomes["libraries on MY_NPU:0 eager"]
    assert outcome.message == "ValueError: loaded []"


_CONFORMANCE = ["conformance", "--case", _TEXT]
_FUZZ = ["fuzz", "--cases", "1"]


@pytest.mark.parametrize(
    "program, words, text",
    [
        (_CONFORMANCE, ["--device", "NO_NPU:3"], "cannot use device NO_NPU:3: there are CPU:0"),
        (_FUZZ, ["--device", "NO_NPU:3"], "cannot use device NO_NPU:3: there are CPU:0"),
        (_CONFORMANCE, ["--load-library", "no/such.so"], "library no/such.so: No such file"),
        (_FUZZ, ["--load-library", __file__], f"library {__file__}: "),
        (_CONFORMANCE, ["--load-library", os.devnull], f"library {os.devnull}: "),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(program, words, text):
    command = [sys.executable, "-m", "tf_dwbp", *program, *words]
    done = subprocess.run(command, capture_output=True, cwd=_ROOT, encoding="utf-8")
    said = [line for line in done.stderr.splitlines() if line.startswith("tf-dwbp")]
    assert done.returncode == 2
    assert len(said) == 1 and text in said[0], done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_a_failing_cell_is_repeated_by_its_line(monkeypatch):
    monkeypatch.setenv(device_plug_in.FAULT, "clamped_border")
    status, output, _ = _main("conformance", *_words(), "--case", _TEXT)
    assert status == 1
    (line,) = (line for line in output.splitlines() if "tf-dwbp conformance" in line)
    words = shlex.split(line)[1:]
    assert words[words.index("--device") + 1] == device_plug_in.NAME
    again, repeated, _ = _main(*words)
    assert again == 1
    assert line in repeated


def test_fuzz_finds_a_fault_and_repeats_it(monkeypatch):
    monkeypatch.setenv(device_plug_in.FAULT, "one_stride")
    few = ["--dtype", "float", "--cases", "12", "--seed", "5", "--execution", "eager"]
    status, output, _ = _main("fuzz", *_words(), *few)
    assert status == 1
    line = next(line for line in output.splitlines() if line.startswith("tf-dwbp fuzz "))
    assert "# wrong: " in line
    again, _, _ = _main(*shlex.split(line, comments=True)[1:])
    assert again == 1


def test_fuzz_finds_nothing_where_nothing_is_wrong():
    few = ["--dtype", "float", "double", "--cases", "24", "--seed", "6"]
    status, output, _ = _main("fuzz", *_words(), *few)
    assert status == 0, output


def test_fuzz_tells_what_ran_elsewhere():
    target = ["--target", "device_targets:on_the_cpu", "--op", "forward"]
    status, output, _ = _main("fuzz", *_words(), *target, "--case", _TEXT, "--seed", "1")
    assert status == 1
    assert "# elsewhere: " in output and "ran on CPU:0, not on MY_NPU:0" in output


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
