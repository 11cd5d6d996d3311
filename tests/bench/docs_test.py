"""`tf-dwbp bench --docs`: the parts of the pages that are made, and the command that makes them."""

import contextlib
import importlib.util
import io
import json
import pathlib
import re
import shutil
import sys
from unittest import mock

import pytest

from bench_cases import MACHINE
from tf_dwbp import cli
from tf_dwbp.bench import docs, peers, plot, runner, shapes
from tf_dwbp.bench.results import Row, Run
from tf_dwbp.tools import pages
from tf_dwbp.tools import plot as tools_plot

_ROOT = pathlib.Path(__file__).absolute().parents[2]


def _measured(plan, selected, progress=None):
    """A run in which the peer takes two and a half times as long as ours, but once six tenths."""
    rows = []
    for number, shape in enumerate(selected):
        theirs = 2.5e-3 if number else 0.6e-3
        rows.append(Row(shape, {"ours": [1e-3], plan.peer: [theirs], "copy": [8e-4]}))
        if progress:
            progress(shape.name, number, len(selected))
    machine = MACHINE | ({"peer": "PyTorch 2.13.0"} if plan.peer == "torch" else {})
    return Run(plan, rows, machine, 2e11)


@pytest.fixture
def measurement():
    with mock.patch.object(runner, "run", _measured):
        return docs.measure(2, 11, False, lambda *_: None)


@pytest.fixture
def clone(tmp_path):
    """The pages that are written."""
    for page in docs.PARTS:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copyfile(_ROOT / page, tmp_path / page)
    return tmp_path


@pytest.fixture
def drawing():
    """Stands in for matplotlib, where there is none."""
    if importlib.util.find_spec("matplotlib"):
        yield
        return

    def draw(run, path):
        path.write_text(run.plan.title, encoding="utf-8")

    with (
        mock.patch.object(plot, "draw", draw),
        mock.patch.object(tools_plot, "plottable", pathlib.Path),
    ):
        yield


def _bench(*arguments):
    """The exit status and both streams."""
    streams = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            status = cli.main(["bench", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
    return status, streams[0].getvalue(), streams[1].getvalue()


# The two columns of figures, before the goal.
_MEASURED = r"[\d.]+( %)? \| [\d.]+( %)? (?=\| [^|]*\|$)"


def _part(root, page, part):
    begin, end = pages.marks(part, "tf-dwbp bench --docs")
    text = (root / page).read_text(encoding="utf-8")
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _form(text):
    """A text without its figures, its names of processors, and its lines' ends."""
    text = " ".join(text.split())
    text = re.sub(r"AMD EPYC|Intel\(R\) Xeon\(R\) Processor", "a processor", text)
    return re.sub(r"\d[\d.-]*(\+cpu)?", "#", text)


@pytest.mark.parametrize(
    ("page", "part"), [(page, part) for page, parts in docs.PARTS.items() for part in parts]
)
def test_the_pages_hold_what_the_command_would_write(page, part, measurement):
    made = docs.PARTS[page][part](measurement)
    assert _form(made) == _form(_part(_ROOT, page, part))


def test_goals_and_numbers_of_shapes_are_those_of_the_page(measurement):
    for part in ("the input's gradient", "the other ops"):
        made = docs.PARTS["docs/speed.md"][part](measurement).splitlines()
        there = _part(_ROOT, "docs/speed.md", part).splitlines()
        for line, other in zip(made, there, strict=True):
            if part == "the other ops" and not line.startswith("| goal"):
                continue
            assert re.sub(_MEASURED, "", line) == re.sub(_MEASURED, "", other)


def test_figures_by_hand(measurement):
    lines = docs.input_gradient_table(measurement).splitlines()
    # The geometric mean of 18 times 2.5 and once 0.6 is exp((18 ln 2.5 + ln 0.6) / 19) = 2.319.
    assert lines[2] == (
        "| float NHWC | TensorFlow with oneDNN, its default | 2.32 | 0.60 | 2.2 / 1.2 |"
    )
    assert "| share of a copy of the same bytes | 80 % | 80 % |" in lines[10]
    other = docs.other_ops_table(measurement).splitlines()
    assert other[2].endswith("| 2.32 / 0.60 | 2.32 / 0.60 | 2.32 / 0.60 |")
    assert other[6].endswith("| 2.32 / 0.60 | 2.32 / 0.60 | |")
    cold = docs.cold_table(measurement).splitlines()
    assert cold[2] == (
        "| float | TensorFlow with oneDNN | 2.32 / 0.60 | 2.32 / 0.60 | 2.32 / 0.60 |"
    )
    assert cold[5].startswith("| float 3x3, batch 32 (14 shapes) | share of a copy of the same ")
    assert cold[5].endswith(" | 80 % / 80 % | 80 % / 80 % | 80 % / 80 % |")
    epilogues = docs.epilogues_table(measurement).splitlines()
    assert epilogues[3] == "| float32, bias + relu6 | 2.32 | 0.60 |"
    assert "2.3 times as long as ours" in docs.readme_text(measurement)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0841, "0.08"), (0.84, "0.84"), (2.664, "2.66"), (12.35, "12.3")]
)
def test_digits_of_a_ratio(value, text):
    assert docs._ratio(value) == text


def test_a_peer_that_refuses_all_leaves_dashes(measurement):
    run = measurement.run(docs.Figure("xla"))
    run.rows = [Row(row.shape, {"ours": [1.0]}, {"xla": "because"}) for row in run.rows]
    assert docs.input_gradient_table(measurement).endswith("| TensorFlow's XLA | – | – | |")


def test_pages_from_a_saved_measurement(measurement, clone, drawing, tmp_path):
    saved = tmp_path / "saved.json"
    measurement.save(saved)
    assert docs.Measurement.from_json(json.loads(saved.read_text(encoding="utf-8"))) == measurement
    status, out, err = _bench("--docs", clone, "--load", saved)
    assert status == 0, err
    for page, parts in docs.PARTS.items():
        assert f"wrote {clone / page}" in err
        for part, make in parts.items():
            assert _part(clone, page, part) == make(measurement)
            assert make(measurement) in out
    before = (_ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    after = (clone / "docs" / "speed.md").read_text(encoding="utf-8")
    assert before.partition("What misses its goal")[2] == after.partition("What misses its goal")[2]
    assert (clone / docs.PICTURE).stat().st_size > 0


def test_what_was_measured_before_it_was_cut_off_is_kept(clone, drawing, tmp_path, monkeypatch):
    made = []

    def cut_off(plan, selected, progress):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(plan)
        return _measured(plan, selected, progress)

    saved = tmp_path / "saved.json"
    monkeypatch.setattr(runner, "run", cut_off)
    monkeypatch.setattr(peers, "missing", lambda *_: None)
    before = [(clone / page).read_text(encoding="utf-8") for page in docs.PARTS]
    with contextlib.suppress(KeyboardInterrupt):
        _bench("--docs", clone, "--json", saved)
    runs = json.loads(saved.read_text(encoding="utf-8"))["runs"]
    assert [run["plan"]["dtype"] for run in runs] == [plan.dtype for plan in made]
    status, stdout, _ = _bench("--load", saved)
    assert status == 0
    missing = len({docs._run_key(figure) for figure in docs.figures()}) - 3
    assert f"cut off before the last {missing} runs" in " ".join(stdout.split())
    assert "| float NHWC | TensorFlow with oneDNN, its default | 2." in stdout
    assert "| float NHWC | TensorFlow's XLA | – | – |" in stdout
    status, _, stderr = _bench("--docs", clone, "--load", saved)
    assert status == 2
    assert f"{missing} runs are missing, since --docs was cut off" in " ".join(stderr.split())
    assert before == [(clone / page).read_text(encoding="utf-8") for page in docs.PARTS]


def test_a_small_measurement(clone, drawing, monkeypatch):
    """As a user runs it, but of one call, with a list of two shapes, of which one is quick."""
    monkeypatch.setattr(docs, "INPUT_GRADIENT", docs.INPUT_GRADIENT[:1])
    monkeypatch.setattr(docs, "OTHERS", ())
    monkeypatch.setattr(docs, "COLD", ())
    monkeypatch.setattr(docs, "EPILOGUES", ())
    monkeypatch.setattr(docs, "_IN_README", [docs.Figure("onednn")] * 3)
    two = shapes.select(["few_channels", "k3-s1"])[:2]
    monkeypatch.setattr(shapes, "SHAPES", two)
    saved = clone / "times.json"
    status, out, err = _bench(
        "--docs", clone, "--quick", "--rounds", 1, "--threads", 1, "--json", saved
    )
    assert status == 0, err
    (run,) = docs.Measurement.from_json(json.loads(saved.read_text(encoding="utf-8"))).runs
    assert [row.shape.name for row in run.rows] == ["few_channels-b8-37x41x3-k3-s1"]
    assert (run.plan.rounds, run.plan.threads) == (1, 1)
    assert "`--quick`" in _part(clone, "docs/speed.md", "measured")
    row = _part(clone, "docs/speed.md", "the input's gradient").splitlines()[-1]
    assert re.fullmatch(r"\| float NHWC \| TensorFlow .* \| [\d.]+ \| [\d.]+ \| 2.2 / 1.2 \|", row)
    assert row in out
    assert (clone / docs.PICTURE).exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--docs", "/no/such/folder"], "/no/such/folder is no clone of the repository: "),
        (["--docs", "CLONE", "--op", "forward"], "--op has no place beside it"),
        (["--docs", "CLONE", "--train"], "--train has no place beside it"),
        (["--docs", "CLONE", "--group", "core"], "--group has no place beside it"),
        (["--docs", "CLONE", "--load", "SINGLE"], "takes of --load what --docs --json wrote"),
        (["--docs", "CLONE", "--plot", "a.png"], "--plot draws one run"),
        (["--docs", "CLONE"], "--docs needs --peer torch: PyTorch is not installed"),
        (["--docs", "BARE"], "speed.md: the page must have '<!-- measured: by "),
    ],
)
def test_usage_errors(arguments, text, clone, drawing, tmp_path):
    single, bare = tmp_path / "single.json", tmp_path / "bare"
    _measured(docs.Plan("onednn", "float32", "NHWC", 1, 1), shapes.SHAPES[:1]).save(single)
    (bare / "docs").mkdir(parents=True)
    (bare / "docs" / "speed.md").write_text("# Speed\n", encoding="utf-8")
    paths = {"CLONE": clone, "SINGLE": single, "BARE": bare}
    missing = mock.Mock(side_effect=lambda peer, *_: _NO_TORCH if peer == "torch" else None)
    with mock.patch.object(peers, "missing", missing):
        status, _, err = _bench(*(paths.get(argument, argument) for argument in arguments))
    assert status == 2
    assert text in err
    assert err.count("\n") == 1


_NO_TORCH = "PyTorch is not installed: pip install torch"


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
