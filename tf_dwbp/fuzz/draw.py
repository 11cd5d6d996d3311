"""Draws calls at random, from sizes of 1 to whole layers, mostly such as take no time."""

import dataclasses

import numpy as np

from tf_dwbp.fuzz.case import INTEGERS, KINDS, REAL, SPECIAL, Case
from tf_dwbp.tools.epilogue import ACTIVATIONS, Epilogue
from tf_dwbp.tools.problem import DTYPES, LAYOUTS, OPS, PADDINGS, Problem

_VECTORS = (4, 8, 16, 32, 64)  # elements in a vector of some instruction set and type
_MOST = {"batch": 64, "height": 260, "width": 260, "channels": 2048, "filter": 15}
_LONG = 20_000  # rows, or columns
_STRIDE, _DILATION = 5, 8

# How many products a call has at most, as powers of 10: (share of the cases, from, to).
_BUDGETS = ((0.87, 2, 6), (0.117, 6, 7.3), (0.01, 7.3, 8), (0.003, 8, 8.3))
_NEIGHBOURS = 24  # cases
_LARGE_BYTES = 33 << 20
# Of the three tensors. A worker holds several copies, and each core has a busy one: with tensors of
# 800 MB some were killed on a machine of 24 GB.
_MOST_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Filters:
    """What cases are to be drawn; empty lets everything through."""

    ops: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    data: str | None = None
    offsets: tuple[int, int] | None = None
    epilogues: bool = False  # of half the forward op's
    large_filters: bool = False  # of a share of the cases, as networks of large kernels have them
    layers: bool = False  # nothing but what networks have: 3x3 to 7x7, sizes that vectors divide


def case(seed: int, number: int, filters: Filters) -> Case:
    """Case `number` of a run: the same for the same arguments."""
    random = np.random.default_rng([seed, number])
    kind = random.choice(KINDS, p=[0.5, 0.3, 0.2])
    # Neighbours alike, so that where such tensors are deadly, only every fourth batch suffers.
    offsets = tuple(int(x) for x in random.integers(0, 16, 2))
    if number // _NEIGHBOURS % 4 != 3:
        offsets = (0, 0)
    data_seed = int(random.integers(2**31))
    drawn = _problem(random, filters)
    if drawn.products > 2e7 and kind == SPECIAL:  # which takes long to judge
        kind = random.choice([INTEGERS, REAL])
    if filters.epilogues and drawn.op == "forward" and random.random() < 0.5:
        drawn = dataclasses.replace(drawn, epilogue=_epilogue(random))
    return Case(drawn, filters.data or str(kind), data_seed, filters.offsets or offsets)


def _epilogue(random):
    activation = str(random.choice(ACTIVATIONS))
    bias = activation == "linear" or bool(random.random() < 0.6)
    alpha = float(np.float32(random.choice([0.2, 0.01, -1.5]))) if activation == "leaky_relu" else 0
    return Epilogue(bias, activation, alpha)


def small_problem(random: np.random.Generator, filters: Filters) -> Problem:
    """One that takes no time at all."""
    return _drawn(random, filters, budget=10 ** random.uniform(1, 4))


def _problem(random, filters):
    if filters.layers:
        return _layer(random, filters)
    chance = random.random()
    for share, draw in _RARE + (_LARGE_FILTERS if filters.large_filters else ()):
        if chance < share:
            return draw(random, filters)
        chance -= share
    shares = [share for share, _, _ in _BUDGETS]
    _, least, most = _BUDGETS[random.choice(len(_BUDGETS), p=shares)]
    return _drawn(random, filters, budget=10 ** random.uniform(least, most))


def _drawn(random, filters, budget):
    fields = _names(random, filters) | {
        "batch": _size(random, _MOST["batch"]),
        "height": _size(random, _MOST["height"]),
        "width": _size(random, _MOST["width"]),
        "channels": _channels(random),
        "multiplier": 1 if random.random() < 0.6 else int(random.integers(1, 9)),
        **_filter(random),
        **_steps(random, "stride", _STRIDE),
        **_steps(random, "dilation", _DILATION),
    }
    form = random.random()
    if form < 0.03:
        fields |= {"height": _long(random), "width": _size(random, 4)}
    elif form < 0.05:
        fields |= {"height": _size(random, 4), "width": _long(random)}
    elif form < 0.10:
        fields[random.choice(["height", "width"])] = 1
    if random.random() < 0.08:
        fields |= _below_the_stride(random)
    if random.random() < 0.3:
        fields["width"] = fields["height"] if fields["height"] <= 260 else fields["width"]
    if random.random() < 0.85:
        _make_room(random, fields)
    drawn = _fit(random, Problem(**fields), budget)
    emptiness = random.random()
    if emptiness < 0.01:
        drawn = dataclasses.replace(drawn, batch=0)
    elif emptiness < 0.025:
        drawn = dataclasses.replace(drawn, multiplier=0)
    return drawn


_PADDING_WEIGHTS = {"SAME": 0.4, "VALID": 0.35}


def _names(random, filters):
    weights = np.array([_PADDING_WEIGHTS.get(name, 0.25) for name in PADDINGS])
    padding = str(random.choice(PADDINGS, p=weights / weights.sum()))
    return {
        "op": str(random.choice(filters.ops or OPS)),
        "dtype": str(random.choice(filters.dtypes or list(DTYPES))),
        "layout": str(random.choice(filters.layouts or LAYOUTS)),
        "padding": padding,
    }


def _size(random, most):
    """From 1 to `most`, the logarithm uniform."""
    return int((most + 1) ** random.random())


def _long(random):
    return int(np.exp(random.uniform(np.log(261), np.log(_LONG))))


def _channels(random):
    """Any number, or a multiple of a vector's width, or one beside."""
    if random.random() < 0.35:
        return _size(random, _MOST["channels"])
    vector = int(random.choice(_VECTORS))
    channels = vector * _size(random, _MOST["channels"] // vector) + int(random.integers(-1, 2))
    return min(channels, _MOST["channels"])


def _filter(random):
    if random.random() < 0.6:
        height = width = int(random.choice([1, 2, 3, 3, 3, 4, 5, 5, 7]))
    else:
        height, width = _size(random, _MOST["filter"]), _size(random, _MOST["filter"])
    return {"filter_height": height, "filter_width": width}


def _steps(random, name, most):
    if random.random() < 0.5:
        y = x = 1
    elif random.random() < 0.5:
        y = x = int(random.integers(1, most + 1))
    else:
        y, x = (int(step) for step in random.integers(1, most + 1, 2))
    return {f"{name}_y": y, f"{name}_x": x}


def _below_the_stride(random):
    """A filter that spans less than a stride: there are pixels that no tap meets."""
    fields = {"dilation_y": 1, "dilation_x": 1}
    for axis, filter_size in (("y", "filter_height"), ("x", "filter_width")):
        stride = int(random.integers(2, _STRIDE + 1))
        fields |= {f"stride_{axis}": stride, filter_size: int(random.integers(1, stride))}
    if random.random() < 0.3:
        fields["stride_x"] = 1
    return fields


def _make_room(random, fields):
    """Lets the dilated filter fit into the image, if need be by less dilation."""
    for size, axis, filter_size in (
        ("height", "y", "filter_height"),
        ("width", "x", "filter_width"),
    ):
        taps, room = fields[filter_size] - 1, fields[size] - 1
        if taps * fields[f"dilation_{axis}"] > room:
            if random.random() < 0.5 and taps <= room:
                fields[f"dilation_{axis}"] = max(1, room // max(1, taps))
            else:
                fields[size] = 1 + taps * fields[f"dilation_{axis}"] + _size(random, 20) - 1


def _fit(random, drawn, budget):
    """Makes some sizes smaller until products and elements keep to the budget."""
    drawn = _padded(random, drawn)
    elements = min(4 * budget + 64, _MOST_BYTES // DTYPES[drawn.dtype].itemsize)
    sizes = ("batch", "height", "width", "channels", "multiplier", "filter_height", "filter_width")
    while drawn.products > budget or drawn.elements > elements:
        name = sizes[random.choice(len(sizes), p=[0.24, 0.2, 0.2, 0.16, 0.08, 0.06, 0.06])]
        if (old := getattr(drawn, name)) > 1:
            new = max(1, int(old * random.uniform(0.3, 0.9)))
            drawn = dataclasses.replace(drawn, **{name: new})
        elif min(getattr(drawn, size) for size in sizes) == max(getattr(drawn, s) for s in sizes):
            break  # what is left is padding
    return drawn


def _padded(random, drawn):
    """Explicit padding, sometimes beyond what the filter can use."""
    if drawn.padding != "EXPLICIT":
        return drawn
    most = []
    for taps, dilation in (
        (drawn.filter_height, drawn.dilation_y),
        (drawn.filter_width, drawn.dilation_x),
    ):
        extent = (taps - 1) * dilation + 1
        most += 2 * [extent // 2 if random.random() < 0.7 else extent + 4]
    explicit = tuple(int(random.integers(0, amount + 1)) for amount in most)
    return dataclasses.replace(drawn, explicit=explicit)


def _large_result(random, filters):
    """A result of more than 32 MB, by a small filter."""
    names = _names(random, filters)
    kernel = int(random.choice([1, 2, 3]))
    fields = {
        "batch": int(random.integers(1, 33)),
        "channels": _channels(random),
        "multiplier": int(random.choice([1, 1, 2])),
        "filter_height": kernel,
        "filter_width": kernel,
        **_steps(random, "stride", 2),
    }
    elements = _LARGE_BYTES // DTYPES[names["dtype"]].itemsize
    depth = fields["channels"] * (fields["multiplier"] if names["op"] == "forward" else 1)
    area = max(4, elements // (fields["batch"] * depth) + 1)
    if names["op"] == "forward":
        area *= fields["stride_y"] * fields["stride_x"]
    height = min(_LONG, max(2, int(area ** random.uniform(0.35, 0.65))))
    large = Problem(**names, **fields, height=height, width=area // height + 1)
    if names["op"] == "filter_grad":  # whose result is small: large operands instead
        return large
    return _padded(random, large)


def _large_window(random, filters):
    """A filter so far spread that what one row of the result meets fills a cache."""
    fields = _names(random, filters) | {
        "batch": 1,
        "channels": int(random.integers(1, 4)),
        "multiplier": int(random.choice([1, 4, 8])),
        "filter_height": int(random.integers(18, 32)),
        "filter_width": int(random.integers(8, 16)),
        "dilation_y": int(random.integers(5, _DILATION + 1)),
        "dilation_x": int(random.integers(4, _DILATION + 1)),
        **_steps(random, "stride", 2),
        "height": int(random.integers(1, 16)),
        "width": int(random.integers(150, _MOST["width"] + 1)),
    }
    if fields["padding"] != "SAME":
        fields["height"] += (fields["filter_height"] - 1) * fields["dilation_y"]
        fields["width"] += (fields["filter_width"] - 1) * fields["dilation_x"]
    return _fit(random, Problem(**fields), 3e7)


def _apart_by_pages(random, filters):
    """Columns that are a multiple of 4 KB apart, which share few sets of the caches."""
    fields = _names(random, filters) | {
        "layout": "NHWC",
        "batch": int(random.integers(1, 4)),
        "channels": int(random.choice([512, 1024, 2048])),
        "multiplier": 1,
        "height": _size(random, 20),
        "width": _size(random, 40),
        **_filter(random),
        **_steps(random, "stride", 2),
        **_steps(random, "dilation", 2),
    }
    return _padded(random, Problem(**fields))


def _large_filter(random, filters):
    """From 9x9 to 31x31, on images that such networks have."""
    fields = _names(random, filters) | {
        "batch": int(random.integers(1, 4)),
        "channels": _size(random, 40),
        "multiplier": 1 if random.random() < 0.8 else 2,
        "height": int(random.integers(7, 57)),
        "width": int(random.integers(7, 57)),
        "filter_height": int(random.integers(9, 32)),
        **_steps(random, "stride", 2),
    }
    square = random.random() < 0.8
    filter_width = fields["filter_height"] if square else int(random.integers(1, 32))
    fields["filter_width"] = filter_width
    if fields["padding"] != "SAME":
        fields["height"] += fields["filter_height"] - 1
        fields["width"] += filter_width - 1
    return _padded(random, _with_fewer_planes(fields, 4e6))


def _layer(random, filters):
    """Square filters, both strides alike, and often rows and channels that are whole vectors."""
    taps, stride = int(random.choice([3, 3, 5, 7])), int(random.choice([1, 1, 2]))
    dilation = int(random.integers(2, 4)) if stride == 1 and random.random() < 0.2 else 1
    height, width = (int(size) for size in random.choice([7, 8, 14, 16, 24, 28, 32, 56], 2))
    fields = _names(random, filters) | {
        "batch": _size(random, 16),
        "channels": 8 * _size(random, 32) if random.random() < 0.7 else _channels(random),
        "multiplier": 1,
        "height": height,
        "width": height if random.random() < 0.5 else width,
        **dict.fromkeys(("filter_height", "filter_width"), taps),
        **dict.fromkeys(("stride_y", "stride_x"), stride),
        **dict.fromkeys(("dilation_y", "dilation_x"), dilation),
    }
    if fields["padding"] != "SAME":
        fields["height"] += (taps - 1) * dilation
        fields["width"] += (taps - 1) * dilation
    return _padded(random, _with_fewer_planes(fields, 10 ** random.uniform(4, 6.3)))


def _with_fewer_planes(fields, budget):
    """Half as many images and channels until products keep to the budget."""
    while (drawn := Problem(**fields)).products > budget and drawn.batch * drawn.channels > 1:
        for size in ("batch", "channels"):
            fields[size] = max(1, fields[size] // 2)
    return drawn


# Share of the cases, and who draws them: what sizes that are drawn freely hardly ever meet.
_RARE = ((0.003, _large_result), (0.004, _large_window), (0.004, _apart_by_pages))
_LARGE_FILTERS = ((0.02, _large_filter),)
