"""The run as a picture: time against bytes, with the copy as the limit."""

import pathlib

import numpy as np

from tf_dwbp.bench import report
from tf_dwbp.bench.peers import COPY
from tf_dwbp.bench.results import OURS, Run
from tf_dwbp.tools.plot import BLUE, FAINT, INCHES, INK, ORANGE, PAPER, save, style
from tf_dwbp.tools.report import percent

_SHADE = "#F1F1EE"
_MARKERS = {3: "o", 5: "s", 7: "D"}  # by filter size


def draw(run: Run, path: pathlib.Path) -> None:
    """Writes the picture in the format that the path's ending names."""
    import matplotlib.figure

    with style():
        figure = matplotlib.figure.Figure(figsize=INCHES, facecolor=PAPER)
        axes = figure.add_axes((0.085, 0.115, 0.895, 0.735))
        _set_up(axes)
        _draw_points(axes, run)
        _draw_copy(axes, run)
        axes.legend(loc="lower right", frameon=False, labelspacing=0.6)  # where no point can be
        _write_texts(figure, axes, run)
        save(figure, path)


def _set_up(axes):
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_axisbelow(True)
    axes.grid(which="major", color="#E6E6E6", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("bytes of out_backprop and input_grad")
    axes.set_ylabel("time of one call")
    axes.xaxis.set_major_formatter(
        lambda value, _: _with_unit(value, {1e9: "GB", 1e6: "MB", 1e3: "kB", 1: "B"})
    )
    axes.yaxis.set_major_formatter(
        lambda value, _: _with_unit(value, {1: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"})
    )


def _draw_copy(axes, run):
    """The copies, and a shade where nothing can be that reads and writes as much."""
    times = {}
    for row in run.rows:
        if time := row.time(COPY):
            times.setdefault(run.call(row).moved_bytes, []).append(time.median)
    if not times:
        return
    sizes = np.array(sorted(times))
    medians = np.array([np.median(times[size]) for size in sizes])
    # What copies more bytes in less time shows what a copy can do, and so where the limit lies.
    limit = np.minimum.accumulate(medians[::-1])[::-1]
    axes.scatter(sizes, medians, s=9, color=INK, zorder=2)
    axes.plot(sizes, limit, color=INK, linewidth=1.6)
    axes.plot([], [], color=INK, linewidth=1.6, marker="o", markersize=3, label="memory copy")
    # What moves as many bytes and more takes as long and longer: the shade goes on to the right.
    right = axes.get_xlim()[1]
    sizes, limit = np.append(sizes, right), np.append(limit, limit[-1])
    axes.fill_between(sizes, limit, limit[0] / 2, color=_SHADE, linewidth=0, zorder=0)
    axes.set(xlim=(axes.get_xlim()[0], right), ylim=(limit[0] / 2, axes.get_ylim()[1]))


def _draw_points(axes, run):
    """Ours, the peer's, and a line between what belongs together."""
    peer = run.plan.peer
    contenders = [(OURS, BLUE, run.plan.our_title)]
    if peer != COPY:
        contenders.append((peer, ORANGE, run.plan.peer_title))
    for row in run.rows:
        size = run.call(row).moved_bytes
        medians = [time.median for contender, *_ in contenders if (time := row.time(contender))]
        axes.plot([size] * len(medians), medians, color=FAINT, linewidth=1.1, zorder=2)
        for contender, color, _ in contenders:
            if time := row.time(contender):
                axes.scatter(
                    size,
                    time.median,
                    s=52,
                    marker=_MARKERS.get(row.shape.filter, "o"),
                    color=color,
                    edgecolor=PAPER,
                    linewidth=0.9,
                    zorder=4 if contender == OURS else 3,
                )
    for _, color, title in contenders:
        axes.scatter([], [], s=52, color=color, label=title)
    for size in sorted({row.shape.filter for row in run.rows}):
        marker = _MARKERS.get(size, "o")
        axes.scatter([], [], s=45, marker=marker, color="#999999", label=f"{size}x{size} filter")


def _write_texts(figure, axes, run):
    """A title, what the figures come to, and the machine."""
    if run.plan.peer != COPY and (found := run.summary(run.plan.peer)):
        mean = f"{found.mean:.2f} times as fast as {run.plan.peer_title}"
        worst = f"{found.worst:.2f} times"
    elif found := run.summary(COPY):
        mean, worst = (
            f"at {percent(found.mean)} of a copy's speed",
            percent(found.worst),
        )
    note = found and (
        f"{run.plan.our_title} is {mean}, the geometric mean of {found.count} shapes.\n"
        f"Its worst is {worst}: {found.worst_shape.name}."
    )
    left = axes.get_position().x0
    title = f"{run.plan.op}, {run.plan.dtype} {run.plan.layout}"
    figure.text(left, 0.945, title, fontsize=15, fontweight="bold")
    figure.text(left, 0.925, note or "", fontsize=10.5, va="top", linespacing=1.5)
    figure.text(left, 0.02, report.machine_line(run), fontsize=8.5, color="#777777")


def _with_unit(value, units):
    """In the largest unit that leaves at least 1."""
    unit = next((unit for unit in units if value >= unit * (1 - 1e-9)), min(units))
    return f"{value / unit:g} {units[unit]}"
