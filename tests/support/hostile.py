"""A function with an op's signature that does anything to the process that calls it.

What it does follows from the number of channels, so that each cell of a run is another attempt.
"""

import ctypes
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from tf_dwbp.tools import problem, reference

SECONDS = 64321  # that what is left behind would sleep


class Unspeakable(BaseException):
    """Has no text."""

    def __str__(self):
        raise RuntimeError("no text")


class NoArray:
    """Looks like an array until it is asked for one."""

    def __array__(self, *arguments, **options):
        raise RuntimeError("no array")


def _fork_and_stay():
    if not os.fork():
        time.sleep(SECONDS)


def _grandchild():
    subprocess.Popen(["sleep", str(SECONDS)], env={}, start_new_session=True)


def _clear_environment():
    os.environ.clear()
    _grandchild()


def _killed_after_a_grandchild():
    """Nothing bears a mark, and nobody is left who knows of it."""
    _clear_environment()
    os.kill(os.getpid(), signal.SIGKILL)


def _daemon():
    """As daemons are made: its parent has ended, and it has a session of its own."""
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execvpe("sleep", ["sleep", str(SECONDS)], {"PATH": os.defpath})
        os._exit(0)


def _print(descriptor):
    while True:
        os.write(descriptor, b"x" * 1000 + b"\n")


def _ignore_and_sleep():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(SECONDS)


def _raise(error):
    raise error


def _recurse():
    _recurse()


def _eat_memory():
    """Until there is no more of it, which is 300 MB away."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    size = int(re.search(r"VmSize:\s+(\d+)", status)[1]) << 10
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 20), hard))
    eaten = []
    try:
        while True:
            eaten.append(b"x" * 10**7)
    finally:
        eaten.clear()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _overwrite(arguments):
    array = np.asarray(arguments["filter"])
    ctypes.memset(array.ctypes.data, 0, array.nbytes)


AGREES, REFUSES, WRONG, DIES, HANGS = "agrees", "refuses", "wrong", "dies", "hangs"

# What is done before the right answer is returned, the verdict, and what its evidence holds.
_ACTS = {
    "fork that returns": (os.fork, AGREES, ""),
    "fork that stays": (_fork_and_stay, AGREES, ""),
    "fork of C": (lambda: ctypes.CDLL(None).fork(), AGREES, ""),
    "grandchild": (_grandchild, AGREES, ""),
    "daemon": (_daemon, AGREES, ""),
    "thread": (lambda: threading.Thread(target=time.sleep, args=[SECONDS]).start(), AGREES, ""),
    "stdin": (lambda: sys.stdin.read(), AGREES, ""),
    "low descriptors": (lambda: os.closerange(0, 64), AGREES, ""),
    "all descriptors": (lambda: os.closerange(0, 65536), DIES, ""),
    "sys.exit": (lambda: sys.exit(0), REFUSES, "SystemExit: 0"),
    "os._exit": (lambda: os._exit(0), DIES, "exit status 0"),
    "abort": (os.abort, DIES, "SIGABRT"),
    "killed after a grandchild": (_killed_after_a_grandchild, DIES, "SIGKILL"),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), DIES, "SIGKILL"),
    "Ctrl-C": (lambda: os.kill(os.getpid(), signal.SIGINT), REFUSES, "KeyboardInterrupt"),
    "stdout without end": (lambda: _print(1), HANGS, "no answer"),
    "stderr without end": (lambda: _print(2), HANGS, "no answer"),
    "much output": (lambda: os.write(1, b"x" * 10**7), AGREES, ""),
    "no signal ends it": (_ignore_and_sleep, HANGS, "no answer"),
    "no other thread runs": (lambda: ctypes.PyDLL(None).sleep(SECONDS), HANGS, "no answer"),
    "BaseException": (lambda: _raise(BaseException("bare")), REFUSES, "BaseException: bare"),
    "no text": (lambda: _raise(Unspeakable()), REFUSES, "Unspeakable: "),
    "recursion": (_recurse, REFUSES, "RecursionError"),
    "memory": (_eat_memory, REFUSES, "MemoryError"),
    "folder": (lambda: os.chdir("/"), AGREES, ""),
    "environment": (_clear_environment, AGREES, ""),
    "sys.stdout": (lambda: setattr(sys, "stdout", None), AGREES, ""),
}
# What is made of the right answer.
_ANSWERS = {
    "none": (lambda right: None, WRONG, "dtype object"),
    "text": (lambda right: "text", WRONG, "dtype <U4"),
    "generator": (lambda right: (row for row in right), WRONG, "dtype object"),
    "dictionary": (lambda right: {"right": right}, WRONG, "dtype object"),
    "ragged list": (lambda right: [[1], [2, 3]], REFUSES, "ValueError: "),
    "no array": (lambda right: NoArray(), REFUSES, "RuntimeError: no array"),
    "dtype": (lambda right: right.astype(np.float64), WRONG, "dtype float64"),
    "complex": (lambda right: right.astype(np.complex64), WRONG, "dtype complex64"),
    "shape": (lambda right: right[:, 1:], WRONG, "shape [1, 4, 5,"),
    "rank": (lambda right: right[0], WRONG, "shape [5, 5,"),
    "scalar": (lambda right: 1.5, WRONG, "dtype float64"),
    "right": (lambda right: right, AGREES, ""),
}
_OPERAND = "operand"
NAMES = (*_ACTS, *_ANSWERS, _OPERAND)
EXPECTED = {name: rest for name, (_, *rest) in (_ACTS | _ANSWERS).items()}
EXPECTED[_OPERAND] = [WRONG, "the call changed its operand 'filter'"]


def problem_of(name: str) -> problem.Problem:
    """The one that it is done for."""
    channels = NAMES.index(name) + 1
    return problem.parse(f"input_grad:float:NHWC:b1:5x5x{channels}m1:k3x3:s1x1:d1x1:SAME")


def hostile(input_sizes, filter, out_backprop, **attributes):  # noqa: A002
    name = NAMES[filter.shape[2] - 1]
    right = reference.input_grad(
        input_sizes, np.array(filter), np.array(out_backprop), **attributes
    ).astype(np.float32)
    if name in _ACTS:
        _ACTS[name][0]()
    elif name in _ANSWERS:
        return _ANSWERS[name][0](right)
    else:
        _overwrite({"filter": filter})
    return right


def left_behind() -> list[str]:
    """The processes that sleep on."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if str(SECONDS).encode() in file.read().split(b"\0"):
                    found.append(name)
        except OSError:  # it has ended
            pass
    return found
