"""Trains a model, or three of it in turn: stock's, ours, and the control that gives the bound."""

from collections.abc import Callable

from tf_dwbp.tools import digits
from tf_dwbp.tools.models import MODELS
from tf_dwbp.tools.trainer import LEARNING_RATE, LOWER_LEARNING_RATE, Trainer
from tf_dwbp.train.results import CONTROL, STOCK, SWAPPED, Plan, Run, Training

Progress = Callable[[str, int, int], None]


def train(plan: Plan, swapped: bool, progress: Progress = lambda what, done, total: None) -> Run:
    """Trains by our ops or stock's; `progress` hears the loss, and how many steps are done."""
    batches, held_out = _data(plan)
    trainer = _trainer(plan, swapped)
    total = plan.warm_up + plan.steps
    training = Training()
    for number in range(total):
        if number == plan.warm_up:
            trainer.model.optimizer.learning_rate = LOWER_LEARNING_RATE
        _step({trainer: training}, next(batches))
        progress(f"loss {training.losses[-1]:.3f}", number + 1, total)
    _finish({trainer: training}, held_out)
    return Run(plan, [], {SWAPPED if swapped else STOCK: training})


def compare(plan: Plan, progress: Progress = lambda what, done, total: None) -> Run:
    """Trains by stock's ops first, then from there on both ways, each step in turn.

    All get the same batches, and draw the same random numbers for dropout.
    """
    batches, held_out = _data(plan)
    trainers = {name: _trainer(plan, swapped=name == SWAPPED) for name in (STOCK, SWAPPED, CONTROL)}
    trainings = {name: Training() for name in trainers}
    total = plan.warm_up + plan.steps
    warm_up = Training()
    for number in range(plan.warm_up):
        _step({trainers[STOCK]: warm_up}, next(batches))
        progress(f"loss {warm_up.losses[-1]:.3f}", number + 1, total)
    for trainer in trainers.values():
        trainer.start_from(trainers[STOCK], LOWER_LEARNING_RATE)
    trainers[CONTROL].perturb(plan.seed)
    turn = [(trainers[name], trainings[name]) for name in trainers]
    for number in range(plan.steps):
        _step(dict(turn), next(batches))
        turn = turn[1:] + turn[:1]
        loss = trainings[STOCK].losses[-1]
        progress(f"loss {loss:.3f}", plan.warm_up + number + 1, total)
    _finish({trainers[name]: trainings[name] for name in trainers}, held_out)
    return Run(plan, warm_up.losses, trainings)


def _data(plan):
    images = digits.Digits(plan.image_size, MODELS[plan.model].preprocess, plan.seed)
    return images.batches(plan.batch), images.held_out()


def _trainer(plan, swapped):
    model = MODELS[plan.model].build(plan.image_size, digits.CLASSES, plan.seed, plan.policy)
    return Trainer(model, LEARNING_RATE, swapped, plan.batch_norm)


def _step(trainings, batch):
    for trainer, training in trainings.items():
        loss, seconds = trainer.step(*batch)
        training.losses.append(loss)
        training.seconds.append(seconds)


def _finish(trainings, held_out):
    for trainer, training in trainings.items():
        training.ops = trainer.ops()
        training.batch_norms = trainer.batch_norms()
        training.accuracy = trainer.accuracy(*held_out)
