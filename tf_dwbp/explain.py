"""`tf-dwbp explain`: which implementation computes a problem on this machine, how, and why."""

import json

from tf_dwbp import _library, _native
from tf_dwbp.tools import console, process

_DESCRIPTION = """\
Tells which implementation computes a problem on this machine's CPU, how it cuts the work, how much
memory it wants besides, what it reads, writes and computes, and why the others are not taken.
Nothing is computed. The environment variable TF_DWBP_IMPL forces an implementation. Exit status: 0;
1 if the forced one does not compute the problem; 2 on wrong usage."""

_EPILOG = """\
A problem is op, dtype, layout, batch, height x width x channels with the depth multiplier, filter,
strides, dilations (rows first) and padding:
input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME, or at the end EXPLICIT(top,bottom,left,
right). Of the forward op, an epilogue may follow, such as :bias, :relu6 or :bias+leaky_relu(0.2).
All commands take such texts, and TF_DWBP_VERBOSE=1 prints them."""


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument("problem", metavar="PROBLEM", help="its text")
    parser.add_argument(
        "--threads",
        type=console.count,
        default=process.cores(),
        metavar="N",
        help="for so many; default: every core (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    _library.check_built()
    # Here, since NumPy takes its time and --help does not need it.
    from tf_dwbp.tools import problem

    try:
        problem.parse(arguments.problem)  # as the library does, but at once
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    _library.load_or_exit()
    status, text = _native.explain(arguments.problem, arguments.threads)
    if status == _native.NO_PROBLEM:
        parser.exit(2, f"{parser.prog}: {text}\n")
    found = read(text)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(describe(found)))
    return 0 if status == _native.EXPLAINED else 1


def read(text: str) -> dict:
    """What the library's lines of "name: value" say, as plain data.

    Returns:
      `problem`; `device` (kind, instruction set, workers); `implementation`, or why there is none;
      with one, `plan` and `workspace_bytes`; `bytes` that are read and written; `flops`; `others`,
      name -> why it is not taken.
    """
    lines = dict(line.split(": ", 1) for line in text.split("\n"))
    op = lines["problem"].partition(":")[0]
    names = _native.implementations()[op]
    found = {name: value for name, value in lines.items() if name not in names}
    for name in ("bytes", "flops"):
        found[name] = int(found[name])
    if "workspace" in found:
        found["workspace_bytes"] = int(found.pop("workspace").removesuffix(" bytes"))
    return found | {"others": {name: lines[name] for name in names if name in lines}}


def describe(found: dict) -> list[str]:
    """The same as aligned lines, for people."""
    rows = [("problem", found["problem"]), ("device", found["device"])]
    rows.append(("implementation", found["implementation"]))
    if "plan" in found:
        rows += zip(["plan", *[""] * 9], found["plan"].split("; "), strict=False)
        rows.append(("workspace", f"{found['workspace_bytes']:,} bytes"))
    rows.append(("in and out", f"{found['bytes']:,} bytes"))
    each = f", {found['flops'] / found['bytes']:.2g} a byte" if found["bytes"] else ""
    rows.append(("arithmetic", f"{found['flops']:,} flops{each}"))
    others = zip(["others", *[""] * 9], found["others"].items(), strict=False)
    width = max(map(len, found["others"]), default=0)
    rows += [(title, f"{name:<{width}}  {why}") for title, (name, why) in others]
    return [f"{title:<14}  {value}" for title, value in rows]
