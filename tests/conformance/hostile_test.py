"""Whatever a target does to the process that calls it, each cell gets its verdict."""

import sys
from unittest import mock

import pytest

import hostile
from tf_dwbp.conformance import cases, runner
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import descendants

# Each costs two processes that load TensorFlow: other tests have the others.
_DEADLY = ("all descriptors", "killed after a grandchild", "no other thread runs")
_HARMLESS = [name for name in hostile.NAMES if hostile.EXPECTED[name][0] not in ("dies", "hangs")]
_HARMLESS.append(_HARMLESS.pop(_HARMLESS.index("low descriptors")))  # others print after it


pytestmark = pytest.mark.usefixtures("support_for_workers")


def test_each_cell_gets_its_verdict():
    names = [*_HARMLESS, *_DEADLY]
    names.insert(0, names.pop())  # the others are judged after it
    with (
        mock.patch.dict(runner._GIVE_UP_AFTER, {Verdict.HANGS: 9}),
        descendants.orphans_ended(),  # as in the program
    ):
        run = runner.run(
            [cases.Case.of(hostile.problem_of(name)) for name in names],
            "hostile:hostile",
            limit_seconds=30,
            stock=False,
        )
    for name, cell in zip(names, run.cells, strict=True):
        verdict, evidence = hostile.EXPECTED[name]
        for outcome in cell.outcomes["hostile eager"]:
            assert outcome.verdict.value.lower() == verdict, (name, outcome)
            assert evidence in outcome.message, name
            assert "Traceback" not in outcome.message, name
        assert len(cell.outcomes["hostile eager"]) == 2  # processes
    assert not hostile.left_behind()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
