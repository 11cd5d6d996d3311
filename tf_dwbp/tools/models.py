"""The models: Keras's applications, with random weights.

Two things are not as the applications have them. In their ConvNeXt the depthwise convolutions are
`Conv2D(groups=channels)`, which `tf_dwbp.swap` reaches, but for which stock has no depthwise op:
Keras runs them through XLA, at a third of the speed. So that ops are compared with ops, they are
`DepthwiseConv2D` layers here, with the same weights and results. And a run of some hundred steps is
too short for a momentum of 0.99 in `BatchNormalization`, and for a `LayerScale` that begins at
1e-6: these are 0.9 and 0.1.
"""

import dataclasses
from collections.abc import Callable

from tf_dwbp.tools import digits

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

_NORMALIZATION_MOMENTUM = 0.9
_LAYER_SCALE = 0.1


@dataclasses.dataclass(frozen=True)
class Model:
    """An application, and sizes with which it trains in a minute or two on two cores."""

    application: str  # in keras.applications
    module: str  # in keras.applications: where its `preprocess_input` is
    image_size: int
    batch: int
    smallest: int  # that images may be
    warm_up: int  # steps
    steps: int

    def refusal(self, image_size: int, batch: int) -> str | None:
        """Why it cannot be trained on so many images of that size, if so."""
        if image_size < self.smallest:
            return (
                f"--image-size {image_size}: {self.application} takes images of {self.smallest} "
                "pixels and more"
            )
        if batch > digits.TRAINED_ON:
            return f"--batch {batch}: there are {digits.TRAINED_ON} images"
        return None

    def build(self, image_size: int, classes: int, seed: int, policy: str):
        """The model as Keras has it, but for what this module's docstring says; not compiled.

        The same seed gives the same weights, and the same numbers to what draws them in training.
        """
        import keras

        before = keras.config.dtype_policy()
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(policy)
        try:
            model = getattr(keras.applications, self.application)(
                weights=None, input_shape=(image_size, image_size, 3), classes=classes
            )
            model = with_depthwise_layers(model)
        finally:
            keras.config.set_dtype_policy(before)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _NORMALIZATION_MOMENTUM
            elif type(layer).__name__ == "LayerScale":  # not among Keras's public names
                layer.gamma.assign([_LAYER_SCALE] * layer.gamma.shape[0])
        return model

    @property
    def preprocess(self) -> Callable:
        """What the application does to pixels from 0 to 255."""
        import keras

        return getattr(keras.applications, self.module).preprocess_input


MODELS = {
    "mobilenet": Model("MobileNet", "mobilenet", 32, 32, 32, 100, 30),
    # After 100 steps it is still so sensitive that no two roundings agree: see docs/swap.md.
    "mobilenet_v2": Model("MobileNetV2", "mobilenet_v2", 32, 32, 32, 250, 30),
    "mobilenet_v3": Model("MobileNetV3Small", "mobilenet_v3", 32, 32, 32, 120, 30),
    "efficientnet": Model("EfficientNetB0", "efficientnet", 32, 32, 32, 120, 30),
    "convnext": Model("ConvNeXtTiny", "convnext", 32, 16, 32, 60, 30),
    "xception": Model("Xception", "xception", 71, 16, 71, 60, 15),
}


def with_depthwise_layers(model):
    """A functional model in which each depthwise `Conv2D(groups=channels)` is a `DepthwiseConv2D`.

    Weights are the model's; only their shape differs, `[height, width, channels, 1]` and not
    `[height, width, 1, channels]`. A model without such layers is returned as it is.
    """
    import keras

    found = {layer.name for layer in model.layers if _is_depthwise(layer)}
    if not found:
        return model

    def clone(layer):
        if layer.name not in found:
            return type(layer).from_config(layer.get_config())
        config = layer.get_config()
        of_kernel = ("initializer", "regularizer", "constraint")
        renamed = {f"depthwise_{part}": config.pop(f"kernel_{part}") for part in of_kernel}
        del config["filters"], config["groups"]
        return keras.layers.DepthwiseConv2D.from_config(config | renamed)

    cloned = keras.models.clone_model(model, clone_function=clone)
    for old, new in zip(model.layers, cloned.layers, strict=True):
        weights = old.get_weights()
        if old.name in found:
            weights[0] = weights[0].transpose(0, 1, 3, 2)
        new.set_weights(weights)
    return cloned


def _is_depthwise(layer):
    import keras

    return (
        isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, keras.layers.DepthwiseConv2D)
        and 1 < layer.groups == layer.filters == layer.kernel.shape[2] * layer.groups
    )
