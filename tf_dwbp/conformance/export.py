"""The run as files: JSON, HTML, JUnit XML and Markdown."""

import contextlib
import dataclasses
import json
import pathlib
import xml.etree.ElementTree as ElementTree

import jinja2

from tf_dwbp.conformance import repeat, summary
from tf_dwbp.conformance.cases import AXES
from tf_dwbp.conformance.results import Run
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import files, pages
from tf_dwbp.tools.epilogue import Epilogue

# Of a page that keeps what stands around the tables.
MARKS = pages.marks("the matrix", "tf-dwbp conformance --markdown")
_MOST_FAILURES = 100  # of a run in Markdown, which is for pages of limited size


def to_json(run: Run) -> dict:
    """Every verdict with its evidence, as plain data."""
    return {
        "target": run.target,
        "device": run.placement.device,
        "placement": run.placement.words,
        "tensorflow_version": run.tensorflow_version,
        "versions": run.versions,
        "options": run.options,
        "seconds": round(run.seconds, 1),
        "summary": summary.line(run),
        "paths": run.paths,
        "lanes": run.lanes,
        "judged": run.judged,
        "counts": {
            path: {verdict.value: count for verdict, count in run.counts(path).items()}
            for path in run.paths
        },
        "failing": len(run.failing),
        "known": len(run.known),
        **({} if run.unmet is None else {"unmet": run.unmet}),
        "cells": [
            {
                "id": cell.case.id,
                "problem": str(cell.case.problem),
                **dataclasses.asdict(cell.case),
                "epilogue": str(cell.case.epilogue),
                "outcomes": {
                    path: [outcome.to_json() for outcome in cell.outcomes[path]]
                    for path in cell.outcomes
                },
                "failures": [str(failure) for failure in cell.failures],
                **({"repeat": repeat.line(run, cell)} if cell.failures else {}),
                **({"known": [str(failure) for failure in cell.known]} if cell.known else {}),
            }
            for cell in run.cells
        ],
    }


def write_json(run: Run, path: pathlib.Path) -> None:
    files.write(path, json.dumps(to_json(run), allow_nan=False) + "\n")


def write_junit(run: Run, path: pathlib.Path) -> None:
    """One test case for each cell."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"tf-dwbp conformance of {run.subject}",
        tests=str(len(run.cells)),
        failures=str(len(run.failing)),
        errors="0",
        skipped=str(len(run.known)),
        time=f"{run.seconds:.1f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for judged in run.judged:
        ElementTree.SubElement(properties, "property", name="judged", value=judged)
    for cell in run.cells:
        case = cell.case
        of = f"-order{case.order}" if case.order else "-epilogue" if case.epilogue else ""
        op = case.op + of
        group = f"conformance.{op}.{case.dtype}-{case.layout}-{case.padding}"
        test = ElementTree.SubElement(suite, "testcase", classname=group, name=cell.case.id)
        if cell.failures:
            reasons = "\n".join([*map(str, cell.failures), repeat.line(run, cell)])
            failure = ElementTree.SubElement(
                test, "failure", message=_printable(reasons.partition("\n")[0])
            )
            failure.text = _printable(reasons)
        elif cell.known:  # as pytest reports an expected failure
            reason = _printable("\n".join(map(str, cell.known)))
            ElementTree.SubElement(test, "skipped", type="expected", message=reason)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    files.write(path, ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def to_markdown(run: Run) -> str:
    """The tables, for a README."""
    tables = summary.tables(run)
    lines = [line for table in tables for line in [*_markdown_lines(table), ""]]
    order = ", ".join(tables[0].lanes)
    others = [table for table in tables if table.lanes != tables[0].lanes]
    if others:  # the gradients, which not everybody is asked for, and the executions
        listed = (f"{table.title}: {', '.join(table.lanes)}" for table in others)
        order += f" ({'; '.join(listed)})"
    return "\n".join(
        [
            *lines,
            f"In each group, from left to right: {order}. {summary.legend(run)}",
            "",
            f"{len(run.cells):,} cells; {summary.software(run)}.",
            "",
            *_markdown_failures(run),
        ]
    )


def _markdown_failures(run):
    """The cells that fail, folded up."""
    if not run.failing:
        return
    yield f"<details><summary>{len(run.failing):,} failing</summary>"
    yield ""
    for cell in run.failing[:_MOST_FAILURES]:
        yield "```"
        yield from (str(failure).replace("```", "~~~") for failure in cell.failures)
        yield repeat.line(run, cell)
        yield "```"
    if len(run.failing) > _MOST_FAILURES:
        yield f"And {len(run.failing) - _MOST_FAILURES:,} more, which `--json FILE` has."
    yield ""
    yield "</details>"
    yield ""


def _markdown_lines(table):
    yield f"| {table.title} | {' | '.join(table.columns.values())} |"
    yield "|".join(["", "---", *(":---:" for _ in table.columns), ""])
    for row in table.rows:
        texts = [
            " ".join(_markdown_text(table.groups[row, column], p) for p in table.lanes.values())
            for column in table.columns
        ]
        yield f"| {' '.join(row)} | {' | '.join(texts)} |"


def _markdown_text(cells, paths):
    tally = summary.Tally.of(cells, paths)
    text = tally.text.replace(" ", "")
    return text if tally.verdict is Verdict.AGREES else f"{text} %"


def write_markdown(run: Run, path: pathlib.Path) -> None:
    """Writes the tables: between the marks of a page that has them, else as a page of their own."""
    text = to_markdown(run)
    with contextlib.suppress(ValueError):  # no marks, or no text
        if path.is_file():
            text = pages.put_into(files.read_text(path), f"\n{text}", *MARKS)
    files.write(path, text)


def write_html(run: Run, path: pathlib.Path) -> None:
    """A page that needs nothing else: the matrix, and each cell's evidence."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tf_dwbp.conformance", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    numbers = {id(cell): number for number, cell in enumerate(run.cells)}
    page = environment.get_template("report.html").render(
        run=run,
        summary=summary,
        Tally=summary.Tally,
        verdicts=list(Verdict),
        tables=summary.tables(run),
        numbers=lambda cells: [numbers[id(cell)] for cell in cells],
        evidence=_evidence(run),
    )
    files.write(path, page)


def _evidence(run):
    """What the page's script shows; messages, which repeat, are kept once and numbered."""
    messages = {}
    axes = list(dict.fromkeys(["op", "order", *AXES, "epilogue"]))

    def compact(outcome):
        message = messages.setdefault(outcome.message, len(messages))
        figures = [outcome.error, outcome.bound, outcome.where] if outcome.error else []
        return [list(Verdict).index(outcome.verdict), message, *figures]

    cells = [
        {
            "id": cell.case.id,
            "axes": [_text(getattr(cell.case, axis)) for axis in axes],
            "sizes": list(cell.case.shapes.values()),
            "outcomes": [
                compact(cell.outcome(path)) if path in cell.outcomes else None for path in run.paths
            ],
            "failures": [str(failure) for failure in cell.failures],
            "known": [str(failure) for failure in cell.known],
            "repeat": repeat.line(run, cell) if cell.failures else "",
        }
        for cell in run.cells
    ]
    return {
        "axes": axes,
        "paths": run.paths,
        "verdicts": [verdict.value for verdict in Verdict],
        "messages": list(messages),
        "cells": cells,
    }


def _text(value):
    """An axis value, for a page."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, Epilogue):
        return str(value) or "none"
    return getattr(value, "name", value)


def _printable(text):
    """Without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\n\t" or c.isprintable())


WRITERS = {
    "json": write_json,
    "html": write_html,
    "junit": write_junit,
    "markdown": write_markdown,
}
