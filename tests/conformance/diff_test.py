"""`tf-dwbp diff`: two runs side by side."""

import contextlib
import dataclasses
import io
import json
import pathlib
import subprocess
import sys
import textwrap

import pytest

from tf_dwbp import cli
from tf_dwbp.conformance import cases, diff, export, repeat, saved
from tf_dwbp.conformance.diff import Change
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools.placement import Placement

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_CASE = cases.CASES[0]


def _outcome(kind, ratio=None, message=""):
    verdict = Verdict.AGREES if kind == "differs" else Verdict(kind)
    figures = {} if ratio is None else {"error": 2 * ratio, "bound": 2.0, "where": (0, 1, 2, 3)}
    return Outcome(verdict, message, **figures, digest="1")


def _outcomes(kind, *more):
    """In two processes, whose bits may differ."""
    first = _outcome(kind, *more)
    digest = "2" if kind == "differs" else "1"
    return [first, dataclasses.replace(first, digest=digest)]


def _run(found, target="stock", version="2.20", judged=("stock Eigen",), options=()):
    """A run of outcomes by case and path."""
    cells = []
    for case, outcomes in found.items():
        cells.append(Cell(case, outcomes))
        cells[-1].judge(judged)
    paths = list(dict.fromkeys(path for outcomes in found.values() for path in outcomes))
    lanes = {path: [path] for path in paths}
    return Run(target, paths, lanes, list(judged), cells, 1.0, version, list(options))


def _change(a, b):
    """Of one path in one cell."""
    runs = [_run({_CASE: {"stock Eigen": _outcomes(*side)}}) for side in (a, b)]
    (pair,) = diff.pairs(*runs)
    return pair.change


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        (("agrees", 0.1), ("agrees", 0.1), Change.SAME),
        (("agrees", 0.1), ("agrees", 0.45), Change.SAME),  # far from its bound
        (("agrees", 0.1), ("agrees", 0.9), Change.DIFFERENT),
        (("agrees", 0.9), ("agrees", 0.1), Change.SAME),
        (("agrees", 0.6), ("agrees", 0.9), Change.SAME),
        (("agrees", 0.1), ("differs", 0.1), Change.WORSE),
        (("differs", 0.1), ("imprecise", 2), Change.WORSE),
        (("agrees", 0.1), ("imprecise", 2), Change.WORSE),
        (("refuses", None, "no"), ("WRONG", 9), Change.WORSE),
        (("WRONG", 9), ("hangs",), Change.WORSE),
        (("hangs",), ("dies",), Change.WORSE),
        (("dies",), ("agrees", 0.1), Change.BETTER),
        (("WRONG", 9), ("refuses", None, "no"), Change.BETTER),
        (("WRONG", 9), ("WRONG", 8), Change.SAME),
        (("WRONG", 9), ("WRONG", 19), Change.DIFFERENT),
        (("WRONG", 9), ("WRONG", None, "shape"), Change.DIFFERENT),
        (("refuses", None, "no\nhere"), ("refuses", None, "no\nthere"), Change.SAME),
        (("refuses", None, "no"), ("refuses", None, "never"), Change.DIFFERENT),
        (("dies", None, "SIGABRT"), ("dies", None, "SIGSEGV"), Change.DIFFERENT),
        (("skipped",), ("agrees", 0.1), Change.DIFFERENT),
        (("agrees", 0.1), ("skipped",), Change.DIFFERENT),
    ],
)
def test_changes(a, b, change):
    assert _change(a, b) is change


def _example():
    """Two runs with one change of each kind: the files' contents are what a person would have."""
    some = cases.CASES[:3]
    gradient = dataclasses.replace(some[0], order=1)
    agrees, wrong = _outcomes("agrees", 0.25), _outcomes("WRONG", 9, "2 where 1 is right")
    a = {
        some[0]: {"stock Eigen": agrees, "stock XLA": wrong},
        some[1]: {"stock Eigen": wrong, "stock XLA": agrees},
        gradient: {"stock Eigen": agrees},
    }
    b = {
        some[0]: {"stock Eigen": wrong, "stock XLA": agrees},
        some[1]: {"stock Eigen": _outcomes("WRONG", 90, "9 where 1 is right"), "stock XLA": agrees},
        some[2]: {"stock Eigen": agrees},
    }
    return _run(a), _run(b, version="2.21", options=["--no-stock"])


def _write(tmp_path):
    paths = [tmp_path / f"{name}.json" for name in "ab"]
    for path, run in zip(paths, _example(), strict=True):
        export.write_json(run, path)
    return paths


def _diff(*arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        return cli.main(["diff", *map(str, arguments)]), printed.getvalue()


def test_what_is_read_is_what_was_written(tmp_path):
    for path, run in zip(_write(tmp_path), _example(), strict=True):
        assert saved.read(path) == run


def test_where_a_run_was_made_is_read(tmp_path):
    run = _run({_CASE: {"f eager": [_outcome("WRONG")]}}, "module:f", None, ["f eager"])
    run.placement = Placement("MY_NPU:0", ("a b.so",))
    run.versions = {"numpy": "2.0"}
    path = tmp_path / "run.json"
    export.write_json(run, path)
    assert saved.read(path) == run
    (cell,) = saved.read(path).cells
    assert "--device MY_NPU:0 --load-library 'a b.so'" in repeat.line(saved.read(path), cell)


def test_the_program(tmp_path):
    a, b = _write(tmp_path)
    path = tmp_path / "changes"
    status, printed = _diff(a, b, "--json", path)
    assert status == 1
    assert f"A: {a}: stock, TensorFlow 2.20\n" in printed
    assert f"B: {b}: stock, TensorFlow 2.21\n" in printed
    first, second, third = (case.id for case in cases.CASES[:3])
    assert (
        f"worse: {first}, stock Eigen\n"
        "  A: agrees: (error 0.5, bound 2, at [0, 1, 2, 3])\n"
        "  B: WRONG: 2 where 1 is right (error 18, bound 2, at [0, 1, 2, 3])\n"
        f"  tf-dwbp conformance --target stock --no-stock --case {first} --seed 0\n"
    ) in printed
    assert f"different: {second}, stock Eigen\n" in printed
    assert f"better: {first}, stock XLA\n" in printed
    assert f"only in A: {first} order 1, stock Eigen\n" in printed
    assert f"only in B: {third}, stock Eigen\n" in printed
    assert printed.splitlines()[-1] == (
        "1 worse, 1 different, 1 better, 1 same, 1 only in A, 1 only in B"
    )
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["b"] == {"target": "stock", "tensorflow_version": "2.21"}
    changes = {(cell["id"], cell["path"]): cell["change"] for cell in data["cells"]}
    assert changes == {
        (first, "stock Eigen"): "worse",
        (first, "stock XLA"): "better",
        (second, "stock Eigen"): "different",
        (f"{first} order 1", "stock Eigen"): "only in A",
        (third, "stock Eigen"): "only in B",
    }
    assert [(row["op"], row["path"]) for row in data["counts"]] == [
        ("forward", "stock Eigen"),
        ("forward", "stock XLA"),
        ("forward, gradients", "stock Eigen"),
    ]
    assert sum(row["worse"] for row in data["counts"]) == 1


def test_nothing_worse(tmp_path):
    a, b = _write(tmp_path)
    assert _diff(b, b)[0] == 0
    status, printed = _diff(b, a)  # what was better is worse
    assert status == 1 and f"worse: {cases.CASES[0].id}, stock XLA" in printed


def test_two_functions_are_compared_by_execution():
    before, after = (
        _run(
            {_CASE: {f"{name} eager": [_outcome(kind)], "stock Eigen": [_outcome("agrees")]}},
            f"module:{name}",
            judged=[f"{name} eager"],
        )
        for name, kind in (("before", "agrees"), ("after", "WRONG"))
    )
    changes = {pair.path: pair.change for pair in diff.pairs(before, after)}
    assert changes == {"eager": Change.WORSE, "stock Eigen": Change.SAME}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"cells": 1}',
        b'{"target": "a", "judged": [], "cells": [{"id": "a", "outcomes": {}}]}',
        b'{"runs": []}',
    ],
)
def test_files_that_hold_something_else(tmp_path, capsys, content):
    a, b = _write(tmp_path)
    b.unlink()
    if content is not None:
        b.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        _diff(a, b)
    assert stop.value.code == 2
    why = f"cannot read {b}: No such file" if content is None else f"{b} is not what tf-dwbp "
    assert f"argument B.json: {why}" in capsys.readouterr().err.splitlines()[-1]


def test_a_file_that_cannot_be_written(tmp_path):
    a, b = _write(tmp_path)
    assert _diff(a, b, "--json", "/dev/full")[0] == 2


def test_neither_tensorflow_nor_the_library_is_loaded(tmp_path):
    """Nor are they needed: the package here is one that loads nothing of itself."""
    program = """
        import argparse, pathlib, sys, types
        sys.modules["tf_dwbp"] = types.ModuleType("tf_dwbp")
        sys.modules["tf_dwbp"].__path__ = [sys.argv[1]]
        from tf_dwbp.conformance import diff
        parser = argparse.ArgumentParser()
        diff.configure(parser)
        arguments = parser.parse_args(sys.argv[2:])
        status = arguments.run(arguments)
        assert not [name for name in sys.modules if name.startswith("tensorflow")]
        assert "_tf_dwbp" not in pathlib.Path("/proc/self/maps").read_text()
        sys.exit(status)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), _ROOT / "tf_dwbp", *_write(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "worse: " in done.stdout


def test_epilogues_have_a_row_of_their_own():
    plain = cases.select(ops=["forward"], orders=[0])[0]
    fused = cases.select(epilogues=cases.EPILOGUES)[0]
    run = _run({case: {"stock Eigen": _outcomes("agrees", 0.1)} for case in (fused, plain)})
    rows = diff.counts(diff.pairs(run, run))
    assert [op for op, _ in rows] == ["forward", "forward, epilogues"]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
