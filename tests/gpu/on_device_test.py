"""The script for a machine with a GPU, as far as it goes without: its parts, limits and report."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

_FOLDER = pathlib.Path(__file__).absolute().parent
sys.path.insert(0, str(_FOLDER.parent))

from gpu import on_device  # noqa: E402

# In the harness's place. Random calls hang, and one conformance run finds something.
_STAND_IN = """#!/bin/bash
case "$*" in
  *on_device.py*) exec {python} "$@" ;;
  *"harness.py build"*) touch {folder}/library.so && echo {folder}/library.so ;;
  *"harness.py fuzz"*) sleep 60 ;;
  *"harness.py conformance --op forward --layout NCHW"*) echo "1 failed" && exit 1 ;;
  *"harness.py bench --rounds"*) cp {folder}/rows.json "${{@: -3:1}}" && echo measured ;;
  *) echo "$@" ;;
esac
"""


def _row(op, dtype, filter_size, share, microseconds, **changes):
    return {
        "op": op,
        "dtype": dtype,
        "layout": "NHWC",
        "problem": f"{op}:{dtype}:NHWC:b32:56x56x128m1:k{filter_size}:s1x1:d1x1:SAME",
        "microseconds": microseconds,
        "share_of_copy": share,
        "differs_from_torch": "",
    } | changes


_ROWS = [
    _row("forward", "half", "3x3", 0.9, {"ours": 10, "copy": 9, "torch": 30, "last": 20}),
    _row("forward", "half", "3x3", 0.7, {"ours": 10, "copy": 7, "torch": 80}),
    _row("forward", "half", "7x7", 0.5, {"ours": 10, "copy": 5}),
    _row("filter_grad", "half", "3x3", 0.4, {"ours": 20, "copy": 8, "torch": 10, "last-": 40}),
    _row("filter_grad", "float", "3x3", 0.6, {"ours": 5, "copy": 3}, differs_from_torch="DIFFERS"),
]


def _run(tmp_path, *arguments):
    stand_in = tmp_path / "python3"
    stand_in.write_text(_STAND_IN.format(python=sys.executable, folder=tmp_path), encoding="utf-8")
    profiler = tmp_path / "ncu"
    profiler.write_text('#!/bin/bash\necho "profiled ${@: -3:1}"\n', encoding="utf-8")
    for program in (stand_in, profiler):
        program.chmod(0o755)
    (tmp_path / "rows.json").write_text(
        json.dumps({"device": "a card", "rows": _ROWS}), encoding="utf-8"
    )
    environment = {
        "PYTHON": str(stand_in),
        "OUT": str(tmp_path / "out"),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [_FOLDER / "on_device.sh", *arguments],
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )
    results = tmp_path / "out" / "results.json"
    parts = json.loads(results.read_text(encoding="utf-8"))["parts"] if results.exists() else []
    return done, {part["part"]: part for part in parts}


def test_a_part_that_hangs_or_fails_costs_itself_alone(tmp_path):
    done, parts = _run(tmp_path, "--limit", "3")
    assert done.returncode == 1, done.stderr
    judged = {f"conformance_{op}_{layout}" for op in on_device.OPS for layout in ("NHWC", "NCHW")}
    sanitized = {
        f"{tool}_{layout}" for tool in ("memcheck", "racecheck") for layout in ("NHWC", "NCHW")
    }
    fuzzed = {f"fuzz_{seed}" for seed in range(1, 5)}
    rest = {"large", "bench_small", "bench", "ncu_0", "ncu_1", "ncu_2"}
    assert set(parts) == judged | sanitized | fuzzed | rest
    for name, part in parts.items():
        wrong = {"conformance_forward_NCHW": "FAILED"}.get(name, "passed")
        assert part["verdict"] == ("stopped after 3 s" if name in fuzzed else wrong), part
    assert (
        "library.so" in parts["large"]["last"]
        and "--tool racecheck" in parts["racecheck_NHWC"]["last"]
    )
    # The profiler was given the three that are furthest from a copy.
    told = (tmp_path / "out" / "ncu.txt").read_text(encoding="utf-8").splitlines()
    assert told == [f"profiled {_ROWS[i]['problem']}" for i in (3, 2, 1)]
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert table == done.stdout
    assert "| forward | half | NHWC | 3x3 | 2 | 80% | 4.00 x ours |" in table
    assert "| filter_grad | half | NHWC | 3x3 | 1 | 40% | 0.50 x ours |" in table
    assert "| filter_grad | float | NHWC | 3x3 | 1 | 60%, 1 DIFFER | - |" in table
    assert "library.so" in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")


def test_parts_may_be_chosen(tmp_path):
    done, parts = _run(tmp_path, "--limit", "20", "large", "ncu")
    # Nothing was measured, so that there is nothing to profile.
    assert (done.returncode, set(parts)) == (0, {"large"}), done.stderr
    assert "run the part bench first" in done.stderr
    done, parts = _run(tmp_path, "--emulated", "large")
    assert (done.returncode, set(parts)) == (0, {"large"}), done.stderr
    assert "--emulated" in parts["large"]["last"]


@pytest.mark.parametrize("arguments", [["--fast"], ["lagre"], ["--limit"], ["--limit", "soon"]])
def test_usage(tmp_path, arguments):
    done, parts = _run(tmp_path, *arguments)
    assert (done.returncode, parts) == (2, {})
    assert arguments[-1] in done.stderr and len(done.stderr.splitlines()) == 1


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
