"""`tf-dwbp bench`: the command line's view of the package."""

import sys

from tf_dwbp import _library
from tf_dwbp.bench import call, docs, peers, runner, shapes
from tf_dwbp.bench.results import Plan, Run
from tf_dwbp.bench.training import TrainingPlan, TrainingRun
from tf_dwbp.tools import console, digits, epilogue, problem, process, run_files, targets
from tf_dwbp.tools.models import MODELS, POLICIES

_DESCRIPTION = """\
Times an op beside another implementation and beside a copy of the same bytes: whole calls, overhead
included, the two alternated in short blocks in one process. Before a shape is timed, their answers
are compared. Exit status: 0; 1 if ours failed; 2 on wrong usage, or where the process that measures
cannot be started or a file not be written."""

_TRAIN_DESCRIPTION = """\
Whole training steps of Keras's applications, by stock's ops and by ours, and the share that
depthwise ops have in them; on handwritten digits that scikit-learn brings along. The models are
those of `tf-dwbp train`."""

# What only one of the two kinds of benchmark takes.
_OF_OPS = ("op", "dtype", "layout", "peer", "execution", "cold", "epilogue")
_OF_OPS += ("shapes", "group", "case")
_OF_CASES = ("op", "dtype", "layout", "epilogue", "shapes")  # what a problem says
_OF_TRAINING = ("model", "policy", "image_size", "batch", "batch_norm")

_EPILOG = """\
Peers: onednn, eigen: stock TensorFlow with its oneDNN switch on or off, for ours as well. xla:
stock TensorFlow's ops compiled by XLA. torch: PyTorch, channels_last for NHWC. litert (NHWC), ort
and openvino (NCHW, whatever --layout says of ours): LiteRT, ONNX Runtime and OpenVINO, of the
forward op, the filter packed in advance. These four are called in a process of their own. copy:
memory. relu: TensorFlow's simplest op, on a tensor with as many bytes to read and write. dilated:
tf.nn.depthwise_conv2d with dilations, or its gradient, which go through SpaceToBatch. ours-eager,
ours-function, ours-jit: our ops, called in that way whatever --execution says. The op backward is
input_grad and filter_grad, one after the other."""


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    for name, values in (
        ("op", list(call.OPS)),
        ("dtype", sorted(call.DTYPES, key=lambda name: name != "float32")),
        ("layout", problem.LAYOUTS),
        ("peer", [*peers.PEERS, peers.COPY]),
    ):
        parser.add_argument(
            f"--{name}", choices=values, default=values[0], help="default: %(default)s"
        )
    parser.add_argument(
        "--execution",
        choices=targets.EXECUTIONS,
        default=targets.EAGER,
        help="how ours is called: eagerly, from a tf.function or from one that XLA compiles; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--cold",
        action="store_true",
        help="each call takes other tensors, so that it finds nothing in the caches, as in a "
        "network; the copy as well",
    )
    parser.add_argument(
        "--epilogue",
        type=epilogue.argument,
        metavar="TEXT",
        help="give the forward op a bias, an activation or both, such as bias+relu6. It is called "
        f"{peers.CALLS_IN_GRAPH} times, with --cold with all tensors, in a tf.function; stock's is "
        "its fused op, which it has in graphs alone",
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=[],
        metavar="SUBSTRING",
        help="only shapes whose names contain all of these",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--group", choices=shapes.GROUPS, help="only the shapes of this group")
    group.add_argument(
        "--case",
        type=problem.argument,
        metavar="PROBLEM",
        help="only this problem, which says op, dtype and layout as well; for its text see "
        "`tf-dwbp explain --help`",
    )
    group.add_argument(
        "--quick",
        action="store_const",
        const=shapes.QUICK,
        dest="group",
        help="a few shapes of all kinds; the same as --group quick",
    )
    training = parser.add_argument_group("whole training steps", _TRAIN_DESCRIPTION)
    training.add_argument("--train", action="store_true", help="time these instead")
    training.add_argument(
        "--model", nargs="+", choices=MODELS, metavar="MODEL", help=f"of {', '.join(MODELS)}"
    )
    training.add_argument(
        "--policy", choices=POLICIES, default=POLICIES[0], help="Keras's; default: %(default)s"
    )
    for name, text in (("image-size", "height and width of images"), ("batch", "images a step")):
        training.add_argument(
            f"--{name}", type=console.count, metavar="N", help=f"{text}; default: by model"
        )
    console.add_batch_norm(training)
    parser.add_argument(
        "--docs",
        nargs="?",
        const=".",
        type=docs.folder,
        metavar="FOLDER",
        help="measure all that docs/speed.md and README.md tell, and put its tables, picture and "
        "sentence there; FOLDER is a clone of the repository, default: the current folder. With "
        "--quick a few shapes of each kind, to see it work",
    )
    parser.add_argument(
        "--threads",
        type=console.count,
        default=process.cores(),
        metavar="N",
        help="for both contenders and the copy; default: every core (%(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=console.count,
        default=11,
        metavar="N",
        help="blocks of each contender; default: 11",
    )
    run_files.add_options(parser, _from_json, "every block's time", "time against bytes")
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    loaded = arguments.load
    if arguments.plot and (arguments.train or isinstance(loaded, TrainingRun)):
        parser.error("--plot draws single ops; `tf-dwbp train --compare --plot` draws training")
    if arguments.plot and (arguments.docs or isinstance(loaded, docs.Measurement)):
        parser.error(f"--plot draws one run; --docs draws its own, {docs.PICTURE}")
    if arguments.docs and loaded and not isinstance(loaded, docs.Measurement):
        parser.error("--docs takes of --load what --docs --json wrote, not a single run")
    if arguments.docs and loaded and loaded.missing:
        parser.error(f"--load: {loaded.missing} runs are missing, since --docs was cut off")
    run = loaded or _measure(parser, arguments)
    # Here, since a usage error is to be said at once.
    from tf_dwbp.bench import plot, report

    complete = run_files.write(arguments, run.save, lambda path: plot.draw(run, path))
    if isinstance(run, docs.Measurement):
        complete &= not arguments.docs or _write_docs(arguments.docs, run)
        report.show_docs(run)
    else:
        (report.show_training if isinstance(run, TrainingRun) else report.show)(run)
    return 2 if not complete else 1 if run.failed else 0


def _write_docs(root, measurement):
    from tf_dwbp.bench import plot

    drawn = measurement.run(docs.DRAWN)
    writers = [(root / docs.PICTURE, lambda path: plot.draw(drawn, path))]
    for page in docs.PARTS:
        writers.append((root / page, lambda _, page=page: docs.write_page(root, page, measurement)))
    return console.write_files(writers)


def _measure(parser, arguments):
    _library.check_built()
    for name in _OF_OPS if arguments.train else _OF_TRAINING:
        if getattr(arguments, name) != parser.get_default(name):
            place = "no place beside" if arguments.train else "a place only beside"
            parser.error(f"--{name.replace('_', '-')} has {place} --train")
    measure = _measure_training if arguments.train else _measure_ops
    if arguments.docs:
        measure = _measure_docs
    try:
        return measure(parser, arguments)
    except runner.Failed as error:
        parser.exit(2, f"{parser.prog}: the process that measures ended: {error}\n")


def _measure_training(parser, arguments):
    names = ("threads", "rounds", "policy", "image_size", "batch", "batch_norm")
    plan = TrainingPlan(**{name: getattr(arguments, name) for name in names})
    models = list(dict.fromkeys(arguments.model or MODELS))
    for name in models:
        image_size, batch = plan.sizes(name)
        if reason := MODELS[name].refusal(image_size, batch):
            parser.error(reason)
    if reason := digits.missing():
        parser.error(reason)
    _library.load_or_exit()
    with console.Progress("models") as progress:
        return runner.run_training(plan, models, progress.update)


def _measure_docs(parser, arguments):
    for name in ("train", *_OF_OPS):
        given = getattr(arguments, name)
        if given != parser.get_default(name) and (name, given) != ("group", shapes.QUICK):
            parser.error(f"--docs says what is measured: --{name} has no place beside it")
    for peer in dict.fromkeys(figure.peer for figure in docs.figures()):
        if reason := peers.missing(peer):
            parser.error(f"--docs needs --peer {peer}: {reason}")
    _library.load_or_exit()
    quick = arguments.group == shapes.QUICK
    with console.Progress("shapes") as progress:
        return docs.measure(
            arguments.threads,
            arguments.rounds,
            quick,
            progress.update,
            lambda found: arguments.json and found.save(arguments.json),
        )


def _measure_ops(parser, arguments):
    if arguments.case:
        for name in _OF_CASES:
            if getattr(arguments, name) != parser.get_default(name):
                parser.error(f"--case says all of a call: --{name} has no place beside it")
        vars(arguments).update(call.fields_of(arguments.case))
        selected = [shapes.Given(str(arguments.case))]
    else:
        selected = shapes.select(arguments.shapes, arguments.group)
    arguments.epilogue = arguments.epilogue or ""  # as a plan has it
    if arguments.epilogue:
        _check_epilogue(parser, arguments)
    if not selected:
        models = ", ".join(dict.fromkeys(shape.model for shape in shapes.SHAPES))
        parser.error(
            f"no shape{f' of the group {arguments.group}' if arguments.group else ''} has a name "
            f"with --shapes {' '.join(arguments.shapes)}; names look like "
            f"{shapes.SHAPES[0].name}, and the models are {models}"
        )
    if arguments.peer in peers.PEERS and peers.PEERS[arguments.peer].only_dilated:
        dilated = [shape for shape in selected if shape.dilation > 1]
        if not dilated:
            parser.error(f"--peer {arguments.peer} is for dilated shapes; none is selected")
        left_out = len(selected) - len(dilated)
        print(f"{left_out} shapes without dilation are left out", file=sys.stderr)
        selected = dilated
    # Last: a call that makes no sense is refused alike wherever it is made.
    if reason := peers.missing(arguments.peer, arguments.execution):
        with_jit = " with --execution jit" if arguments.execution == targets.JIT else ""
        parser.error(f"cannot use --peer {arguments.peer}{with_jit}: {reason}")
    names = ("peer", "dtype", "layout", "threads", "rounds", "op", "execution", "cold", "epilogue")
    plan = Plan(**{name: getattr(arguments, name) for name in names})
    _library.load_or_exit()
    with console.Progress("shapes") as progress:
        return runner.run(plan, selected, progress.update)


def _check_epilogue(parser, arguments):
    if arguments.op != "forward":
        parser.error(f"--epilogue is the forward op's: add --op forward, not {arguments.op}")
    if arguments.execution != targets.EAGER:
        parser.error(
            "an op with an epilogue is called from a tf.function: --execution has no place beside"
        )
    if arguments.peer not in peers.FOR_EPILOGUES:
        names = ", ".join(peers.FOR_EPILOGUES)
        parser.error(f"--peer {arguments.peer} has no op with an epilogue: choose from {names}")


def _from_json(saved):
    kinds = {"training": TrainingRun, "docs": docs.Measurement}
    kind = next((kind for name, kind in kinds.items() if name in saved), Run)
    run = kind.from_json(saved)
    run.to_json()  # its figures can be computed: the values have the types that they should
    return run
