"""Stand-ins for stock's Python functions, for what the graph optimizer does not see.

Those are eager calls, functions that XLA compiles, and graphs where TensorFlow's optimizers are
turned off. There a stand-in calls our op, and lets TensorFlow record stock's: gradients are then
stock's functions, and what these call is swapped or not in its own right. Elsewhere a stand-in
calls stock's function, and the op that this puts into a graph is renamed later.
"""

import collections
import contextlib
import functools
import inspect
import threading

import tensorflow as tf
from tensorflow.python.eager import context as eager_context
from tensorflow.python.eager import execute, record
from tensorflow.python.framework import ops as framework_ops
from tensorflow.python.ops import control_flow_util, gen_nn_ops

from tf_dwbp import _library, family, ops
from tf_dwbp.swap import grouped, plug_in

EAGER, JIT, UNOPTIMIZED = "eager calls", "functions compiled by XLA", "graphs not optimized"

_SIZES = ("input_sizes", "filter_sizes")
_TENSORS = ("input", "filter", "out_backprop", *_SIZES)

_installed: dict[tuple, tuple] = {}  # (module, name) -> stock's function, the stand-in
_active: frozenset[str] = frozenset()
_counts: collections.Counter = collections.Counter()  # (op, where, "ours" or "stock", why)
_counts_lock = threading.Lock()


def counts() -> dict[tuple[str, str, str, str], int]:
    """How often an op was called, or traced, here: by op, where, "ours" or "stock", and why."""
    with _counts_lock:
        return dict(_counts)


def activate(active: frozenset[str]) -> None:
    """Puts the stand-ins into TensorFlow's modules while any op is active, and takes them out."""
    global _active
    _active = active
    if active and not _installed:
        for module, name, make in _places():
            stock = getattr(module, name)
            stand_in = make(stock)
            _installed[module, name] = stock, stand_in
            setattr(module, name, stand_in)
    if not active:
        for (module, name), (stock, stand_in) in _installed.items():
            # Who has put something else there since may still call the stand-in, which from now
            # on calls stock's function.
            if getattr(module, name) is stand_in:
                setattr(module, name, stock)
        _installed.clear()


def _places():
    """Where TensorFlow's own Python code, and users' of tf.raw_ops, look functions up.

    With what makes of a function the stand-in for it.
    """
    for op, names in family.OPS.items():
        make = functools.partial(_stand_in, op, names)
        yield gen_nn_ops, names.stock_function, make
        for api in (tf, tf.compat.v1, tf.compat.v2):
            yield api.raw_ops, names.stock, make
    if keras := grouped.place():
        yield keras, grouped.NAME, lambda stock: grouped.stand_in(stock, lambda: bool(_active))


def _stand_in(op, names, stock):
    signature = inspect.signature(getattr(gen_nn_ops, names.stock_function))

    @functools.wraps(stock)
    def stand_in(*args, **kwargs):
        where = _where()
        if where is None or not _active:
            return stock(*args, **kwargs)
        why_not = _why_not(where) if op in _active else "not among the ops that were asked for"
        _count(op, where, why_not)
        if why_not:
            return stock(*args, **kwargs)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return stock(*args, **kwargs)  # which says what is wrong
        bound.apply_defaults()
        return _call(names, signature, bound.arguments, eager=where is EAGER)

    return stand_in


def _where():
    """Which of the places the caller is in; None where the graph optimizer will see to the op."""
    context = eager_context.context()
    if context.executing_eagerly():
        return EAGER
    if control_flow_util.GraphOrParentsInXlaContext(framework_ops.get_default_graph()):
        return JIT
    options = context.get_optimizer_experimental_options()
    if plug_in.register().error or options.get("disable_meta_optimizer"):
        return UNOPTIMIZED
    return None


@functools.cache
def _why_not(where):
    """Why our ops cannot be called there; "" where they can."""
    info = _library.build_info()
    if where is JIT and not info.get("xla"):
        return "this build has no XLA kernels"
    # Stock's op would run on the GPU, ours on the CPU.
    if info["cuda_version"] is None and tf.config.list_physical_devices("GPU"):
        return "there is a GPU, and this build has no kernels for it"
    return ""


def _count(op, where, why_not):
    key = (op, where, "stock" if why_not else "ours", why_not or "called in stock's place")
    with _counts_lock:
        _counts[key] += 1


def _call(names, signature, arguments, eager):
    """Our op on the arguments of stock's function, recorded as stock's."""
    for key, parameter in signature.parameters.items():
        if arguments[key] is None:  # stands for the default, as for stock
            arguments[key] = parameter.default
    name = arguments.pop("name")
    # Before recording stops: reading a variable is recorded.
    inputs = _convert({key: arguments[key] for key in arguments if key in _TENSORS})
    arguments.update(inputs)
    with record.stop_recording(), _recorded_as(names, eager):
        result = getattr(ops, names.function)(**arguments, name=name)
    if execute.must_record_gradient():
        attributes = ["T", result.dtype.as_datatype_enum]
        for key, value in arguments.items():
            if key not in inputs:
                attributes += [key, value]
        execute.record_gradient(names.stock, [*inputs.values()], tuple(attributes), [result])
    return result


def _convert(inputs):
    """As tensors: of one type, as stock finds it, but for sizes."""
    dtype = next((v.dtype for k, v in inputs.items() if k not in _SIZES and tf.is_tensor(v)), None)
    tensors = {}
    for key, value in inputs.items():
        if key in _SIZES:
            tensors[key] = tf.convert_to_tensor(value, tf.int32, name=key)
        else:
            tensors[key] = tf.convert_to_tensor(value, dtype, name=key)
            dtype = tensors[key].dtype
    return tensors


def _recorded_as(names, eager):
    """In a graph, what leads from an op of ours to its gradient function is the op itself."""
    if eager or _active == set(family.OPS):
        return contextlib.nullcontext()
    # Only where needed: SavedModels take an op that is marked so for one with a custom gradient,
    # and must be saved without these (`tf.saved_model.SaveOptions`).
    graph = framework_ops.get_default_graph()
    return graph.gradient_override_map({names.ours: names.stock})
