"""What is compiled anew, and what a build says meanwhile."""

import pathlib
import shutil
import sys
import threading

import pytest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import compiling, native, pythons  # noqa: E402
from build_support.compiling import BuildError, Headers, Unit  # noqa: E402
from build_support.tensorflow_versions import PYTHONS  # noqa: E402
from build_support.tensorflow_wheel import TensorFlowWheel  # noqa: E402


class _Sources:
    """A source that includes a header of others by way of one of ours, and one that does not."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "theirs").mkdir()
        (folder / "theirs" / "number.h").write_text("#define NUMBER 1\n", encoding="utf-8")
        self.write("with.cc", '#include "ours.h"\nint with() { return NUMBER; }\n')
        self.write("ours.h", "#include <theirs/number.h>\n")
        self.write("without.cc", "int without() { return 2; }\n")

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def compile(self, capsys, stamp="1", flags=()):
        """The number of objects that this compiled."""
        units = [
            Unit(str(self.folder / name), self.folder / f"{name}.o", [*flags])
            for name in ("with.cc", "without.cc")
        ]
        headers = Headers(["-isystem", str(self.folder)], stamp, "<theirs/")
        objects = compiling.compile_all((units, headers))
        assert all(pathlib.Path(path).exists() for path in objects)
        return int(capsys.readouterr().out.split("compiled ")[1].split(" of 2 ")[0])


def test_only_what_depends_on_a_change_is_compiled_anew(tmp_path, capsys, monkeypatch):
    sources = _Sources(tmp_path)
    assert sources.compile(capsys) == 2
    assert sources.compile(capsys) == 0
    # Others' headers have changed: of ours one includes these.
    assert sources.compile(capsys, stamp="2") == 1
    sources.write("ours.h", "#include <theirs/number.h>\n#undef NUMBER\n#define NUMBER 3\n")
    assert sources.compile(capsys, stamp="2") == 1
    sources.write("without.cc", "int without() { return 4; }\n")
    assert sources.compile(capsys, stamp="2") == 1
    assert sources.compile(capsys, stamp="2", flags=["-O1"]) == 2
    monkeypatch.setenv("CXXFLAGS", "-O2")
    assert sources.compile(capsys, stamp="2", flags=["-O1"]) == 2
    (tmp_path / "without.cc.o").unlink()
    assert sources.compile(capsys, stamp="2", flags=["-O1"]) == 1


def test_eigen_stays_when_the_tensorflow_that_brought_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "BUILD", tmp_path / "build")
    found = []
    for version in "12":
        wheel = TensorFlowWheel("tensorflow", version, tmp_path / version)
        (wheel.include / "Eigen").mkdir(parents=True)
        (wheel.include / "Eigen" / "Core").write_text(version, encoding="utf-8")
        headers = native.eigen_headers(wheel)
        assert headers == native.eigen_headers(wheel)
        shutil.rmtree(wheel.directory)
        found.append(pathlib.Path(headers.flags[headers.flags.index("-isystem") + 1]))
    texts = [(folder / "Eigen" / "Core").read_text(encoding="utf-8") for folder in found]
    assert texts == ["1", "2"]
    assert sorted(found) == sorted((tmp_path / "build" / "eigen").iterdir())


def test_an_error_names_what_failed(tmp_path):
    source = tmp_path / "bad.cc"
    source.write_text("#error of its own\n", encoding="utf-8")
    with pytest.raises(BuildError) as error:
        compiling.compile_all(([Unit(str(source), tmp_path / "bad.o", [])], Headers()))
    assert str(error.value).startswith(f"{source}: failed: ")
    assert error.value.brief.endswith("bad.cc:1:2: error: #error of its own")


def test_a_build_says_what_it_is_at(monkeypatch, capsys):
    told = threading.Event()
    tell = compiling._Watched.tell

    def tell_and_go_on(self, left):
        tell(self, left)
        told.set()

    monkeypatch.setattr(compiling, "_SECONDS", 0.01)
    monkeypatch.setattr(compiling._Watched, "tell", tell_and_go_on)
    # The compiler takes until something has been said.
    monkeypatch.setattr(compiling, "_compile", lambda *job: told.wait(60))
    unit = Unit("a_source.cc", pathlib.Path("folder", "a_source.o"), [])
    compiling.compile_all(([unit], Headers()))
    printed = capsys.readouterr().out
    assert "tf_dwbp: 0 s: 0 of 1 objects, now a_source\n" in printed
    assert printed.endswith("tf_dwbp: compiled 1 of 1 objects\n")


_KNOWN = ("3.11", "3.12", "3.13", "3.14")


def test_a_python_is_one_that_the_tensorflow_has_wheels_for():
    found = {text: f"python{text}" for text in ("3.13", "3.9", "3.11", "3.12", "3.14", "3.99")}
    for version, (oldest, newest) in PYTHONS.items():
        able = list(pythons.suitable(version, found))
        assert able == [text for text in _KNOWN if _between(oldest, text, newest)]
    with pytest.raises(pythons.Failed, match=r"TensorFlow 2\.21\.0 has no wheel for Python 3\.9"):
        pythons.suitable("2.21.0", {"3.9": "python3.9"})
    with pytest.raises(pythons.Failed, match=r"what is tested is .* not 2\.20\.9"):
        pythons.suitable("2.20.9", found)


def _between(oldest, text, newest):
    numbers = [int(version.split(".")[1]) for version in (oldest, text, newest)]
    return numbers == sorted(numbers)


def test_pythons_are_found_by_what_they_say(tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 3.12\n", encoding="utf-8")
    fake.chmod(0o755)
    assert pythons.find([str(fake)]) == {"3.12": str(fake)}
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in pythons.find([])
    with pytest.raises(pythons.Failed, match="no_such_python does not run"):
        pythons.find(["no_such_python"])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
