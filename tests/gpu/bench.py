"""Our kernels beside PyTorch's and beside a copy of the same bytes, on a GPU."""

import dataclasses
import json
import statistics
import time

import numpy as np

from tf_dwbp.bench import shapes
from tf_dwbp.bench.call import DTYPES, Call
from tf_dwbp.bench.contender import Refused

# So many bytes are walked through before the same ones are met again: more than caches hold.
_COLD_BYTES = 192 << 20
# Who takes so many times longer than our kernel is timed once: that it loses is known by then.
_MUCH_SLOWER = 4


def calls(options):
    """The shapes of the core group at each batch size, in each type and layout, for each op.

    In such an order that, where there is no time for all, each op, type and layout has its share.
    """
    core = shapes.select(options.shapes, shapes.CORE)
    found = {}
    for batch in options.batch:
        for shape in core:
            resized = dataclasses.replace(shape, batch=batch, tags=())
            found.setdefault(resized.name, resized)
    return [
        Call(shape, dtype, layout, op)
        for shape in found.values()
        for dtype in options.dtype
        for layout in options.layout
        for op in options.op
    ]


def run(library, options):
    """Prints a row for each call, and returns all as a JSON document."""
    import torch

    device = torch.cuda.get_device_name(0)
    print(f"{device}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    columns = ("copy", "torch", "last", "torch-", "last-")
    print(f"{'':62} {'us':>8} {'of copy':>8}  times slower: {' '.join(f'{c:>7}' for c in columns)}")
    rows, start, wanted = [], time.monotonic(), calls(options)
    for call in wanted:
        if options.seconds is not None and time.monotonic() - start > options.seconds:
            print(f"{options.seconds:.0f} s have passed")
            break
        times, wrong = _measure(torch, library, call, options.rounds)
        ours = times["ours"]
        row = {
            "shape": call.shape.name,
            "op": call.op,
            "dtype": call.dtype,
            "layout": call.layout,
            "problem": str(call.problem),
            "microseconds": {name: 1e6 * seconds for name, seconds in times.items()},
            "share_of_copy": times["copy"] / ours,
            "differs_from_torch": wrong,
        }
        rows.append(row)
        peers = " ".join(f"{times[c] / ours:7.2f}" if c in times else "      -" for c in columns)
        title = f"{call.op} {call.dtype} {call.layout} {call.shape.name}"
        print(
            f"{title:62} {1e6 * ours:8.1f} {row['share_of_copy']:8.0%}  {peers} {wrong}", flush=True
        )
        if options.json:  # as far as it has come, if it is stopped
            document = {"device": device, "torch": torch.__version__, "rows": rows}
            options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"measured {len(rows)} of {len(wanted)} calls")
    return 1 if any(row["differs_from_torch"] for row in rows) else 0


def compare(library, options):
    """The answers only, by an emulated GPU: that PyTorch is given the same call as our kernels."""
    import torch

    failed = 0
    for call in calls(options):
        results, ours, sides, mirrored = _sides(torch, library, call, "cpu", sets=1)
        wrong = _difference(torch, call, results, ours, sides, mirrored)
        failed += bool(wrong)
        title = f"{call.op} {call.dtype} {call.layout} {call.shape.name}"
        print(title, wrong or ("agrees" if "torch" in sides else "has no peer"), flush=True)
    return 1 if failed else 0


def _measure(torch, library, call, rounds):
    """Seconds of a call of ours ("ours"), of PyTorch and of a copy; and what is wrong, if any."""
    sets = max(1, min(64, _COLD_BYTES // max(1, call.moved_bytes)))
    results, ours, peers, mirrored = _sides(torch, library, call, "cuda", sets)
    wrong = _difference(torch, call, results, ours, peers, mirrored)
    half = call.moved_bytes // 2
    sources = torch.empty(sets, half, device="cuda", dtype=torch.uint8)
    targets = torch.empty_like(sources)

    def copy(i):
        targets[i].copy_(sources[i])

    graphs = {}
    for name, function in {"ours": ours, "copy": copy, **peers}.items():
        torch.backends.cudnn.enabled = not name.endswith("-")
        graphs[name] = _captured(torch, function, sets)
    torch.backends.cudnn.enabled = True
    found = {name: [] for name in graphs}
    for round in range(rounds):
        for name, graph in graphs.items():
            if round > 0 and found[name][0] > _MUCH_SLOWER * found["ours"][0]:
                continue
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            if round == 0 and name == "ours":
                graph.replay()  # the GPU wakes up
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            found[name].append(start.elapsed_time(end) / 1e3 / sets)
    return {name: statistics.median(times) for name, times in found.items()}, wrong


def _sides(torch, library, call, device, sets):
    """Our results, and functions that compute the i-th of `sets` of them: ours, and PyTorch's.

    PyTorch's are "torch" on contiguous tensors and "last" on channels_last ones; with a "-" they
    are the same, to be called without cuDNN. Last come the dimensions in which PyTorch is given
    mirrored images.
    """
    dtype = getattr(torch, call.dtype)
    tensors = []
    for _ in range(sets):
        made = [
            torch.randn(shape, device=device, dtype=torch.float32).to(dtype)
            for shape in (call.input_sizes, call.filter_shape, call.out_backprop_shape)
        ]
        tensors.append(dict(zip(("input", "filter", "output"), made, strict=True)))
    result_role = {"forward": "output", "input_grad": "input", "filter_grad": "filter"}[call.op]
    results = [torch.empty_like(t[result_role]) for t in tensors]
    plan = library.plan(call.problem)
    workspace = torch.empty(max(1, plan.workspace_bytes), device=device, dtype=torch.uint8)
    operands = [role for role in ("input", "filter", "output") if role != result_role]

    def ours(i):
        a, b = (tensors[i][role].data_ptr() for role in operands)
        stream = torch.cuda.current_stream().cuda_stream if device == "cuda" else None
        plan.launch(a, b, results[i].data_ptr(), workspace.data_ptr(), stream)

    # Here, since it imports PyTorch.
    from tf_dwbp.bench.frameworks.pytorch import symmetric_padding

    try:
        padding, mirrored = symmetric_padding(call)
    except Refused:
        return results, ours, {}, []
    peers = {}
    for name, memory in (("torch", torch.contiguous_format), ("last", torch.channels_last)):
        peer = _torch_side(torch, call, tensors, memory, padding, mirrored)
        peers |= {name: peer, f"{name}-": peer}
    return results, ours, peers, mirrored


def _captured(torch, function, sets):
    """A graph of calls, so that what the host does between them takes no time."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.inference_mode():
        for i in range(min(sets, 3)):
            function(i)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for i in range(sets):
                function(i)
    torch.cuda.synchronize()
    return graph


def _torch_side(torch, call, tensors, memory, padding, mirrored):
    """A function that computes the i-th call by PyTorch's op."""
    shape, taps = call.shape, call.shape.filter

    def image(tensor):
        nchw = tensor.permute(0, 3, 1, 2) if call.layout == "NHWC" else tensor
        return nchw.flip(mirrored).contiguous(memory_format=memory)

    sets = [
        (
            image(t["output"]),
            image(t["input"]),
            t["filter"].permute(2, 3, 0, 1).reshape(-1, 1, taps, taps).flip(mirrored).contiguous(),
        )
        for t in tensors
    ]
    strides, dilations = [shape.stride] * 2, [shape.dilation] * 2
    geometry = (strides, padding, dilations, False, [0, 0], shape.channels)
    mask = [call.op == "input_grad", call.op == "filter_grad", False]

    def run(i):
        upstream, input, weight = sets[i]
        if call.op == "forward":
            return torch.ops.aten.convolution(input, weight, None, *geometry)
        found = torch.ops.aten.convolution_backward(upstream, input, weight, None, *geometry, mask)
        return next(gradient for gradient in found if gradient is not None)

    return run


def _difference(torch, call, results, ours, sides, mirrored):
    """What is wrong with our answer, as PyTorch's in float64 sees it; "" if nothing."""
    peer = sides.get("torch")
    if peer is None:
        return ""
    ours(0)
    with torch.inference_mode():
        theirs = peer(0).flip(mirrored).double()
    mine = results[0].double()
    if call.op == "filter_grad":
        taps = call.shape.filter
        mine = mine.permute(2, 3, 0, 1).reshape(-1, 1, taps, taps)
    elif call.layout == "NHWC":
        mine = mine.permute(0, 3, 1, 2)
    # Both round sums of so many products; conformance is what judges closely.
    unit = {"float32": 2**-23, "float16": 2**-10, "bfloat16": 2**-7, "float64": 2**-52}[call.dtype]
    scale = np.sqrt(max(1, call.terms(call.op)))
    bound = 32 * unit * float(scale) * max(1.0, float(theirs.abs().max()))
    error = float((mine - theirs).abs().max())
    return "" if error <= bound else f"DIFFERS by {error:.3g}"


DTYPE_CHOICES = tuple(name for name in DTYPES if name != "float64")
