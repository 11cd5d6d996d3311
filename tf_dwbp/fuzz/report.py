"""What a run has found, as text and as JSON."""

import collections
import dataclasses
import json
import textwrap

from tf_dwbp.fuzz.results import Failure, Plan, Results
from tf_dwbp.tools import files

_MESSAGE = 300  # characters of it in a line


def line(failure: Failure) -> str:
    """A failure in one line, which a shell repeats."""
    message = textwrap.shorten(failure.message, _MESSAGE, placeholder=" ...")
    return f"tf-dwbp fuzz {failure.options}  # {failure.verdict}: {message}"


def summary(plan: Plan, results: Results) -> list[str]:
    """Lines that tell what ran, what failed, and which implementations were reached."""
    rate = results.calls / max(results.seconds, 1e-9)
    kind = "calls that are not valid" if plan.invalid else "calls"
    lines = [
        f"{results.calls:,} {kind}, of {results.cases:,} cases, in {results.seconds:.0f} s "
        f"({rate:,.0f} a second); seed {plan.seed}",
        f"  {', '.join(f'{n:,} {op}' for op, n in sorted(results.by_op.items()))}; "
        f"{plan.ways.options}",
    ]
    if results.paths:
        width = max(map(len, results.paths))
        lines.append("How often each implementation was reached:")
        lines += [f"  {name:<{width}}  {n:>12,}" for name, n in results.paths.items()]
    if results.relations:
        made = sorted(results.relations.items())
        lines.append("Relations checked: " + ", ".join(f"{n:,} {name}" for name, n in made))
    if results.differing:
        lines.append(
            f"{len(results.differing):,} cases with other bits in repeated calls, of which "
            f"--deterministic makes failures; the first: tf-dwbp fuzz {results.differing[0]}"
        )
    if results.unasked:
        lines.append(f"{results.unasked:,} not asked in one setting or other, beside deadly ones")
    if results.stopped:
        lines.append(f"stopped {results.stopped}")
    if results.failures:
        kinds = collections.Counter((f.verdict, f.op) for f in results.failures)
        kinds = ", ".join(f"{n} {op} {verdict}" for (verdict, op), n in kinds.most_common())
        lines.append(f"{results.failing:,} cases FAIL ({kinds}), a few of each kind by:")
        lines += [line(failure) for failure in results.failures]
    else:
        lines.append("no failure")
    return lines


def write_json(path, plan: Plan, results: Results) -> None:
    """The same for programs."""
    data = {
        "target": plan.target,
        "seed": plan.seed,
        "invalid": plan.invalid,
        "isas": list(plan.ways.isas),
        "threads": list(plan.ways.threads),
        "executions": list(plan.ways.executions),
        "forced": [name for name in plan.ways.implementations if name],
        "cases": results.cases,
        "calls": results.calls,
        "cases_of_ops": dict(results.by_op),
        "seconds": results.seconds,
        "relations": dict(results.relations),
        "differing": results.differing,
        "unasked": results.unasked,
        "stopped": results.stopped,
        "failing_cases": results.failing,
        "failures": [
            dataclasses.asdict(failure) | {"line": line(failure)} for failure in results.failures
        ],
        "implementations": results.paths,
    }
    files.write(path, json.dumps(data, indent=2) + "\n")
