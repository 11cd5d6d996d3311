"""Judges stock TensorFlow's ops, version by version, and makes the table of docs/versions.md.

    python -m build_support.versions RESULTS [VERSION...] [--page docs/versions.md] [-- OPTION...]

For each version: an environment of its own with `tensorflow-cpu` of that version and the package
without a library (TF_DWBP_NATIVE=0), and in it `tf-dwbp conformance --target stock OPTION...`. The
folder RESULTS keeps a JSON file of each; a version that has one there is not judged again. Of the
environments, 2 GB each, there is one at a time.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from build_support.tensorflow_versions import JUDGED
from tf_dwbp.tools.pages import marks, put_into

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What the table says of a verdict, as the JSON files have them; no others occur.
VERDICTS = {
    "agrees": "right",
    "imprecise": "imprecise",
    "WRONG": "wrong",
    "refuses": "refused",
    "dies": "dies",
    "hangs": "hangs",
    "skipped": "not asked",
}
# And of a result that should be zeros, since nothing is summed, and that is never written.
UNWRITTEN = "unwritten"
_COLUMNS = [*VERDICTS.values(), UNWRITTEN]

MARKS = marks("the table", "build_support/versions.py")


class Failed(Exception):
    """A version could not be judged; the message says why."""


def build_wheel(folder: str) -> pathlib.Path:
    """The package without a library, which all versions take."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    _run([*pip, ROOT], TF_DWBP_NATIVE="0")
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    return wheel


def judge(version: str, wheel: pathlib.Path, options: list[str], path: pathlib.Path) -> None:
    """Writes what a version's ops were found to be, as `tf-dwbp conformance --json` does."""
    with tempfile.TemporaryDirectory() as folder:
        programs = pathlib.Path(folder, "bin")
        _run([sys.executable, "-m", "venv", folder])
        pip = [programs / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
        _run([*pip, f"tensorflow-cpu=={version}", f"{wheel}[cli]"])
        command = [programs / "tf-dwbp", "conformance", "--target", "stock", *options]
        # Not in the source tree, whose package Python would take. 1: a verdict against stock.
        _run([*command, "--json", path], cwd=folder, expected=(0, 1), TF_CPP_MIN_LOG_LEVEL="3")


def _run(command, cwd=None, expected=(0,), **environment):
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | environment
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode not in expected:
        raise Failed(f"{' '.join(map(str, command))}: exit status {done.returncode}")


def _verdicts(run):
    """(implementation, cell) -> verdict; the cell as the JSON files have it."""
    for path in run["judged"]:
        for cell in run["cells"]:
            if path in cell["outcomes"]:
                (verdict,) = {outcome["verdict"] for outcome in cell["outcomes"][path]}
                yield path, cell, verdict


def _is_of_zeros(cell):
    """Whether nothing is summed for its result. That of the forward op is empty then."""
    empty = cell["shape"]["batch"] == 0 or cell["shape"]["multiplier"] == 0
    return empty and cell["op"] != "forward"


def count(run: dict, unwritten: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, int]]:
    """(implementation, op) -> column of the table -> how many cells.

    Args:
      run: what `tf-dwbp conformance --json` wrote.
      unwritten: implementations with ids of cells; see `table`.
    """
    counts = {}
    for path, cell, verdict in _verdicts(run):
        computed = verdict in ("agrees", "WRONG")
        chance = computed and (path, cell["id"]) in unwritten
        of_op = counts.setdefault((path, cell["op"]), dict.fromkeys(_COLUMNS, 0))
        of_op[UNWRITTEN if chance else VERDICTS[verdict]] += 1
    return counts


def table(runs: dict[str, dict]) -> str:
    """A Markdown table of the runs, by version, oldest first.

    Consecutive versions of which an op has the same counts share a row. A cell with nothing to sum
    that is wrong in any version is unwritten: whatever the memory held is its result, and whether
    that is right, which differs from run to run, says nothing of the version.
    """
    unwritten = {
        (path, cell["id"])
        for run in runs.values()
        for path, cell, verdict in _verdicts(run)
        if verdict == "WRONG" and _is_of_zeros(cell)
    }
    counted = {version: count(run, unwritten) for version, run in runs.items()}
    keys = sorted({key for counts in counted.values() for key in counts})
    rows = []  # implementation, op, versions, counts
    for path, op in keys:
        for version, counts in counted.items():
            found = counts.get((path, op), dict.fromkeys(_COLUMNS, 0))
            if rows and rows[-1][:2] == (path, op) and rows[-1][3] == found:
                rows[-1][2].append(version)
            else:
                rows.append((path, op, [version], found))
    used = [column for column in _COLUMNS if any(row[3][column] for row in rows)]
    lines = [
        f"Judged: {', '.join(runs)}.",
        "",
        f"| implementation | op | TensorFlow | {' | '.join(used)} |",
        f"|---|---|---|{'---:|' * len(used)}",
    ]
    for path, op, versions, found in rows:
        shown = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
        figures = " | ".join(str(found[column]) for column in used)
        lines.append(f"| {path} | {op} | {shown} | {figures} |")
    return "\n".join(lines)


def _results(folder, versions, options):
    """What `tf-dwbp conformance --json` wrote of each version; judges those that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {version: (folder / f"{version}.json").resolve() for version in versions}
    with tempfile.TemporaryDirectory() as wheels:
        wheel = None
        for version, path in paths.items():
            if path.exists():
                continue
            wheel = wheel or build_wheel(wheels)
            print(f"judging TensorFlow {version}", file=sys.stderr, flush=True)
            new = path.with_suffix(".new")
            judge(version, wheel, options, new)
            new.replace(path)
    return {v: json.loads(path.read_text(encoding="utf-8")) for v, path in paths.items()}


def main(arguments: list[str] | None = None) -> int:
    """The program; returns 2 if a version could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, metavar="RESULTS", help="folder for JSON")
    parser.add_argument(
        "versions",
        nargs="*",
        default=JUDGED,
        metavar="VERSION",
        help=f"oldest first; {', '.join(JUDGED)} unless given",
    )
    parser.add_argument("--page", type=pathlib.Path, help="put the table there, not to the screen")
    given = sys.argv[1:] if arguments is None else arguments
    own, options = given, ["--quick"]
    if "--" in given:
        own, options = given[: given.index("--")], given[given.index("--") + 1 :]
    parsed = parser.parse_args(own)
    try:
        text = table(_results(parsed.results, parsed.versions, options))
        if parsed.page is None:
            print(text)
        else:
            page = put_into(parsed.page.read_text(encoding="utf-8"), text, *MARKS)
            parsed.page.write_text(page, encoding="utf-8")
    except (Failed, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
