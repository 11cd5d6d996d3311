"""`tf-dwbp info`: what this installation was built with, and whether it works here.

Needs neither the library nor TensorFlow: it is for where these fail, too.
"""

import json
import pathlib
import platform

from tf_dwbp import _library
from tf_dwbp._version import __version__

_DESCRIPTION = """\
Prints what the package was built with: TensorFlow's version, the compiler, the CPU instruction
sets, CUDA's version and architectures, and whether XLA compiles the ops, as tf_dwbp.build_info()
returns them. And which TensorFlow is installed, and why the ops' library cannot be loaded, if so:
as far as that shows without loading anything. Exit status: 0; 2 if it cannot be loaded."""


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--load", action="store_true", help="load TensorFlow and the library, too")
    parser.set_defaults(run=run)


def run(options) -> int:
    """Prints the description of the build, and what stands in its way."""
    try:
        build, problem = _library.build_info(), _library.problem()
        if options.load and build["native"] and problem is None:
            _library.load()
    except (ImportError, ValueError) as error:
        problem = str(error)
        try:
            build = _library.build_info()
        except ImportError:  # damaged, or missing
            build = {}
    found = {
        "version": __version__,
        "python": platform.python_version(),
        "tensorflow_installed": _library.installed_tensorflow(),
        "problem": problem,
    }
    if options.json:
        print(json.dumps(build | found, indent=2))
    else:
        loaded = " has been loaded" if options.load else " can be loaded, it seems (--load tries)"
        print("\n".join(describe(build, found, f"the ops' library{loaded}")))
    return 2 if problem else 0


def describe(build: dict, found: dict, fine: str) -> list[str]:
    """A line for each thing.

    Args:
      build: what `tf_dwbp.build_info()` returns, or nothing.
      found: what `tf-dwbp info --json` says beside it.
      fine: what to say where there is no problem.
    """
    folder = pathlib.Path(__file__).parent
    lines = [
        f"tf_dwbp     {found['version']} in {folder}",
        f"Python      {found['python']}",
        f"installed   {_tensorflow(found['tensorflow_installed'])}",
    ]
    if not build:
        return [*lines, f"problem     {found['problem']}"]
    if not build["native"]:
        text = "none: built with TF_DWBP_NATIVE=0; conformance and fuzz judge others"
        return [*lines, f"ops         {text}"]
    if build["cuda_version"] is None:
        cuda = "none: without GPU kernels"
    else:
        archs = ", ".join(f"sm_{arch}" for arch in build["cuda_architectures"])
        cuda = f"{build['cuda_version']}, kernels for {archs} and newer GPUs"
    xla = "jit_compile=True works" if build["xla"] else f"none: {build['why_no_xla']}"
    return [
        *lines,
        "",
        "built with",
        f"TensorFlow  {build['tensorflow_version']}",
        f"compiler    {build['compiler']}",
        f"CPU         {', '.join(build['cpu_isas'])}",
        f"CUDA        {cuda}",
        f"XLA         {xla}",
        "",
        f"problem     {found['problem']}" if found["problem"] else fine,
    ]


def _tensorflow(version):
    return "no TensorFlow" if version is None else f"TensorFlow {version}"
