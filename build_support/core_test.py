"""Builds and runs the C++ tests, which need no TensorFlow, with the kernels of each target.

--sanitize: under AddressSanitizer and UBSan.
--old-cpu: under qemu, as a processor of 2008: what needs a later one must not be executed there.
--gpu: the GPU kernels, on an emulated GPU, under both.
--aarch64: with a cross compiler (aarch64-linux-gnu-g++ unless CXX says otherwise), under qemu.
"""

import argparse
import os
import subprocess
import sys

from build_support import native

# Of the longest tests, an emulator takes one case in so many. No loop's length divides by it, so
# that all values of all loops have their turn.
_EMULATED = {"TF_DWBP_TEST_ONE_OF": "7"}


def _run(command: list, what: str, **environment: str) -> None:
    print(f"{what}:", flush=True)
    done = subprocess.run(command, cwd=native.ROOT, env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f"{what}: exit status {done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    how = parser.add_mutually_exclusive_group()
    for option in ("--sanitize", "--old-cpu", "--gpu", "--aarch64"):
        how.add_argument(option, action="store_true")
    options = parser.parse_args()

    if options.aarch64:
        os.environ.setdefault("CXX", "aarch64-linux-gnu-g++")
        program = native.build_core_test(machine="aarch64")
        _run(["qemu-aarch64", program], "With the kernels for aarch64", **_EMULATED)
        return
    if options.gpu:
        _run([native.build_gpu_test()], "The GPU kernels, emulated")
        return
    program = native.build_core_test(options.sanitize)
    if options.old_cpu:
        # Even if asked for more than it has.
        command = ["qemu-x86_64", "-cpu", "Nehalem", program]
        _run(command, "On a Nehalem, asked for AVX-512", TF_DWBP_CPU_ISA="avx512", **_EMULATED)
        return
    for target in native.cpu_targets():
        _run([program], f"With the kernels for {target}", TF_DWBP_CPU_ISA=target)


if __name__ == "__main__":
    try:
        main()
    except native.BuildError as error:
        sys.exit(str(error))
