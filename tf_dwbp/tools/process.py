"""Processes for what may die, hang, or do anything else to the process that it runs in.

The parent starts a `Worker`, which runs a module of Python in a session of its own. The module
takes the first of its arguments to its `Channel`. Both ends send and receive JSON objects over a
socket of their own: standard input is empty, and whatever is printed is kept as evidence, the end
of it. When a worker is stopped, all that it has started ends with it. A `Fork` is a worker that
begins as a copy of its parent, which has loaded what takes long to load.
"""

import atexit
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence

from tf_dwbp.tools import descendants

# Beyond what careless code closes, `os.closerange(3, 64)` say.
_HIGH_DESCRIPTOR = 200

# Every process that a worker starts, in whatever session, has inherited this variable.
_MARK = "TF_DWBP_WORKER"

_TICK_SECONDS = 0.2  # how often deaths are looked for that no end of a socket tells of
_EXIT_SECONDS = 5  # for a process to end once it has closed its channel
_SEND_SECONDS = 10
_LOG_LINES = 6  # of evidence
_LOG_BYTES = 1 << 16

_running: set["Worker"] = set()


def judged() -> dict[str, str]:
    """Variables for processes whose answers are judged.

    What a large L3 would keep is stored past the caches too, so that this way is tried on every
    machine; but where the user has told how large it is, it is that large.
    """
    return {} if os.environ.get("TF_DWBP_L3_MB") else {"TF_DWBP_L3_MB": "0"}


class Worker:
    """A process that runs `python -m module CHANNEL argument...`, and the parent's end of it.

    Args:
      module: the module's name.
      arguments: further arguments, after the channel's.
      environment: variables to set beside those of this process.

    Raises:
      OSError: the process cannot be started.
    """

    def __init__(
        self, module: str, arguments: Sequence[str] = (), environment: dict[str, str] | None = None
    ):
        self._token = uuid.uuid4().hex
        self._command = [module, *arguments]
        self._environment = environment or {}
        self._begin()

    def _begin(self):
        self._received = b""
        self._fault = ""
        self._process = None
        self._log = _Log()
        self._socket, childs_end = socket.socketpair()
        # A number of its own even where the three standard descriptors are closed.
        descriptor = fcntl.fcntl(childs_end.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
        with signals_held():
            _running.add(self)
            try:
                self._process = self._start(descriptor)
                self._log.start()
            except OSError:
                self.stop()
                raise
            finally:
                childs_end.close()
                os.close(descriptor)
                self._log.close_descriptor()

    def _start(self, descriptor):
        module, *arguments = self._command
        return subprocess.Popen(
            # -u: last words are not lost
            [sys.executable, "-u", "-m", module, str(descriptor), *arguments],
            env=os.environ
            | {"PYTHONIOENCODING": "utf-8:backslashreplace"}
            | self._environment
            | {_MARK: self._token},
            stdin=subprocess.DEVNULL,
            stdout=self._log.descriptor,
            stderr=self._log.descriptor,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is for the parent alone
        )

    def fileno(self) -> int:
        """The descriptor of the channel, for `selectors`."""
        return self._socket.fileno()

    @property
    def ended(self) -> bool:
        """Whether the process has ended, and not only closed its channel."""
        return bool(self._state())

    def send(self, **message) -> None:
        """Sends a message. Nothing happens if the process has ended: `receive` will tell."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(_SEND_SECONDS)
            self._socket.sendall(_line(message))

    def receive(self) -> list[dict] | None:
        """The messages that have arrived, without waiting; None when no more will come."""
        ended = self.ended
        try:
            self._socket.settimeout(0)
            received = self._socket.recv(1 << 16)
        except BlockingIOError:
            return None if ended else []
        except ConnectionError:
            return None
        if not received:
            return None
        *lines, self._received = (self._received + received).split(b"\n")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:
            messages = [None]
        if not all(isinstance(message, dict) for message in messages):
            self._fault = "it wrote into the channel of its answers"
            return None
        return messages

    def last_words(self, how: str = "", but: re.Pattern | None = None) -> str:
        """Ends the process, and says how it ended and the last lines that it printed.

        Args:
          how: what to say instead of its exit status: that it hangs, for one that has to be ended.
          but: of lines that are left out.
        """
        how = how or self._fault or self._exit()
        self.stop()
        return "\n".join([how, *self._log.last_lines(but)])

    def stop(self) -> None:
        """Ends the process and all that it has started, whatever they are doing."""
        with signals_held():
            if self._process is not None:
                self._kill()
            self._socket.close()
            _running.discard(self)

    def _kill(self):
        descendants.kill_all(self._process, _MARK, self._token)
        descendants.end_orphans(workers=_pids())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def _state(self):
        """What `os.waitid` says of the end of the process; something false while it runs.

        It stays a zombie, whose number nobody else gets before its group has been ended.
        """
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options)
        except ChildProcessError:  # where SIGCHLD is ignored, nobody knows more
            return "exit status unknown"

    def _exit(self):
        deadline = time.monotonic() + _EXIT_SECONDS
        while not (state := self._state()):
            if time.monotonic() > deadline:
                return "stopped answering"
            time.sleep(_TICK_SECONDS / 10)
        if isinstance(state, str):
            return state
        if state.si_code == os.CLD_EXITED:
            return f"exit status {state.si_status}"
        with contextlib.suppress(ValueError):  # a real-time signal has no name
            return signal.Signals(state.si_status).name
        return f"signal {state.si_status}"


class Fork(Worker):
    """A worker that is forked, to call a function with its `Channel`, and to end.

    The process that forks is itself a worker's, which knows no other children: what is left of
    a fork's when that ends becomes its own, and is ended.
    """

    def __init__(self, function: Callable[["Channel"], None]):
        self._function = function
        self._begin()

    def _start(self, descriptor):
        descendants.adopt_orphans()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return _Forked(pid)
        try:
            os.setsid()
            _running.clear()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # and held no longer
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for standard in (1, 2):
                os.dup2(self._log.descriptor, standard)
            self._log.close_descriptor()
            self._function(Channel(str(descriptor)))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _kill(self):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        descendants.end_children(but=(_pids() - {self._process.pid}).__contains__)


@dataclasses.dataclass
class _Forked:
    """What `subprocess` has for its processes."""

    pid: int
    returncode: int | None = None

    def wait(self):
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # before it has a group of its own
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored
                os.waitpid(self.pid, 0)
            self.returncode = -signal.SIGKILL


def _pids():
    return {worker._process.pid for worker in _running if worker._process}


def brief(words: str) -> str:
    """A process's last words in one line: how it ended, and the last thing that it printed."""
    how, *printed = words.split("\n")
    return f"{how}: {printed[-1].strip()}" if printed else how


def wait(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Waits for messages or ends; returns the workers that `receive` has news of, if any."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            found = [key.fileobj for key, _ in selector.select(max(0, min(left, _TICK_SECONDS)))]
            # A process that its target has forked may keep the channel of a dead one open.
            found += [worker for worker in workers if worker not in found and worker.ended]
            if found or left <= 0:
                return found


class Channel:
    """A worker's end, made of the first of its arguments."""

    def __init__(self, argument: str):
        # Out of reach of what it starts: neither forks nor programs hold it.
        descriptor = fcntl.fcntl(int(argument), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
        os.close(int(argument))
        self._socket = socket.socket(fileno=descriptor)
        self._process = os.getpid()
        os.register_at_fork(after_in_child=self._socket.close)
        descendants.end_with_parent()
        # Orphans of this process's children become its own, so that they are found.
        descendants.adopt_orphans()
        # Where memory runs out, this process goes first, not the one that judges it.
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")

    def send(self, **message) -> None:
        """Sends a message. A fork that has got here, since its function returned twice, ends."""
        if os.getpid() != self._process:
            os._exit(0)
        descendants.end_oldest_children()
        self._socket.sendall(_line(message))

    def __iter__(self) -> Iterator[dict]:
        """Yields what the parent sends, until it closes the channel."""
        received = b""
        while chunk := self._socket.recv(1 << 16):
            *lines, received = (received + chunk).split(b"\n")
            yield from map(json.loads, lines)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS does not tell of processes


@contextlib.contextmanager
def signals_held():
    """Signals that end a program wait for the end of the block: it is done, or not begun."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which no signal interrupts
        return
    held = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in signals}
    for number, handler in handlers.items():
        if handler is not None:  # which Python did not set, and cannot set again
            signal.signal(number, lambda *caught: held.append(caught))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in dict.fromkeys(number for number, _ in held):
            signal.raise_signal(number)


class _Log:
    """The end of what a process prints, however much that is."""

    def __init__(self):
        self._pipe, self.descriptor = os.pipe()
        self._tail = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self):
        self._thread.start()

    def close_descriptor(self):
        os.close(self.descriptor)
        if not self._thread.ident:  # nobody will read
            os.close(self._pipe)

    def last_lines(self, but):
        self._thread.join(_EXIT_SECONDS)  # until all that could print has ended
        lines = self._tail.decode(errors="replace").split("\n")
        return [s for s in lines if s.strip() and not (but and but.search(s))][-_LOG_LINES:]

    def _read(self):
        with open(self._pipe, "rb", buffering=0) as pipe:
            while chunk := pipe.read(_LOG_BYTES):
                self._tail = (self._tail + chunk)[-_LOG_BYTES:]


def _line(message):
    return (json.dumps(message) + "\n").encode()


@atexit.register
def _stop_all():
    for worker in list(_running):
        worker.stop()
