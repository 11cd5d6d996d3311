"""Trainings on a terminal."""

from tf_dwbp.tools.console import terminal
from tf_dwbp.tools.report import (
    encodable,
    machine_text,
    milliseconds,
    new_table,
    percent,
    quartiles,
)
from tf_dwbp.train.results import CONTROL, FACTOR, ROUNDINGS, STOCK, SWAPPED, Run

_ROWS = 6  # of a table of losses
_EXPLANATION = f"""\
Difference: of our losses from stock's. Control: of stock's from stock's, after the weights were \
changed in their last bit where the comparison begins; it shows how far rounding alone drives two \
trainings apart. Bound: {FACTOR} times the largest that the control has had so far, and \
{ROUNDINGS} roundings of a loss. Stock/swapped: the median of the pairs of steps (quartiles); \
above 1 ours is faster."""


def show(runs: list[Run], machine: dict) -> None:
    """Prints what each training did; of trainings compared, how they differ."""
    console = terminal()

    def say(text, **options):
        console.print(encodable(text, console.encoding), markup=False, soft_wrap=True, **options)

    for run in runs:
        plan = run.plan
        say(
            f"\n{plan.title}, {plan.warm_up} + {plan.steps} steps, seed {plan.seed}\n", style="bold"
        )
        console.print(_compared(run) if run.compared else _losses(run))
        for line in _lines(run):
            say(line)
        for fault in run.faults():
            say(f"FAILED: {fault}", style="bold")
    if any(run.compared for run in runs):
        say(f"\n{_EXPLANATION}", style="dim")
    say(machine_text(machine))


def _chosen(count):
    """Some steps, the first and the last among them."""
    return sorted({round(i * (count - 1) / (_ROWS - 1)) for i in range(_ROWS)})


def _losses(run):
    table = new_table()
    for heading in ("step", "loss"):
        table.add_column(heading, justify="right")
    [training] = run.trainings.values()
    for step in _chosen(len(training.losses)):
        table.add_row(str(step), f"{training.losses[step]:.4f}")
    return table


def _compared(run):
    table = new_table()
    for heading in ("step", "stock's loss", "swapped", "difference", "bound", "control"):
        table.add_column(heading, justify="right")
    columns = (run.difference(SWAPPED), run.bound(), run.difference(CONTROL))
    for step in _chosen(run.plan.steps):
        losses = [f"{run.trainings[contender].losses[step]:.6f}" for contender in (STOCK, SWAPPED)]
        table.add_row(str(step), *losses, *(f"{column[step]:.1e}" for column in columns))
    return table


def _lines(run):
    for contender, training in run.trainings.items():
        if contender != CONTROL:
            yield (
                f"{contender}: {milliseconds(training.step_time)} ms a step, "
                f"{percent(training.accuracy)} of the held-out images right, depthwise ops "
                f"{training.ops}"
                + (f", BatchNormalization {training.batch_norms}" if run.plan.batch_norm else "")
            )
    if run.compared:
        worst, ratio = run.worst(), run.ratio()
        yield (
            f"largest difference of the losses: {worst['difference']:.1e}, "
            f"{worst['relative']:.1e} of the loss, in step {worst['step']}, where the bound is "
            f"{worst['bound']:.1e}; no difference is more than {run.closest():.0%} of its bound"
        )
        yield (
            f"the bound is less than 1 % of the loss in the first {run.telling()} of "
            f"{run.plan.steps} steps"
        )
        yield f"stock/swapped: {ratio.median:.2f}{quartiles(ratio)}"
