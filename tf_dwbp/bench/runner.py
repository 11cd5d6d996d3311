"""Has the plan carried out in a process of its own, whose death becomes a row's refusal.

TensorFlow reads its oneDNN switch while loading, so the process is started with the switch that
the peer needs; both sides run in it.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable

from tf_dwbp import console
from tf_dwbp.bench.peers import PEERS
from tf_dwbp.bench.results import OURS, Plan, Row, Run
from tf_dwbp.bench.shapes import Shape

# Seconds that the process may be silent: it measures a shape, or compiles for it.
LIMIT_SECONDS = 300

_WORKER_MODULE = "tf_dwbp.bench.worker"
_LOG_LINES = 6  # of a dead process's log


class Failed(Exception):
    """The process that measures cannot be started; the message says what it said."""


def run(
    plan: Plan,
    selected: list[Shape],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Run:
    """Measures the shapes; `progress` hears which is next, and how many are done of how many."""
    rows: dict[str, Row] = {}
    machine, rates = {}, []
    remaining = list(selected)
    while remaining:
        begun = None
        with _Worker() as worker:
            worker.start(plan, [shape.name for shape in remaining])
            for message in worker.messages():
                if "matmul_rate" in message:
                    rates.append(message["matmul_rate"])
                machine = message.get("machine", machine)
                begun = message.get("begin", begun)
                if "row" in message:
                    row = Row.from_json(message["row"])
                    rows[row.shape.name] = row
                if begun:
                    progress(begun, len(rows), len(selected))
            evidence = worker.last_words()
        if begun is None:
            raise Failed(evidence)
        if begun not in rows:  # it died of this one; which side's fault that is nobody knows
            shape = next(shape for shape in remaining if shape.name == begun)
            reason = f"the process that runs both sides ended: {evidence}"
            rows[begun] = Row(shape, {}, {OURS: reason, plan.peer: reason})
        remaining = [shape for shape in remaining if shape.name not in rows]
    return Run(plan, [rows[shape.name] for shape in selected], machine, max(rates))


class _Worker:
    """The process, from its start to its end."""

    def __init__(self):
        self._process = None
        self._silent = False

    def start(self, plan, names):
        self._pipe, childs_pipe = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (__exit__ closes it)
        arguments = [str(childs_pipe), json.dumps(vars(plan)), *names]
        peer = PEERS.get(plan.peer, PEERS["onednn"])
        with console.interrupts_held():
            self._process = subprocess.Popen(
                # -u: last words are not lost
                [sys.executable, "-u", "-m", _WORKER_MODULE, *arguments],
                env=os.environ | peer.environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[childs_pipe],
                start_new_session=True,  # Ctrl-C is for us alone
            )
        os.close(childs_pipe)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        os.close(self._pipe)
        self._log.close()

    def messages(self):
        """Yields what the process says until it ends or falls silent."""
        received = b""
        while True:
            if not select.select([self._pipe], [], [], LIMIT_SECONDS)[0]:
                self._silent = True
                return
            chunk = os.read(self._pipe, 1 << 16)
            if not chunk:
                return
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def last_words(self):
        """Why the process will say no more: its exit status and the end of what it printed."""
        if self._silent:
            return f"no answer within {LIMIT_SECONDS} s"
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        self._log.seek(0)
        printed = self._log.read().decode(errors="replace").split("\n")
        return "\n".join([how, *[line for line in printed if line.strip()][-_LOG_LINES:]])
