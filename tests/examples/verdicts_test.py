"""The table of other frameworks' verdicts, from the files of their runs."""

import json
import pathlib
import subprocess
import sys

import pytest

_SCRIPT = pathlib.Path(__file__).absolute().parents[2] / "examples" / "verdicts.py"


def _run(*arguments):
    command = [sys.executable, str(_SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)


def _write(path, versions, *cells):
    """A run of these cells: pairs of a dtype and the verdicts of each process."""
    found = [
        {
            "op": "forward",
            "dtype": dtype,
            "outcomes": {
                "f eager": [{"verdict": verdict} for verdict in verdicts],
                "stock Eigen": [{"verdict": "dies"}],
            },
        }
        for dtype, *verdicts in cells
    ]
    run = {"versions": versions, "judged": ["f eager"], "cells": found}
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


def test_a_row_for_each_run_and_op(tmp_path):
    many = ("half", "agrees"), ("half", "agrees", "WRONG"), ("half", "refuses"), ("float", "dies")
    first = _write(tmp_path / "1.json", {"a": "1.0", "b": "2"}, *many, ("float", "imprecise"))
    second = _write(tmp_path / "2.json", {"c": "3"}, ("float", "agrees"))
    done = _run(first, second)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "| target | op | half | float |",
        "|---|---|---|---|",
        "| a 1.0, b 2 | forward | 1 right, 1 refuse, 1 WRONG | 1 imprecise, 1 die |",
        "| c 3 | forward |  | 1 right |",
    ]


def test_what_is_no_run(tmp_path):
    (tmp_path / "no.json").write_text("{", encoding="utf-8")
    for arguments, text in (
        ((), "give the JSON files"),
        ((tmp_path / "no.json",), "cannot read"),
        ((tmp_path / "none.json",), "cannot read"),
    ):
        done = _run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
        assert done.stderr.count("\n") == 1


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
