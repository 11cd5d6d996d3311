"""The wheels' program: what it refuses, and how it has them made and tried, with no build done."""

import contextlib
import io
import os
import pathlib
import sys
from unittest import mock

import pytest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import pythons, wheels  # noqa: E402


class _Programs:
    """Stands in for all programs that are run: makes the files that they would."""

    def __init__(self, fails=""):
        self.commands, self._fails = [], fails

    def __call__(self, command, env, **options):
        words = [*map(str, command)]
        self.commands.append((words, env))
        if self._fails and self._fails in words:
            return mock.Mock(returncode=1)
        version = env.get("TF_DWBP_TENSORFLOW")
        name = f"tf_dwbp-1+tf{version}-py3-none-" if version else "tf_dwbp-1-py3-none-any.whl"
        if "--sdist" in words:
            self._make(words[words.index("--outdir") + 1], "tf_dwbp-1.tar.gz")
        elif "wheel" in words:
            name += "linux_x86_64.whl" if version else ""
            self._make(words[words.index("--wheel-dir") + 1], name)
        elif "repair" in words:
            made = pathlib.Path(words[-1]).name.replace("linux_", "manylinux_2_99_")
            self._make(words[words.index("-w") + 1], made)
        return mock.Mock(returncode=0)

    @staticmethod
    def _make(folder, name):
        pathlib.Path(folder).mkdir(exist_ok=True)
        pathlib.Path(folder, name).write_text(name, encoding="utf-8")

    def ran(self, word):
        return [words for words, _ in self.commands if word in words]


@pytest.fixture
def _main(monkeypatch, tmp_path):
    found = {"3.12": "python3.12", "3.13": "python3.13"}
    monkeypatch.setattr(pythons, "find", lambda given: found)
    monkeypatch.setattr(wheels, "BUILD", tmp_path / "build")
    monkeypatch.setattr(wheels, "_epoch", lambda: "12345")
    monkeypatch.setattr(os, "umask", lambda mask: None)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def main(*arguments, fails=""):
        programs = _Programs(fails)
        monkeypatch.setattr(wheels.subprocess, "run", programs)
        with (
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            status = wheels.main([*arguments, "--output", str(tmp_path / "dist")])
        return status, programs, stdout.getvalue(), stderr.getvalue()

    yield main
    os.environ.pop("SOURCE_DATE_EPOCH", None)


def test_each_wheel_is_made_checked_and_tried_in_each_python(_main, tmp_path):
    stale = tmp_path / "build" / "lib.linux-x86_64"
    stale.mkdir(parents=True)
    objects = tmp_path / "build" / "library"
    objects.mkdir()
    status, programs, stdout, _ = _main("--tensorflow", "2.19", "2.20.0")
    assert status == 0
    names = [
        "tf_dwbp-1.tar.gz",
        "tf_dwbp-1-py3-none-any.whl",
        "tf_dwbp-1+tf2.19.1-py3-none-manylinux_2_99_x86_64.whl",
        "tf_dwbp-1+tf2.20.0-py3-none-manylinux_2_99_x86_64.whl",
    ]
    assert {path.name for path in (tmp_path / "dist").iterdir()} == set(names)
    assert [line.rpartition("/")[2] for line in stdout.splitlines() if "made " in line] == names
    assert not stale.exists()  # of which something might come into the wheel
    assert objects.exists()
    built = [words[0] for words in programs.ran("wheel")]
    assert built == [sys.executable, "python3.12", "python3.13"]
    for words in programs.ran("repair"):
        excluded = {
            after for word, after in zip(words, words[1:], strict=False) if word == "--exclude"
        }
        assert excluded == {"libtensorflow_*", "_tf_dwbp.so"}
    installed = [words[-1] for words in programs.ran("install") if "[cpu]" in words[-1]]
    # 2.19 has none for Python 3.13.
    assert [pathlib.Path(path).name for path in installed] == [
        f"{names[2]}[cpu]",
        f"{names[3]}[cpu]",
        f"{names[3]}[cpu]",
    ]
    judged = [words[1:] for words in programs.ran("--quick")]
    whole = ["conformance", "--quick", "--no-stock"]
    # In the newest Python of each in all executions.
    assert judged == [whole, whole, [*whole, "--execution", "eager"]]
    assert len(programs.ran("--case")) == 1
    assert {env["SOURCE_DATE_EPOCH"] for _, env in programs.commands} == {"12345"}
    assert not any("PYTHONPATH" in env for _, env in programs.commands)
    assert {env["PIP_NO_COMPILE"] for _, env in programs.commands} == {"0"}


def test_they_need_not_be_tried(_main):
    status, programs, _, _ = _main("--tensorflow", "2.20.0", "--no-run")
    assert (status, programs.ran("--quick"), len(programs.ran("repair"))) == (0, [], 1)


def test_a_wheel_without_the_xla_kernels_that_there_can_be_is_not_made(_main):
    _, programs, _, _ = _main("--tensorflow", "2.20.0", "2.21.0", "--no-run")
    asked = {
        env["TF_DWBP_TENSORFLOW"]: env["TF_DWBP_XLA"]
        for _, env in programs.commands
        if "TF_DWBP_TENSORFLOW" in env
    }
    assert asked == {"2.20.0": "", "2.21.0": "1"}


@pytest.mark.parametrize("program", ["repair", "--quick", "--sdist"])
def test_what_fails_ends_it_with_one_line(_main, program):
    status, _, _, stderr = _main("--tensorflow", "2.20.0", fails=program)
    assert status == 2
    assert stderr.count("\n") == 1
    assert ": exit status 1: " in stderr and program in stderr


def test_versions_without_wheels_are_refused(_main):
    for version, text in (("2.18", "--tensorflow is 2.18, but"), ("2.20.9", "not 2.20.9")):
        status, programs, _, stderr = _main("--tensorflow", version, "--no-run")
        assert status == 2
        assert text in stderr
        assert not programs.ran("repair")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
