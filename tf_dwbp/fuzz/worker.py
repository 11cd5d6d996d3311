"""A process that has calls made. `pool` starts it, and outlives its death.

Started as `python -m tf_dwbp.fuzz.worker CHANNEL TARGET`, it loads TensorFlow and forks, before it
has used that, a process for each number of threads. These make the calls. One that dies costs a
third of a second, not the seconds that loading takes.
"""

import gc
import os
import re
import sys
import traceback

import tensorflow as tf

from tf_dwbp import _native
from tf_dwbp.fuzz import calls, invalid_call, judge
from tf_dwbp.fuzz.case import Case
from tf_dwbp.tools import console, operands, process, targets

# What TensorFlow prints on its way, and the addresses of a trace.
_CHATTER = re.compile(r"^[IWE]\d{4} |^WARNING|^\s+@ ")

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
        self._fork = process.Fork(lambda channel: _work(target, threads, channel))

    def make(self, job, send):
        """Passes a job on, and its answers back; False if the process has died of it."""
        self._fork.send(**job)
        while True:
            if not process.wait([self._fork], job["limit_seconds"]):
                send(hung=self._last_words(f"no answer in {job['limit_seconds']} s"))
                return False
            messages = self._fork.receive()
            if messages is None:
                send(died=self._last_words())
                return False
            for message in messages:
                if "done" in message:
                    self.jobs += 1
                    for path, count in self._earlier.items():
                        message["paths"][path] += count
                    self.paths = message["paths"]
                send(**message)
                if "done" in message:
                    return True

    def end(self):
        """Ends the process, which has nothing to do."""
        self._fork.stop()

    def _last_words(self, how=""):
        return " | ".join(self._fork.last_words(how, but=_CHATTER).split("\n"))


def _work(target, threads, channel):
    """Makes the calls of all jobs, in a process of their own."""
    send = channel.send
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.get_logger().setLevel("ERROR")  # of retracing, which is what we do
    try:
        functions = targets.load(target)
    except BaseException as error:  # whatever importing somebody's module raises
        send(unusable=console.one_line(error))
        return
    for job in channel:
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
            send(**one.eager(functions, job["repeats"]))
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
    except BaseException as error:
        if len(batch) == 1:
            send(**batch[0].report(execution, [], console.one_line(error)))
            return
        for one in batch:
            _answer_program(functions, [one], execution, send)
        return
    for one, answer in zip(batch, answers, strict=True):
        send(**one.report(execution, [answer]))


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

    def eager(self, functions, repeats):
        arguments = self.case.problem.arguments(self.tensors)
        function = functions[self.case.problem.op]
        answers = []
        try:
            for _ in range(repeats):
                answers.append(function(**arguments))
        except BaseException as error:  # of whatever type: the call is valid
            return self.report(targets.EAGER, answers, console.one_line(error))
        report = self.report(targets.EAGER, answers)
        report["fault"] = operands.change(self.tensors, self._arrays) or report["fault"]
        return report

    def report(self, execution, answers, refusal=""):
        if _declined(self.case, refusal):
            refusal = ""
        digests = []
        for answer in answers:
            try:
                array = calls.as_array(answer)
            except BaseException as error:  # an object of somebody's class
                refusal = refusal or console.one_line(error)
                break
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
