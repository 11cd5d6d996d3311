"""Images to train on: handwritten digits that scikit-learn's package brings along.

1,797 of them, 8x8 pixels, written by 13 people: the largest set of labelled images in a well-kept
package (scikit-image has 200 in two classes, the sets of Keras and PyTorch are downloaded). They
are enlarged to the size that a model takes.
"""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

CLASSES = 10

TRAINED_ON = 1437  # images

_HELD_OUT = 360  # a fifth of them all
_BRIGHTEST = 16  # of the values as scikit-learn has them

# Of 255, as a camera's images have it. Digits' backgrounds are one colour: without noise, whole
# areas of a ReLU's inputs would pass its kink together, by a rounding's difference.
_NOISE = 16


def missing() -> str | None:
    """What the user must install first, if anything."""
    if not importlib.util.find_spec("sklearn"):
        return "scikit-learn, which has the images, is not installed: pip install 'tf-dwbp[train]'"
    return None


@dataclasses.dataclass(frozen=True)
class Digits:
    """The images, enlarged when they are taken: for training, and others to judge by.

    Attributes:
      size: height and width to enlarge to.
      preprocess: what the model does to pixels from 0 to 255.
      seed: decides which images are held out, and the order of the others.
    """

    size: int
    preprocess: Callable
    seed: int = 0

    def batches(self, count: int) -> Iterator[tuple]:
        """Yields batches of so many images to train on, without end: the same each time.

        Images are float32 `[count, size, size, 3]`, labels int64 `[count]`.
        """
        import tensorflow as tf

        images, labels, _, _ = self._split()
        random = np.random.default_rng(self.seed)
        while True:
            shuffled = random.permutation(len(labels))
            for first in range(0, len(labels) - count + 1, count):
                chosen = shuffled[first : first + count]
                yield self._enlarged(images[chosen], random), tf.constant(labels[chosen])

    def held_out(self) -> tuple:
        """The images that are not trained on, and their labels."""
        _, _, images, labels = self._split()
        return self._enlarged(images, np.random.default_rng(self.seed)), labels

    def _split(self):
        from sklearn import datasets, model_selection

        digits = datasets.load_digits()
        images, held_out_images, labels, held_out_labels = model_selection.train_test_split(
            digits.images,
            digits.target,
            test_size=_HELD_OUT,
            stratify=digits.target,
            random_state=self.seed,
        )
        return images, labels, held_out_images, held_out_labels

    def _enlarged(self, images, random):
        import tensorflow as tf

        pixels = (images * (255 / _BRIGHTEST)).astype(np.float32)[..., np.newaxis]
        enlarged = tf.image.resize(pixels, (self.size, self.size))
        pixels = tf.repeat(enlarged, 3, axis=-1)
        noise = _NOISE * random.standard_normal(pixels.shape, np.float32)
        return self.preprocess(pixels + noise)
