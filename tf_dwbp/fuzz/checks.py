"""The rules of a valid call, written a second time, from the ops' documentation.

`faults` says all that is wrong with a call: which argument an error may name, and what it may say
of it. An error need tell of one fault only.
"""

import dataclasses
import math
import os

from tf_dwbp.tools import reference
from tf_dwbp.tools.problem import ARGUMENTS, DTYPES, LAYOUTS, PADDINGS

_LARGEST = 2**31 - 1
_MOST_ELEMENTS = (2**63 - 1) // 8
_AFFORDABLE = 1 << 24  # elements of a tensor, and products
_MOST_TAPS = 1 << 14  # which the reference takes one by one


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor's type and shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self):
        return f"{self.dtype}{list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong with a call."""

    names: tuple[str, ...]  # of which an error must contain one
    values: tuple[str, ...]  # and of these
    of_type: bool = False  # TensorFlow's own binding may refuse it, in words of its own
    of_memory: bool = False


def faults(op: str, arguments: dict) -> list[Fault]:
    """All that is wrong with a call, as far as one thing does not hide another; empty if valid."""
    found = [*_types(op, arguments), *_attributes(arguments)]
    shapes = {}
    for role in reference.ROLES:
        shape, wrong = _shape(op, role, arguments)
        found += wrong
        shapes[role] = shape
    if found:
        return found
    return _sizes(op, arguments, shapes) or _memory(op, arguments, shapes)


def affordable(op: str, arguments: dict) -> bool:
    """Whether the tensors can be made, and the call, if valid, ends soon or needs far too much."""
    tensors = [value for value in arguments.values() if isinstance(value, Tensor)]
    for tensor in tensors:
        if math.prod(tensor.shape) > _AFFORDABLE:
            return False
        if math.prod(size for size in tensor.shape if size) >= 2**58:
            return False  # which NumPy cannot make
    if faults(op, arguments):
        return True
    shapes = {role: _shape(op, role, arguments)[0] for role in reference.ROLES}
    shapes["output"] = _output_shape(arguments, shapes)
    result = shapes[reference.RESULTS[op]]
    if math.prod(result) > _AFFORDABLE or math.prod(size for size in result if size) >= 2**58:
        return False
    taps = math.prod(shapes["filter"][:2])
    products = math.prod(shapes["output"]) * taps
    return products == 0 or (products <= _AFFORDABLE and taps <= _MOST_TAPS)


def _types(op, arguments):
    names = [ARGUMENTS[role] for role in reference.operands(op)]
    dtypes = [arguments[name].dtype for name in names]
    values = ("type", *DTYPES, *dtypes)
    if dtypes[0] != dtypes[1] or dtypes[0] not in DTYPES:
        return [Fault((*names, "'T'"), values, of_type=True)]
    return []


def _attributes(arguments):
    found = []
    layout, padding = arguments["data_format"], arguments["padding"]
    if layout not in LAYOUTS:
        found.append(Fault(("data_format",), (f"'{layout}'", f'"{layout}"', *LAYOUTS)))
    if padding not in PADDINGS:
        found.append(Fault(("padding",), (f"'{padding}'", f'"{padding}"', *PADDINGS)))
    spatial = (2, 3) if layout == "NCHW" else (1, 2)
    for name in ("strides", "dilations"):
        values = arguments[name]
        if len(values) != 4:
            found.append(Fault((name,), ("4", str(values))))
        elif not all(
            1 <= value <= (_LARGEST if axis in spatial else 1) for axis, value in enumerate(values)
        ):
            found.append(Fault((name,), (str(values),)))
    explicit = arguments["explicit_paddings"]
    if padding != "EXPLICIT":
        if explicit:
            found.append(Fault(("explicit_paddings",), (str(explicit), "empty")))
    elif len(explicit) != 8:
        found.append(Fault(("explicit_paddings",), ("8", str(explicit))))
    elif not all(
        0 <= value <= (_LARGEST if axis // 2 in spatial else 0)
        for axis, value in enumerate(explicit)
    ):
        found.append(Fault(("explicit_paddings",), (str(explicit),)))
    return found


def _shape(op, role, arguments):
    """The shape in a role, None if it is to be computed or is none, and what is wrong with it."""
    if role != reference.RESULTS[op]:
        name = ARGUMENTS[role]
        shape = arguments[name].shape
        if len(shape) != 4:
            return None, [Fault((name,), (str(list(shape)), "4", "scalar"))]
        return shape, []
    if role == "output":
        return None, []
    name = f"{role}_sizes"
    sizes = arguments[name]
    if isinstance(sizes, Tensor):
        return None, [Fault((name, "sizes"), ("type", "int32"), of_type=True)]
    if not isinstance(sizes, list) or any(isinstance(size, list) for size in sizes):
        return None, [Fault((name,), ("vector", "4"))]
    if len(sizes) != 4:
        return None, [Fault((name,), ("4", str(sizes)), of_type=not sizes)]
    if any(not -(2**31) <= size <= _LARGEST for size in sizes):  # no int32: the binding's to say
        return None, [Fault((name, "int32"), ("int32", str(sizes)), of_type=True)]
    if min(sizes) < 0:
        return None, [Fault((name,), (str(sizes), "negative"))]
    return tuple(sizes), []


def _name(op, role):
    return f"{role}_sizes" if role == reference.RESULTS[op] != "output" else ARGUMENTS[role]


def _sizes(op, arguments, shapes):
    """What is wrong with sizes that each for itself may be right."""
    names = {role: _name(op, role) for role in reference.ROLES} | (
        {"output": "output"} if op == "forward" else {}
    )
    found = []
    inputs, filters, out = shapes["input"], shapes["filter"], shapes["output"]
    texts = {role: str(list(shape)) for role, shape in shapes.items() if shape is not None}

    def wrong(role, *others, values=()):
        involved = [role, *others]
        said = [texts[r] for r in involved if r in texts]
        found.append(Fault(tuple(names[r] for r in involved), (*said, *map(str, values))))

    channel_axis = arguments["data_format"].index("C")
    for size in filters[:2]:
        if not 1 <= size <= _LARGEST:
            wrong("filter")
    for axis in _spatial(arguments):
        if inputs[axis] > _LARGEST:
            wrong("input")
    if inputs[channel_axis] != filters[2]:
        wrong("input", "filter")
    for role, shape in shapes.items():
        if shape is not None and _too_many(shape):
            wrong(role)
    if found:
        return found
    expected = _output_shape(arguments, shapes)
    if out is None:
        if _too_many(expected):
            wrong("output", "input", "filter", values=[list(expected)])
    elif tuple(out) != expected:
        wrong("output", "input", "filter", values=[list(expected)])
    return found


def _too_many(shape):
    return 0 not in shape and math.prod(shape) > _MOST_ELEMENTS


def _spatial(arguments):
    first = arguments["data_format"].index("H")
    return first, first + 1


def _output_shape(arguments, shapes):
    attributes = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
    return tuple(
        reference.out_backprop_shape(
            shapes["input"], shapes["filter"], **{name: arguments[name] for name in attributes}
        )
    )


def _memory(op, arguments, shapes):
    """A result that no machine near this one could hold. Whatever might fit is not tried."""
    role = reference.RESULTS[op]
    shape = shapes[role] or _output_shape(arguments, shapes)
    dtype = arguments[ARGUMENTS[reference.operands(op)[0]]].dtype
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if math.prod(shape) * DTYPES[dtype].itemsize <= 4 * have:
        return []
    name = "output" if role == "output" else _name(op, role)
    return [Fault((name,), (str(list(shape)), "memory", "bytes"), of_memory=True)]
