"""The parts of `tf-dwbp fuzz`: the text of a problem, data, the oracle, the rules of validity."""

import dataclasses
import math
import sys

import ml_dtypes
import numpy as np
import pytest

from tf_dwbp.fuzz import calls, checks, draw, findings, invalid, judge
from tf_dwbp.fuzz.case import INTEGERS, REAL, SPECIAL, Case
from tf_dwbp.fuzz.pool import Setting
from tf_dwbp.fuzz.results import Plan
from tf_dwbp.fuzz.runner import Runner, _Batch
from tf_dwbp.fuzz.shrink import shrink
from tf_dwbp.fuzz.ways import Ways
from tf_dwbp.tools import problem, reference
from tf_dwbp.tools.problem import DTYPES, Problem

_ANY = draw.Filters()
_EXAMPLE = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME"


def _cases(number, **filters):
    return [draw.case(3, i, draw.Filters(**filters)) for i in range(number)]


def test_the_text_of_a_problem():
    example = problem.parse(_EXAMPLE)
    assert example == Problem(
        "input_grad", "float", "NHWC", 32, 56, 56, 128, 1, 3, 3, stride_y=2, stride_x=2
    )
    assert str(example) == _EXAMPLE
    padded = problem.parse("forward:half:NCHW:b0:1x20x3m0:k15x2:s1x5:d8x1:EXPLICIT(1,2,3,0)")
    assert padded.attributes["explicit_paddings"] == [0, 0, 0, 0, 1, 2, 3, 0]
    assert padded.attributes["dilations"] == [1, 1, 8, 1]
    for case in _cases(500):
        assert problem.parse(str(case.problem)) == case.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no problem such as"),
        (_EXAMPLE.replace("float", "int8"), "dtype 'int8' is none of half"),
        (_EXAMPLE.replace("k3x3", "k0x3"), "filter_height 0 is not between 1"),
        (_EXAMPLE.replace("56x56", "56x2147483648"), "width 2147483648 is not between 0"),
        (_EXAMPLE.replace("b32", "b9999999999999"), "input .* has more than 11529.* elements"),
        (_EXAMPLE + "(1,1,1,1)", "EXPLICIT"),
        (_EXAMPLE.replace("SAME", "EXPLICIT"), "EXPLICIT"),
    ],
)
def test_texts_that_are_no_problem(text, words):
    with pytest.raises(ValueError, match=words):
        problem.parse(text)


def test_large_filters_are_drawn_where_they_are_wanted():
    problems = [draw.case(3, i, draw.Filters(large_filters=True)).problem for i in range(2000)]
    large = [p for p in problems if max(p.filter_height, p.filter_width) > 15]
    assert max(p.filter_height for p in large) > 28 and max(p.filter_width for p in large) > 28
    assert 20 < len(large) < 100 and max(p.products for p in large) < 2e8
    # Nothing else changes.
    others = [draw.case(3, i, _ANY).problem for i in range(200)]
    assert sum(a != b for a, b in zip(problems, others, strict=False)) < 20


def test_layers_are_such_as_networks_have():
    problems = [draw.case(3, i, draw.Filters(layers=True)).problem for i in range(500)]
    assert {(p.filter_height, p.filter_width) for p in problems} == {(3, 3), (5, 5), (7, 7)}
    assert {(p.stride_y, p.stride_x, p.multiplier) for p in problems} == {(1, 1, 1), (2, 2, 1)}
    assert {p.dilation_y for p in problems} == {1, 2, 3}
    assert max(p.products for p in problems) <= 2e6 and max(p.batch for p in problems) > 8
    vectors = [p for p in problems if p.width % 8 == 0 or p.channels % 8 == 0]
    assert len(vectors) > 250


def test_cases_reach_far():
    cases = _cases(6000)
    problems = [case.problem for case in cases]
    assert cases[:100] == _cases(100)
    assert {p.dtype for p in problems} == set(DTYPES)
    assert max(p.channels for p in problems) > 1900
    assert max(p.batch for p in problems) > 50 and min(p.batch for p in problems) == 0
    assert max(p.height for p in problems) > 10_000 and max(p.width for p in problems) > 10_000
    assert {p.multiplier for p in problems} == set(range(9))
    assert {p.stride_y for p in problems} == set(range(1, 6))
    assert {p.dilation_x for p in problems} == set(range(1, 9))
    assert max(p.filter_height for p in problems) >= 15
    assert any(p.filter_height > p.height for p in problems)
    assert any((p.filter_height - 1) * p.dilation_y + 1 < p.stride_y for p in problems)
    large = [
        p for p in problems if math.prod(p.shapes[p.result]) * DTYPES[p.dtype].itemsize > 32 << 20
    ]
    assert large and max(p.products for p in problems) > 1e7
    assert sorted(p.products for p in problems)[len(problems) * 3 // 4] < 1e6


def test_tensors_fit_into_memory():
    """Several times: each worker holds copies. With seed 5, one had 2.9 GB, another 480 MB."""
    for number in (308, 4206, *range(1000)):
        problem = draw.case(5, number, _ANY).problem
        size = DTYPES[problem.dtype].itemsize
        assert problem.elements * size <= 256 << 20, problem


def test_tensors_lie_where_they_are_wanted():
    for name, dtype in DTYPES.items():
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        tensor = calls.tensor_at(array, 3)
        assert tensor.dtype.name == np.dtype(dtype).name, name
        np.testing.assert_array_equal(tensor.numpy(), array)
        address = np.from_dlpack(tensor).ctypes.data if name != "bfloat16" else None
        assert address is None or address % 64 == 3 * array.itemsize


def test_small_integers_are_exact_in_every_type():
    """Summed in the accumulator's type, in another order, they give the same."""
    for case in _cases(300, data=INTEGERS):
        if case.problem.products > 1e5 or not case.exact:
            continue
        tensors = case.tensors()
        right = judge.expected(case, tensors)
        assert right.bound is None
        accumulator = np.float64 if case.problem.dtype == "double" else np.float32
        backwards = {
            role: tensor.astype(accumulator) if role == "filter" else tensor
            for role, tensor in tensors.items()
        }
        total = reference.absolute_products(
            case.problem.result,
            backwards,
            case.problem.input_sizes,
            case.problem.filter_sizes,
            **case.problem.attributes,
        )
        assert total.size == 0 or total.max() <= 2 ** (53 if accumulator is np.float64 else 24)


def test_one_bit_is_an_error_where_sums_are_exact():
    case = Case(problem.parse(_EXAMPLE.replace("b32:56x56x128", "b1:5x5x2")), INTEGERS, 1)
    expected = judge.expected(case, case.tensors())
    answer = expected.value.copy()
    assert expected.fault(answer) == ""
    answer[0, 1, 1, 0] = np.nextafter(answer[0, 1, 1, 0], np.float32(9))
    assert "at [0, 1, 1, 0]; 1 of 50 elements" in expected.fault(answer)
    zeros = np.argwhere(expected.value == 0)
    answer = expected.value.copy()
    answer[tuple(zeros[0])] = -0.0
    assert expected.fault(answer).startswith("-0 where 0 is right")


def _forward(values, weights, dtype="float"):
    """One row of one channel, and what its convolution must be."""
    described = Problem("forward", dtype, "NHWC", 1, 1, len(values), 1, 1, 1, len(weights))
    tensors = {
        "input": np.array(values, DTYPES[dtype]).reshape(described.input_sizes),
        "filter": np.array(weights, DTYPES[dtype]).reshape(described.filter_sizes),
    }
    return judge.expected(Case(described, SPECIAL, 0), tensors)


def _answer(*values, dtype="float"):
    return np.array(values, DTYPES[dtype]).reshape(1, 1, -1, 1)


def test_infinities_reach_what_they_meet():
    nan, inf = math.nan, math.inf
    expected = _forward([1, inf, 2, nan, 3], [1, 2])
    assert expected.fault(_answer(inf, inf, nan, nan, 3)) == ""
    assert "inf where 3 is right" in expected.fault(_answer(inf, inf, nan, nan, inf))
    assert "nan where inf is right" in expected.fault(_answer(nan, inf, nan, nan, 3))
    # Nothing outside the image takes part: an Inf in the filter leaves the last pixel alone.
    expected = _forward([1, 2], [1, inf])
    assert expected.fault(_answer(inf, 2)) == ""
    assert expected.fault(_answer(inf, nan)) != ""


def test_sums_that_overflow_on_the_way_are_not_judged():
    largest = float(np.finfo(np.float32).max)
    expected = _forward([largest, largest, 1], [1, -1])
    assert expected.fault(_answer(0, largest, 1)) == ""
    assert expected.fault(_answer(math.inf, largest, 1)) == ""
    assert expected.fault(_answer(0, largest, 2)) != ""
    # Rounding to half happens once, after the sum: its own overflow is no question of order.
    expected = _forward([60000, 60000, 1], [1, 1], "half")
    assert expected.fault(_answer(math.inf, 60000, 1, dtype="half")) == ""
    assert expected.fault(_answer(60000, 60000, 1, dtype="half")) != ""


def test_denormals_are_kept():
    tiny = float(ml_dtypes.finfo(np.float32).smallest_subnormal)
    expected = _forward([1000 * tiny, 5], [1])
    assert expected.fault(_answer(1000 * tiny, 5)) == ""
    assert expected.fault(_answer(0, 5)) != ""


def test_digests():
    one = np.array([1, math.nan], np.float32)
    other = one.copy()
    other.view(np.uint32)[1] |= 1  # another NaN
    assert judge.digest(one) == judge.digest(other)
    assert judge.digest(np.zeros(2)) != judge.digest(-np.zeros(2))
    assert judge.digest(np.zeros([2, 1])) != judge.digest(np.zeros([1, 2]))


def test_bits_may_differ_only_without_fused_multiply_add():
    case = Case(problem.parse(_EXAMPLE), REAL, 1)

    def found(case, *digests):
        isas = ("baseline", "avx2", "avx512")
        answers = [
            (Setting(isa, 1), {"execution": "eager", "digests": [digest]})
            for isa, digest in zip(isas, digests, strict=True)
        ]
        return [finding.ways for finding in findings.differences(case, answers)]

    assert found(case, "a", "b", "b") == []
    assert found(case, "a", "a", "b") == [Ways(("avx2", "avx512"), (1,), ("eager",))]
    exact = dataclasses.replace(case, data=INTEGERS)
    assert found(exact, "a", "b", "b") == [Ways(("baseline", "avx2"), (1,), ("eager",))]


def test_implementations_may_differ_unless_sums_are_exact():
    case = Case(problem.parse(_EXAMPLE), REAL, 1)

    def found(case, *digests):
        names = (None, "packed", "packed")
        answers = [
            (Setting("avx2", threads, name), {"execution": "eager", "digests": [digest]})
            for threads, (name, digest) in enumerate(zip(names, digests, strict=True), 1)
        ]
        return [finding.ways for finding in findings.differences(case, answers)]

    assert found(case, "a", "b", "b") == []
    assert found(case, "a", "b", "c") == [Ways(("avx2",), (2, 3), ("eager",), ("packed",))]
    exact = dataclasses.replace(case, data=INTEGERS)
    ways = Ways(("avx2",), (1, 2), ("eager",), (None, "packed"))
    assert found(exact, "a", "b", "b") == [ways]
    assert ways.options == "--isa avx2 --threads 1 2 --execution eager --impl any packed"


def test_implementations_are_forced_for_one_instruction_set():
    both = Ways(("avx2", "avx512"), (1,), ("eager",), (None, "packed"))
    plain = [Setting("avx2", 1), Setting("avx512", 1)]
    assert both.settings == [*plain, Setting("avx512", 1, "packed")]
    alone = dataclasses.replace(both, implementations=("packed",))
    assert alone.settings == [dataclasses.replace(s, implementation="packed") for s in plain]


def test_shrinking_ends_at_the_smallest():
    case = Case(problem.parse(_EXAMPLE), SPECIAL, 1, (3, 4))
    ways = Ways(("avx2", "avx512"), (1, 2, 4), ("eager", "jit"))

    def fails(case, ways):
        return case.problem.channels >= 5 and "jit" in ways.executions and 4 in ways.threads

    smallest, fewest = shrink(case, ways, fails)
    expected = "input_grad:float:NHWC:b1:1x1x5m1:k1x1:s1x1:d1x1:VALID"
    assert smallest == Case(problem.parse(expected), INTEGERS, 1)
    assert fewest == Ways(("avx2",), (4,), ("jit",))


def _faults(text, **changes):
    described = problem.parse(text)
    found = checks.faults(described.op, invalid.arguments_of(described, changes))
    return [fault.names[0] for fault in found]


def test_valid_calls_have_no_fault():
    for case in _cases(300):
        assert _faults(str(case.problem)) == [], case


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("strides", "[1, 0, 1, 1]", ["strides"]),
        ("strides", "[1, 2]", ["strides"]),
        ("dilations", "[2, 1, 1, 1]", ["dilations"]),
        ("explicit_paddings", "[0, 0, 1, 1, 1, 1, 0, 0]", ["explicit_paddings"]),
        ("padding", "EXPLICIT", ["explicit_paddings"]),
        ("padding", "FULL", ["padding"]),
        ("data_format", "NDHWC", ["data_format"]),
        ("input_sizes", "[32, 56, 56]", ["input_sizes"]),
        ("input_sizes", "5", ["input_sizes"]),
        ("input_sizes", "[32, 56, -56, 128]", ["input_sizes"]),
        ("input_sizes", "[32, 56, 56, 127]", ["input_sizes"]),
        ("filter", "float[3, 3, 128]", ["filter"]),
        ("filter", "half[3, 3, 128, 1]", ["filter"]),
        ("out_backprop", "float[32, 28, 27, 128]", ["out_backprop"]),
        ("out_backprop", "float[32, 28, 28, 128]", []),  # is what it was
        ("dilations", "[1, 3, 3, 1]", []),  # under SAME, sizes do not depend on it
    ],
)
def test_the_rules_of_validity(name, value, expected):
    assert _faults(_EXAMPLE, **{name: value}) == expected


def test_broken_calls_can_be_written_and_read():
    random = np.random.default_rng(0)
    broken = 0
    for _ in range(500):
        described = draw.small_problem(random, _ANY)
        changes = invalid.changes(random, described)
        for name, value in changes.items():
            assert invalid.parse_change(f"{name}={value}") == (name, value)
        broken += bool(checks.faults(described.op, invalid.arguments_of(described, changes)))
    assert broken > 400


class _Queue:
    """In the pool's place: jobs wait but for those that have begun."""

    def __init__(self):
        self.begun = []

    def submit(self, job, soon=False):
        return job

    def waiting(self, job):
        return not any(job is other for other in self.begun)


def test_a_case_that_kills_is_withdrawn_from_waiting_jobs_alone():
    ways = Ways(("baseline", "avx2"), (1,), ("eager",))
    runner = Runner(Plan("right", ways, _ANY, seed=1))
    runner._pool = _Queue()
    batch = _Batch([0, 1, 2], _cases(3), [])
    runner._submit(batch, 0)
    begun, waiting = (job for job, _ in batch.jobs)
    runner._pool.begun.append(begun)
    runner._failed(batch, 0, findings.Finding(findings.DIES, "SIGKILL", ways))
    assert (len(begun.cases), len(waiting.cases)) == (3, 2)
    answer = dict.fromkeys(("refusal", "elsewhere", "fault"), "") | {
        "execution": "eager",
        "calls": 1,
    }
    begun.answers = [answer | {"case": case} for case in range(3)]
    begun.finished = True
    runner._look_at(batch)
    assert [len(answers) for answers in batch.answers] == [1, 1, 1]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
