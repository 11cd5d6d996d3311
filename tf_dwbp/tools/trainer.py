"""One model that trains, by stock's ops or ours."""

import contextlib
import dataclasses
import time

import numpy as np

MOMENTUM = 0.9

# Twice, since networks are too sensitive to compare while they are new: a change in the last bit
# of a MobileNet's first weights changes its loss by a tenth some three steps later. At the lower
# rate, from where the higher has led, changes grow slowly.
LEARNING_RATE = 0.01
LOWER_LEARNING_RATE = 0.003


@dataclasses.dataclass(frozen=True)
class Ops:
    """How many depthwise ops of a train step are whose."""

    ours: int
    stock: int  # or may be: TensorFlow does not tell of functions from before the first swap
    fused: int  # stock's, with the bias in one op: these are left alone

    def __str__(self):
        fused = f" ({self.fused} more fused with their biases)" if self.fused else ""
        return f"{self.ours} ours and {self.stock} stock's{fused}"

    def are_wrong(self, swapped: bool) -> bool:
        """Whether they are not those that a training, swapped or not, is to run."""
        return bool(self.stock or not self.ours) if swapped else bool(self.ours)


@dataclasses.dataclass(frozen=True)
class BatchNorms:
    """How many BatchNormalization layers of a train step TensorFlow's fused op computes."""

    fused: int = 0
    left: int = 0  # to Keras

    def __str__(self):
        return f"{self.fused} fused and {self.left} left to Keras"

    def are_wrong(self, asked: bool) -> bool:
        """Whether some are not computed as they are to be."""
        return bool(self.left if asked else self.fused)


class Trainer:
    """A compiled model. Its first step decides whose ops it runs, for all that follow.

    With `batch_norm`, a swapped one has BatchNormalization computed by TensorFlow's fused op too.

    Plain stochastic gradient descent with momentum: optimizers that divide by the gradient's size,
    such as Adam, would hide a gradient that is too large or too small.
    """

    def __init__(self, model, learning_rate: float, swapped: bool, batch_norm: bool = False):
        import keras

        self.model = model
        self.swapped = swapped
        self.batch_norm = batch_norm
        self._begun = False
        optimizer = keras.optimizers.SGD(learning_rate, momentum=MOMENTUM)
        optimizer.build(model.trainable_variables)  # else the first step is traced twice
        model.compile(optimizer, "sparse_categorical_crossentropy")

    def step(self, images, labels) -> tuple[float, float]:
        """Takes a step of Keras's own train step; returns the loss and the seconds it took."""
        decides, self._begun = not self._begun, True
        with self._swap() if decides else contextlib.nullcontext():
            start = time.perf_counter()
            loss = float(self.model.train_on_batch(images, labels))
            return loss, time.perf_counter() - start

    def start_from(self, other: "Trainer", learning_rate: float) -> None:
        """Becomes what another trainer of the same model is, random generators included."""
        optimizers = (self.model.optimizer, other.model.optimizer)
        for mine, theirs in ((self.model, other.model), optimizers):
            for variable, value in zip(mine.variables, theirs.variables, strict=True):
                variable.assign(value)
        self.model.optimizer.learning_rate = learning_rate

    def perturb(self, seed: int) -> None:
        """Makes each weight larger or smaller by the last bit of the type that is computed in."""
        import ml_dtypes

        random = np.random.default_rng(seed)
        epsilon = float(ml_dtypes.finfo(self.model.compute_dtype).eps)
        for variable in self.model.trainable_variables:
            weights = variable.numpy()
            signs = random.choice(np.array([-epsilon, epsilon], weights.dtype), weights.shape)
            variable.assign(weights + weights * signs)

    def ops(self) -> Ops:
        """Whose depthwise ops the train step runs."""
        from tf_dwbp import swap

        report = swap.report(self.model)
        fused = sum(entry.count for entry in report.entries if entry.fused)
        return Ops(report.ours, report.stock + report.undecided - fused, fused)

    def batch_norms(self) -> BatchNorms:
        """What computes the BatchNormalization layers of the train step."""
        import keras

        from tf_dwbp import swap

        entries = swap.report(self.model).batch_norms
        fused = {entry.layer for entry in entries if entry.fused}
        normalizations = {
            layer.name
            for layer in self.model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        }
        return BatchNorms(len(normalizations & fused), len(normalizations - fused))

    def accuracy(self, images, labels) -> float:
        """The share of images that the model labels right."""
        with self._swap():
            predicted = self.model.predict(images, verbose=0).argmax(axis=-1)
        return float(np.mean(predicted == labels))

    def _swap(self):
        if not self.swapped:
            return contextlib.nullcontext()
        from tf_dwbp import swap  # loads the library

        return swap.installed(batch_norm=self.batch_norm)
