"""Finds and ends what a process has started, in whatever group or session that is."""

import contextlib
import ctypes
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

_TICK_SECONDS = 0.01
_PATIENCE_SECONDS = 5  # for what is killed to end
_MOST_CHILDREN = 64  # of a worker: each call might leave one behind
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_ends_orphans = False


def kill_all(process, variable: str, token: str) -> None:
    """Ends a process, its group, and whatever has left the group: what bears the mark, or descends.

    What bears no mark is found as long as the process, whose descendants stay its own, lives.

    Args:
      process: a `subprocess.Popen`.
      variable: the variable of the environment that the process was started with.
      token: its value, the mark.
    """
    descendants = _of(process.pid) if process.returncode is None else set()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := {*marked(variable, token), *descendants}) and time.monotonic() < deadline:
        descendants = set()
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_TICK_SECONDS)


def marked(variable: str, token: str) -> Iterator[int]:
    """The ids of the processes that were started with that value of a variable."""
    mark = f"{variable}={token}".encode()
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or it has ended
            if mark in path.read_bytes().split(b"\0"):
                yield int(path.parent.name)


def adopt_orphans(whether: bool = True) -> None:
    """Makes this process the parent of what its children leave behind when they end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(whether))


def end_with_parent() -> None:
    """Has this process killed when its parent ends: a parent that is killed can end nobody."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option, value):
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):  # Linux has it
        prctl(option, value)


@contextlib.contextmanager
def orphans_ended():
    """Has `end_orphans` do what it says, until the end of the block.

    For a program whose children outside its session are workers. A program that only uses this
    package may have others, which nobody here must end.
    """
    global _ends_orphans
    before = _ends_orphans
    _ends_orphans = True
    adopt_orphans()
    try:
        yield
    finally:
        _ends_orphans = before
        adopt_orphans(before)


def end_orphans(workers: set[int]) -> None:
    """Ends what an ended worker has left to this process: all outside its session but workers.

    A worker that has died can no longer be asked for its children, and they may bear no mark.
    """
    if _ends_orphans:
        own = os.getsid(0)
        end_children(but=lambda pid: pid in workers or _session(pid) == own)


def _session(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)


def _of(pid):
    """The ids of the processes that a process has started, and these, and so on."""
    children = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            children.setdefault(int(_stat(path.name)[1]), []).append(int(path.name))
    found, parents = set(), [pid]
    while parents:
        new = children.get(parents.pop(), [])
        found.update(new)
        parents += new
    return found


def _stat(pid):
    """What /proc tells of a process, from its state on (proc(5) counts that as field 3)."""
    return pathlib.Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()


def _ticks_at_start(pid):
    with contextlib.suppress(OSError):
        return int(_stat(pid)[19])
    return 0  # it has ended


def _children():
    """The ids of this process's children, those of all threads: the oldest first.

    Ids don't tell the age: after the largest (often 32,768) small ones are given again.
    """
    found = []
    for path in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended
            found += map(int, path.read_bytes().split())  # a thread's own: the oldest first
    return sorted(found, key=_ticks_at_start)


def _end_child(pid):
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def end_children(but: Callable[[int], bool]) -> None:
    """Ends this process's children, and orphans that became its own, but for some."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        left = [pid for pid in _children() if not but(pid)]
        if not left:
            return
        for pid in left:
            _end_child(pid)


def end_oldest_children() -> None:
    """Ends children beyond a number: a target that forks may leave one behind in every call."""
    for child in _children()[:-_MOST_CHILDREN]:
        _end_child(child)
