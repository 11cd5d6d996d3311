"""The two contenders of a comparison: our ops, and the implementations it is compared with.

Each prepares what it needs once, and gives back a function that makes one call: what is timed is
what a user waits for, overhead included. Ours is called by its public name, stock's through
`tf.raw_ops`, which does as little as any call of TensorFlow's can; eagerly, or from a tf.function.
An op with an epilogue, which stock has in graphs alone, is called many times in one.
"""

import dataclasses
import functools
from collections.abc import Callable

from tf_dwbp import build_info
from tf_dwbp.bench import elsewhere
from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender, Refused, with_copies
from tf_dwbp.bench.frameworks import FRAMEWORKS
from tf_dwbp.tools import targets
from tf_dwbp.tools.targets import EAGER, JIT

# TensorFlow is imported by the functions that need it: the command line reads this module too.


@dataclasses.dataclass(frozen=True)
class Peer:
    """An implementation to compare with."""

    title: str
    prepare: Callable[[Call, int], Contender]  # for a number of threads; raises Refused
    onednn: bool = True  # TensorFlow's switch in the process, for both contenders
    only_dilated: bool = False
    same_task: bool = True  # its answers are compared with ours
    # Seconds at the start of each block, of either contender, that do not count.
    lead_in: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        return {"TF_ENABLE_ONEDNN_OPTS": "1" if self.onednn else "0"}


# So often a graph has an op with an epilogue: what a call of the graph costs weighs little then.
CALLS_IN_GRAPH = 16


def prepare_ours(call: Call, threads: int, execution: str = EAGER) -> Contender:
    """Our ops, called in one of `targets.EXECUTIONS`; in a graph if there is an epilogue."""
    del threads  # set for the whole process
    if call.problem.epilogue:
        return _in_graph(call, targets.OURS)
    if execution == EAGER:
        return _one_by_one(call, targets.OURS)
    return _together(call, targets.OURS, jit_compile=execution == JIT)


def _ours(execution):
    return functools.partial(prepare_ours, execution=execution)


def _prepare_stock(call, threads):
    del threads
    if (call.problem.dilation_y, call.problem.dilation_x) != (1, 1):
        raise Refused("stock's ops ignore dilations on CPU, so their results are wrong")
    prepare = _in_graph if call.problem.epilogue else _one_by_one
    return prepare(call, targets.STOCK)


def _in_graph(call, target):
    """Calls a forward op again and again from one tf.function; a cold one with all its copies."""
    import tensorflow as tf

    forward = targets.load(target)["forward"]

    @tf.function(autograph=False)
    def program(tensors_of_calls):
        ends = []
        first, one = tf.zeros([4], tf.int32), tf.ones([4], tf.int32)
        for tensors in tensors_of_calls:
            with tf.control_dependencies(ends[-1:]):  # one after the other
                result = forward(**call.arguments("forward", tensors, {}))
            # An element, without which TensorFlow would leave the op out. The result itself would
            # occupy memory until the end.
            ends.append(tf.raw_ops.Slice(input=result, begin=first, size=one))
        return result, ends

    tensors = [_tensors(copy)[0] for copy in call.copies]
    tensors *= 1 if call.cold else CALLS_IN_GRAPH
    run = program.get_concrete_function(tensors)
    return Contender(lambda: run(tensors)[:1], calls=len(tensors))


@with_copies
def _one_by_one(call, target):
    functions = targets.load(target)
    tensors, sizes = _tensors(call)
    return Contender.of(
        functools.partial(functions[step], **call.arguments(step, tensors, sizes))
        for step in call.steps
    )


def _prepare_xla(call, threads):
    """Stock's ops compiled: the only ones of stock's that heed dilations."""
    del threads
    return _together(call, targets.STOCK, jit_compile=True)


@with_copies
def _together(call, target, jit_compile):
    tensors, _ = _tensors(call)
    return Contender(functools.partial(_program(call.first, target, jit_compile), tensors))


@functools.lru_cache(maxsize=4)  # traced, and compiled, once for all copies
def _program(call, target, jit_compile):
    import tensorflow as tf

    functions = targets.load(target)
    sizes = {"input": call.input_sizes, "filter": call.filter_shape}  # constants, for XLA

    @tf.function(jit_compile=jit_compile)
    def program(tensors):
        return [functions[step](**call.arguments(step, tensors, sizes)) for step in call.steps]

    return program


@with_copies
def _prepare_space_to_batch(call, threads):
    """The ops of `tf.nn.depthwise_conv2d` with dilations or of its gradient, called one by one.

    A tape would compute both gradients, and a tf.function costs more per call.
    """
    import tensorflow as tf

    del threads
    problem = call.problem
    if (problem.stride_y, problem.stride_x) != (1, 1):
        raise Refused("tf.nn.depthwise_conv2d takes no stride with dilations")
    tensors, sizes = _tensors(call)
    # The dimensions after the batch that are divided into blocks. Those of NCHW begin with the
    # channels, which stay whole.
    whole = [] if call.layout == "NHWC" else [(problem.channels, 1, (0, 0))]
    spatial = (
        (axis.size, axis.dilation, (axis.pad_before, axis.pad_after))
        for axis in (problem.rows, problem.columns)
    )
    lengths, blocks, base = zip(*whole, *spatial, strict=True)
    paddings, crops = map(
        tf.constant, tf.required_space_to_batch_paddings(lengths, blocks, base_paddings=base)
    )
    block_shape = tf.constant(blocks)
    to_batch = functools.partial(tf.raw_ops.SpaceToBatchND, block_shape=block_shape)
    to_space = functools.partial(tf.raw_ops.BatchToSpaceND, block_shape=block_shape)
    # Gradients find it as the forward pass has left it.
    image = to_batch(input=tensors["input"], paddings=paddings)
    batched_sizes = {"input": tf.constant(image.shape), "filter": sizes["filter"]}
    functions = targets.load(targets.STOCK)
    plain = {"strides": [1, 1, 1, 1], "padding": "VALID", "explicit_paddings": []}
    plain["dilations"] = [1, 1, 1, 1]

    def step_of(step, batched):
        result = functions[step](**call.arguments(step, batched, batched_sizes) | plain)
        if step == "filter_grad":
            return result
        return to_space(input=result, crops=crops if step == "forward" else paddings)

    def run():
        batched = {"filter": tensors["filter"], "input": image}
        if call.op == "forward":
            batched["input"] = to_batch(input=tensors["input"], paddings=paddings)
        else:
            batched["output"] = to_batch(input=tensors["output"], paddings=crops)
        return [step_of(step, batched) for step in call.steps]

    return Contender(run)


@with_copies
def _prepare_relu(call, threads):
    """An op of TensorFlow's that moves as many bytes, and does next to nothing with them.

    About so much of a call is TensorFlow's and memory's, whatever the op.
    """
    import tensorflow as tf

    del threads
    numbers = call.moved_bytes // call.numpy_dtype.itemsize // 2
    features = tf.ones([numbers], call.numpy_dtype)
    return Contender.of([functools.partial(tf.raw_ops.Relu, features=features)])


def _tensors(call):
    """The tensors by role, and the sizes of results. Both contenders read the same memory."""
    import tensorflow as tf

    copies = _tensors_of_copies(call.first)
    if call.copy not in copies:
        tensors = {role: tf.constant(array) for role, array in call.tensors().items()}
        sizes = {"input": tf.constant(call.input_sizes), "filter": tf.constant(call.filter_shape)}
        copies[call.copy] = tensors, sizes
    return copies[call.copy]


@functools.lru_cache(maxsize=1)
def _tensors_of_copies(call):
    """Those of one call at a time, by the number of the copy."""
    del call
    return {}


COPY = "copy"

# What ops with an epilogue can be compared with.
FOR_EPILOGUES = ("onednn", "eigen", COPY)

PEERS = {
    "onednn": Peer("TensorFlow (oneDNN on)", _prepare_stock),
    "eigen": Peer("TensorFlow (oneDNN off)", _prepare_stock, onednn=False),
    "xla": Peer("TensorFlow's XLA", _prepare_xla),
    # Their threads go on spinning after a call, PyTorch's 8 ms as measured, and take a core from
    # who is next.
    **{
        name: Peer(framework.title, functools.partial(elsewhere.prepare, name), lead_in=0.015)
        for name, framework in FRAMEWORKS.items()
    },
    "dilated": Peer("tf.nn.depthwise_conv2d", _prepare_space_to_batch, only_dilated=True),
    "relu": Peer("TensorFlow's Relu of as many bytes", _prepare_relu, same_task=False),
    # What our ops' own way of being called costs.
    **{f"ours-{name}": Peer(f"tf_dwbp ({name})", _ours(name)) for name in targets.EXECUTIONS},
}


def missing(name: str, execution: str = EAGER) -> str | None:
    """Why a peer, or our ops called in that way, cannot be used here at all, if so."""
    if name in FRAMEWORKS and (why := FRAMEWORKS[name].missing):
        return why
    if (why := build_info()["why_no_xla"]) and (name == f"ours-{JIT}" or execution == JIT):
        return f"tf_dwbp was built without XLA kernels: {why}"
    return None
