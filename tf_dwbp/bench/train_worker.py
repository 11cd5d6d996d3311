"""A process that measures training steps. `runner` starts it as it does `worker`.

Started as `python -m tf_dwbp.bench.train_worker CHANNEL PLAN MODEL...`.
"""

import dataclasses
import functools
import json
import sys

import tensorflow as tf

from tf_dwbp.bench import measure, share
from tf_dwbp.bench.results import OURS
from tf_dwbp.bench.training import STOCK, TrainingPlan, TrainingRow
from tf_dwbp.tools import digits, machine, process
from tf_dwbp.tools.models import MODELS
from tf_dwbp.tools.trainer import LOWER_LEARNING_RATE, Trainer

_PATIENCE_SECONDS = 60.0  # for a model


def main(send, plan, names):
    tf.config.threading.set_intra_op_parallelism_threads(plan.threads)
    send(machine=machine.describe(plan.threads))
    for name in names:
        send(begin=name)
        send(row=dataclasses.asdict(measure_row(plan, name)))


def measure_row(plan: TrainingPlan, name: str) -> TrainingRow:
    """Times steps of both ways in turn, on one batch, if they run the ops that they should."""
    image_size, batch = plan.sizes(name)
    model = MODELS[name]
    images, labels = next(digits.Digits(image_size, model.preprocess).batches(batch))
    steps, wrong = {}, []
    for contender, swapped in ((STOCK, False), (OURS, True)):
        built = model.build(image_size, digits.CLASSES, 0, plan.policy)
        trained = Trainer(built, LOWER_LEARNING_RATE, swapped, plan.batch_norm)
        steps[contender] = functools.partial(trained.step, images, labels)
        steps[contender]()
        ops, norms = trained.ops(), trained.batch_norms()
        if ops.are_wrong(swapped):
            wrong.append(f"{contender} ran the wrong depthwise ops: {ops}")
        if norms.are_wrong(swapped and plan.batch_norm):
            wrong.append(f"{contender} ran the wrong BatchNormalization: {norms}")
    if wrong:
        return TrainingRow(name, image_size, batch, {}, {}, "; ".join(wrong))
    seconds = measure.alternate(steps, plan.rounds, patience=_PATIENCE_SECONDS)
    shares = {contender: share.of_depthwise(step) for contender, step in steps.items()}
    return TrainingRow(name, image_size, batch, seconds, shares)


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]).send, TrainingPlan(**json.loads(sys.argv[2])), sys.argv[3:])
