"""A process that has calls made. `pool` starts it, and outlives its death.

Started as `python -m tf_dwbp.fuzz.worker CHANNEL TARGET`, it loads TensorFlow and forks, before it
has used that, a process for each number of threads. These make the calls. One that dies costs a
third of a second, not the seconds that loading takes.
"""

import contextlib
import dataclasses
import gc
import json
import os
import re
import select
import signal
import sys
import tempfile
import traceback

import tensorflow as tf

from tf_dwbp import _native
from tf_dwbp.fuzz import calls, invalid_call, judge, metamorphic, pool
from tf_dwbp.fuzz.case import Case
from tf_dwbp.tools import console, process, targets

# What TensorFlow prints on its way, and the addresses of a trace.
_CHATTER = re.compile(r"^[IWE]\d{4} |^WARNING|^\s+@ ")
_LOG_BYTES, _LOG_LINES = 1 << 14, 6  # of what a process printed before it died


# TensorFlow keeps each program that it compiled: after so many jobs a process has some 300 MB.
_JOBS_OF_CHILD = 15


def main(channel, target):
    children = {}
    channel.send(ready=True)
    for job in channel:
        threads = job["threads"]
        child = children.get(threads) or children.setdefault(threads, _Child(target, threads))
        if not child.make(job, channel.send):
            del children[threads]
        elif child.jobs >= _JOBS_OF_CHILD:
            child.end()
            children[threads] = _Child(target, threads, child.paths)


class _Child:
    """A forked process, and the parent's end of the pipes to it."""

    def __init__(self, target, threads, paths=None):
        self.jobs = 0
        self.paths = paths or {}  # how often each was reached, by earlier processes too
        self._earlier = self.paths
        jobs, answers = os.pipe(), os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (a death closes it)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(jobs[1])
            os.close(answers[0])
            for standard in (1, 2):
                os.dup2(self._log.fileno(), standard)
            with open(jobs[0], encoding="utf-8") as lines, open(answers[1], "wb", 0) as pipe:
                _work(target, threads, lines, pipe)
            os._exit(0)
        os.close(jobs[0])
        os.close(answers[1])
        self._jobs = open(jobs[1], "wb", 0)  # noqa: SIM115
        self._answers = answers[0]
        self._received = b""

    def make(self, job, send):
        """Passes a job on, and its answers back; False if the process has died of it."""
        with contextlib.suppress(BrokenPipeError):  # it has died since; reading tells
            self._jobs.write((json.dumps(job) + "\n").encode())
        while True:
            found, _, _ = select.select([self._answers], [], [], job["limit_seconds"])
            if not found:
                os.kill(self._pid, signal.SIGKILL)
                send(hung=f"no answer in {job['limit_seconds']} s | {self._last_words()}")
                return False
            received = os.read(self._answers, 1 << 16)
            if not received:
                send(died=self._last_words())
                return False
            *lines, self._received = (self._received + received).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "done" in message:
                    self.jobs += 1
                    for path, count in self._earlier.items():
                        message["paths"][path] += count
                    self.paths = message["paths"]
                send(**message)
                if "done" in message:
                    return True

    def end(self):
        """Ends the process, which has nothing to do.

        It would not see its pipe closed, whose end those that were forked later hold too.
        """
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._jobs.close()
        os.close(self._answers)
        self._log.close()

    def _last_words(self):
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_BYTES))
        printed = self._log.read().decode(errors="replace").split("\n")
        lines = [line for line in printed if line.strip() and not _CHATTER.search(line)]
        self._log.close()
        self._jobs.close()
        os.close(self._answers)
        return " | ".join([how, *lines[-_LOG_LINES:]])


def _work(target, threads, jobs, pipe):
    """Makes the calls of all jobs, in a process of their own."""

    def send(**message):
        data = (json.dumps(message) + "\n").encode()
        while data:
            data = data[pipe.write(data) :]

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.get_logger().setLevel("ERROR")  # of retracing, which is what we do
    try:
        functions = targets.load(target)
    except BaseException as error:  # whatever importing somebody's module raises
        send(unusable=console.one_line(error))
        return
    for line in jobs:
        job = json.loads(line)
        try:
            if job["changes"]:
                invalid_call.answer(functions, job, send)
            else:
                _answer(functions, job, send)
        except Exception:  # a fault of this program, which must not look like a target's
            send(broken=traceback.format_exc())
            return
        gc.collect()  # programs, which are cycles, hold the tensors of large cases
        send(done=True, paths=_native.path_counts() if target == targets.OURS else {})


def _answer(functions, job, send):
    """Makes the calls of a job, and sends for each case and execution what came of it."""
    batch = [
        _Batch(i, Case.from_json(fields), job["judge"]) for i, fields in enumerate(job["cases"])
    ]
    for one in batch:
        send(begin=[one.number])
        one.draw()
        if targets.EAGER in job["executions"]:
            send(**one.eager(functions, job["repeats"], job["relations"]))
    for execution in job["executions"]:
        if execution != targets.EAGER:
            _answer_program(functions, batch, execution, send)


def _answer_program(functions, batch, execution, send):
    """One program of all cases; if that is refused, one of each."""
    send(begin=[one.number for one in batch])
    try:
        answers = calls.program(
            functions,
            [one.case for one in batch],
            [one.tensors for one in batch],
            execution == targets.JIT,
        )
    except Exception as error:
        if len(batch) == 1:
            send(**batch[0].report(execution, [], console.one_line(error)))
            return
        for one in batch:
            _answer_program(functions, [one], execution, send)
        return
    for one, answer in zip(batch, answers, strict=True):
        send(**one.report(execution, [answer]))


class _Refused(Exception):
    """A call that follows from another one is refused; empty if no one was to make it."""


class _Batch:
    """A case in a job: its tensors, and what is known of its answers."""

    def __init__(self, number, case, judged):
        self.number = number
        self.case = case
        self._judged = judged
        self._expected = None
        self._faults = {}  # by digest

    def draw(self):
        self._arrays = self.case.tensors()
        self.tensors = calls.operands(self.case, self._arrays)

    def eager(self, functions, repeats, relations):
        arguments = self.case.problem.arguments(self.tensors)
        function = functions[self.case.problem.op]
        answers = []
        try:
            for _ in range(repeats):
                answers.append(function(**arguments))
        except Exception as error:  # of whatever type: the call is valid
            return self.report(targets.EAGER, answers, console.one_line(error))
        report = self.report(targets.EAGER, answers)
        reliable = not report["fault"] and len(set(report["digests"])) == 1
        if relations and self._judged and reliable:
            self._relate(functions, calls.as_array(answers[0]), relations, report)
        return report

    def _relate(self, functions, answer, which, report):
        """Checks relations to other calls, and adds to the report what came of that."""

        def call(problem, arrays):
            report["calls"] += 1
            other = dataclasses.replace(self.case, problem=problem)
            arguments = problem.arguments(calls.operands(other, arrays))
            try:
                return calls.as_array(functions[problem.op](**arguments))
            except Exception as error:
                line = console.one_line(error)
                raise _Refused("" if _declined(other, line) else f"{problem}: {line}") from None

        several = len(set(functions.values())) > 1
        found = metamorphic.relations(self.case, self._arrays, several)
        if which == pool.ONE:
            found = metamorphic.one_of(found, self.case)
        report["relations"] = [relation.name for relation in found]
        for relation in found:
            try:
                fault = relation.fault(answer, call)
            except _Refused as refusal:  # this, too, is a valid call
                if str(refusal):
                    report["refusal"] = f"{relation.name}: {refusal}"
                continue
            if fault and self._again(relation, answer, call, report):
                report["inconsistent"] = f"{relation.name}: {fault}"
                return

    def _again(self, relation, answer, call, report):
        """Whether a relation is broken once more, by an answer that always has the same bits."""
        report["digests"].append(judge.digest(call(self.case.problem, self._arrays)))
        return len(set(report["digests"])) == 1 and relation.fault(answer, call)

    def report(self, execution, answers, refusal=""):
        if _declined(self.case, refusal):
            refusal = ""
        digests = []
        for answer in answers:
            array = calls.as_array(answer)
            digests.append(judge.digest(array))
            if self._judged and digests[-1] not in self._faults:
                if self._expected is None:
                    self._expected = judge.expected(self.case, self._arrays)
                self._faults[digests[-1]] = self._expected.fault(array)
        faults = [fault for d in digests if (fault := self._faults.get(d))]
        return {
            "case": self.number,
            "execution": execution,
            "digests": digests,
            "refusal": refusal,
            "fault": faults[0] if faults else "",
            "calls": len(answers) + bool(refusal),
        }


def _declined(case, refusal):
    """Whether the implementation that is forced does not compute the case: no call is made then."""
    forced = os.environ.get("TF_DWBP_IMPL")
    return bool(forced) and (
        f"TF_DWBP_IMPL is '{forced}', which does not compute {case.problem}: " in refusal
    )


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]), sys.argv[2])
