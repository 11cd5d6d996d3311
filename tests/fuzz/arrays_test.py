"""`tf-dwbp fuzz --arrays numpy`: functions of NumPy arrays are tested without TensorFlow."""

import shlex
import sys

import pytest

import without_tensorflow
from tf_dwbp.tools import problem

_DILATED = "forward:{}:NHWC:b2:9x8x3m2:k3x2:s2x1:d1x2:SAME"


@pytest.fixture(scope="module", name="program")
def _program(tmp_path_factory):
    return without_tensorflow.Program(tmp_path_factory.mktemp("without_tensorflow"))


def _fuzz(program, name, *arguments):
    options = ("--target", f"numpy_targets:{name}", "--arrays", "numpy", "--op", "forward")
    done = program.run("fuzz", *options, *arguments)
    assert "Traceback" not in done.stdout + done.stderr
    assert not program.tensorflow_was_imported
    return done


@pytest.mark.parametrize("data", ["integers", "real", "special"])
@pytest.mark.parametrize("dtype", problem.DTYPES)
def test_a_right_function_passes(program, dtype, data):
    done = _fuzz(program, "forward", "--case", _DILATED.format(dtype), "--data", data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no failure" in done.stdout


def test_a_function_that_writes_to_its_operands(program):
    done = _fuzz(program, "writing", "--case", _DILATED.format("float"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the call changed its operand 'input'" in done.stdout


def test_answers_in_one_buffer(program):
    assert _fuzz(program, "reusing", "--case", _DILATED.format("float")).returncode == 0


def test_random_calls(program):
    done = _fuzz(program, "forward", "--seed", 3, "--cases", 3, "--dtype", "float")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 calls, of 3 cases" in done.stdout  # two of each, and one that is related


def test_a_wrong_function_is_found_shrunk_and_repeated(program):
    # The first of these calls has several channels and a multiplier.
    done = _fuzz(program, "wrong", "--seed", 3, "--start", 1, "--cases", 1)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("tf-dwbp fuzz "))
    arguments = shlex.split(line, comments=True)[1:]
    found = problem.parse(arguments[arguments.index("--case") + 1])
    assert (found.channels, found.multiplier, found.batch, found.height) == (2, 2, 1, 1)
    again = program.run(*arguments)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "1 forward wrong" in again.stdout


def test_what_it_dies_of(program):
    done = _fuzz(program, "deadly", "--case", _DILATED.format("float"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "# dies: SIGABRT" in done.stdout


@pytest.mark.parametrize(("offset", "status"), [((3, 1), 0), ((3, 2), 1)])
@pytest.mark.parametrize("dtype", problem.DTYPES)
def test_operands_begin_where_they_are_asked_to(program, dtype, offset, status):
    done = _fuzz(program, "placed", "--case", _DILATED.format(dtype), "--offset", *offset)
    assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--execution", "jit"), "--execution jit makes a program"),
        (("--invalid",), "--invalid has no place beside --arrays numpy"),
        (("--case", _DILATED.format("float"), "--change", "padding=X"), "--change has no place"),
        (("--threads", "1", "2"), "--threads has no place beside --arrays numpy"),
        (("--isa", "avx2"), "--isa has no place beside --arrays numpy"),
        (("--impl", "direct"), "--impl has no place beside --arrays numpy"),
    ],
)
def test_usage_errors(program, arguments, text):
    done = _fuzz(program, "forward", *arguments)
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1]


def test_our_ops_take_no_arrays(program):
    done = program.run("fuzz", "--arrays", "numpy")
    assert done.returncode == 2
    assert "--arrays numpy is for --target MODULE:FUNCTION" in done.stderr.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
