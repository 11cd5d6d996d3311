"""`--expect` and `--write-expect`: what is known to fail, and the status that follows."""

import contextlib
import io
import json
import os
import pathlib
import random
import re
import sys
from unittest import mock
from xml.etree import ElementTree

import pytest

from tf_dwbp import cli
from tf_dwbp.conformance import cases, compact, expectations, runner
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict

_PATHS = ["f eager", "f jit"]
_SELECTED = cases.select(
    ["float", "half"], ["NHWC"], ["SAME", "VALID"], ops=["forward"], orders=[0]
)
_LINES = """
# a comment, and an empty line

refuses        *:half:*
WRONG,agrees   forward:float:*:k5x5:*   order 0   f jit, g *   # one more
agrees         *:k1x1:*
"""


def _run(kind_of, selected=_SELECTED, paths=_PATHS, target="m:f"):
    """A run whose paths do with each case what a function says: a verdict, or `differs`."""
    cells = []
    for case in selected:
        outcomes = {}
        for path in paths:
            kind = kind_of(case, path)
            verdict = Verdict.AGREES if kind == "differs" else Verdict(kind)
            digests = ("1", "2") if kind == "differs" else ("1", "1")
            outcomes[path] = [Outcome(verdict, "evidence", digest=d) for d in digests]
        cells.append(Cell(case, outcomes))
        cells[-1].judge(paths)
    return Run(target, paths, {"f": paths}, paths, cells, 1, "2.21")


def _read(tmp_path, text):
    path = tmp_path / "known.txt"
    path.write_text(text, encoding="utf-8")
    return expectations.read(path)


def _applied(tmp_path, text, run):
    _read(tmp_path, text).apply(run)
    return run


def test_lines():
    (found,) = [expectations._parse(line.split(), "") for line in ["WRONG *:half:* order 1 f *"]]
    assert found == expectations.Entry(("WRONG",), "*:half:*", (("order", "1"),), ("f *",))
    (found,) = [expectations._parse(line.split(), "") for line in ["WRONG * order eager"]]
    assert found == expectations.Entry(("WRONG",), "*", paths=("order eager",))


def test_what_is_read_is_what_was_written(tmp_path):
    read = _read(tmp_path, _LINES)
    assert [str(entry).split() for entry in read.entries] == [
        line.partition("#")[0].split() for line in _LINES.splitlines() if line.partition("#")[0]
    ]
    assert [entry.place[-2:] for entry in read.entries] == [":4", ":5", ":6"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wrongg *", "'wrongg' is no verdict: agrees, barred, imprecise, "),
        ("WRONG", "no problem after 'WRONG'"),
        ("WRONG forward:float", "'forward:float' is no problem such as"),
        ("WRONG,, *", "'' is no verdict"),
        ("WRONG * order 3", "order 3 is none of 0, 1, 2"),
        ("WRONG * order 1 a,,b", "no path on one side of a comma: 'a,,b'"),
    ],
)
def test_lines_that_are_none(tmp_path, capsys, line, message):
    path = tmp_path / "known.txt"
    path.write_text(f"# fine\nrefuses *\n{line}\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        cli.main(["conformance", "--expect", str(path)])
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --expect: {path}:3: {message}" in last


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read .*known.txt: No such file"), (b"WRONG *\n\xff", "known.txt:2: not UTF-8")],
)
def test_files_that_cannot_be_read(tmp_path, capsys, content, message):
    path = tmp_path / "known.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        cli.main(["conformance", "--expect", str(path)])
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])


def test_the_example_of_the_docs(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "expectations.md"
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    (example,) = (block for block in blocks if "dies,agrees" in block)
    found = _read(tmp_path, example).entries
    assert [entry.kinds[0] for entry in found] == ["refuses", "WRONG", "dies", "agrees"]


def test_an_expected_failure_is_none(tmp_path):
    run = _run(lambda case, path: "refuses" if case.dtype == "half" else "agrees")
    assert len(run.failing) == len(_SELECTED) / 2
    _applied(tmp_path, "refuses *:half:*", run)
    assert (run.failing, run.unmet) == ([], [])
    assert len(run.known) == len(_SELECTED) / 2


def test_another_verdict_is_a_failure_that_says_what_was_expected(tmp_path):
    run = _run(lambda case, path: "WRONG" if case is _SELECTED[0] else "agrees")
    _applied(tmp_path, f"refuses,dies {_SELECTED[0].problem} order 0", run)
    assert [cell.case for cell in run.failing] == [_SELECTED[0]]
    assert run.failing[0].failures[0].reason == (
        f"WRONG: evidence\nexpected: refuses or dies ({tmp_path}/known.txt:1)"
    )


def test_a_pass_is_a_failure_unless_it_is_expected_too(tmp_path):
    for line, failing in (("WRONG", 1), ("WRONG,agrees", 0)):
        run = _run(lambda case, path: "agrees")
        _applied(tmp_path, f"{line} {_SELECTED[3].problem} f jit", run)
        assert [str(f) for cell in run.failing for f in cell.failures] == [
            f"f jit: agrees, expected: WRONG ({tmp_path}/known.txt:1)"
        ] * failing
        assert run.unmet == []


def test_the_last_line_that_matches_decides(tmp_path):
    def kind(case, path):
        return "agrees" if case.dtype == "half" and case.stride == (1, 1) else "dies"

    lines = "dies *\nagrees *:half:*:s1x1:*\n"
    assert not _applied(tmp_path, lines, _run(kind)).failing
    in_turn = _applied(tmp_path, "\n".join(reversed(lines.splitlines())), _run(kind))
    assert {cell.failures[0].kind for cell in in_turn.failing} == {"passes"}


def test_entries_that_no_cell_meets_are_listed(tmp_path):
    run = _run(lambda case, path: "agrees")
    _applied(tmp_path, "agrees *:half:*\nWRONG *:double:*\nWRONG * order 1\nWRONG * g *", run)
    assert [line.partition(": ")[0][-2:] for line in run.unmet] == [":2", ":3", ":4"]
    assert not run.failing


def test_what_is_not_asked_after_deaths_is_no_news(tmp_path):
    run = _run(lambda case, path: "skipped" if case.dtype == "half" else "dies")
    assert not _applied(tmp_path, "dies *", run).failing
    run = _run(lambda case, path: "skipped")
    assert _applied(tmp_path, "WRONG *", run).failing


def _kinds_by(rule):
    numbers = random.Random(rule)

    def kind(case, path):
        match rule:
            case "one cell":
                return "WRONG" if case is _SELECTED[5] and path == "f jit" else "agrees"
            case "all":
                return "refuses"
            case "groups":
                if case.layout == "NHWC" and case.dilated and path == "f jit":
                    return "refuses"
                return "WRONG" if case.stride == (2, 1) and case.dtype == "half" else "agrees"
            case "bits":
                return "differs" if case.shape.name == "odd" else "agrees"
            case "given up":
                return "dies" if case.stride == (1, 1) else "skipped"
        return numbers.choice(["agrees", "agrees", "WRONG", "refuses", "hangs"])

    return kind


@pytest.mark.parametrize(
    ("rule", "most_lines"),
    [("one cell", 1), ("all", 1), ("groups", 5), ("bits", 1), ("given up", 5), ("chance", 2000)],
)
def test_what_is_written_is_as_expected_when_read(tmp_path, rule, most_lines):
    kind = _kinds_by(rule)
    run = _run(kind)
    entries = compact.entries(run)
    assert 1 <= len(entries) <= most_lines
    failing = len(run.failing)
    assert failing
    _applied(tmp_path, compact.to_text(run, entries), run)
    assert (run.failing, run.unmet) == ([], [])
    assert len(run.known) == failing


def test_every_line_that_was_written_is_needed(tmp_path):
    """Without any of them, and with one cell changed, the run is not as expected."""
    kind = _kinds_by("groups")
    entries = compact.entries(_run(kind))
    assert len(entries) == 5
    for left_out in entries:
        text = compact.to_text(_run(kind), [entry for entry in entries if entry is not left_out])
        assert _applied(tmp_path, text, _run(kind)).failing
    text = compact.to_text(_run(kind), entries)
    for number in range(0, len(_SELECTED), 37):
        changed = _SELECTED[number]
        run = _run(lambda case, path, c=changed: "hangs" if case is c else kind(case, path))
        assert [cell.case for cell in _applied(tmp_path, text, run).failing] == [changed]


def test_orders_and_all_axes(tmp_path):
    selected = cases.select(quick=True, dtypes=["float"])

    def kind(case, path):
        if case.order and case.op == "forward":
            return "WRONG"
        return "refuses" if case.padding == "EXPLICIT" and not case.order else "agrees"

    run = _run(kind, selected)
    entries = compact.entries(run)
    assert {str(entry).split(maxsplit=1)[0] for entry in entries} == {"WRONG", "refuses"}
    assert len(entries) <= 8
    _applied(tmp_path, compact.to_text(run, entries), run)
    assert not run.failing


@pytest.mark.parametrize(
    "fails",
    [
        lambda case: case.activation == "silu",
        lambda case: case.padding == "VALID" and case.dtype == "half",
        lambda case: not case.epilogue,
        lambda case: case.epilogue and case.padding != "SAME",
    ],
)
def test_epilogues(tmp_path, fails):
    selected = cases.select(["float", "half"], epilogues=(), quick=True, ops=["forward"])

    def kind(case, path):
        return "refuses" if fails(case) else "agrees"

    run = _run(kind, selected, ["f eager"])
    entries = compact.entries(run)
    assert 1 <= len(entries) <= 2 * len(cases.EPILOGUES)
    _applied(tmp_path, compact.to_text(run, entries), run)
    assert (run.failing, run.unmet) == ([], [])


_TARGET = """
    import numpy as np
    from tf_dwbp.tools import reference

    def limited(input_sizes, filter, out_backprop, strides, **attributes):
        right = reference.input_grad(
            input_sizes, np.asarray(filter), np.asarray(out_backprop), strides, **attributes
        ).astype("float32")
        if strides[1] == 3:
            raise ValueError("no strides of 3")
        return right + (strides[1] == 2)
"""


def _conformance(*arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        return cli.main(["conformance", *map(str, arguments)]), printed.getvalue()


def test_the_program(tmp_path, target_module):
    target = ["--target", f"{target_module(_TARGET)}:limited", "--no-stock", "--quick"]
    target += ["--dtype", "float", "--layout", "NHWC", "--padding", "SAME"]
    known, found, junit = tmp_path / "known.txt", tmp_path / "json", tmp_path / "junit"
    assert _conformance(*target, "--write-expect", known)[0] == 1
    lines = [line for line in known.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert 3 <= len(lines) <= 8 and {line.split()[0] for line in lines} == {"WRONG", "refuses"}

    files = ["--json", found, "--junit", junit]
    status, printed = _conformance(*target, "--expect", known, *files)
    assert status == 0
    assert re.search(r"agree, .* 0 fail, 1\d fail as expected", printed)
    data = json.loads(found.read_text(encoding="utf-8"))
    assert (data["failing"], data["unmet"]) == (0, [])
    assert data["known"] == sum("known" in cell for cell in data["cells"]) > 10
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert suite.get("failures") == "0"
    assert len([*suite.iter("skipped")]) == int(suite.get("skipped")) == data["known"]

    known.write_text("\n".join([*lines[:-1], "dies *:double:*"]), encoding="utf-8")
    status, printed = _conformance(*target, "--expect", known, *files)
    assert status == 1
    assert "no cell of this run meets" in printed and f"{known}:{len(lines)}" in printed
    assert json.loads(found.read_text(encoding="utf-8"))["failing"] > 0


def test_a_file_that_cannot_be_written_is_the_machines(tmp_path):
    run = _run(lambda case, path: "refuses")
    with mock.patch.object(runner, "run", return_value=run):
        status, _ = _conformance("--no-stock", "--target", "a:b", "--write-expect", "/dev/full")
    assert status == 2


def test_thousands_of_single_cells(tmp_path):
    """Which a target leads to that fails at random."""
    selected = cases.select(["float"], orders=[0])
    numbers = random.Random(1)
    run = _run(lambda case, path: numbers.choice(["agrees", "WRONG"]), selected, ["f eager"])
    entries = compact.entries(run)
    assert len(entries) > 500
    _applied(tmp_path, compact.to_text(run, entries), run)
    assert (run.failing, run.unmet) == ([], [])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(pytest.main([__file__]))
