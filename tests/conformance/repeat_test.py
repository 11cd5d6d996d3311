"""The line that every report prints for a cell that fails: it repeats the verdict and evidence."""

import argparse
import contextlib
import io
import json
import shlex
import sys
from xml.etree import ElementTree

import pytest

from tf_dwbp import cli
from tf_dwbp.conformance import cases, command, repeat, results
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict

_TARGET = """
    import numpy as np
    from tf_dwbp.tools import reference

    def wrong(input_sizes, filter, out_backprop, strides, **attributes):
        right = reference.input_grad(
            input_sizes, np.asarray(filter), np.asarray(out_backprop), strides, **attributes
        ).astype("float32")
        if strides[1] == 1:
            raise ValueError("no strides of 1")
        return right * 1.001
"""

# Options that are not repeated as they were given: those that choose cells, and files.
_OF_THE_LINE = {"target", "case", "order", "seed", "execution"}
_OF_THE_LINE |= {"device", "load_library", "arrays"}  # of the run's placement
_OTHERS = {"epilogue", "help", "op", "dtype", "layout", "padding", "quick", "size"}
_FILES = {"json", "html", "junit", "markdown", "expect", "write_expect"}


def _conformance(*arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        return cli.main(["conformance", *map(str, arguments)]), printed.getvalue()


def _failing(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: cell for cell in cells if cell["failures"]}


def test_every_option_is_repeated_or_is_of_no_account():
    parser = argparse.ArgumentParser()
    command.configure(parser)
    names = {action.dest for action in parser._actions}
    assert names == {*repeat.KEPT, *_OF_THE_LINE, *_OTHERS, *_FILES}


def test_the_words_of_options():
    arguments = argparse.Namespace(flag=True, other=False, none=None, some=["a b", 1], zero=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeat, "KEPT", ("flag", "other", "none", "some", "zero"))
        assert repeat.options(arguments) == ["--flag", "--some", "a b", "1", "--zero", "0"]


def test_executions_are_those_that_fail():
    names = ["f eager", "f function", "f jit"]
    for verdicts, words in (
        ((Verdict.AGREES, Verdict.WRONG, Verdict.AGREES), "--execution function"),
        ((Verdict.DIES, Verdict.AGREES, Verdict.WRONG), "--execution eager jit"),
        # Bits that differ: all of them.
        ((Verdict.AGREES, Verdict.AGREES, Verdict.AGREES), "--execution eager function jit"),
    ):
        outcomes = {
            name: [Outcome(verdict, digest=name if Verdict.WRONG not in verdicts else "")]
            for name, verdict in zip(names, verdicts, strict=True)
        }
        cell = Cell(cases.CASES[0], outcomes)
        cell.judge(names, same_bits=True)
        run = Run("m:f", names, {"f": names}, names, [cell], 0, "2", ["--no-stock"])
        start = f"tf-dwbp conformance --target m:f --no-stock {words} --case "
        assert repeat.line(run, cell).startswith(start)
        if set(verdicts) == {Verdict.AGREES}:
            assert {failure.kind for failure in cell.failures} == {results.DIFFERS}


@pytest.mark.parametrize("order_and_seed", [(0, 0), (2, 0), (1, 7)])
def test_a_case_is_its_name(order_and_seed):
    order, seed = order_and_seed
    case = cases.Case.of(cases.CASES[77].problem, order, seed=seed)
    assert cases.Case.of_id(case.id) == case
    assert case.options.endswith(f" --seed {seed}")


def test_a_seed_draws_other_tensors():
    case = cases.CASES[0]
    other, again = (cases.Case.of(case.problem, seed=seed) for seed in (7, 0))
    for role, tensor in case.tensors().items():
        assert (other.tensors()[role] != tensor).any()
        assert (again.tensors()[role] == tensor).all()


def test_the_line_repeats_verdict_and_evidence(tmp_path, target_module):
    name = target_module(_TARGET)
    files = {name: tmp_path / name for name in ("json", "html", "junit", "markdown")}
    options = [word for option, path in files.items() for word in (f"--{option}", path)]
    filters = ["--dtype", "float", "--layout", "NHWC", "--padding", "SAME", "--quick"]
    target = ["--target", f"{name}:wrong", "--no-stock"]
    status, printed = _conformance(*target, *filters, "--seed", 3, *options)
    assert status == 1
    failing = _failing(files["json"])
    lines = {cell["repeat"] for cell in failing.values()}
    assert len(lines) == len(failing) > 10

    # In each report, as far as it shows cells one by one.
    shown = [line.strip() for line in printed.splitlines() if "tf-dwbp conformance" in line]
    assert shown and lines.issuperset(shown)
    for text in ElementTree.parse(files["junit"]).getroot().iter("failure"):
        assert text.text.splitlines()[-1] in lines
    assert lines <= set(files["markdown"].read_text(encoding="utf-8").splitlines())
    page = files["html"].read_text(encoding="utf-8")
    evidence = json.loads(page.partition(' id="evidence">')[2].partition("</script>")[0])
    assert {cell["repeat"] for cell in evidence["cells"]} - {""} == lines

    kinds = {}  # one cell of each verdict
    for cell in failing.values():
        kinds.setdefault(cell["failures"][0].split(":")[1], cell)
    assert len(kinds) == 2
    for cell in kinds.values():
        _, command, *arguments = shlex.split(cell["repeat"])
        assert command == "conformance" and arguments[arguments.index("--seed") + 1] == "3"
        again = tmp_path / "again"
        assert _conformance(*arguments, "--json", again)[0] == 1
        assert _failing(again) == {cell["id"]: cell}


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
