"""Relations between calls: what is right keeps them, and each finds what nothing else does."""

import collections
import contextlib
import io
import json
import shlex
import sys

import numpy as np
import pytest

import metamorphic_targets
from tf_dwbp import cli
from tf_dwbp.fuzz import draw, judge, metamorphic, runner
from tf_dwbp.fuzz.case import INTEGERS, REAL, SPECIAL, Case
from tf_dwbp.tools import problem, reference
from tf_dwbp.tools.problem import DTYPES

pytestmark = pytest.mark.usefixtures("support_for_workers")


@pytest.fixture
def unshrunk(monkeypatch):
    """Failures stay as they are found: fuzz_test shrinks enough of them."""
    monkeypatch.setattr(runner, "shrink", lambda case, ways, fails: (case, ways))


def _fuzz(*arguments):
    """The exit status, and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = cli.main(["fuzz", *map(str, arguments)])
    return status, printed.getvalue()


def _lines(printed):
    """The lines that repeat failures: arguments, and verdicts."""
    lines = [line for line in printed.splitlines() if line.startswith("tf-dwbp fuzz ")]
    return [(shlex.split(line, comments=True)[2:], line.partition("  # ")[2]) for line in lines]


def _right(described, arrays):
    """What `described` must compute, by the reference."""
    with np.errstate(all="ignore"):
        value = reference.member(
            described.result,
            arrays,
            described.input_sizes,
            described.filter_sizes,
            **described.attributes,
        )
        return value.astype(DTYPES[described.dtype])


def _broken(case, call, several=True):
    arrays = case.tensors()
    answer = call(case.problem, arrays)
    relations = metamorphic.relations(case, arrays, several)
    faults = {relation.name: relation.fault(answer, call) for relation in relations}
    return {name: fault for name, fault in faults.items() if fault}


def test_the_reference_keeps_all():
    made = collections.Counter()
    for number in range(300):
        case = draw.case(7, number, draw.Filters())
        if case.problem.products > 1e5:
            continue
        assert not _broken(case, _right), case.options
        arrays = case.tensors()
        made.update({relation.name for relation in metamorphic.relations(case, arrays, True)})
    assert set(made) == set(metamorphic.NAMES)
    assert min(made.values()) >= 10, made


def _case(text, data=INTEGERS, seed=5):
    return Case(problem.parse(text), data, seed)


_EXAMPLE = "forward:float:NCHW:b3:5x6x4m2:k3x2:s2x1:d1x2:SAME"


@pytest.mark.parametrize("op", problem.OPS)
@pytest.mark.parametrize("layout", problem.LAYOUTS)
def test_each_relation_is_one_that_some_call_breaks(op, layout):
    """With an answer that is off in one element, each relation that holds is broken."""
    case = _case(_EXAMPLE.replace("forward", op).replace("NCHW", layout))

    def off(described, arrays):
        answer = _right(described, arrays)
        if described == case.problem and calls:  # the same call, of other data
            answer[(0,) * 4] += 1
        elif described != case.problem:
            answer[(-1,) * 4] += 3
            answer[(0,) * 4] += 1
        calls.append(described)
        return answer

    calls = []
    assert set(_broken(case, off)) >= {
        metamorphic.SCALING,
        metamorphic.CHANNELS,
        metamorphic.BATCH,
        metamorphic.ADJOINT,
    } | ({metamorphic.PADDING} if op != "input_grad" else set())


def test_what_is_checked_of_which_data():
    def names(case, several=True):
        return {r.name for r in metamorphic.relations(case, case.tensors(), several)}

    assert names(_case(_EXAMPLE)) == set(metamorphic.NAMES)
    assert names(_case(_EXAMPLE), several=False) == set(metamorphic.NAMES) - {metamorphic.ADJOINT}
    assert names(_case(_EXAMPLE, REAL)) == {metamorphic.SCALING}
    assert names(_case(_EXAMPLE, SPECIAL)) == set()
    assert names(_case(_EXAMPLE.replace("b3", "b0"))) == set()
    alone = _case(_EXAMPLE.replace("b3", "b1").replace("4m2", "1m2").replace("SAME", "VALID"))
    assert names(alone) == {metamorphic.SCALING, metamorphic.ADJOINT}


def test_all_have_their_turn():
    turns = collections.Counter()
    for seed in range(3000):
        case = _case(_EXAMPLE, seed=seed * 7919)
        found = [metamorphic.Relation(name, None) for name in metamorphic.NAMES]
        turns.update(r.name for r in metamorphic.one_of(found, case))
    assert set(turns) == set(metamorphic.NAMES)
    assert 1200 < turns.total() < 1800
    assert metamorphic.one_of([], case) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_scaling_changes_no_rounding(dtype):
    """Whatever the order of the sums, here the accumulator's own and the reverse."""
    text = f"filter_grad:{dtype}:NHWC:b2:9x9x3m1:k2x2:s1x1:d1x1:VALID"
    kept = np.float64 if dtype == "double" else np.float32
    for seed in range(12):
        case = _case(text, REAL, seed)

        def summed(described, arrays, order=1 if seed % 2 else -1):
            image, gradient = (arrays[r].astype(kept) for r in ("input", "output"))
            result = np.zeros(described.filter_sizes, kept)
            for y, x in list(np.ndindex(2, 2)):
                products = image[:, y : y + 8, x : x + 8] * gradient
                for product in products.reshape(-1, 3)[::order]:
                    result[y, x, :, 0] += product
            return result.astype(DTYPES[described.dtype])

        assert not _broken(case, summed, several=False)


# Of the target: its op, the fuzz's options, and the only relation that finds it.
_FAULTS = {
    "larger_numbers": ("input_grad", ("--data", "real"), metamorphic.SCALING),
    "packed_once": ("input_grad", ("--data", "integers"), metamorphic.CHANNELS),
    "planned_once": ("input_grad", ("--data", "integers"), metamorphic.BATCH),
    "blank_rows": ("forward", ("--data", "integers"), metamorphic.PADDING),
}


@pytest.mark.parametrize("name", _FAULTS)
def test_only_this_relation_finds(name, unshrunk):
    op, options, relation = _FAULTS[name]
    target = ("--target", f"metamorphic_targets:{name}", "--op", op, *options)
    status, printed = _fuzz(*target, "--dtype", "float", "double", "--seed", 4, "--cases", 60)
    assert status == 1, printed
    lines = _lines(printed)
    for _, verdict in lines:
        assert verdict.startswith(f"inconsistent: {relation}: "), printed
    if relation == metamorphic.CHANNELS:  # of one, to save time: what it prints fails again
        again, printed = _fuzz(*lines[0][0])
        assert again == 1
        assert _lines(printed)[0][1].startswith(f"inconsistent: {relation}: ")


def test_only_the_adjoint_finds():
    case = _case(_EXAMPLE)
    broken = _broken(case, metamorphic_targets.Together())
    assert set(broken) == {metamorphic.ADJOINT}
    assert "<forward, out_backprop> is" in broken[metamorphic.ADJOINT]
    for op in problem.OPS:  # each for itself is right
        alone = _case(_EXAMPLE.replace("forward", op))
        arrays = alone.tensors()
        answer = metamorphic_targets.Together()(alone.problem, arrays)
        assert judge.expected(alone, arrays).fault(answer) == ""


def test_our_ops_keep_all(tmp_path):
    path = tmp_path / "json"
    options = ("--cases", 96, "--seed", 6, "--isa", "baseline", "--threads", 2, "--impl", "any")
    status, printed = _fuzz(*options, "--execution", "eager", "--json", path)
    assert status == 0, printed
    assert "Relations checked: " in printed
    made = json.loads(path.read_text(encoding="utf-8"))["relations"]
    assert set(made) == set(metamorphic.NAMES), made


def test_one_call_is_checked_for_all(tmp_path):
    """Of stock's ops, which are three, too."""
    path = tmp_path / "json"
    text = "forward:float:NHWC:b3:8x8x4m2:k3x3:s2x2:d1x1:SAME"
    status, printed = _fuzz("--target", "stock", "--case", text, "--json", path)
    assert status == 0, printed
    made = json.loads(path.read_text(encoding="utf-8"))["relations"]
    assert made == dict.fromkeys(metamorphic.NAMES, 1) | {metamorphic.SCALING: 2}


def test_repeats_fail_where_bits_were_promised(unshrunk):
    target = ("--target", "fuzz_targets:restless", "--data", "real", "--dtype", "double")
    more = ("--seed", 5, "--cases", 12)
    status, printed = _fuzz(*target, *more)
    assert status == 0, printed
    assert "cases with other bits in repeated calls" in printed and "no failure" in printed
    status, printed = _fuzz(*target, *more, "--deterministic")
    assert status == 1
    arguments, verdict = _lines(printed)[0]
    assert verdict.startswith("differs: repeats: "), verdict
    assert "--deterministic" in arguments
    assert _fuzz(*arguments)[0] == 1


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
