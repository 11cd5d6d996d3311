"""Comparisons as a picture: for each model the losses, how they differ, and the step times."""

import pathlib

import numpy as np

from tf_dwbp.tools.models import MODELS
from tf_dwbp.tools.plot import BLUE, FAINT, INCHES, INK, ORANGE, PAPER, save, style
from tf_dwbp.tools.report import machine_text
from tf_dwbp.train.results import CONTROL, FACTOR, STOCK, SWAPPED, Run

_COLORS = {STOCK: ORANGE, SWAPPED: BLUE}
_GREY = "#999999"


def draw(runs: list[Run], machine: dict, path: pathlib.Path) -> None:
    """Writes the picture in the format that the path's ending names."""
    import matplotlib.figure

    with style():
        figure = matplotlib.figure.Figure(figsize=INCHES, facecolor=PAPER)
        compared = runs[0].compared
        rows = [_draw_losses, _draw_differences, _draw_times] if compared else [_draw_losses]
        grid = figure.subplots(
            len(rows),
            len(runs),
            squeeze=False,
            gridspec_kw={
                "height_ratios": [3, 3, 1.1][: len(rows)],
                "left": 0.075,
                "right": 0.985,
                "top": 0.825,
                "bottom": 0.125,
                "hspace": 0.42,
                "wspace": 0.3,
            },
        )
        for column, run in enumerate(runs):
            for row, draw_into in enumerate(rows):
                axes = grid[row, column]
                axes.spines[["top", "right"]].set_visible(False)
                axes.tick_params(length=0, labelsize=9)
                draw_into(axes, run, first=column == 0)
        _write_texts(figure, runs, machine)
        save(figure, path)


def _draw_losses(axes, run, first):
    axes.set_title(MODELS[run.plan.model].application, fontsize=12, fontweight="bold", pad=20)
    ends = [
        training.accuracy for contender, training in run.trainings.items() if contender != CONTROL
    ]
    right = " and ".join(dict.fromkeys(f"{share:.0%}" for share in ends))
    note = f"{right} of held-out images right"
    axes.text(0.5, 1.04, note, fontsize=9, color=_GREY, ha="center", transform=axes.transAxes)
    start = len(run.warm_up)
    if start:
        axes.plot(range(start), run.warm_up, color=FAINT, linewidth=1.2, label="start, stock")
    for contender, width, dash in ((STOCK, 3.2, "-"), (SWAPPED, 1.4, "-")):
        if training := run.trainings.get(contender):
            steps = range(start, start + len(training.losses))
            axes.plot(
                steps, training.losses, dash, color=_COLORS[contender], lw=width, label=contender
            )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step", fontsize=9)
    if first:
        axes.set_ylabel("loss")
        axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_differences(axes, run, first):
    start = len(run.warm_up)
    steps = np.arange(start, start + run.plan.steps)
    bound = run.bound()
    axes.set_yscale("log")
    axes.plot(
        steps, bound, color=INK, linewidth=1.2, label=f"bound: {FACTOR} x control's largest so far"
    )
    for contender, color, label in (
        (CONTROL, _GREY, "control: stock, weights' last bit changed"),
        (SWAPPED, BLUE, "swapped"),
    ):
        found = run.difference(contender)
        found = np.where(found > 0, found, np.nan)  # equal to the bit: nothing to show
        axes.plot(steps, found, "o-", color=color, markersize=3, linewidth=1, label=label)
    axes.set_ylim(bound.min() / 3e3, bound.max() * 5)
    axes.set_xlabel("step", fontsize=9)
    if first:
        axes.set_ylabel("|loss – stock's|")
        # Below all, since lines may be anywhere.
        axes.figure.legend(
            *axes.get_legend_handles_labels(),
            ncols=3,
            frameon=False,
            fontsize=9,
            loc="lower right",
            bbox_to_anchor=(0.985, 0.025),
        )


def _draw_times(axes, run, first):
    contenders = (SWAPPED, STOCK)
    times = [run.trainings[contender].step_time for contender in contenders]
    medians = [1e3 * time.median for time in times]
    around = [
        [1e3 * (time.median - time.low) for time in times],
        [1e3 * (time.high - time.median) for time in times],
    ]
    colors = [_COLORS[contender] for contender in contenders]
    axes.barh(contenders, medians, xerr=around, color=colors, error_kw={"ecolor": INK, "lw": 1})
    axes.set_xlabel(f"ms a step; stock/swapped {run.ratio().median:.2f}", fontsize=9)
    if not first:
        axes.set_yticklabels([])


def _write_texts(figure, runs, machine):
    plan = runs[0].plan
    if runs[0].compared:
        title = "Training by stock TensorFlow and by tf_dwbp, from one checkpoint, step by step"
        closest = max(run.closest() for run in runs)
        note = (
            f"Handwritten digits, {plan.policy}, the same batches and dropout for both. No loss "
            f"differs by more than {closest:.0%} of its bound."
        )
    else:
        title = f"Training, depthwise ops {' and '.join(runs[0].trainings)}"
        note = f"Handwritten digits, {plan.policy}."
    figure.text(0.075, 0.95, title, fontsize=15, fontweight="bold")
    figure.text(0.075, 0.915, note, fontsize=10.5)
    figure.text(0.075, 0.012, machine_text(machine), fontsize=8.5, color="#777777")
