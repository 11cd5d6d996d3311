"""Trains a model, or three of it in turn: stock's, ours, and the control that gives the bound."""

from collections.abc import Callable

from tf_dwbp.train import data
from tf_dwbp.train.models import MODELS
from tf_dwbp.train.results import CONTROL, STOCK, SWAPPED, Plan, Run, Training
from tf_dwbp.train.side import Side

# Twice, since networks are too sensitive to compare while they are new: a change in the last bit
# of a MobileNet's first weights changes its loss by a tenth some three steps later. At the lower
# rate, from where the higher has led, changes grow slowly.
LEARNING_RATE = 0.01
LOWER_LEARNING_RATE = 0.003

Progress = Callable[[str, int, int], None]


def train(plan: Plan, swapped: bool, progress: Progress = lambda what, done, total: None) -> Run:
    """Trains by our ops or stock's; `progress` hears the loss, and how many steps are done."""
    batches, held_out = _data(plan)
    side = _side(plan, swapped)
    total = plan.warm_up + plan.steps
    training = Training()
    for number in range(total):
        if number == plan.warm_up:
            side.model.optimizer.learning_rate = LOWER_LEARNING_RATE
        _step({side: training}, next(batches))
        progress(f"loss {training.losses[-1]:.3f}", number + 1, total)
    _finish({side: training}, held_out)
    return Run(plan, [], {SWAPPED if swapped else STOCK: training})


def compare(plan: Plan, progress: Progress = lambda what, done, total: None) -> Run:
    """Trains by stock's ops first, then from there on both ways, each step in turn.

    All get the same batches, and draw the same random numbers for dropout.
    """
    batches, held_out = _data(plan)
    sides = {name: _side(plan, swapped=name == SWAPPED) for name in (STOCK, SWAPPED, CONTROL)}
    trainings = {name: Training() for name in sides}
    total = plan.warm_up + plan.steps
    warm_up = Training()
    for number in range(plan.warm_up):
        _step({sides[STOCK]: warm_up}, next(batches))
        progress(f"loss {warm_up.losses[-1]:.3f}", number + 1, total)
    for side in sides.values():
        side.start_from(sides[STOCK], LOWER_LEARNING_RATE)
    sides[CONTROL].perturb(plan.seed)
    turn = [(sides[name], trainings[name]) for name in sides]
    for number in range(plan.steps):
        _step(dict(turn), next(batches))
        turn = turn[1:] + turn[:1]
        loss = trainings[STOCK].losses[-1]
        progress(f"loss {loss:.3f}", plan.warm_up + number + 1, total)
    _finish({sides[name]: trainings[name] for name in sides}, held_out)
    return Run(plan, warm_up.losses, trainings)


def _data(plan):
    digits = data.Digits(plan.image_size, MODELS[plan.model].preprocess, plan.seed)
    return digits.batches(plan.batch), digits.held_out()


def _side(plan, swapped):
    model = MODELS[plan.model].build(plan.image_size, data.CLASSES, plan.seed, plan.policy)
    return Side(model, LEARNING_RATE, swapped)


def _step(trainings, batch):
    for side, training in trainings.items():
        loss, seconds = side.step(*batch)
        training.losses.append(loss)
        training.seconds.append(seconds)


def _finish(trainings, held_out):
    for side, training in trainings.items():
        training.ops = side.ops()
        training.accuracy = side.accuracy(*held_out)
