"""What tests/gpu/on_device.sh makes of its parts' results.

on_device.py slowest BENCH.json   the three problems that are furthest from a copy, one a line
on_device.py report FROM TO       results.json and table.md in the folder TO; status 1 if one failed
"""

import collections
import json
import pathlib
import statistics
import sys

OPS = ("forward", "input_grad", "filter_grad")
_SLOWEST = 3
_HUNG = (124, 137)  # of timeout
_NO_GPU = 3  # of the harness


def slowest(rows: list[dict]) -> list[str]:
    """Problems whose share of a copy is the least, of different filters or ops."""
    found = {}
    for row in sorted(rows, key=lambda row: row["share_of_copy"]):
        filter_size = row["problem"].split(":")[5]
        found.setdefault((row["op"], row["layout"], filter_size), row["problem"])
    return list(found.values())[:_SLOWEST]


def parts(folder: pathlib.Path) -> list[dict]:
    """Each part's verdict, seconds and what it said last."""
    found = []
    for path in sorted(folder.glob("*.status")):
        status, seconds, limit = map(int, path.read_text(encoding="utf-8").split())
        log = path.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in log.splitlines() if line.strip()]
        part = {
            "part": path.stem,
            "verdict": _verdict(status, limit),
            "seconds": seconds,
            "last": lines[-1][:200] if lines else "",
        }
        document = path.with_suffix(".json")
        if document.exists():
            part |= json.loads(document.read_text(encoding="utf-8"))
        found.append(part)
    for path in sorted(folder.glob("*.not_here")):
        why = path.read_text(encoding="utf-8").strip()
        found.append({"part": path.stem, "verdict": "not here", "seconds": 0, "last": why})
    return found


def _verdict(status, limit):
    if status == 0:
        return "passed"
    if status in _HUNG:
        return f"stopped after {limit} s"
    return "no GPU" if status == _NO_GPU else "FAILED"


def speeds(rows: list[dict]) -> list[str]:
    """A line of Markdown for each op, type, layout and filter: medians over the shapes."""
    groups = collections.defaultdict(list)
    for row in rows:
        filter_size = row["problem"].split(":")[5].removeprefix("k")
        groups[row["op"], row["dtype"], row["layout"], filter_size].append(row)
    lines = [
        "| op | type | layout | filter | calls | of a copy | PyTorch's best way takes |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, members in sorted(groups.items()):
        shares = [row["share_of_copy"] for row in members]
        beside = [best for row in members if (best := _beside_torch(row))]
        ratio = f"{statistics.geometric_mean(beside):.2f} x ours" if beside else "-"
        wrong = sum(bool(row["differs_from_torch"]) for row in members)
        lines.append(
            f"| {' | '.join(group)} | {len(members)} | {statistics.median(shares):.0%}"
            f"{f', {wrong} DIFFER' if wrong else ''} | {ratio} |"
        )
    return lines


def _beside_torch(row):
    times = row["microseconds"]
    theirs = [time for name, time in times.items() if name not in ("ours", "copy")]
    return min(theirs) / times["ours"] if theirs else None


def report(source: pathlib.Path, target: pathlib.Path) -> int:
    """Writes both files, prints the table, and returns the exit status."""
    found = parts(source)
    lines = ["| part | verdict | seconds | |", "|---|---|---|---|"]
    lines += [
        f"| {part['part']} | {part['verdict']} | {part['seconds']:.0f} | {part['last']} |"
        for part in found
    ]
    document = {"parts": found}
    for name in ("bench", "bench_small"):
        path = target / f"{name}.json"
        if any(part["part"] == name for part in found) and path.exists():
            measured = json.loads(path.read_text(encoding="utf-8"))
            document[name] = {"device": measured["device"], "calls": len(measured["rows"])}
            lines += ["", f"{measured['device']}, {len(measured['rows'])} calls:", ""]
            lines += speeds(measured["rows"])
    text = "\n".join(lines) + "\n"
    (target / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (target / "table.md").write_text(text, encoding="utf-8")
    print(text, end="")
    good = ("passed", "not here")
    return 0 if found and all(part["verdict"] in good for part in found) else 1


def main(arguments: list[str]) -> int:
    match arguments:
        case ["slowest", path] if pathlib.Path(path).exists():
            rows = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["rows"]
            print("\n".join(slowest(rows)))
            return 0
        case ["slowest", path]:
            print(f"{path} does not exist: run the part bench first", file=sys.stderr)
            return 2
        case ["report", source, target]:
            return report(pathlib.Path(source), pathlib.Path(target))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
