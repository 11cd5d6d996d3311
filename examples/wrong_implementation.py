"""An implementation with a fault, judged: `tf-dwbp conformance` has to find it, and to name calls.

The fault is one of real ones' (tensorflow#126254): the channels of the result are in the wrong
order where the depth multiplier is not 1. The status of the judge is 1, and this script's is 0.
"""

import pathlib
import re
import subprocess
import sys

import tensorflow as tf


def forward(input, filter, **attributes):  # noqa: A002
    """`tf.raw_ops.DepthwiseConv2dNative`, but for the order of the channels."""
    output = tf.raw_ops.DepthwiseConv2dNative(input=input, filter=filter, **attributes)
    if attributes["data_format"] != "NHWC":
        return output
    channels, multiplier = filter.shape[2:]
    pixels = output.shape[:3]
    in_two = tf.reshape(output, [*pixels, channels, multiplier])
    return tf.reshape(tf.transpose(in_two, [0, 1, 2, 4, 3]), output.shape)


def main():
    # As on the command line: tf-dwbp conformance --target wrong_implementation:forward ...
    judge = [sys.executable, "-m", "tf_dwbp", "conformance", "--no-stock"]
    target = ["--target", f"{pathlib.Path(__file__).stem}:forward"]
    cells = [
        f"forward:float:NHWC:b2:9x8x3m{multiplier}:k3x3:s1x1:d1x1:{padding}"
        for multiplier in (1, 2)
        for padding in ("SAME", "VALID")
    ]
    done = subprocess.run(
        [*judge, *target, "--execution", "eager", "--case", *cells],
        cwd=pathlib.Path(__file__).parent,  # where the module is found
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    wrong = set(re.findall(r"^(forward:\S+)\n.*\bWRONG\b", done.stdout, re.M))
    print(f"exit status {done.returncode}; wrong:", *sorted(wrong), sep="\n  ")
    return 0 if done.returncode == 1 and wrong == {cell for cell in cells if "m2:" in cell} else 1


if __name__ == "__main__":
    sys.exit(main())
