"""Asks every path for every case, in processes whose death or hanging becomes a verdict."""

import collections
import dataclasses
import itertools
import os
import re
import time
from collections.abc import Callable, Sequence

from tf_dwbp import _library
from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.paths import ENVIRONMENTS, Path, on_device, to_ask
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import process, targets
from tf_dwbp.tools.placement import ANYWHERE, Placement

# Seconds that a process may be silent, while compiling a batch, and while loading TensorFlow, on a
# machine that has other things to do.
LIMIT_SECONDS = 180
_START_SECONDS = 300

# Cases in one job: one program for XLA, which takes about a second to compile.
_JOB_CASES = 20

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
    placement: Placement = ANYWHERE,
) -> Run:
    """Judges `target` (None: our ops; "stock"; "MODULE:FUNCTION") beside stock TensorFlow.

    `progress` is called with the path just heard from, and how many cells are complete of how
    many. Without `xla`, stock's XLA path, which takes most of the time, is left out, and without
    `stock` all of stock's, unless it is what is judged. `executions` are the ways in which a target
    other than stock is called; our ops must compute the same bits in all of them. With a device in
    `placement`, `target` is judged there alone, stock too in these ways; a function of NumPy arrays
    is judged without TensorFlow, unless with `stock`.
    Raises UnusableTarget if the target or a library cannot be loaded, or there is no such device.
    """
    start = time.monotonic()
    if placement.device:
        paths, judged = on_device(placement.device, target or targets.OURS, executions)
    else:
        paths, judged = to_ask(target, stock, executions, placement.without_tensorflow)
    paths = [path for path in paths if (xla or not path.is_slow) and any(map(path.is_asked, cases))]
    judged = [name for name in judged if name in {path.name for path in paths}]
    cells = {case.id: Cell(case) for case in cases}
    complete = 0
    exchange = _Exchange(cases, paths, limit_seconds, placement)
    answers_missing = collections.Counter(
        case_id for job in exchange.jobs() for case_id in job.cases
    )
    progress(paths[0].name, complete, len(cells))
    try:
        for case_id, path, outcome in exchange.outcomes():
            cells[case_id].outcomes.setdefault(path, []).append(outcome)
            answers_missing[case_id] -= 1
            complete += not answers_missing[case_id]
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
        tensorflow_version=(
            _library.installed_tensorflow() or "of unknown version"
            if stock or not placement.without_tensorflow
            else None
        ),
        versions=exchange.versions,
        placement=placement,
    )


def _lanes(paths):
    lanes = {}
    for path in paths:
        lanes.setdefault(path.lane or path.name, []).append(path.name)
    return lanes


# Most of XLA's compile time goes into fusing and optimizing, which is not what is judged, and both
# cores have work without several threads for one program.
_XLA_FLAGS = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


# How XLA ends a process that has flags which this version of TensorFlow does not know.
_UNKNOWN_FLAGS = re.compile(r"Unknown flags? in XLA_FLAGS: (.*)")


@dataclasses.dataclass
class _Job:
    number: int  # jobs are done in this order
    path: Path
    cases: list[str]  # not answered yet


def _batches(cases):
    """The cases in jobs: some small ones together, a large one by itself."""
    large = [case for case in cases if case.is_large]
    small = [case for case in cases if not case.is_large]
    yield from ([case] for case in large)
    yield from (small[i : i + _JOB_CASES] for i in range(0, len(small), _JOB_CASES))


class _Exchange:
    """Hands jobs to one process for each environment and collects outcomes from all."""

    def __init__(self, cases, paths, limit_seconds, placement):
        self.versions = {}  # of what targets import
        self._casualties = collections.Counter()
        self._shared = collections.deque()
        own = [collections.deque() for _ in ENVIRONMENTS]
        for number, batch in enumerate(_batches(cases)):
            for path in paths:
                asked = [case.id for case in batch if path.is_asked(case)]
                if batch[0].is_large:  # one process has it in memory, for all paths that it runs
                    queues = [own[path.environments[number % len(path.environments)]]]
                elif path.everywhere:
                    queues = [own[i] for i in path.environments]
                else:
                    queues = [self._shared]
                for queue in queues if asked else []:
                    queue.append(_Job(number, path, list(asked)))
        names = sorted({path.target for path in paths})
        self._xla_flags = list(_XLA_FLAGS)
        self._workers = [
            _Worker(ENVIRONMENTS[i], self._xla_flags, placement, names, own[i], limit_seconds)
            for i in sorted({i for path in paths for i in path.environments})
        ]

    def jobs(self):
        """All jobs that nobody has been given yet."""
        return itertools.chain(self._shared, *(worker.jobs for worker in self._workers))

    def outcomes(self):
        """Yields (case id, path name, outcome) until every job is done."""
        for worker in self._workers:
            worker.start()
        while running := [worker for worker in self._workers if worker.running]:
            patience = min(worker.deadline for worker in running) - time.monotonic()
            heard_of = process.wait([worker.process for worker in running], patience)
            for worker in running:
                if worker.process in heard_of:
                    yield from self._listen(worker)
            for worker in running:
                if worker.running and time.monotonic() > worker.deadline:
                    yield from self._bury(worker, Verdict.HANGS)

    def close(self):
        """Ends all processes, whatever they are doing."""
        for worker in self._workers:
            worker.stop()

    def _listen(self, worker):
        messages = worker.read()
        if messages is None:
            yield from self._bury(worker, Verdict.DIES)
            return
        for message in messages:
            if "unusable" in message:
                raise UnusableTarget(message["unusable"])
            worker.ready = True
            self.versions |= message.get("versions", {})
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
        evidence = worker.bury("no answer within the limit" if verdict is Verdict.HANGS else "")
        if unknown := worker.unknown_flags(evidence):  # no verdict: its version has no such flags
            self._xla_flags[:] = [flag for flag in self._xla_flags if flag not in unknown]
            worker.jobs.appendleft(worker.job)
            worker.start()
            return
        if not worker.ready:
            raise UnusableTarget(
                f"{worker.names}: the process that loads it {verdict.value}: "
                f"{process.brief(evidence)}"
            )
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
    """A worker process and those that follow it: environment, jobs, and what is being done."""

    def __init__(self, environment, xla_flags, placement, names, jobs, limit_seconds):
        self.names = ", ".join(names)  # of the targets that it loads
        self.jobs = jobs
        self.process = None
        self._xla_flags = xla_flags
        self._environment = environment
        self._words = [*placement.words, *names]
        self._limit_seconds = limit_seconds

    @property
    def running(self):
        return self.process is not None

    @property
    def unanswered(self):
        """The cases of the present job that have no outcome yet."""
        return self.job.cases if self.job else []

    def start(self):
        self.job, self.begun, self.ready = None, [], False
        self._flags = list(self._xla_flags)
        flags = " ".join([*self._flags, os.environ.get("XLA_FLAGS", "")])
        environment = process.judged() | self._environment | {"XLA_FLAGS": flags}
        self.process = process.Worker(_WORKER_MODULE, self._words, environment)
        self._heard()

    def give(self, job):
        self.job = job
        self.process.send(target=job.path.target, execution=job.path.execution, cases=job.cases)
        self._heard()

    def read(self):
        """The messages that have arrived, or None when the process has ended."""
        messages = self.process.receive()
        if messages:
            self._heard()
        return messages

    def unknown_flags(self, evidence):
        """Those of the flags that we gave the process which it has died of."""
        found = _UNKNOWN_FLAGS.search(evidence)
        return [flag for flag in self._flags if found and flag in found[1].split()]

    def bury(self, how):
        """Ends the process; returns why it will say no more, which is `how` if that is known."""
        words = self.process.last_words(how)
        self.process = None
        return words

    def stop(self):
        """Ends the process, whatever it is doing."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def _heard(self):
        limit = self._limit_seconds if self.ready else _START_SECONDS
        self.deadline = time.monotonic() + limit
