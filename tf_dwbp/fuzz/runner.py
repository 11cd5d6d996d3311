"""Runs cases through all workers, and shrinks what fails."""

import collections
import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Iterator

import numpy as np

from tf_dwbp.fuzz import draw, findings, invalid
from tf_dwbp.fuzz.case import INTEGERS, Case
from tf_dwbp.fuzz.findings import Finding
from tf_dwbp.fuzz.pool import ALL, ONE, Job, Pool
from tf_dwbp.fuzz.results import Failure, Plan, Results
from tf_dwbp.fuzz.shrink import shrink
from tf_dwbp.tools.targets import EAGER, OURS

_BATCH_CASES = 24  # of which a program of TensorFlow is made
_BATCH_ELEMENTS = 4_000_000
_IN_FLIGHT = 3  # batches, so that no core waits
_REPEATS, _REPEATS_ALONE = 2, 5
_SHARE = 3  # of so many cases one is computed by an implementation that is forced, too
_ALSO_SUSPECT = 3  # cases before the one that a worker died in
_MOST_DEADLY = 2  # cases of a batch; then the others are not asked
_SHRINK_SECONDS = 120  # in all
_SHRUNK_EACH = 3  # failures of a kind; more of it are counted


class _Batch:
    """Consecutive cases, and the jobs that make their calls."""

    def __init__(self, numbers, cases, changes):
        self.numbers, self.cases, self.changes = numbers, cases, changes
        self.jobs = []  # and the indices of their cases
        self.seen = []  # jobs that have been looked at
        self.casualties = []  # that no case has been found to be the cause of
        self.failed = {}  # verdicts, by the index of the case
        self.answers = [[] for _ in cases]

    @property
    def finished(self):
        return all(job.finished for job, _ in self.jobs)

    @property
    def deadly(self):
        """The indices of cases that kill."""
        kill = (findings.DIES, findings.HANGS)
        return [index for index, verdict in self.failed.items() if verdict in kill]

    def changes_of(self, index):
        return self.changes[index] if self.changes else None


class Runner:
    """One run; `results` is right at any time, so that an interrupted run can tell them."""

    def __init__(
        self,
        plan: Plan,
        progress: Callable[[Results], None] = lambda results: None,
        tell: Callable[[Failure], None] = lambda failure: None,
    ):
        self.plan = plan
        self.results = Results()
        self._progress = progress
        self._tell = tell
        self._pool = Pool(plan.target, plan.limit_seconds, plan.ways.settings, plan.placement)
        self._kinds = collections.Counter()
        self._found = []  # and not shrunk yet
        self._begun = time.monotonic()

    def run(self) -> Results:
        """Runs all cases. Raises `pool.UnusableTarget` if the target cannot be loaded."""
        with self:
            batches, turns = self._batches(), itertools.count()
            in_flight = []
            while True:
                while len(in_flight) < _IN_FLIGHT and (batch := next(batches, None)):
                    self._submit(batch, next(turns))
                    in_flight.append(batch)
                if self._late():
                    self._forget_unbegun(in_flight)
                if not in_flight:
                    break
                self._pool.pump()
                for batch in list(in_flight):
                    self._look_at(batch)
                    if batch.finished and all(job in batch.seen for job, _ in batch.jobs):
                        in_flight.remove(batch)
                        self._complete(batch)
                    self._progress(self._timed())
                if len(self._found) >= self.plan.most_failures:
                    self.results.stopped = "after so many failures"
                    break
            self._shrink_all()
            return self._timed()

    def run_one(self, case: Case, changes: dict[str, str] | None = None) -> Results:
        """Makes the calls of one case, and does not shrink it if it fails."""
        with self:
            finding = self._evaluate(case, self.plan.ways, changes)
            self.results.cases = 1
            self.results.by_op[case.problem.op] += 1
            if finding:
                self.results.failing = 1
                whole = dataclasses.replace(finding, ways=self.plan.ways)
                self._note(self._failure(whole, case, changes))
            return self._timed()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for found in self._found:  # an interrupt, say, has left these as they were found
            self._note(self._failure(*found))
        self._timed()
        self._pool.close()

    def _timed(self):
        self.results.seconds = time.monotonic() - self._begun
        self.results.paths = self._pool.paths
        return self.results

    def _batches(self) -> Iterator[_Batch]:
        plan = self.plan
        number, end = plan.start, None if plan.cases is None else plan.start + plan.cases
        numbers, cases, changes, elements = [], [], [], 0
        while (end is None or number < end) and not self._late():
            case, change = self._case(number)
            if cases and (
                len(cases) == _BATCH_CASES or elements + case.problem.elements > _BATCH_ELEMENTS
            ):
                yield _Batch(numbers, cases, changes)
                numbers, cases, changes, elements = [], [], [], 0
            numbers.append(number)
            cases.append(case)
            changes += [change] if change else []
            elements += case.problem.elements
            number += 1
        if cases:
            yield _Batch(numbers, cases, changes)

    def _case(self, number):
        plan = self.plan
        if not plan.invalid:
            return draw.case(plan.seed, number, plan.filters), None
        random = np.random.default_rng([plan.seed, number])
        problem = draw.small_problem(random, plan.filters)
        changes = invalid.changes(random, problem)
        return Case(problem, INTEGERS, int(random.integers(2**31))), changes

    def _late(self):
        limit = self.plan.seconds
        return limit is not None and time.monotonic() - self._begun > limit

    def _forget_unbegun(self, batches):
        """Takes those out that no worker has begun with: none of their cases is counted."""
        for batch in list(batches):
            if all(self._pool.waiting(job) for job, _ in batch.jobs):
                for job, _ in batch.jobs:
                    self._pool.withdraw(job)
                batches.remove(batch)

    def _submit(self, batch, turn):
        settings = self.plan.ways.settings
        judging = {}  # the first of each of the two kinds of arithmetic, in each implementation
        for setting in settings:
            judging.setdefault((setting.isa == "baseline", setting.implementation), setting)
        if self.plan.invalid:  # an error is the same in all
            settings = [settings[turn % len(settings)]]
        every = list(range(len(batch.cases)))
        beside = []
        if None in self.plan.ways.implementations:
            beside = [setting for setting in settings if setting.implementation]
        for setting in settings:
            if setting not in beside:
                self._add_job(batch, setting, every, judge=setting in judging.values())
        if beside:  # one of them for each batch, and a share of its cases
            setting = beside[turn % len(beside)]
            share = every[turn // len(beside) % _SHARE :: _SHARE]
            if share:
                self._add_job(batch, setting, share, judge=True)

    def _add_job(self, batch, setting, indices, judge, soon=False):
        executions = list(self.plan.ways.executions)
        if setting.implementation and EAGER in executions:
            executions = [EAGER]  # a program is refused for one case that is declined
        job = Job(
            setting,
            [batch.cases[i].to_json() for i in indices],
            executions,
            _REPEATS,
            judge,
            ONE,
            [batch.changes[i] for i in indices] if batch.changes else [],
        )
        # Indices of its own: cases may be withdrawn from one job and not from others.
        batch.jobs.append((self._pool.submit(job, soon), list(indices)))

    def _look_at(self, batch):
        """Deals with the jobs of a batch that have finished since."""
        for job, indices in list(batch.jobs):
            if not job.finished or job in batch.seen:
                continue
            batch.seen.append(job)
            if job.casualty and len(indices) > 1:
                self._resubmit(batch, job, indices)
                continue
            if job.casualty:
                batch.casualties.clear()  # this is the cause
            for answer in job.answers:
                batch.answers[indices[answer["case"]]].append((job.setting, answer))
                self.results.count(answer)
            for number, found in findings.of_job(job).items():
                self._failed(batch, indices[number], findings.worst(found))

    def _resubmit(self, batch, job, indices):
        """What a job died of, case by case alone, and the others together once more."""
        if len(batch.deadly) >= _MOST_DEADLY:
            self.results.unasked += len(indices)
            return
        batch.casualties.append(job)
        suspects = job.suspects or list(range(len(indices)))
        if len(suspects) == 1:  # it may be the doing of those before it
            answered = sorted({answer["case"] for answer in job.answers})
            suspects = sorted({*suspects, *answered[-_ALSO_SUSPECT:]})
        others = [i for n, i in enumerate(indices) if n not in suspects]
        parts = [[indices[n]] for n in suspects] + ([others] if others else [])
        for part in reversed(parts):
            self._add_job(batch, job.setting, part, job.judge, soon=True)

    def _failed(self, batch, index, finding):
        """Tells of a failure once, and spares other workers what kills."""
        if index in batch.failed:
            return
        batch.failed[index] = finding.verdict
        if finding.verdict in (findings.DIES, findings.HANGS):
            self._withdraw(batch)
        self.results.failing += 1
        # Without numbers and addresses.
        words = " ".join(re.findall(r"\b[A-Za-z_]{3,}\b", finding.message))
        op = batch.cases[index].problem.op
        kind = (finding.verdict, op, finding.ways.isas, finding.ways.executions, words)
        self._kinds[kind] += 1
        if self._kinds[kind] <= _SHRUNK_EACH:
            found = (finding, batch.cases[index], batch.changes_of(index))
            self._found.append(found)
            self._tell(self._failure(*found))

    def _withdraw(self, batch):
        """Takes deadly cases out of jobs that have not begun; all, if there are too many."""
        deadly = batch.deadly
        for job, indices in batch.jobs:
            if not self._pool.waiting(job):
                continue
            kept = [] if len(deadly) >= _MOST_DEADLY else [i for i in indices if i not in deadly]
            self.results.unasked += len(set(indices) - set(kept) - set(deadly))
            indices[:] = kept
            job.cases = [batch.cases[i].to_json() for i in kept]
            job.changes = [batch.changes[i] for i in kept] if batch.changes else []
            if not kept:
                self._pool.withdraw(job)

    def _complete(self, batch):
        """Compares the answers to each case, and counts."""
        if batch.casualties:
            self._note_unexplained_casualty(batch)
        for i, case in enumerate(batch.cases):
            self.results.cases += 1
            self.results.by_op[case.problem.op] += 1
            if not (found := findings.differences(case, batch.answers[i])):
                continue
            if self.plan.deterministic:
                self._failed(batch, i, found[0])
            else:
                self.results.differing.append(self._failure(found[0], case, None).options)

    def _note_unexplained_casualty(self, batch):
        verdict, evidence = batch.casualties[0].casualty
        options = (
            f"--seed {self.plan.seed} --start {batch.numbers[0]} --cases {len(batch.numbers)} "
            f"{self.plan.ways.options}"
        )
        for name in ("op", "dtype", "layout"):
            if values := getattr(self.plan.filters, f"{name}s"):
                options += f" --{name} {' '.join(values)}"
        options += " --invalid" if self.plan.invalid else ""
        message = f"{evidence}; no case of these does so alone"
        op = batch.cases[0].problem.op
        self.results.failing += 1
        self._note(Failure(verdict, message, options, op, options))

    def _shrink_all(self):
        """Makes what has failed smaller, as far as time allows; the search goes first."""
        deadline = time.monotonic() + _SHRINK_SECONDS
        while self._found:
            if time.monotonic() < deadline:
                self._shrink(*self._found[0])
            else:
                self._note(self._failure(*self._found[0]))
            self._found.pop(0)

    def _shrink(self, finding, case, changes):
        last = finding

        def fails(smaller, ways):
            nonlocal last
            again = self._evaluate(smaller, ways, changes)
            if again is None or again.verdict != finding.verdict:
                return False
            last = again
            return True

        small, ways = case, finding.ways
        if not fails(small, ways):
            ways = self.plan.ways
            if not fails(small, ways):
                note = f"{finding.message}; not again when called alone"
                self._note(self._failure(dataclasses.replace(finding, message=note), case, changes))
                return
        small, ways = shrink(small, ways, fails)
        last = dataclasses.replace(last, ways=ways)
        self._note(self._failure(last, small, changes, drawn=case))

    def _evaluate(self, case, ways, changes) -> Finding | None:
        """The worst that happens when a case is called alone, often enough to meet its moods."""
        jobs = [
            self._pool.submit(
                Job(
                    setting,
                    [case.to_json()],
                    list(ways.executions),
                    _REPEATS_ALONE,
                    True,
                    ALL,
                    [changes] if changes else [],
                ),
                soon=True,
            )
            for setting in ways.settings
        ]
        self._pool.finish(jobs)
        found, answers = [], []
        for job in jobs:
            found += findings.of_job(job).get(0, [])
            answers += [(job.setting, answer) for answer in job.answers]
            for answer in job.answers:
                self.results.count(answer)
        if self.plan.deterministic:
            found += findings.differences(case, answers)
        return findings.worst(found)

    def _failure(self, finding, case, changes, drawn=None):
        given = self.plan.placement.options(self.plan.target, case.problem.op)
        options = f"{given}{case.options} {finding.ways.options}"
        if self.plan.target != OURS and finding.verdict == findings.DIFFERS:
            options += " --deterministic"
        for name, value in (changes or {}).items():
            options += f" --change '{name}={value}'"
        drawn = str((drawn or case).problem)
        return Failure(finding.verdict, finding.message, options, case.problem.op, drawn)

    def _note(self, failure):
        if all(failure.options != known.options for known in self.results.failures):
            self.results.failures.append(failure)
