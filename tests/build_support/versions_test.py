"""The table of stock's verdicts by version."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import pytest
from absl.testing import absltest

from build_support import versions
from tf_dwbp.tools import pages

ROOT = pathlib.Path(__file__).absolute().parents[2]
_BEGIN, _END = versions.MARKS


def _cell(number, verdict, batch=1, multiplier=1, op="forward"):
    return {
        "id": f"cell {number}",
        "op": op,
        "shape": {"batch": batch, "multiplier": multiplier},
        "outcomes": {"stock Eigen": [{"verdict": verdict}]},
    }


def _run(*cells):
    return {"judged": ["stock Eigen"], "cells": list(cells)}


def test_the_program_needs_no_tensorflow(tmp_path):
    """It judges those of other environments."""
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "build_support.versions", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "docs/versions.md" in done.stdout


class TableTest(absltest.TestCase):
    def test_versions_with_the_same_counts_share_a_row(self):
        right, wrong = _cell(1, "agrees"), _cell(1, "WRONG")
        refused = _cell(2, "refuses")
        runs = {
            "1.0": _run(right, refused),
            "1.1": _run(right, refused),
            "1.2": _run(wrong, refused),
            "1.3": _run(right, refused),
        }
        self.assertEqual(
            versions.table(runs).splitlines(),
            [
                "Judged: 1.0, 1.1, 1.2, 1.3.",
                "",
                "| implementation | op | TensorFlow | right | wrong | refused |",
                "|---|---|---|---:|---:|---:|",
                "| stock Eigen | forward | 1.0 to 1.1 | 1 | 0 | 1 |",
                "| stock Eigen | forward | 1.2 | 0 | 1 | 1 |",
                "| stock Eigen | forward | 1.3 | 1 | 0 | 1 |",
            ],
        )

    def test_what_is_right_by_chance_is_no_difference(self):
        for sizes in ({"batch": 0}, {"multiplier": 0}):
            for op, rows in (
                ("input_grad", ["1.0 to 1.1 | 1 | 1 |"]),
                ("forward", ["1.0 | 2 | 0 |", "1.1 | 1 | 1 |"]),  # of an empty result: its shape
            ):
                first, second = (
                    [_cell(1, verdict, op=op, **sizes), _cell(2, "agrees", op=op, **sizes)]
                    for verdict in ("agrees", "WRONG")
                )
                self.assertEqual(
                    versions.table({"1.0": _run(*first), "1.1": _run(*second)}).splitlines()[4:],
                    [f"| stock Eigen | {op} | {row}" for row in rows],
                )

    def test_processes_that_do_not_agree_are_an_error(self):
        cell = _cell(1, "agrees")
        cell["outcomes"]["stock Eigen"].append({"verdict": "dies"})
        with self.assertRaises(ValueError):
            versions.table({"1.0": _run(cell)})


class ProgramTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "1.0.json").write_text(json.dumps(_run(_cell(1, "dies"))), encoding="utf-8")

    def test_the_table_is_put_between_its_marks(self):
        page = self.folder / "page.md"
        page.write_text(f"before\n{_BEGIN}\nold\n{_END}\nafter\n", encoding="utf-8")
        self.assertEqual(versions.main([str(self.folder), "1.0", "--page", str(page)]), 0)
        text = page.read_text(encoding="utf-8")
        self.assertStartsWith(text, f"before\n{_BEGIN}\nJudged: 1.0.\n\n| implem")
        self.assertEndsWith(text, f"| 1 |\n{_END}\nafter\n")
        self.assertNotIn("old", text)

    def test_a_version_that_cannot_be_judged_ends_the_program(self):
        failed = mock.Mock(side_effect=versions.Failed("pip: exit status 1"))
        with (
            mock.patch.object(versions, "build_wheel", failed),
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            self.assertEqual(versions.main([str(self.folder), "1.0", "1.1"]), 2)
        self.assertEndsWith(stderr.getvalue(), ": pip: exit status 1\n")

    def test_the_page_has_the_marks(self):
        page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
        table = page.partition(_BEGIN)[2].partition(_END)[0]
        self.assertEqual(pages.put_into(page, table.strip("\n"), _BEGIN, _END), page)
        self.assertIn(f"Judged: {', '.join(versions.JUDGED)}.\n", table)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
