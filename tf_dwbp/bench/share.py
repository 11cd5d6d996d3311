"""What share of a step the depthwise ops are, by TensorFlow's profiler.

Ops run side by side, so that their times add up to more than the step's. Here each instant is
divided equally among the ops that run in it: the shares of all ops add up to one. Instants in which
no op runs, between ops and in Python, count for nobody.
"""

import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable

import tensorflow as tf

_HOST_OPS = 2  # the profiler's level at which each op is recorded
_OP = re.compile(r"[^:]+:(?P<op>[A-Za-z_][\w>]*)")  # as events of ops are called: "node:Op"
_CONTAINERS = re.compile(r"(Stateful)?PartitionedCall|(Stateless)?(While|If)|RemoteCall")


def of_depthwise(step: Callable[[], object]) -> float:
    """The share that depthwise ops, stock's or ours, have in the time that a step's ops take."""
    with tempfile.TemporaryDirectory() as directory:
        options = tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=_HOST_OPS, python_tracer_level=0
        )
        with tf.profiler.experimental.Profile(directory, options):
            step()
        [path] = pathlib.Path(directory).rglob("*.xplane.pb")
        events = list(_events(path.read_bytes()))
    return share(events)


def share(events: Iterable[tuple[int, int, bool]]) -> float:
    """The share of those that are marked in the time in which any event goes on.

    Args:
      events: each one's start, its end, and whether it is marked.
    """
    changes = []
    for start, end, marked in events:
        changes += [(start, 1, marked), (end, -1, marked)]
    running = {True: 0, False: 0}
    times = {True: 0.0, False: 0.0}
    before = 0
    for at, change, marked in sorted(changes):
        if count := sum(running.values()):
            for which in times:
                times[which] += (at - before) * running[which] / count
        running[marked] += change
        before = at
    total = sum(times.values())
    return times[True] / total if total else 0.0


def _events(profile):
    """Ops that ran on the CPU: start and end in picoseconds, and whether it is a depthwise one."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for plane in xplane_pb2.XSpace.FromString(profile).planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name.partition("#")[0]
                found = _OP.fullmatch(name)
                if found and not _CONTAINERS.fullmatch(found["op"]):
                    start = line.timestamp_ns * 1000 + event.offset_ps
                    yield start, start + event.duration_ps, "Depthwise" in found["op"]
