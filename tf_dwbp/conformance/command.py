"""`tf-dwbp conformance`: the command line's view of the package."""

import dataclasses
import functools
import itertools
import sys

from tf_dwbp import build_info
from tf_dwbp.conformance import cases, expectations
from tf_dwbp.tools import arrays, console, placement, problem, targets

_DESCRIPTION = """\
Computes every cell of a matrix of configurations with each op that is judged and with stock
TensorFlow's Eigen, oneDNN and XLA implementations, and compares each answer with a float64
reference. On a tenth of the cells, in which every pair of values is met, the gradients of our ops
and the gradients of these are compared too. Our ops are called eagerly, from a tf.function and from
one that XLA compiles. Exit status: 0 if every answer judged agrees, or fails as --expect says, 1 if
not, 2 on wrong usage, or where a file cannot be written."""

# The axes whose values have names that options can take.
_AXES = {
    name: values
    for name, values in cases.AXES.items()
    if all(isinstance(value, str) for value in values)
}
# What chooses cells, which --case does.
_FILTERS = (
    "op",
    *(name for name in _AXES if name not in cases.BESIDE),
    "epilogue",
    "quick",
    "size",
)
_NONE, _ANY = "none", "any"
_EPILOGUES = {str(epilogue): epilogue for epilogue in cases.EPILOGUES}


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--target",
        type=targets.argument,
        metavar="ours|stock|MODULE:FUNCTION",
        help="judge our ops, stock TensorFlow, or any function with an op's signature; ours unless "
        "given, stock's with --device",
    )
    placement.add_options(parser)
    arrays.add_option(parser)
    parser.add_argument(
        "--stock", action="store_true", help="ask stock TensorFlow beside --arrays numpy too"
    )
    parser.add_argument(
        "--op",
        nargs="+",
        choices=cases.OPS,
        default=[],
        help="only these ops; the one of MODULE:FUNCTION, input_grad unless given",
    )
    parser.add_argument(
        "--order",
        nargs="+",
        type=int,
        choices=cases.ORDERS,
        default=[],
        help="only the ops themselves (0), their gradients (1) or the gradients of these (2); "
        "all of our ops, 0 of another target",
    )
    for name, values in _AXES.items():
        parser.add_argument(
            f"--{name}", nargs="+", choices=list(values), default=[], help=f"only these {name}s"
        )
    parser.add_argument(
        "--epilogue",
        nargs="+",
        choices=[_NONE, _ANY, *_EPILOGUES],
        default=[],
        metavar="EPILOGUE",
        help=f"only ops without an epilogue ({_NONE}), or forward ops with these, such as "
        f"bias+relu6, or with {_ANY}; all of our ops, {_NONE} of another target",
    )
    parser.add_argument(
        "--execution",
        nargs="+",
        choices=targets.EXECUTIONS,
        default=[],
        help="call what is judged eagerly, from a tf.function, or from one that XLA compiles "
        "(jit); our ops in all three ways, which must lead to the same bits, others eagerly",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the small cells; every pair of values meets",
    )
    parser.add_argument(
        "--size",
        nargs="+",
        choices=cases.SIZES,
        default=[],
        help="only small shapes, or only shapes of real size, which only what is judged is asked "
        "for; both, but with --quick small ones",
    )
    parser.add_argument(
        "--case",
        nargs="+",
        type=problem.argument,
        default=[],
        metavar="PROBLEM",
        help="only these calls, as printed for a cell that fails; with --order their gradients",
    )
    parser.add_argument(
        "--seed",
        type=lambda text: console.count(text, least=0),
        default=0,
        metavar="N",
        help="draw other tensors; each cell's come from its problem, its order and N, 0 unless "
        "given",
    )
    parser.add_argument(
        "--no-stock", action="store_true", help="leave out stock TensorFlow, unless it is judged"
    )
    parser.add_argument(
        "--expect",
        type=expectations.argument,
        metavar="FILE",
        help="what is known to fail (docs/expectations.md): the exit status is 0 if just that does",
    )
    parser.add_argument(
        "--write-expect",
        type=console.writable,
        metavar="FILE",
        help="write such a file of what fails",
    )
    for suffix, what in (
        ("json", "every verdict with its evidence"),
        ("html", "a report to look at in a browser"),
        ("junit", "a JUnit report for CI systems"),
        ("markdown", "the tables as Markdown; in a page that has the marks of them, there"),
    ):
        parser.add_argument(
            f"--{suffix}", type=console.writable, metavar="FILE", help=f"write {what}"
        )
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    arrays.check(parser, arguments)
    target = arguments.target = placement.target_of(arguments)
    place = placement.of(arguments)
    if target is None and not build_info()["native"]:
        parser.exit(
            2,
            f"{parser.prog}: built with TF_DWBP_NATIVE=0, without ops to judge: give --target "
            "stock or --target MODULE:FUNCTION\n",
        )
    ops, orders = arguments.op or _ops(arguments.case), arguments.order
    if target is not None:
        orders = orders or [0]
    if target not in (None, targets.STOCK):
        ops = ops or ["input_grad"]
        if len(set(ops)) > 1:
            parser.error(f"{target} is one op's function: give one --op, not {', '.join(ops)}")
    executions = _executions(parser, arguments)
    selected = _given(parser, arguments) or _selected(arguments, ops, orders)
    if not selected:
        parser.error(
            "no cell has all of these values: gradients are of small shapes, epilogues of the "
            "forward op"
        )
    selected = [dataclasses.replace(case, seed=arguments.seed) for case in selected]
    # Here, since a usage error is to be said at once.
    from tf_dwbp.conformance import compact, export, repeat, runner, terminal

    try:
        with console.Progress("cells") as progress:
            run = runner.run(
                selected,
                target,
                progress.update,
                stock=_stock(arguments),
                executions=executions,
                placement=place,
            )
    except runner.UnusableTarget as error:
        parser.exit(2, console.complaint(parser.prog, f"cannot use {error}"))
    run.options = repeat.options(arguments)
    known = compact.to_text(run, compact.entries(run)) if arguments.write_expect else ""
    if arguments.expect:
        arguments.expect.apply(run)
    # Files first: a terminal that is gone must not cost the minutes that the run took.
    complete = console.write_files(
        [
            (getattr(arguments, suffix), functools.partial(write, run))
            for suffix, write in export.WRITERS.items()
        ]
        + [(arguments.write_expect, functools.partial(compact.write, known))]
    )
    terminal.show(run)
    return 2 if not complete else 1 if run.failing else 0


def _ops(problems):
    return list(dict.fromkeys(given.op for given in problems))


def _given(parser, arguments):
    """The cases that are given as texts."""
    if not arguments.case:
        return []
    for name in _FILTERS:
        if getattr(arguments, name):
            parser.error(f"--case says all of a call: --{name} has no place beside it")
    for given in arguments.case:
        if given.epilogue and any(arguments.order):
            parser.error(f"--order: no gradients are judged of an op with an epilogue: {given}")
    beside = {name: getattr(arguments, name) for name in cases.BESIDE if name != "seed"}
    values = [values or [cases.BESIDE[name]] for name, values in beside.items()]
    found = (
        cases.Case.of(given, **dict(zip(beside, combination, strict=True)))
        for given in arguments.case
        for combination in itertools.product(*values)
    )
    return list(dict.fromkeys(found))


def _selected(arguments, ops, orders):
    """The cases that have the values asked for."""
    sizes = arguments.size or ([cases.SMALL_SIZE] if arguments.quick else [])
    axes = {name: getattr(arguments, name) for name in _AXES}
    named = {_NONE: [cases.NO_EPILOGUE], _ANY: cases.EPILOGUES}
    named |= {name: [epilogue] for name, epilogue in _EPILOGUES.items()}
    asked = arguments.epilogue
    if not asked and arguments.target is not None:
        asked = [_NONE]  # nobody but us offers all of them
    return cases.select(
        quick=arguments.quick,
        ops=ops,
        orders=orders,
        sizes=sizes,
        epilogues=[epilogue for name in asked for epilogue in named[name]],
        **axes,
    )


def _stock(arguments):
    """Whether stock is asked too. Where TensorFlow is not installed, says so, and it is not."""
    if arrays.of(arguments) == targets.TENSORFLOW:
        return not arguments.no_stock
    if arguments.stock and not targets.has_tensorflow():
        print("without stock TensorFlow, which is not installed", file=sys.stderr)
        return False
    return arguments.stock


def _executions(parser, arguments):
    """The ways to call what is judged, in their own order."""
    asked = arguments.execution
    if arguments.device:
        asked = asked or [targets.EAGER, targets.FUNCTION]
    elif asked and arguments.target == targets.STOCK:
        parser.error("stock is judged by its implementations: --execution is for other targets")
    if arguments.target is not None:
        asked = asked or [targets.EAGER]
    elif why := build_info()["why_no_xla"]:
        if targets.JIT in asked:
            parser.error(f"cannot judge our ops under jit: built without XLA kernels: {why}")
        print(f"without jit, since built without XLA kernels: {why}", file=sys.stderr)
        asked = asked or [targets.EAGER, targets.FUNCTION]
    return [name for name in targets.EXECUTIONS if name in asked or not asked]
