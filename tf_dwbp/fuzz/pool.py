"""Hands jobs to worker processes, one for each instruction set and each forced implementation."""

import collections
import dataclasses
import os
import time

from tf_dwbp.tools import process
from tf_dwbp.tools.placement import ANYWHERE, Placement

_WORKER_MODULE = "tf_dwbp.fuzz.worker"
_GRACE_SECONDS = 60
_START_SECONDS = 300  # to load TensorFlow, on a machine that has other things to do

DIES, HANGS = "dies", "hangs"
ONE, ALL = "one", "all"  # relations of `metamorphic` that are checked of each case


class UnusableTarget(Exception):
    """What is to be tested cannot be loaded."""


class Broken(Exception):
    """A fault of this program in a worker."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a process decides once, before it makes calls."""

    isa: str | None  # None: the best that there is
    threads: int
    implementation: str | None = None  # that is forced; None: whatever takes a call

    @property
    def process(self) -> tuple[str | None, str | None]:
        """What distinguishes processes that can serve all numbers of threads."""
        return self.isa, self.implementation

    def __str__(self):
        forced = f"{self.implementation} forced, " if self.implementation else ""
        return f"{self.isa or 'best isa'}, {forced}{self.threads} threads"


@dataclasses.dataclass(eq=False)
class Job:
    """Cases for one worker, and what it says of them."""

    setting: Setting
    cases: list[dict]
    executions: list[str]
    repeats: int = 1
    judge: bool = False
    relations: str = ""  # of a job that judges: none, `ONE` or `ALL`
    changes: list[dict] = dataclasses.field(default_factory=list)  # that break the cases
    answers: list[dict] = dataclasses.field(default_factory=list)
    casualty: tuple[str, str] | None = None  # verdict and evidence
    suspects: list[int] = dataclasses.field(default_factory=list)  # what it died of, among cases
    finished: bool = False

    def message(self):
        names = ("cases", "executions", "repeats", "judge", "relations", "changes")
        return {name: getattr(self, name) for name in names} | {"threads": self.setting.threads}


class Pool:
    """Workers that are started when there is something to do, at most one busy on each core.

    Args:
      target: what `conformance.targets.load` takes.
      limit_seconds: how long a call may take before it counts as hanging.
      settings: what is to be asked for. One process serves all numbers of threads, unless there
        would be fewer processes than cores.
      placement: what is loaded first, and where calls run.
    """

    def __init__(
        self,
        target: str,
        limit_seconds: float,
        settings: list[Setting],
        placement: Placement = ANYWHERE,
    ):
        self._target = target
        self._words = [*placement.words, target]
        self._limit_seconds = limit_seconds
        self._seats = {}
        self._queue = collections.deque()
        self._paths = collections.Counter()  # of processes that have ended
        self._cores = process.cores()
        self._shared = len({setting.process for setting in settings}) >= self._cores

    def submit(self, job: Job, soon: bool = False) -> Job:
        self._queue.appendleft(job) if soon else self._queue.append(job)
        return job

    def waiting(self, job: Job) -> bool:
        """Whether a job has not begun."""
        return any(job is queued for queued in self._queue)

    def withdraw(self, job: Job) -> None:
        """Finishes a job that has not begun."""
        self._queue = collections.deque(queued for queued in self._queue if queued is not job)
        job.finished = True

    def pump(self) -> None:
        """Waits until something happens, and notes it in the jobs."""
        self._assign()
        busy = [seat for seat in self._seats.values() if seat.job]
        if not busy:
            return
        patience = max(0, min(seat.deadline for seat in busy) - time.monotonic())
        heard = process.wait([seat.worker for seat in busy], min(patience, 1))
        for seat in busy:
            if seat.worker in heard:
                self._listen(seat)
            elif time.monotonic() > seat.deadline:
                self._bury(seat, HANGS)

    def finish(self, jobs: list[Job]) -> None:
        """Waits for some jobs."""
        while not all(job.finished for job in jobs):
            self.pump()

    @property
    def paths(self) -> dict[str, int]:
        """How often each implementation was reached, in all processes."""
        total = collections.Counter(self._paths)
        for seat in self._seats.values():
            for paths in seat.paths.values():
                total.update(paths)
        return dict(total)

    def close(self):
        for seat in self._seats.values():
            seat.worker.stop()

    def _assign(self):
        busy = sum(1 for seat in self._seats.values() if seat.job)
        for job in list(self._queue):
            if busy >= self._cores:
                return
            key = job.setting.process if self._shared else job.setting
            seat = self._seats.get(key)
            if seat is None:
                seat = self._seats[key] = _Seat(key, job.setting, self._words)
            if seat.job is None:
                self._queue.remove(job)
                seat.give(job, self._limit_seconds)
                busy += 1

    def _listen(self, seat):
        messages = seat.worker.receive()
        if messages is None:
            self._bury(seat, DIES)
            return
        for message in messages:
            seat.heard(self._limit_seconds)
            if "unusable" in message:
                raise UnusableTarget(message["unusable"])
            if "broken" in message:
                raise Broken(message["broken"])
            if "ready" in message:
                seat.ready = True
            elif "begin" in message:
                seat.job.suspects = message["begin"]
            elif "done" in message:
                seat.paths[seat.job.setting.threads] = message["paths"]
                seat.job.suspects = []
                seat.end()
            elif "died" in message or "hung" in message:
                self._paths.update(seat.paths.pop(seat.job.setting.threads, {}))
                hung = "hung" in message
                seat.end((HANGS, message["hung"]) if hung else (DIES, message["died"]))
            else:
                seat.job.answers.append(message)

    def _bury(self, seat, verdict):
        evidence = seat.worker.last_words("no answer within the limit" if verdict == HANGS else "")
        if not seat.ready:
            raise UnusableTarget(
                f"{self._target}: the process that loads it {verdict}: {process.brief(evidence)}"
            )
        for paths in seat.paths.values():
            self._paths.update(paths)
        del self._seats[seat.key]
        seat.end((verdict, " | ".join(evidence.split("\n"))))


class _Seat:
    """A worker process and its job."""

    def __init__(self, key, setting, words):
        self.key = key
        self.job = None
        self.ready = False
        self.paths = {}  # by number of threads
        environment = process.judged() | {
            # Memory never written shows: it is full of a number that no call computes.
            "MALLOC_PERTURB_": "1",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            # Half of XLA's compile time is LLVM's optimization, of which our ops have no use.
            "XLA_FLAGS": f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}",
        }
        if setting.isa:
            environment["TF_DWBP_CPU_ISA"] = setting.isa
        environment["TF_DWBP_IMPL"] = setting.implementation or ""
        self.worker = process.Worker(_WORKER_MODULE, words, environment)

    def end(self, casualty=None):
        self.job.casualty = casualty
        self.job.finished = True
        self.job = None

    def give(self, job, limit_seconds):
        self.job = job
        self.worker.send(**job.message(), limit_seconds=limit_seconds)
        self.heard(limit_seconds)

    def heard(self, limit_seconds):
        # The worker ends its child when that hangs; only if it does not, it is ended itself.
        limit = limit_seconds + _GRACE_SECONDS if self.ready else _START_SECONDS + limit_seconds
        self.deadline = time.monotonic() + limit
