"""The run on a terminal: tables, failing cells and summary."""

import itertools

import rich.console
import rich.table
import rich.text

from tf_dwbp.conformance import repeat, summary
from tf_dwbp.conformance.paths import EIGEN, ONEDNN, XLA
from tf_dwbp.conformance.results import Run
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools.console import terminal
from tf_dwbp.tools.targets import OURS

STYLES = {
    Verdict.AGREES: "green",
    Verdict.BARRED: "dim",
    Verdict.IMPRECISE: "yellow",
    Verdict.SKIPPED: "yellow",
    Verdict.REFUSES: "cyan",
    Verdict.ELSEWHERE: "bold yellow",
    Verdict.WRONG: "bold red",
    Verdict.HANGS: "bold magenta",
    Verdict.DIES: "bold magenta",
}
_SHORT_NAMES = {OURS: "us", EIGEN: "Eig", ONEDNN: "DNN", XLA: "XLA"}
_ASCII = str.maketrans("✓·–✗∞†│", "v.-X8+|")
_FULL_WIDTH = 120  # of the table with all three paddings side by side
_MOST_FAILURES = 20


def show(run: Run, console: rich.console.Console | None = None) -> None:
    """Prints the tables, the failing cells and the summary."""
    console = console or terminal()
    if not console.is_terminal and console.width < _FULL_WIDTH:
        console.width = _FULL_WIDTH  # a file or pipe has no width of its own

    def print_text(*texts):
        text = rich.text.Text.assemble(*texts)
        if not console.encoding.startswith("utf"):
            text = rich.text.Text(text.plain.translate(_ASCII))
        console.print(text, soft_wrap=True)

    for found in summary.tables(run):
        for table in _narrowed(found, console):
            console.print(table)
    print_text((summary.legend(run), "dim"))
    _show_failing(run, print_text)
    print_text("\n", (summary.line(run), "bold red" if run.failing else "bold green"))
    print_text(
        f"{summary.tightest(run)}\n" if summary.tightest(run) else "",
        f"{summary.software(run)}, {summary.duration(run.seconds)}",
    )


def _narrowed(found, console):
    """One table, or one for each padding (or op) where the terminal is narrow."""
    together = [list(found.columns)]
    if console.width < _FULL_WIDTH:
        by_first = itertools.groupby(found.columns, key=lambda column: column[0])
        together = [list(group) for _, group in by_first]
    for columns in together:
        table = rich.table.Table(padding=(0, 0), collapse_padding=True, header_style="bold")
        table.add_column(found.title, no_wrap=True)
        for column in columns:
            table.add_column(
                rich.text.Text(found.columns[column].replace(", ", "\n") + "\n").append(
                    " ".join(f"{_short(lane):<3}" for lane in found.lanes), "not bold"
                ),
                no_wrap=True,
            )
        for row in found.rows:
            groups = [found.groups[row, column] for column in columns]
            table.add_row(" ".join(row), *(_group(cells, found.lanes, console) for cells in groups))
        yield table


def _group(cells, lanes, console):
    text = rich.text.Text()
    for paths in lanes.values():
        tally = summary.Tally.of(cells, paths)
        shown = tally.text if console.encoding.startswith("utf") else tally.text.translate(_ASCII)
        text.append(f"{shown:<3}", STYLES[tally.verdict]).append(" ")
    return text


def _short(lane):
    return _SHORT_NAMES.get(lane, lane)[:3]


def _show_failing(run, print_text):
    for cell in run.failing[:_MOST_FAILURES]:
        print_text("\n", (cell.case.id, "bold"))
        for failure in cell.failures:
            print_text("  ", str(failure))
        print_text(f"  {repeat.line(run, cell)}")
    for entry in (run.unmet or [])[:_MOST_FAILURES]:
        print_text("\n", "no cell of this run meets ", (entry, "bold"))
    if len(run.unmet or []) > _MOST_FAILURES:
        print_text(f"\nnor {len(run.unmet) - _MOST_FAILURES:,} more, which --json FILE has")
    if len(run.failing) > _MOST_FAILURES:
        rest = len(run.failing) - _MOST_FAILURES
        print_text(f"\nand {rest:,} more failing cells: --json or --html FILE shows them all")
