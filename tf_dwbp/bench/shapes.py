"""The one list of shapes that the benchmark measures: layers of models, and what models avoid.

Every shape is padded SAME. A shape added here is measured everywhere.
"""

import dataclasses
import functools

from tf_dwbp.tools.problem import Problem, parse

# The shapes that speed was first compared on; goals are stated for these.
CORE = "core"
# A few of all kinds, which take some ten seconds.
QUICK = "quick"


@dataclasses.dataclass(frozen=True)
class Shape:
    """A depthwise convolution: whose, and its sizes; its ops are timed."""

    model: str
    batch: int
    height: int
    width: int
    channels: int
    filter: int  # height and width
    stride: int = 1
    depth_multiplier: int = 1
    dilation: int = 1
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For example `mobilenet_v1-b32-56x56x128-k3-s1`, with -m and -d where these are not 1."""
        multiplier = f"-m{self.depth_multiplier}" if self.depth_multiplier != 1 else ""
        dilation = f"-d{self.dilation}" if self.dilation != 1 else ""
        return (
            f"{self.model}-b{self.batch}-{self.height}x{self.width}x{self.channels}"
            f"-k{self.filter}-s{self.stride}{multiplier}{dilation}"
        )

    def problem(self, op: str, dtype: str, layout: str) -> Problem:
        """What an op computes on it."""
        taps, strides, dilations = [self.filter] * 2, [self.stride] * 2, [self.dilation] * 2
        image = (self.batch, self.height, self.width, self.channels, self.depth_multiplier)
        return Problem(op, dtype, layout, *image, *taps, *strides, *dilations)

    @property
    def groups(self) -> frozenset[str]:
        """The groups among GROUPS that the shape belongs to."""
        by_size = {
            "3x3-b32": (self.filter, self.batch, self.depth_multiplier, self.dilation)
            == (3, 32, 1, 1),
            "batch1": self.batch == 1,
            "odd": self.channels % 16 != 0,
            "multiplier": self.depth_multiplier > 1,
            "dilated": self.dilation > 1,
        }
        return frozenset([*self.tags, *(group for group, holds in by_size.items() if holds)])


@dataclasses.dataclass(frozen=True)
class Given:
    """The sizes of any problem, which is measured instead of the list."""

    text: str
    groups = frozenset()

    @property
    def name(self) -> str:
        return self.text

    @functools.cached_property
    def _parsed(self):
        return parse(self.text)

    @property
    def filter(self) -> int:
        """The filter's height."""
        return self._parsed.filter_height

    @property
    def dilation(self) -> int:
        """The larger of the two."""
        return max(self._parsed.dilation_y, self._parsed.dilation_x)

    def problem(self, op: str, dtype: str, layout: str) -> Problem:
        """What an op computes on these sizes."""
        return dataclasses.replace(self._parsed, op=op, dtype=dtype, layout=layout)


AnyShape = Shape | Given


def to_json(shape: AnyShape) -> dict:
    """Its fields."""
    return dataclasses.asdict(shape)


def from_json(fields: dict) -> AnyShape:
    """The shape of these fields. Raises KeyError or TypeError if they are none's."""
    if "text" in fields:
        return Given(**fields)
    return Shape(**fields | {"tags": tuple(fields["tags"])})


# "odd": channels that do not fill vectors of 16, few channels among them.
GROUPS = (CORE, "3x3-b32", "batch1", "odd", "multiplier", "dilated", QUICK)


def _layers(model, *rows, tags=()):
    """Shapes from rows of sizes, in the order of Shape's fields."""
    return tuple(Shape(model, *row, tags=tags) for row in rows)


SHAPES = (
    # The core shapes.
    *_layers(
        "mobilenet_v1",
        (32, 112, 112, 32, 3, 1),
        (32, 112, 112, 64, 3, 2),
        (32, 56, 56, 128, 3, 1),
        (32, 28, 28, 256, 3, 1),
        tags=(CORE,),
    ),
    *_layers("mobilenet_v1", (32, 14, 14, 512, 3, 1), tags=(CORE, QUICK)),
    *_layers("mobilenet_v1", (32, 14, 14, 512, 3, 2), tags=(CORE, QUICK)),
    *_layers("mobilenet_v1", (32, 7, 7, 1024, 3, 1), tags=(CORE,)),
    *_layers("mobilenet_v2", (32, 56, 56, 144, 3, 2), tags=(CORE,)),
    *_layers("efficientnet_b0", (32, 28, 28, 240, 5, 1), tags=(CORE,)),
    *_layers("efficientnet_b0", (32, 14, 14, 672, 5, 2), tags=(CORE,)),
    *_layers("efficientnet_b0", (32, 7, 7, 1152, 5, 1), tags=(CORE, QUICK)),
    *_layers("convnext_t", (32, 56, 56, 96, 7, 1), tags=(CORE,)),
    *_layers("convnext_t", (32, 14, 14, 384, 7, 1), tags=(CORE, QUICK)),
    *_layers("mobilenet_v1", (1, 112, 112, 32, 3, 1), tags=(CORE,)),
    *_layers("mobilenet_v1", (1, 14, 14, 512, 3, 1), tags=(CORE, QUICK)),
    *_layers("multiplier", (8, 28, 28, 64, 3, 1, 4), tags=(CORE, QUICK)),
    *_layers("xception", (4, 19, 19, 728, 3, 1), tags=(CORE,)),
    *_layers("few_channels", (8, 37, 41, 3, 3, 1), tags=(CORE, QUICK)),
    *_layers("multiplier", (16, 23, 23, 50, 5, 2, 2), tags=(CORE,)),
    # More layers of models.
    *_layers("mobilenet_v1", (8, 56, 56, 128, 3, 2), (1, 7, 7, 1024, 3, 1)),
    *_layers(
        "mobilenet_v2",
        (32, 112, 112, 96, 3, 2),
        (8, 28, 28, 192, 3, 1),
        (32, 14, 14, 576, 3, 2),
        (32, 7, 7, 960, 3, 1),
    ),
    *_layers(
        "mobilenet_v3",
        (32, 112, 112, 16, 3, 1),
        (32, 56, 56, 72, 5, 2),
        (8, 28, 28, 120, 5, 1),
        (32, 14, 14, 200, 3, 1),
        (1, 14, 14, 672, 5, 2),
        (1, 7, 7, 960, 5, 1),
    ),
    *_layers(
        "efficientnet_b0",
        (32, 56, 56, 144, 5, 2),
        (8, 14, 14, 480, 5, 1),
        (1, 28, 28, 240, 5, 1),
    ),
    # Its image is 380 pixels high: odd sizes on the way down.
    *_layers("efficientnet_b4", (8, 95, 95, 192, 5, 2), (8, 24, 24, 960, 5, 1)),
    *_layers(
        "convnext_t",
        (8, 28, 28, 192, 7, 1),
        (32, 7, 7, 768, 7, 1),
        (1, 56, 56, 96, 7, 1),
        (1, 14, 14, 384, 7, 1),
    ),
    *_layers("xception", (4, 147, 147, 128, 3, 1), (8, 10, 10, 1536, 3, 1), (1, 19, 19, 728, 3, 1)),
    # The widths of RegNets and the like, some of which divide by nothing.
    *_layers(
        "regnet",
        (32, 56, 56, 24, 3, 1),
        (8, 28, 28, 104, 3, 2),
        (8, 14, 14, 333, 3, 1),
        (1, 7, 7, 1007, 3, 1),
    ),
    *_layers(
        "few_channels",
        (8, 224, 224, 3, 3, 1),
        (32, 28, 28, 1, 5, 1),
        (8, 112, 112, 8, 3, 1),
        (8, 56, 56, 8, 7, 2),
    ),
    *_layers("multiplier", (8, 56, 56, 32, 3, 1, 2), (8, 112, 112, 3, 3, 2, 8)),
    # Segmentation: dilation keeps the resolution that strides would lose.
    *_layers("deeplab_mobilenet_v2", (1, 33, 33, 576, 3, 1, 1, 2), tags=(QUICK,)),
    *_layers("deeplab_mobilenet_v2", (8, 33, 33, 960, 3, 1, 1, 2), (1, 65, 65, 384, 3, 1, 1, 4)),
    *_layers("deeplab_xception", (4, 33, 33, 728, 3, 1, 1, 2)),
    *_layers("deeplab_aspp", (1, 33, 33, 2048, 3, 1, 1, 6), (1, 33, 33, 2048, 3, 1, 1, 12)),
    *_layers("deeplab_mobilenet_v3", (8, 33, 33, 672, 5, 1, 1, 2)),
)


def select(substrings=(), group=None) -> list[Shape]:
    """The shapes of the group whose names contain all the substrings."""
    return [
        shape
        for shape in SHAPES
        if (group is None or group in shape.groups)
        and all(substring in shape.name for substring in substrings)
    ]


def named(name: str) -> AnyShape:
    """The shape of this name, which may be a problem's text."""
    return next((shape for shape in SHAPES if shape.name == name), None) or Given(name)
