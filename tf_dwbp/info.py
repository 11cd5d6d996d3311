"""`tf-dwbp info`: what this installation was built with."""

import json

from tf_dwbp import _library


def register(subparsers) -> None:
    """Adds the subcommand to `tf-dwbp`."""
    parser = subparsers.add_parser(
        "info",
        help="tell what the package was built with",
        description="Prints TensorFlow's version, the compiler, the CPU instruction sets, and "
        "CUDA's version and architectures, and whether XLA compiles the ops, as "
        "tf_dwbp.build_info() returns them.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options) -> int:
    """Prints the description of the build."""
    info = _library.build_info()
    if options.json:
        print(json.dumps(info, indent=2))
        return 0
    for line in describe(info):
        print(line)
    return 0


def describe(info: dict) -> list[str]:
    """A line for each thing that the build depends on."""
    if not info["native"]:
        return ["ops         none: built with TF_DWBP_NATIVE=0; conformance and fuzz judge others"]
    if info["cuda_version"] is None:
        cuda = "none: without GPU kernels"
    else:
        archs = ", ".join(f"sm_{arch}" for arch in info["cuda_architectures"])
        cuda = f"{info['cuda_version']}, kernels for {archs} and newer GPUs"
    xla = "jit_compile=True works" if info["xla"] else f"none: {info['why_no_xla']}"
    return [
        f"TensorFlow  {info['tensorflow_version']}",
        f"compiler    {info['compiler']}",
        f"CPU         {', '.join(info['cpu_isas'])}",
        f"CUDA        {cuda}",
        f"XLA         {xla}",
    ]
