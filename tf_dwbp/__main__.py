"""`python -m tf_dwbp` is the program `tf-dwbp`."""

import sys

from tf_dwbp import cli

if __name__ == "__main__":
    sys.exit(cli.main())
