"""Has the plan carried out in a process of its own, whose death becomes a row's refusal.

TensorFlow reads its oneDNN switch while loading, so the process is started with the switch that
the peer needs; both sides run in it.
"""

import contextlib
import dataclasses
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
from tf_dwbp.bench.training import TrainingPlan, TrainingRow, TrainingRun

# Seconds that the process may be silent: it measures a shape, or compiles for it.
LIMIT_SECONDS = 300

_WORKER_MODULE = "tf_dwbp.bench.worker"
_TRAIN_WORKER_MODULE = "tf_dwbp.bench.train_worker"
_LOG_LINES = 6  # of a dead process's log


class Failed(Exception):
    """The process that measures cannot be started; the message says what it said."""


@dataclasses.dataclass
class _Heard:
    """What processes said."""

    rows: dict[str, dict] = dataclasses.field(default_factory=dict)  # what was measured, by name
    deaths: dict[str, str] = dataclasses.field(default_factory=dict)  # or why there is nothing
    machine: dict = dataclasses.field(default_factory=dict)
    rates: list[float] = dataclasses.field(default_factory=list)  # of matrix multiplications


Progress = Callable[[str, int, int], None]


def run(
    plan: Plan,
    selected: list[Shape],
    progress: Progress = lambda what, done, total: None,
) -> Run:
    """Measures the shapes; `progress` hears which is next, and how many are done of how many."""
    environment = PEERS.get(plan.peer, PEERS["onednn"]).environment
    names = [shape.name for shape in selected]
    heard = _listen(_WORKER_MODULE, environment, plan, names, progress)
    rows = []
    for shape in selected:
        if shape.name in heard.rows:
            rows.append(Row.from_json(heard.rows[shape.name]))
        else:  # which side's fault that is nobody knows
            reason = heard.deaths[shape.name]
            rows.append(Row(shape, {}, {OURS: reason, plan.peer: reason}))
    return Run(plan, rows, heard.machine, max(heard.rates))


def run_training(
    plan: TrainingPlan, models: list[str], progress: Progress = lambda what, done, total: None
) -> TrainingRun:
    """Measures training steps of the models."""
    environment = PEERS["onednn"].environment
    heard = _listen(_TRAIN_WORKER_MODULE, environment, plan, models, progress)
    rows = [
        TrainingRow(**heard.rows[name])
        if name in heard.rows
        else TrainingRow(name, *plan.sizes(name), {}, {}, heard.deaths[name])
        for name in models
    ]
    return TrainingRun(plan, rows, heard.machine)


def _listen(module, environment, plan, names, progress):
    """Has processes measure what is named, another one after each that died of something."""
    heard = _Heard()
    remaining = list(names)
    while remaining:
        begun = None
        with _Worker() as worker:
            worker.start(module, environment, plan, remaining)
            for message in worker.messages():
                if "matmul_rate" in message:
                    heard.rates.append(message["matmul_rate"])
                heard.machine = message.get("machine", heard.machine)
                begun = message.get("begin", begun)
                if "row" in message:
                    heard.rows[begun] = message["row"]
                if begun:
                    progress(begun, len(heard.rows) + len(heard.deaths), len(names))
            evidence = worker.last_words()
        if begun is None:
            raise Failed(evidence)
        if begun not in heard.rows:  # it died of this one
            heard.deaths[begun] = f"the process that runs both sides ended: {evidence}"
        done = heard.rows.keys() | heard.deaths.keys()
        remaining = [name for name in remaining if name not in done]
    return heard


class _Worker:
    """The process, from its start to its end."""

    def __init__(self):
        self._process = None
        self._silent = False

    def start(self, module, environment, plan, names):
        self._pipe, childs_pipe = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (__exit__ closes it)
        arguments = [str(childs_pipe), json.dumps(vars(plan)), *names]
        with console.interrupts_held():
            self._process = subprocess.Popen(
                # -u: last words are not lost
                [sys.executable, "-u", "-m", module, *arguments],
                env=os.environ | environment,
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
