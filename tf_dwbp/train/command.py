"""`tf-dwbp train`: the command line's view of the package."""

import argparse
import functools

from tf_dwbp import _library
from tf_dwbp.tools import console, digits, process, run_files
from tf_dwbp.tools.models import MODELS, POLICIES

_ALL = "all"

_DESCRIPTION = """\
Trains Keras's applications on handwritten digits that scikit-learn brings along, from random
weights, by our depthwise ops or by stock TensorFlow's. With --compare both, each step in turn, from
one checkpoint, with the same batches and dropout: their losses must agree within a bound that a
third training gives, stock's from weights changed in their last bit. Exit status: 0; 1 if the bound
was exceeded, a loss was not finite or the wrong ops ran; 2 on wrong usage, or where a file cannot
be written."""

_EPILOG = """\
Not as in keras.applications: ConvNeXt's depthwise convolutions, Conv2D(groups=channels) there, for
which stock has XLA only, are DepthwiseConv2D layers of the same weights; BatchNormalization's
momentum is 0.9, LayerScale begins at 0.1. The optimizer is SGD with momentum: Adam would hide a
gradient of a wrong size. The learning rate is 0.01 in the warm-up and 0.003 after."""


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument(
        "--model",
        nargs="+",
        choices=[*MODELS, _ALL],
        default=["mobilenet"],
        metavar="MODEL",
        help=f"some of {', '.join(MODELS)}, or {_ALL}; default: mobilenet",
    )
    parser.add_argument(
        "--swap",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="by our ops, which is the default, or by stock's",
    )
    console.add_batch_norm(parser)
    parser.add_argument("--compare", action="store_true", help="both ways, and say how they differ")
    from_none = functools.partial(console.count, least=0)
    for name, type_, text in (
        ("warm-up", from_none, "steps at the higher learning rate; by stock's ops with --compare"),
        ("steps", _steps, "steps after these"),
        ("batch", console.count, "images a step"),
        ("image-size", console.count, "height and width that images are enlarged to"),
    ):
        parser.add_argument(f"--{name}", type=type_, metavar="N", help=f"{text}; default: by model")
    parser.add_argument("--seed", type=from_none, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--policy", choices=POLICIES, default=POLICIES[0], help="Keras's; default: %(default)s"
    )
    run_files.add_options(
        parser, _from_json, "every loss and step time", "losses, differences and step times"
    )
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    runs, machine = arguments.load or _train(parser, arguments)
    # Here, since a usage error is to be said at once.
    from tf_dwbp.train import plot, report, results

    complete = run_files.write(
        arguments,
        lambda path: results.save(runs, machine, path),
        lambda path: plot.draw(runs, machine, path),
    )
    report.show(runs, machine)
    return 2 if not complete else 1 if any(run.faults() for run in runs) else 0


def _train(parser, arguments):
    if arguments.compare and arguments.swap is not None:
        parser.error("--compare trains both ways: --swap and --no-swap have no place beside it")
    if arguments.batch_norm and arguments.swap is False:
        parser.error("--batch-norm is part of the swap: it has no place beside --no-swap")
    plans = [_plan(parser, arguments, name) for name in _names(arguments.model)]
    if reason := digits.missing():
        parser.error(reason)

    _library.load_or_exit()
    from tf_dwbp.tools import machine
    from tf_dwbp.train import compare

    runs = []
    for plan in plans:
        with console.Progress(f"steps of {plan.model}") as progress:
            if arguments.compare:
                runs.append(compare.compare(plan, progress.update))
            else:
                swapped = arguments.swap is not False
                runs.append(compare.train(plan, swapped, progress.update))
    return runs, machine.describe(process.cores())


def _names(chosen):
    return list(MODELS) if _ALL in chosen else list(dict.fromkeys(chosen))


def _plan(parser, arguments, name):
    from tf_dwbp.train.results import Plan

    model = MODELS[name]
    defaults = {
        option: getattr(model, option) if given is None else given
        for option in ("warm_up", "steps", "batch", "image_size")
        for given in [getattr(arguments, option)]
    }
    if reason := model.refusal(defaults["image_size"], defaults["batch"]):
        parser.error(reason)
    given = {option: getattr(arguments, option) for option in ("seed", "policy", "batch_norm")}
    return Plan(name, **given, **defaults)


def _steps(text):
    """Two at least, since the first one's time does not count."""
    return console.count(text, least=2)


def _from_json(saved):
    from tf_dwbp.train import results

    runs, machine = results.from_json(saved)
    for run in runs:
        run.to_json()  # its figures can be computed: the values have the types that they should
    return runs, machine
