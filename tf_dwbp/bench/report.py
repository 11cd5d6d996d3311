"""The run on a terminal: a row for each shape, then what the groups of shapes come to."""

import rich.box
import rich.console
import rich.markup
import rich.padding
import rich.table

from tf_dwbp.bench import docs, shapes
from tf_dwbp.bench.peers import COPY
from tf_dwbp.bench.results import OURS, Run
from tf_dwbp.bench.training import STOCK, TrainingRun
from tf_dwbp.tools.console import terminal
from tf_dwbp.tools.report import (
    NONE,
    encodable,
    machine_text,
    milliseconds,
    new_table,
    percent,
    quartiles,
)

_TRAINING_EXPLANATION = """\
ms: the median of the blocks ± half the interquartile range. Stock/ours: the median of the pairs \
of blocks (quartiles); above 1 ours is faster. Depthwise: the share of depthwise ops in the time \
in which ops run, each instant divided equally among the ops that run in it. Mean: geometric."""
_WIDTH = 120  # of the table with spreads
_EXPLANATION = """\
ms: the median of the blocks ± half the interquartile range. Ratios: the median of the pairs of \
blocks (quartiles); above 1 ours is faster. Of copy: the time of reading and writing as many bytes \
as the convolution's input and output have, for each op, divided by ours. Of matmul: \
multiplications and additions a second, as a share of a large matmul's. Mean: geometric."""


def show(run: Run, console: rich.console.Console | None = None) -> None:
    """Prints the tables, the reasons for what is missing, and what was measured on."""
    console = console or terminal()
    if not console.is_terminal and console.width < _WIDTH:
        console.width = _WIDTH  # a file or pipe has no width of its own

    def text(string):
        return encodable(string, console.encoding)

    console.print(text(f"\n{run.plan.title}\n"), style="bold", soft_wrap=True)
    console.print(_rows_table(run, text, spreads=console.width >= _WIDTH))
    console.print()
    for number, (reason, names) in enumerate(run.reasons.items(), 1):
        console.print(text(f"[{number}] {reason}"), markup=False, soft_wrap=True)
        console.print(rich.padding.Padding(", ".join(names) + "\n", (0, 0, 0, 4)))
    console.print(_summary_table(run))
    console.print()
    console.print(text(_EXPLANATION), style="dim", soft_wrap=True)
    console.print(text(machine_line(run)), soft_wrap=True)


def show_training(run: TrainingRun) -> None:
    """Prints a row for each model, and what they come to."""
    console = terminal()
    if not console.is_terminal and console.width < _WIDTH:
        console.width = _WIDTH

    def text(string):
        return encodable(string, console.encoding)

    table = new_table(collapse_padding=True)
    table.add_column("model", no_wrap=True)
    for heading in ("images", "stock ms", "ours ms", "stock/ours", "depthwise: stock", "ours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in run.rows:
        cells = [f"{row.batch} x {row.image_size}x{row.image_size}"]
        if not row.failure:
            cells += [milliseconds(row.time(contender)) for contender in (STOCK, OURS)]
            cells.append(f"{row.ratio.median:.2f}{quartiles(row.ratio)}")
            cells += [percent(row.shares[contender]) for contender in (STOCK, OURS)]
        table.add_row(row.model, *map(text, cells))
    console.print(text(f"\n{run.plan.title}\n"), style="bold", soft_wrap=True)
    console.print(table)
    for row in run.rows:
        if row.failure:
            console.print(text(f"{row.model} FAILED: {row.failure}"), markup=False, soft_wrap=True)
    if mean := run.mean():
        console.print(f"\nstock/ours, mean: {mean:.2f}")
    console.print(text(f"\n{_TRAINING_EXPLANATION}"), style="dim", soft_wrap=True)
    console.print(text(machine_text(run.machine)), soft_wrap=True)


def show_docs(measurement: docs.Measurement) -> None:
    """Prints what `--docs` puts into the pages."""
    console = terminal()
    for parts in docs.PARTS.values():
        for make in parts.values():
            text = encodable(make(measurement), console.encoding)
            console.print(f"\n{text}", markup=False, soft_wrap=True)


def machine_line(run: Run) -> str:
    """What was measured on, in one line."""
    return f"{machine_text(run.machine)}; matmul {run.matmul_rate / 1e9:.0f} GFLOP/s"


def _rows_table(run, text, spreads):
    """A row for each shape; without the spreads it fits a narrow terminal."""
    peer = run.plan.peer
    numbers = {reason: number for number, reason in enumerate(run.reasons, 1)}
    contenders = (OURS, peer)

    def time(row, contender):
        note = row.refusals.get(contender)
        mark = f" [{numbers[f'{contender}: {note}']}]" if note else ""
        return milliseconds(row.time(contender), spreads) + mark

    def ratio(row, contender):
        found = row.ratio(contender)
        return NONE if found is None else f"{found.median:.2f}{quartiles(found, spreads)}"

    columns = {
        **{
            f"{contender} ms": lambda row, contender=contender: time(row, contender)
            for contender in contenders
        },
        **({f"{peer}/ours": lambda row: ratio(row, peer)} if peer != COPY else {}),
        "of copy": lambda row: percent(copy.median if (copy := row.ratio(COPY)) else None),
        "of matmul": lambda row: percent(run.share_of_matmul(row)),
    }
    table = new_table(collapse_padding=True)
    # A problem's text may be long, and is shown whole.
    short = all(isinstance(row.shape, shapes.Shape) for row in run.rows)
    table.add_column("shape", no_wrap=short, overflow="fold")
    for heading in columns:
        narrow = heading.replace(" ", "\n").replace("/", "/\n")
        table.add_column(heading if spreads else narrow, justify="right", no_wrap=True)
    for row in run.rows:
        cells = [rich.markup.escape(text(cell(row))) for cell in columns.values()]
        table.add_row(row.shape.name, *cells)
    return table


def _summary_table(run):
    """One line for each group that has shapes, for the peer and for the copy."""
    table = new_table()
    for heading, justify in (
        ("group", "left"),
        ("shapes", "right"),
        ("", "left"),
        ("mean", "right"),
        ("worst", "right"),
        ("worst shape", "left"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)
    for contender in dict.fromkeys((run.plan.peer, COPY)):
        for group in (None, *shapes.GROUPS[:-1]):  # of the last, a few of all kinds, none
            if found := run.summary(contender, group):
                figures = [found.mean, found.worst]
                table.add_row(
                    group or "all",
                    str(found.count),
                    "of copy" if contender == COPY else f"{contender} / ours",
                    *(percent(x) if contender == COPY else f"{x:.2f}" for x in figures),
                    found.worst_shape.name,
                )
        table.add_section()
    return table
