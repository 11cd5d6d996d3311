"""Calls that are not valid: a valid one with one thing broken at random, and what is wrong with it.

A change is written NAME=VALUE: `strides=[1, 0, 1, 1]`, `padding=FULL`, `filter=half[3, 3, 8]` for a
tensor by type and shape, `input_sizes=[2, -1, 6, 3]`, `filter_sizes=float[4]` for one of a shape.
"""

import json
import re

import numpy as np

from tf_dwbp.fuzz import checks
from tf_dwbp.tools.problem import ARGUMENTS, DTYPES, Problem

_LISTS = ("strides", "dilations", "explicit_paddings")
_NUMBERS = (0, -1, -3, 2, 3, 7, -(2**31), 2**31 - 1, 2**31, 2**40)
_TENSOR = re.compile(r"(\w+)(\[[\d, ]*\])")
_OTHER_DTYPES = ("int32", "uint8", "complex64")
_TRIES = 50


def arguments_of(problem: Problem, changes: dict[str, str]) -> dict:
    """The call's arguments; a tensor is a `checks.Tensor`, sizes are a list unless changed."""
    arguments = dict(problem.attributes)
    for role in problem.operands:
        arguments[ARGUMENTS[role]] = checks.Tensor(problem.dtype, tuple(problem.shapes[role]))
    if problem.result != "output":
        arguments[f"{problem.result}_sizes"] = list(problem.shapes[problem.result])
    for name, text in changes.items():
        if name not in arguments:
            raise ValueError(f"{name!r} is none of {', '.join(arguments)}")
        arguments[name] = _read(name, text)
    return arguments


def parse_change(text: str) -> tuple[str, str]:
    """Name and value; ValueError if that is no change."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    _read(name, value)
    return name, value


def changes(random: np.random.Generator, problem: Problem) -> dict[str, str]:
    """One thing broken at random; such that the call ends soon, if it is valid nevertheless."""
    for _ in range(_TRIES):
        drawn = _CHANGES[random.integers(len(_CHANGES))](random, problem)
        if not drawn:
            continue
        texts = {name: _write(value) for name, value in drawn.items()}
        if checks.affordable(problem.op, arguments_of(problem, texts)):
            return texts
    return {"padding": "FULL"}


def _read(name, text):
    if name in ("padding", "data_format"):
        return text
    if match := _TENSOR.fullmatch(text):
        dtype, shape = match.groups()
        if dtype not in DTYPES and dtype not in (*_OTHER_DTYPES, "int64"):
            raise ValueError(f"{text!r}: there is no type {dtype!r}")
        return checks.Tensor(dtype, tuple(json.loads(shape)))
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a list nor a tensor such as float[3, 3, 8, 1]"
        ) from None


def _write(value):
    return value if isinstance(value, str) else str(value)


def _list_element(random, problem):
    name = str(random.choice(_LISTS))
    values = list(problem.attributes[name]) or [0] * 8
    values[random.integers(len(values))] = int(random.choice(_NUMBERS))
    return {name: values}


def _list_length(random, problem):
    name = str(random.choice(_LISTS))
    values = list(problem.attributes[name]) or [1] * 8
    wrong = ([], values[:-1], [*values, 1], values * 2, values[:1], [1] * 3)
    return {name: wrong[random.integers(len(wrong))]}


def _name(random, problem):
    if random.random() < 0.5:
        wrong = ("FULL", "same", "", "SAME_LOWER", "VALID ", "EXPLICIT", "SAME", "VALID")
        return {"padding": str(random.choice(wrong))}
    wrong = ("NCHW_VECT_C", "HWNC", "", "nhwc", "NDHWC", "NHWC", "NCHW")
    return {"data_format": str(random.choice(wrong))}


def _tensor(random, problem):
    role = problem.operands[random.integers(2)]
    return ARGUMENTS[role], problem.dtype, list(problem.shapes[role])


def _rank(random, problem):
    name, dtype, shape = _tensor(random, problem)
    wrong = ([], shape[:1], shape[1:], shape[:-1], [1, *shape], [*shape, 1], [1] * 8)
    return {name: checks.Tensor(dtype, tuple(wrong[random.integers(len(wrong))]))}


def _dimension(random, problem):
    name, dtype, shape = _tensor(random, problem)
    i = random.integers(4)
    old = shape[i]
    wrong = (0, 1, old - 1, old + 1, 2 * old, old // 2, int(random.integers(1, 50)))
    shape[i] = max(0, int(wrong[random.integers(len(wrong))]))
    return {name: checks.Tensor(dtype, tuple(shape))}


def _huge_empty_tensor(random, problem):
    name, dtype, shape = _tensor(random, problem)
    i, j = random.choice(4, 2, replace=False)
    shape[i], shape[j] = int(random.choice([2**31 - 1, 2**31, 2**40])), 0
    return {name: checks.Tensor(dtype, tuple(shape))}


def _order(random, problem):
    name, dtype, shape = _tensor(random, problem)
    return {name: checks.Tensor(dtype, tuple(int(n) for n in random.permutation(shape)))}


def _dtypes(random, problem):
    shapes = {ARGUMENTS[role]: tuple(problem.shapes[role]) for role in problem.operands}
    if random.random() < 0.7:
        name = str(random.choice(list(shapes)))
        other = [dtype for dtype in (*DTYPES, *_OTHER_DTYPES) if dtype != problem.dtype]
        return {name: checks.Tensor(str(random.choice(other)), shapes[name])}
    dtype = str(random.choice(_OTHER_DTYPES))
    return {name: checks.Tensor(dtype, shape) for name, shape in shapes.items()}


def _sizes(random, problem):
    if problem.result == "output":
        return None
    name, sizes = f"{problem.result}_sizes", list(problem.shapes[problem.result])
    form = random.random()
    if form < 0.5:
        i = random.integers(4)
        wrong = (0, -1, sizes[i] - 1, sizes[i] + 1, 2 * sizes[i], 2**31 - 1, 2**31, -(2**31), 2**40)
        sizes[i] = int(wrong[random.integers(len(wrong))])
    elif form < 0.85:
        wrong = ([], sizes[:3], [*sizes, 1], sizes * 2, sizes[0], [sizes], [sizes[:2], sizes[2:]])
        sizes = wrong[random.integers(len(wrong))]
    elif form < 0.95:
        sizes = checks.Tensor(str(random.choice(["float", "uint8"])), (4,))
    else:
        sizes = [int(size) for size in random.permutation(sizes)]
    return {name: sizes}


def _huge_result(random, problem):
    """Operands that are small, or empty, and a result beyond any memory, or beyond 63 bits."""
    if problem.op == "forward":
        amounts = [int(n) for n in random.choice([2**28, 2**30, 2**31 - 1], 4)]
        spatial = ((amounts[0], amounts[1]), (amounts[2], amounts[3]))
        pairs = (
            ((0, 0), *spatial, (0, 0)) if problem.layout == "NHWC" else ((0, 0), (0, 0), *spatial)
        )
        return {"padding": "EXPLICIT", "explicit_paddings": list(sum(pairs, ()))}
    height, width = (int(n) for n in random.choice([2**19, 2**28, 2**31 - 1], 2))
    channels = problem.channels or 1
    out = (problem.batch, 0, 0, channels * problem.multiplier)
    changed = {"padding": "VALID", "explicit_paddings": []}
    if problem.op == "filter_grad":
        changed["filter_sizes"] = [height, width, channels, problem.multiplier]
    else:
        out = (problem.batch, height, width, 0)
        order = (problem.batch, height, width, channels)
        if problem.layout == "NCHW":
            order = (order[0], order[3], *order[1:3])
        changed |= {
            "padding": "SAME",
            "strides": [1] * 4,
            "input_sizes": list(order),
            "filter": checks.Tensor(problem.dtype, (*problem.filter_sizes[:3], 0)),
        }
    if problem.layout == "NCHW":
        out = (out[0], out[3], *out[1:3])
    return changed | {"out_backprop": checks.Tensor(problem.dtype, out)}


def _no_filter(random, problem):
    return {"filter" if problem.op != "filter_grad" else "filter_sizes": _emptied(random, problem)}


def _emptied(random, problem):
    sizes = list(problem.filter_sizes)
    sizes[random.integers(2)] = 0
    return sizes if problem.op == "filter_grad" else checks.Tensor(problem.dtype, tuple(sizes))


_CHANGES = (
    *(3 * [_list_element]),
    *(2 * [_list_length]),
    *(2 * [_rank]),
    *(3 * [_dimension]),
    *(3 * [_sizes]),
    _name,
    _huge_empty_tensor,
    _order,
    _dtypes,
    _huge_result,
    _no_filter,
)
