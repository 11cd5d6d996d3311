"""A process that measures. `runner` starts it, and outlives its death.

Started as `python -m tf_dwbp.bench.worker CHANNEL PLAN SHAPE...` where the plan is JSON. What it
finds goes out over the channel, which nobody's own output can touch.
"""

import functools
import json
import sys

import ml_dtypes
import numpy as np
import tensorflow as tf

from tf_dwbp.bench import limits, measure, peers, shapes
from tf_dwbp.bench.call import DTYPES, Call
from tf_dwbp.bench.contender import Refused
from tf_dwbp.bench.frameworks import FRAMEWORKS
from tf_dwbp.bench.peers import COPY
from tf_dwbp.bench.results import OURS, Plan, Row
from tf_dwbp.tools import console, machine, process

# By how many roundings answers may differ that add numbers in different orders.
_ROUNDINGS = 4
# No more than this share of the largest element, however long the sums and narrow the type.
_MOST = 0.25


def main(send, plan, names):
    tf.config.threading.set_intra_op_parallelism_threads(plan.threads)
    framework = FRAMEWORKS.get(plan.peer)
    peer = f"{framework.title} {framework.version}" if framework else ""
    found = machine.describe(plan.threads, peer)
    send(machine=found, matmul_rate=limits.matmul_rate(plan.dtype))
    for name in names:
        send(begin=name)
        send(row=measure_row(plan, shapes.named(name)).to_json())
    send(matmul_rate=limits.matmul_rate(plan.dtype))


def measure_row(plan: Plan, shape: shapes.AnyShape) -> Row:
    """Times all contenders that can compute the shape, once the peer's answer agrees with ours."""
    call = Call(shape, plan.dtype, plan.layout, plan.op, plan.cold, epilogue=plan.epilogue)
    peer = peers.PEERS.get(plan.peer)  # none where that is the copy
    contenders, refusals = _prepare(plan, call, peer)
    functions = {name: contender.run for name, contender in contenders.items()}
    functions[COPY] = limits.prepare_copy(call.moved_bytes, plan.threads, len(call.copies))
    seconds = measure.alternate(functions, plan.rounds, peer.lead_in if peer else 0)
    for name, contender in contenders.items():
        seconds[name] = [each / contender.calls for each in seconds[name]]
    return Row(shape, seconds, refusals)


def _prepare(plan, call, peer):
    """Both contenders, and why there is none where one cannot compute what it should."""
    contenders, answers, refusals = {}, {}, {}
    prepare_ours = functools.partial(peers.prepare_ours, execution=plan.execution)
    prepare = {OURS: prepare_ours} | ({plan.peer: peer.prepare} if peer else {})
    for name, prepare_one in prepare.items():
        try:
            contender = prepare_one(call, plan.threads)
            answers[name] = contender.to_arrays(contender.run())
            contenders[name] = contender
        except Refused as error:
            refusals[name] = str(error)
        except Exception as error:  # whatever an implementation raises
            refusals[name] = console.one_line(error)
    # Where there are two answers there is a peer.
    if len(answers) == 2 and peer.same_task and (reason := disagreement(call, *answers.values())):
        refusals[plan.peer] = reason
        del contenders[plan.peer]
    return contenders, refusals


def disagreement(call: Call, ours: list[np.ndarray], theirs: list[np.ndarray]) -> str | None:
    """Why two answers are not two roundings of one, if so: a comparison must be of one task."""
    epsilon = float(ml_dtypes.finfo(DTYPES[call.dtype]).eps)
    for step, a, b in zip(call.steps, ours, theirs, strict=True):
        if a.shape != b.shape:
            return f"its {step} has the shape {list(b.shape)}, not {list(a.shape)}"
        a, b = a.astype(np.float64), b.astype(np.float64)
        difference = float(np.max(np.abs(a - b), initial=0))
        tolerance = min(_MOST, _ROUNDINGS * epsilon * call.terms(step) ** 0.5)
        if not difference <= tolerance * np.max(np.abs(a), initial=0):
            return f"its {step} differs from ours, by up to {difference:.2g}"
    return None


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]).send, Plan(**json.loads(sys.argv[2])), sys.argv[3:])
