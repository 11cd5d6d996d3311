"""A process that has calls made. `pool` starts it, and outlives its death.

Started as `python -m tf_dwbp.fuzz.worker CHANNEL [--device NAME] [--load-library PATH]...
[--arrays numpy] TARGET`, it loads TensorFlow, unless a function of NumPy arrays is tested, and
forks, before it has used that, a process for each number of threads. These make the calls. One that
dies costs a third of a second, not the seconds that loading takes.
"""

import dataclasses
import functools
import gc
import importlib
import os
import re
import sys
import traceback

import numpy as np

from tf_dwbp import _native
from tf_dwbp.fuzz import calls, judge, metamorphic, pool
from tf_dwbp.fuzz.case import Case
from tf_dwbp.tools import console, operands, placement, process, targets

_REPEATS_OF_SUSPECTS = 8

# What TensorFlow prints on its way, and the addresses of a trace.
_CHATTER = re.compile(r"^[IWE]\d{4} |^WARNING|^\s+@ ")

# TensorFlow keeps each program that it compiled: after so many jobs a process has some 300 MB.
_JOBS_OF_CHILD = 15


def main(channel, words):
    place, (target,) = placement.Placement.split(words)
    if not place.without_tensorflow:
        importlib.import_module("tensorflow")
    children = {}
    if target == targets.OURS:  # whose library is loaded once
        targets.load(target)
    channel.send(ready=True)
    for job in channel:
        threads = job["threads"]
        child = children.get(threads) or children.setdefault(
            threads, _Child(place, target, threads)
        )
        if not child.make(job, channel.send):
            del children[threads]
        elif child.jobs >= _JOBS_OF_CHILD:
            child.end()
            children[threads] = _Child(place, target, threads, child.paths)


class _Child:
    """A forked process, and the parent's end of the pipes to it."""

    def __init__(self, place, target, threads, paths=None):
        self.jobs = 0
        self.paths = paths or {}  # how often each was reached, by earlier processes too
        self._earlier = self.paths
        self._fork = process.Fork(lambda channel: _work(place, target, threads, channel))

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


def _work(place, target, threads, channel):
    """Makes the calls of all jobs, in a process of their own."""
    send = channel.send
    if not place.without_tensorflow:
        _prepare_tensorflow(threads)
    try:
        place.prepare()
        functions = targets.load(target)
    except placement.Unusable as error:
        send(unusable=str(error))
        return
    except BaseException as error:  # whatever importing somebody's module raises
        send(unusable=f"{target}: {console.one_line(error)}")
        return
    for job in channel:
        try:
            if job["changes"]:
                from tf_dwbp.fuzz import invalid_call  # which needs TensorFlow

                with place.scope():
                    invalid_call.answer(functions, job, send)
            else:
                _answer(functions, place, target, job, send)
        except Exception:  # a fault of this program, which must not look like a target's
            send(broken=traceback.format_exc())
            return
        gc.collect()  # programs, which are cycles, hold the tensors of large cases
        send(done=True, paths=_native.path_counts() if target == targets.OURS else {})


def _prepare_tensorflow(threads):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.get_logger().setLevel("ERROR")  # of retracing, which is what we do


def _answer(functions, place, target, job, send):
    """Makes the calls of a job, and sends for each case and execution what came of it."""
    batch = [
        _Batch(i, Case.from_json(fields), job["judge"], functions, place, target == targets.STOCK)
        for i, fields in enumerate(job["cases"])
    ]
    for one in batch:
        send(begin=[one.number])
        one.draw()
        if targets.EAGER in job["executions"]:
            send(**one.eager(job["repeats"], job["relations"]))
    for execution in job["executions"]:
        if execution != targets.EAGER:
            _answer_program(functions, place, batch, execution, send)


def _answer_program(functions, place, batch, execution, send):
    """One program of all cases; if that is refused, one of each."""
    send(begin=[one.number for one in batch])
    jit = execution == targets.JIT
    try:
        with place.recorded() as record:
            answers = calls.program(
                functions, [one.case for one in batch], [one.tensors for one in batch], jit, place
            )
    except BaseException as error:
        if len(batch) == 1:
            send(**batch[0].report(execution, [], console.one_line(error)))
            return
        for one in batch:
            _answer_program(functions, place, [one], execution, send)
        return
    for number, (one, answer) in enumerate(zip(batch, answers, strict=True)):
        elsewhere = record.results_elsewhere([answer]) if jit else record.elsewhere(number)
        send(**one.report(execution, [answer], elsewhere=elsewhere))


class _Refused(Exception):
    """A call that follows from another one is refused; empty if no one was to make it."""


class _Batch:
    """A case in a job: its tensors, and what is known of its answers."""

    def __init__(self, number, case, judged, functions, place, of_stock):
        self.number = number
        self.case = case
        self._functions = functions
        self._function = functions[case.problem.op]
        self._place = place
        self._of_stock = of_stock
        self._judged = judged
        self._expected = None
        self._faults = {}  # by digest

    def draw(self):
        self._arrays = self.case.tensors()
        self.tensors = calls.operands(self.case, self._arrays, self._place)

    def eager(self, repeats, relations):
        arguments = self.case.problem.arguments(self.tensors)
        answers, elsewhere = [], ""
        try:
            for _ in range(repeats):
                answer, there = self._call(self._function, arguments)
                answers.append(answer)
                elsewhere = elsewhere or there
        except BaseException as error:  # of whatever type: the call is valid
            return self.report(targets.EAGER, answers, console.one_line(error), elsewhere)
        report = self.report(targets.EAGER, answers, elsewhere=elsewhere)
        report["fault"] = operands.change(self.tensors, self._arrays) or report["fault"]
        wrong = report["fault"] or report["refusal"] or elsewhere
        if relations and self._judged and not wrong and len(set(report["digests"])) == 1:
            self._relate(operands.as_array(answers[0]), relations, report)
        return report

    def _call(self, function, arguments):
        """The answer, and where it was computed, if not where it had to be."""
        with self._place.recorded() as record:
            answer = function(**arguments)
        if self._place.without_tensorflow:
            answer = np.array(answer)  # a copy: the next call may write to it
        return answer, record.elsewhere()

    def _relate(self, answer, which, report):
        """Checks relations to other calls, and adds to the report what came of that."""

        def call(problem, arrays):
            other = dataclasses.replace(self.case, problem=problem)
            arguments = problem.arguments(calls.operands(other, arrays, self._place))
            try:
                answer, there = self._call(self._functions[problem.op], arguments)
                array = operands.as_array(answer)
            except BaseException as error:
                line = console.one_line(error)
                if _declined(other, line):
                    raise _Refused("") from None
                report["calls"] += 1
                raise _Refused(f"{problem}: {line}") from None
            report["calls"] += 1
            report["elsewhere"] = report["elsewhere"] or there
            return array

        several = len(set(self._functions.values())) > 1
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
        """Whether a relation is broken once more, by an answer that always has the same bits.

        One that has not may have had them twice by chance.
        """
        for _ in range(_REPEATS_OF_SUSPECTS):
            report["digests"].append(judge.digest(call(self.case.problem, self._arrays)))
        return len(set(report["digests"])) == 1 and relation.fault(answer, call)

    def _barred(self, execution):
        """Whether TensorFlow refuses stock's op on every device while it makes a graph."""
        if not (self._place.device and self._of_stock) or execution == targets.EAGER:
            return False
        call = functools.partial(self._function, **self.case.problem.arguments(self._arrays))
        return bool(placement.refusal_anywhere(call))

    def report(self, execution, answers, refusal="", elsewhere=""):
        if _declined(self.case, refusal) or (refusal and self._barred(execution)):
            refusal = ""
        digests = []
        for answer in answers:
            try:
                array = operands.as_array(answer)
            except BaseException as error:  # an object of somebody's class
                refusal = refusal or console.one_line(error)
                break
            digests.append(judge.digest(array))
            if self._judged and not elsewhere and digests[-1] not in self._faults:
                if self._expected is None:
                    self._expected = judge.expected(self.case, self._arrays)
                self._faults[digests[-1]] = self._expected.fault(array)
        faults = [fault for d in digests if (fault := self._faults.get(d))]
        return {
            "case": self.number,
            "execution": execution,
            "digests": digests,
            "refusal": refusal,
            "elsewhere": elsewhere,
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
    main(process.Channel(sys.argv[1]), sys.argv[2:])
