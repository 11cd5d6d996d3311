"""Builds and runs the C++ tests, which need no TensorFlow; --sanitize: under ASan and UBSan."""

import argparse
import os
import subprocess
import sys

from build_support import native

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitize", action="store_true")
    try:
        program = native.build_core_test(parser.parse_args().sanitize)
    except native.BuildError as error:
        sys.exit(str(error))
    for target in native.cpu_targets():
        print(f"With the kernels for {target}:", flush=True)
        environment = os.environ | {"TF_DWBP_CPU_ISA": target}
        if subprocess.run([program], cwd=native.ROOT, env=environment).returncode != 0:
            sys.exit(1)
