"""Every wrong implementation in the museum is found, and nothing right is taken for one."""

import os
import pathlib
import sys

import numpy as np
import pytest

import exhibits
import table
from tf_dwbp.conformance import cases, runner
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.fuzz import draw
from tf_dwbp.tools import placement, problem, reference, targets
from wrong.call import CONFORMANCE, Call

_HERE = pathlib.Path(__file__).absolute().parent
_FOUND = {}  # by the exhibit's id: each is looked for once


def _find(exhibit):
    if exhibit.id not in _FOUND:
        _FOUND[exhibit.id] = exhibits.find(
            exhibit.function, exhibit.op, exhibit.found, exhibit.order, exhibit.fatal
        )
    return _FOUND[exhibit.id]


def _with_the_museum(monkeypatch):
    """So that workers find it."""
    path = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def _right(op):
    return lambda **arguments: Call(op, **arguments).result()


@pytest.mark.parametrize("exhibit", exhibits.ALL, ids=lambda exhibit: exhibit.id)
def test_an_exhibit_is_found(exhibit):
    found = _find(exhibit)
    assert found, f"{exhibit.report}: {exhibit.what}"
    assert found.verdict != Verdict.AGREES.value and found.evidence


@pytest.mark.parametrize("exhibit", exhibits.ALL, ids=lambda exhibit: exhibit.id)
def test_our_op_is_right_there(exhibit):
    ours = targets.load(targets.OURS)[exhibit.op]
    case = _find(exhibit).case
    if isinstance(case, cases.Case):
        outcome = exhibits.outcome_of(ours, case)
        assert outcome.verdict is Verdict.AGREES, outcome.evidence
    else:
        assert exhibits.fault_of(ours, case) == ("", "")


@pytest.mark.parametrize("op", problem.OPS)
def test_a_right_function_would_not_be_found(op):
    """So that an exhibit that is right makes its test fail."""
    assert exhibits.find(_right(op), op, CONFORMANCE) is None
    for number in range(60):
        case = draw.case(exhibits.FUZZ_SEED, number, draw.Filters(ops=(op,)))
        if case.problem.products < 1e6:
            assert exhibits.fault_of(_right(op), case) == ("", ""), case.options


def test_the_list():
    ids = [exhibit.id for exhibit in exhibits.ALL]
    assert len(set(ids)) == len(ids) >= 25
    for exhibit in exhibits.ALL:
        owner, _, number = exhibit.report.partition("#")
        assert owner.count("/") == 1 and number.isdecimal(), exhibit.id
        assert exhibit.what.endswith("."), exhibit.id
        assert exhibit.op in reference.RESULTS
    reports = [exhibit.report for exhibit in exhibits.ALL]
    assert len(set(reports)) == len(reports)


def test_the_table_in_the_docs():
    rows = [table.row(exhibit, _find(exhibit)) for exhibit in exhibits.ALL]
    assert table.body(rows) in table.PAGE.read_text(encoding="utf-8"), "run tests/museum/table.py"


@pytest.mark.parametrize(
    ("target", "op", "order", "verdict", "message"),
    [
        ("dilations:ignored", "forward", 0, Verdict.WRONG, ""),
        ("sizes:dies_of_nine_channels", "forward", 0, Verdict.DIES, "SIGABRT"),
        ("gradients:no_second_order", "forward", 2, Verdict.REFUSES, "TypeError: there is no"),
    ],
)
def test_by_the_run_itself(target, op, order, verdict, message, monkeypatch):
    """As `tf-dwbp conformance --target wrong.MODULE:NAME --no-stock` does it, in processes.

    Of these those that are asked for no gradient need no TensorFlow, which takes seconds to load.
    """
    _with_the_museum(monkeypatch)
    every = cases.select(["float"], quick=True, ops=[op], orders=[order])
    two = [case for case in every if case.dilated and case.shape.name == "odd"][:2]
    place = placement.Placement(arrays=targets.TENSORFLOW if order else targets.NUMPY)
    run = runner.run(two, f"wrong.{target}", stock=False, placement=place)
    outcomes = [cell.outcome(run.judged[0]) for cell in run.cells]
    assert any(o.verdict is verdict and o.message.startswith(message) for o in outcomes), outcomes
    assert run.failing


def test_answers_that_differ_between_processes(monkeypatch):
    _with_the_museum(monkeypatch)
    drawn = cases.select(["float"], quick=True, ops=["filter_grad"], orders=[0])
    several = [case for case in drawn if case.shape.name == "odd"][:8]
    run = runner.run(several, "wrong.order:sums_in_any_order", stock=False)
    reasons = [failure.reason for cell in run.failing for failure in cell.failures]
    assert "two processes computed different bits" in reasons


def test_the_shared_implementation_is_open():
    """A call's parts are what an exhibit may change."""
    case = cases.select(["float"], ["NCHW"], ["SAME"], quick=True, ops=["forward"], orders=[0])[0]
    call = Call("forward", **case.arguments())
    assert call.arrays["input"].shape == call.shapes["input"]
    call.arrays["filter"] = np.zeros_like(call.arrays["filter"])
    assert not call.result().any()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
