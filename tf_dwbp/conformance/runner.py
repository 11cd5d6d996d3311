"""Asks every path for every case, in processes whose death or hanging becomes a verdict."""

import collections
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from tf_dwbp import console
from tf_dwbp.conformance import targets
from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict

# Seconds that a process may be silent, while loading TensorFlow or compiling a batch.
LIMIT_SECONDS = 180

# Cases in one job: one program for XLA, which takes about a second to compile.
_JOB_CASES = 20

# How long a process may take to go once it has fallen silent, and how much of its log is evidence.
_EXIT_SECONDS = 5
_LOG_LINES = 6

_WORKER_MODULE = "tf_dwbp.conformance.worker"

# After so many deaths or hangs of one path its other cases are skipped: each costs a restart.
_GIVE_UP_AFTER = {Verdict.DIES: 20, Verdict.HANGS: 3}


class UnusableTarget(Exception):
    """The implementation to judge cannot be loaded."""


def run(
    cases: list[Case],
    target: str | None = None,
    progress: Callable[[str, int, int], None] = lambda path, done, total: None,
    limit_seconds: float = LIMIT_SECONDS,
    xla: bool = True,
    stock: bool = True,
    executions: Sequence[str] = (targets.EAGER,),
) -> Run:
    """Judges `target` (None: our ops; "stock"; "MODULE:FUNCTION") beside stock TensorFlow.

    `progress` is called with the path just heard from, and how many cells are complete of how
    many. Without `xla`, stock's XLA path, which takes most of the time, is left out, and without
    `stock` all of stock's, unless it is what is judged. `executions` are the ways in which a target
    other than stock is called; our ops must compute the same bits in all of them.
    Raises UnusableTarget if the target cannot be imported.
    """
    start = time.monotonic()
    paths, judged = targets.paths(target, stock, executions)
    orders = {case.order for case in cases}
    paths = [path for path in paths if (xla or not path.is_slow) and orders & set(path.orders)]
    judged = [name for name in judged if name in {path.name for path in paths}]
    cells = {case.id: Cell(case) for case in cases}
    answers_each = {
        order: sum(
            len(path.environments) if path.everywhere else 1
            for path in paths
            if order in path.orders
        )
        for order in orders
    }
    complete = 0
    exchange = _Exchange(cases, paths, limit_seconds)
    progress(paths[0].name, complete, len(cells))
    try:
        for case_id, path, outcome in exchange.outcomes():
            cell = cells[case_id]
            cell.outcomes.setdefault(path, []).append(outcome)
            answers = sum(map(len, cell.outcomes.values()))
            complete += answers == answers_each[cell.case.order]
            progress(path, complete, len(cells))
    finally:
        exchange.close()
    for cell in cells.values():
        cell.judge(judged, same_bits=target is None)
    return Run(
        target=target or targets.OURS,
        paths=[path.name for path in paths],
        lanes=_lanes(paths),
        judged=judged,
        cells=list(cells.values()),
        seconds=time.monotonic() - start,
        tensorflow_version=_tensorflow_version(),
    )


def _lanes(paths):
    lanes = {}
    for path in paths:
        lanes.setdefault(path.lane or path.name, []).append(path.name)
    return lanes


def _xla_flags():
    """Half of XLA's compile time is LLVM's optimization, which is not what is judged here."""
    return f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"


def _tensorflow_version():
    for package in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    return "of unknown version"


@dataclasses.dataclass
class _Job:
    number: int  # jobs are done in this order
    path: targets.Path
    cases: list[str]  # not answered yet


class _Exchange:
    """Hands jobs to one process for each environment and collects outcomes from all."""

    def __init__(self, cases, paths, limit_seconds):
        self._selector = selectors.DefaultSelector()
        self._casualties = collections.Counter()
        self._shared = collections.deque()
        own = [collections.deque() for _ in targets.ENVIRONMENTS]
        for first in range(0, len(cases), _JOB_CASES):
            batch = cases[first : first + _JOB_CASES]
            for path in paths:
                asked = [case.id for case in batch if case.order in path.orders]
                queues = [own[i] for i in path.environments] if path.everywhere else [self._shared]
                for queue in queues if asked else []:
                    queue.append(_Job(first, path, list(asked)))
        names = sorted({path.target for path in paths})
        self._workers = [
            _Worker(environment, names, jobs, self._selector, limit_seconds)
            for environment, jobs in zip(targets.ENVIRONMENTS, own, strict=True)
        ]

    def outcomes(self):
        """Yields (case id, path name, outcome) until every job is done."""
        for worker in self._workers:
            worker.start()
        while running := [worker for worker in self._workers if worker.running]:
            patience = min(worker.deadline for worker in running) - time.monotonic()
            for key, _ in self._selector.select(max(0, patience)):
                yield from self._listen(key.data)
            for worker in running:
                if worker.running and time.monotonic() > worker.deadline:
                    yield from self._bury(worker, Verdict.HANGS)

    def close(self):
        """Ends all processes, whatever they are doing."""
        for worker in self._workers:
            worker.stop()
        self._selector.close()

    def _listen(self, worker):
        messages = worker.read()
        if messages is None:
            yield from self._bury(worker, Verdict.DIES)
            return
        for message in messages:
            if "unusable" in message:
                raise UnusableTarget(f"{message['unusable']}: {message['message']}")
            worker.ready = True
            if "begin" in message:
                worker.begun = message["begin"]
            if "case" in message:
                worker.job.cases.remove(message["case"])
                outcome = Outcome.from_json(message["outcome"])
                yield message["case"], worker.job.path.name, outcome
        if worker.ready and not worker.unanswered:
            yield from self._assign(worker)

    def _assign(self, worker):
        """Gives the worker its next job; skips those of a path that has died too often."""
        while queues := [queue for queue in (worker.jobs, self._shared) if queue]:
            job = min(queues, key=lambda queue: queue[0].number).popleft()
            if not self._given_up(job.path):
                worker.give(job)
                return
            for case_id in job.cases:
                message = "not asked, after too many deaths or hangs"
                yield case_id, job.path.name, Outcome(Verdict.SKIPPED, message)
        worker.stop()

    def _bury(self, worker, verdict):
        """Turns the case that a worker died of into an outcome, and starts the worker anew."""
        evidence = worker.last_words(verdict)
        worker.stop()
        if not worker.ready:
            raise UnusableTarget(f"the process that loads it {verdict.value}: {evidence}")
        job, unanswered = worker.job, worker.unanswered
        suspects = [case for case in unanswered if case in worker.begun] or unanswered[:1]
        innocent = [case for case in unanswered if case not in suspects]
        retries = [innocent] if innocent else []
        if len(suspects) == 1:
            self._casualties[job.path.name, verdict] += 1
            yield suspects[0], job.path.name, Outcome(verdict, evidence)
        else:  # one program for several cases: ask for each to find out which it was
            retries += [[case] for case in suspects]
        worker.jobs.extendleft(_Job(job.number, job.path, retry) for retry in retries)
        worker.start()

    def _given_up(self, path):
        return any(
            self._casualties[path.name, verdict] >= limit
            for verdict, limit in _GIVE_UP_AFTER.items()
        )


class _Worker:
    """A worker process: its environment, its jobs, and what it is doing."""

    def __init__(self, environment, target_names, jobs, selector, limit_seconds):
        self.jobs = jobs
        self._environment = environment
        self._target_names = target_names
        self._selector = selector
        self._limit_seconds = limit_seconds
        self._process = None

    @property
    def running(self):
        return self._process is not None

    @property
    def unanswered(self):
        """The cases of the present job that have no outcome yet."""
        return self.job.cases if self.job else []

    def start(self):
        self.job, self.begun, self.ready = None, [], False
        self._received = b""
        self._pipe, childs_pipe = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (stop closes it)
        with console.interrupts_held():
            self._process = subprocess.Popen(
                [sys.executable, "-m", _WORKER_MODULE, str(childs_pipe), *self._target_names],
                env=os.environ | self._environment | {"XLA_FLAGS": _xla_flags()},
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[childs_pipe],
                start_new_session=True,  # Ctrl-C is for us alone
            )
            os.close(childs_pipe)
            self._selector.register(self._pipe, selectors.EVENT_READ, self)
        self._heard()

    def give(self, job):
        self.job = job
        line = {"target": job.path.target, "execution": job.path.execution, "cases": job.cases}
        with contextlib.suppress(BrokenPipeError):  # it has died; reading will tell
            self._process.stdin.write((json.dumps(line) + "\n").encode())
            self._process.stdin.flush()
        self._heard()

    def read(self):
        """The messages that have arrived, or None when the process has ended."""
        received = os.read(self._pipe, 1 << 16)
        if not received:
            return None
        self._heard()
        *lines, self._received = (self._received + received).split(b"\n")
        return [json.loads(line) for line in lines]

    def last_words(self, verdict):
        """Why the process will say no more: its exit status and the end of what it printed."""
        if verdict is Verdict.HANGS:
            how = "no answer within the limit"
        else:
            try:
                status = self._process.wait(_EXIT_SECONDS)
                how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            except subprocess.TimeoutExpired:
                how = "stopped answering"
        self._log.seek(0)
        printed = self._log.read().decode(errors="replace").split("\n")
        return "\n".join([how, *[line for line in printed if line.strip()][-_LOG_LINES:]])

    def stop(self):
        """Ends the process, whatever it is doing."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._selector.unregister(self._pipe)
        os.close(self._pipe)
        self._log.close()
        self._process = None

    def _heard(self):
        limit = self._limit_seconds if self.ready else LIMIT_SECONDS
        self.deadline = time.monotonic() + limit
