"""A table of verdicts from runs of other frameworks: python examples/verdicts.py FILE.json...

The files are those that `tf-dwbp conformance --target ... --arrays numpy --json FILE` writes. For
each op of each target there is a row, and for each dtype a column: how many cells got what verdict.
"""

import collections
import json
import sys

_WORDS = {"agrees": "right", "refuses": "refuse", "dies": "die", "hangs": "hang"}
_ORDER = ("agrees", "imprecise", "skipped", "refuses", "WRONG", "hangs", "dies")


def table(runs: list[dict]) -> str:
    """The table in Markdown."""
    dtypes = list(dict.fromkeys(cell["dtype"] for run in runs for cell in run["cells"]))
    lines = [f"| target | op | {' | '.join(dtypes)} |", f"|---|---|{'---|' * len(dtypes)}"]
    for run in runs:
        counts = collections.defaultdict(collections.Counter)
        for cell in run["cells"]:
            outcomes = (cell["outcomes"][path] for path in run["judged"])
            worst = max((o["verdict"] for found in outcomes for o in found), key=_ORDER.index)
            counts[cell["op"]][cell["dtype"], worst] += 1
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        for op, found in counts.items():
            texts = (
                _text({v: found[dtype, v] for v in _ORDER if found[dtype, v]}) for dtype in dtypes
            )
            lines.append(f"| {versions} | {op} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _text(counts):
    return ", ".join(f"{count} {_WORDS.get(verdict, verdict)}" for verdict, count in counts.items())


def main(names: list[str]) -> int:
    runs = []
    for name in names:
        try:
            with open(name, encoding="utf-8") as file:
                runs.append(json.load(file))
        except (OSError, ValueError) as error:
            print(f"verdicts.py: cannot read {name}: {error}", file=sys.stderr)
            return 2
    if not runs:
        print("verdicts.py: give the JSON files of tf-dwbp conformance", file=sys.stderr)
        return 2
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
