"""The tables as Markdown, and the page of the docs that has them."""

import pathlib
import re
import sys

import pytest

from tf_dwbp.conformance import cases, export, paths, results, runner
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import targets

_PAGE = pathlib.Path(__file__).absolute().parents[2] / "docs" / "results.md"


def _run(asked_for):
    """A run like that of `tf-dwbp conformance` in which everything agrees."""
    asked, judged = paths.to_ask(executions=targets.EXECUTIONS)
    right = [Outcome(Verdict.AGREES)]
    cells = [
        results.Cell(case, {path.name: right for path in asked if path.is_asked(case)})
        for case in asked_for
    ]
    names = [path.name for path in asked]
    return results.Run(targets.OURS, names, runner._lanes(asked), judged, cells, 1.0, "2.21.0")


def _form(text):
    """The tables and the counts without verdicts."""
    lines = [line for line in text.splitlines() if re.match(r"\||[\d,]+ cells|In each group", line)]
    text = "\n".join(lines).partition(" ✓ agrees")
    return re.sub(r"[✓·~?–@✗∞†](\d+ %)?", "#", text[0]) + text[2].partition("agree.")[2]


def test_the_page_has_what_a_run_would_write():
    page = _PAGE.read_text(encoding="utf-8")
    part = page.partition(export.MARKS[0])[2].partition(export.MARKS[1])[0]
    every = cases.select(sizes=(), epilogues=())
    assert _form(part) == _form(export.to_markdown(_run(every)))
    assert "| # # # # |" in _form(part)
    assert f"{len(every):,} cells; TensorFlow 2.21.0." in part


def test_a_page_with_the_marks_keeps_the_rest(tmp_path):
    run = _run(cases.select(quick=True)[:3])
    path = tmp_path / "page.md"
    begin, end = export.MARKS
    path.write_text(f"# Ours\n\n{begin}\nold\n{end}\n\nMore.\n", encoding="utf-8")
    for _ in range(2):
        export.write_markdown(run, path)
        page = path.read_text(encoding="utf-8")
        text = export.to_markdown(run)
        assert page == f"# Ours\n\n{begin}\n\n{text}\n{end}\n\nMore.\n"


@pytest.mark.parametrize("before", [None, b"# No marks\n", b"\xff"])
def test_any_other_file_is_replaced(before, tmp_path):
    run = _run(cases.select(quick=True)[:3])
    path = tmp_path / "page.md"
    if before is not None:
        path.write_bytes(before)
    export.write_markdown(run, path)
    assert path.read_text(encoding="utf-8") == export.to_markdown(run)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
