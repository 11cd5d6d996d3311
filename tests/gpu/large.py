"""Tensors of more than 2^31 elements, by a kernel of the list and by the general ones."""

import time

import numpy as np
from gpu import kernels


def run(library, options):
    """Half-precision tensors of 2^31 elements and a few: their last rows, where all is 1."""
    failures, calls, start = [], 0, time.monotonic()
    one = 0x3C  # as both bytes of a half: 1.0586
    value = float(np.array(0x3C3C, np.uint16).view(np.float16))
    # On an emulated GPU small ones, by the same steps.
    height, width, channels = (259, 256, 2) if library.emulated else (4099, 4096, 128)
    for layout in options.layout:
        sizes = (1, height, width, channels) if layout == "NHWC" else (1, channels, height, width)
        elements = int(np.prod(sizes, dtype=np.int64))
        for filter_size in (3, 4):  # a configuration's, and the general kernels'
            for op in options.op:
                ones = [1, 1, 1, 1]
                filter_shape = (filter_size, filter_size, channels, 1)
                problem = kernels.problem_of(
                    op, "half", sizes, filter_shape, ones, "SAME", data_format=layout
                )
                filter_bytes = 2 * int(np.prod(filter_shape))
                sizes_of = {"input": 2 * elements, "filter": filter_bytes, "output": 2 * elements}
                result = {"forward": "output", "input_grad": "input", "filter_grad": "filter"}[op]
                operands = [role for role in sizes_of if role != result]
                with (
                    library.plan(problem) as plan,
                    library.allocate(sizes_of[operands[0]]) as a,
                    library.allocate(sizes_of[operands[1]]) as b,
                    library.allocate(sizes_of[result]) as out,
                    library.allocate(plan.workspace_bytes) as workspace,
                ):
                    a.fill(one)
                    b.fill(one)
                    out.fill(0xFF)
                    addresses = [buffer.data.value for buffer in (a, b, out, workspace)]
                    plan.launch(*addresses)
                    taps = filter_size**2
                    if op == "filter_grad":
                        # More than a half can hold.
                        found = out.read(np.empty(filter_bytes // 2, np.float16))
                        right = np.isposinf(found).all()
                    else:
                        # A run that begins behind element 2^31, in the last column but one or
                        # the last row but two: clear of the borders.
                        clear = ((height - 3) * width + width // 2) * channels
                        if layout == "NCHW":
                            clear = ((channels - 1) * height + height - 4) * width + 8
                        found = out.read(np.empty(channels, np.float16), 2 * clear)
                        exact = np.float16(taps * value * value)
                        right = (library.emulated or clear > 2**31) and (found == exact).all()
                calls += 1
                if not right:
                    failures.append(str(problem))
                print(f"{'passed' if right else 'FAILED'} {problem}", flush=True)
    return kernels.conclude(library, options, start, calls, failures)
