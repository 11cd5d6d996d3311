"""`tf-dwbp fuzz`: the command line's view of the package."""

import argparse
import random
import sys

from tf_dwbp import _library, _native
from tf_dwbp.fuzz import case as cases
from tf_dwbp.fuzz import invalid, report
from tf_dwbp.fuzz.case import INTEGERS, Case
from tf_dwbp.fuzz.draw import Filters
from tf_dwbp.fuzz.pool import Broken, UnusableTarget
from tf_dwbp.fuzz.results import Plan
from tf_dwbp.fuzz.runner import Runner
from tf_dwbp.fuzz.ways import ANY, Ways
from tf_dwbp.tools import arrays, console, placement, problem, targets

_DESCRIPTION = """\
Makes random calls over all that the ops support, at sizes from 1 to whole layers. Half of them have
small integers, whose sums are exact: one answer is right, to the bit. Others are compared with
a float64 reference within a derived bound; Inf, NaN, denormals and the largest numbers are among
the data. The same bits must come from repeated calls, every number of threads, every execution, and
from AVX2 and AVX-512. Calls that are related must have related results: with operands scaled,
channels in another order, the batch in parts, padding as zeros, and gradients as adjoints. A share
of the calls goes to implementations that others come before, too. A call that fails is made as
small as possible and printed as a line that makes it again. Exit status: 0 if no call fails, 1 if
one does, 2 on wrong usage."""

_THREADS = (1, 2, 4)
_CASES = 1000  # unless told otherwise


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    for name, values in (
        ("op", problem.OPS),
        ("dtype", problem.DTYPES),
        ("layout", problem.LAYOUTS),
        ("execution", targets.EXECUTIONS),
    ):
        parser.add_argument(
            f"--{name}", nargs="+", choices=list(values), default=[], help=f"only these {name}s"
        )
    parser.add_argument(
        "--isa",
        nargs="+",
        default=[],
        metavar="ISA",
        help="only these instruction sets, of those that `tf-dwbp info` names",
    )
    parser.add_argument(
        "--impl",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"force these implementations, and skip what they decline; {ANY}: whatever takes a "
        f"call. Unless given, {ANY}, and of a share of the cases others that might take them",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=console.count,
        default=[],
        metavar="N",
        help=f"with so many threads: {' '.join(map(str, _THREADS))} unless given",
    )
    parser.add_argument(
        "--target",
        type=targets.argument,
        metavar="ours|stock|MODULE:FUNCTION",
        help="test our ops, stock TensorFlow's, or a function with an op's signature, the one of "
        "--op, input_grad unless given; eagerly, in one process, unless told otherwise. Ours "
        "unless given, stock's with --device",
    )
    placement.add_options(parser)
    arrays.add_option(parser)
    parser.add_argument(
        "--seed", type=_number, metavar="N", help="the same calls for the same seed"
    )
    parser.add_argument(
        "--start", type=_number, default=0, metavar="N", help="begin with the seed's case N"
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="a target whose repeated calls differ in any bit fails; our ops always do, others "
        "are only reported unless this is given",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--cases", type=console.count, metavar="N", help=f"how many; {_CASES} unless given"
    )
    length.add_argument("--minutes", type=_minutes, metavar="M", help="or how long")
    parser.add_argument(
        "--invalid",
        action="store_true",
        help="calls with something wrong: the error must name the argument, and its value or what "
        "was expected",
    )
    parser.add_argument("--data", choices=cases.KINDS, help="only such data")
    parser.add_argument(
        "--offset",
        nargs=2,
        type=_number,
        metavar="N",
        help="where both tensors begin, in elements behind a boundary of 64 bytes",
    )
    parser.add_argument(
        "--case",
        type=problem.argument,
        metavar="PROBLEM",
        help="one call, as printed for a failure",
    )
    parser.add_argument(
        "--change",
        action="append",
        type=_change,
        default=[],
        metavar="NAME=VALUE",
        help="break an argument of that call",
    )
    parser.add_argument(
        "--limit",
        type=console.count,
        default=120,
        metavar="SECONDS",
        help="that a call may take before it counts as hanging; 120 unless given",
    )
    parser.add_argument("--json", type=console.writable, metavar="FILE", help="write the findings")
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    plan = _plan(parser, arguments)
    print(f"seed {plan.seed}", file=sys.stderr)
    status = 0
    unit = "seconds" if plan.seconds else "cases"
    with console.Progress(unit) as progress:

        def update(results):
            done = results.seconds if plan.seconds else results.cases
            total = plan.seconds or plan.cases
            progress.update(f"{results.calls:,} calls", min(int(done), int(total)), int(total))

        def tell(failure):
            print(f"found, not shrunk yet: {report.line(failure)}", file=sys.stderr, flush=True)

        runner = Runner(plan, update, tell)
        try:
            if arguments.case:
                runner.run_one(_case(arguments), dict(arguments.change))
            else:
                runner.run()
        except UnusableTarget as error:
            parser.exit(2, console.complaint(parser.prog, f"cannot use {error}"))
        except Broken as error:
            last = str(error).strip().split("\n")[-1]
            print(f"tf-dwbp fuzz: a fault of this program in a worker: {last}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            runner.results.stopped = "by Ctrl-C"
            status = 130
    print("\n".join(report.summary(plan, runner.results)))
    if arguments.json:
        report.write_json(arguments.json, plan, runner.results)
        print(f"wrote {arguments.json}", file=sys.stderr)
    return status or (1 if runner.results.failures else 0)


def _plan(parser, arguments):
    _check_arrays(parser, arguments)
    ops = arguments.op
    arguments.target = placement.target_of(arguments)
    if arguments.target not in (None, targets.STOCK):
        ops = ops or ["input_grad"]
        if len(set(ops)) > 1:
            parser.error(f"{arguments.target} is one op's function: give one --op")
    if arguments.change and not arguments.case:
        parser.error("--change breaks the call that --case describes")
    if arguments.case and (arguments.invalid or arguments.cases or arguments.minutes):
        parser.error("--case is one call: without --invalid, --cases and --minutes")
    if arguments.case and arguments.case.epilogue and (arguments.target or arguments.change):
        parser.error("--case has an epilogue, which is for our ops, and not for --change")
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(10**6)
    timed = arguments.minutes is not None
    return Plan(
        target=arguments.target or "ours",
        ways=_ways(parser, arguments),
        filters=Filters(
            tuple(ops),
            tuple(arguments.dtype),
            tuple(arguments.layout),
            arguments.data,
            tuple(arguments.offset) if arguments.offset else None,
            epilogues=arguments.target is None,  # nobody else's function takes them
        ),
        seed=seed,
        start=arguments.start,
        cases=None if timed else arguments.cases or _CASES,
        seconds=60 * arguments.minutes if timed else None,
        invalid=arguments.invalid,
        limit_seconds=arguments.limit,
        placement=placement.of(arguments),
        deterministic=arguments.deterministic or not arguments.target,
    )


def _check_arrays(parser, arguments):
    arrays.check(parser, arguments)
    if arrays.of(arguments) != targets.NUMPY:
        return
    for name in ("isa", "impl", "invalid", "change"):
        if getattr(arguments, name):
            parser.error(f"--{name} has no place beside --arrays numpy: it is for TensorFlow's ops")
    if set(arguments.threads) - {1}:
        parser.error("--threads has no place beside --arrays numpy: it sets TensorFlow's threads")


def _ways(parser, arguments):
    """Ours is tested in all ways there are, anybody's function in the one it is called."""
    if arguments.target is None or arguments.isa or arguments.impl:
        _library.check_built()
    _check_names(parser, "isa", arguments.isa, _isas)
    invalid_only = arguments.invalid or arguments.change
    isas, threads, executions = arguments.isa, arguments.threads, arguments.execution
    if arguments.target or arguments.device:
        isas, threads = isas or [None], threads or [1]
        if arguments.device:
            executions = executions or ["eager", "function"]
        executions = executions or ["eager"]
    elif why := _library.build_info()["why_no_xla"]:
        if "jit" in executions:
            parser.error(f"cannot test our ops under jit: built without XLA kernels: {why}")
        executions = executions or ["eager", "function"]
    if invalid_only:
        isas, threads = isas or [None], threads or [1, 4]
    isas = isas or _isas()
    if arguments.target is None or arguments.impl:
        _library.load_or_exit()  # which alone knows the names of implementations
    _check_names(parser, "impl", arguments.impl, _implementations)
    forced = arguments.impl or [ANY]
    if not (
        arguments.impl or arguments.target or arguments.device or invalid_only or arguments.case
    ):
        forced = [ANY, *_others()]
    return Ways(
        tuple(dict.fromkeys(isas)),
        tuple(dict.fromkeys(threads or _THREADS)),
        tuple(name for name in targets.EXECUTIONS if name in executions or not executions),
        tuple(None if name == ANY else name for name in dict.fromkeys(forced)),
    )


def _check_names(parser, option, names, known):
    """Refuses instruction sets or implementations that our ops do not have."""
    for name in names:
        if name not in known():
            parser.error(f"argument --{option}: {name!r} is none of {', '.join(known())}")


def _isas():
    return _library.build_info()["cpu_isas"]


def _implementations():
    lists = _native.implementations().values()
    return list(dict.fromkeys([ANY, *(name for names in lists for name in names)]))


def _others():
    """Implementations that could compute calls which others, earlier in the list, take.

    The first is for results without products, and the second takes all that it does not decline.
    """
    lists = _native.implementations().values()
    return list(dict.fromkeys(name for names in lists for name in names[2:]))


def _case(arguments):
    offsets = tuple(arguments.offset or (0, 0))
    return Case(arguments.case, arguments.data or INTEGERS, arguments.seed or 0, offsets)


def _change(text):
    try:
        return invalid.parse_change(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text):
    return console.count(text, least=0)


def _minutes(text):
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 0 < minutes <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return minutes
