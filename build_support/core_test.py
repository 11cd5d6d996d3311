"""Builds and runs the C++ tests, which need no TensorFlow; --sanitize: under ASan and UBSan."""

import argparse
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
    sys.exit(subprocess.run([program], cwd=native.ROOT).returncode)
