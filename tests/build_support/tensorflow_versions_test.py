"""Which TensorFlow a build is for, and what is said where there can be none."""

import json
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import backend, tensorflow_versions, tensorflow_wheel  # noqa: E402
from build_support.tensorflow_versions import DEFAULT, SUPPORTED, Unsupported  # noqa: E402
from tf_dwbp import __version__  # noqa: E402


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in (tensorflow_versions.VARIABLE, "TF_DWBP_NATIVE"):
        monkeypatch.delenv(name, raising=False)


def test_the_list_has_one_release_of_each_series():
    series = [text.split(".")[:2] for text in SUPPORTED]
    assert series == sorted(series)
    assert len({tuple(each) for each in series}) == len(series)
    assert DEFAULT in SUPPORTED


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2.21.0", "2.21.0"),
        ("2.20", "2.20.0"),
        ("2.19", "2.19.1"),
        ("2.19.0", "2.19.0"),
        ("2.22.0-rc0", "2.22.0rc0"),
        ("2.22.0rc1", "2.22.0rc1"),
        ("2.22", "2.22.0rc0"),
    ],
)
def test_versions_are_read_as_pip_reads_them(given, meant):
    assert tensorflow_versions.check(given, "it is") == meant


@pytest.mark.parametrize("given", ["2.18.1", "2.23.0rc0", "3.0", "2", "latest", ""])
def test_other_versions_are_refused_with_the_list(given):
    with pytest.raises(Unsupported) as error:
        tensorflow_versions.check(given, "it is")
    text = f"it is {given}, but tf_dwbp can be built for TensorFlow {', '.join(SUPPORTED[:-1])} or"
    assert str(error.value) == f"{text} {SUPPORTED[-1]}."


def test_a_build_takes_what_is_installed(monkeypatch):
    assert tensorflow_versions.choose("2.20.0") == "2.20.0"
    assert tensorflow_versions.choose(None) == DEFAULT
    monkeypatch.setenv(tensorflow_versions.VARIABLE, "2.22.0-rc0")
    assert tensorflow_versions.choose("2.22.0rc0") == "2.22.0rc0"
    assert tensorflow_versions.choose(None) == "2.22.0rc0"
    with pytest.raises(Unsupported, match=r"is 2\.22\.0rc0, but the installed .* is 2\.20\.0, for"):
        tensorflow_versions.choose("2.20.0")


def _required(monkeypatch, environments):
    """What pip is told to install for a build, for an environment with this TensorFlow."""
    monkeypatch.setattr(backend, "_in_the_environment", lambda: environments)
    return backend.get_requires_for_build_wheel()


def test_an_isolated_build_brings_a_tensorflow(monkeypatch):
    assert _required(monkeypatch, None) == [f"tensorflow-cpu=={DEFAULT}"]
    # That of the environment, for which it is: the other would not load there.
    assert _required(monkeypatch, "2.20.0") == ["tensorflow-cpu==2.20.0"]
    monkeypatch.setenv(tensorflow_versions.VARIABLE, "2.19")
    assert _required(monkeypatch, "2.20.0") == ["tensorflow-cpu==2.19.1"]
    assert backend.get_requires_for_build_editable() == ["tensorflow-cpu==2.19.1"]
    assert backend.get_requires_for_build_sdist() == []


def test_an_isolated_build_that_cannot_be_ends_before_anything_is_installed(monkeypatch):
    with pytest.raises(SystemExit, match=r"^tf_dwbp: this environment has TensorFlow 2\.18\.1, "):
        _required(monkeypatch, "2.18.1")
    monkeypatch.setenv(tensorflow_versions.VARIABLE, "2.15.0")
    with pytest.raises(SystemExit, match=r"^tf_dwbp: TF_DWBP_TENSORFLOW is 2\.15\.0, but tf_dwbp "):
        _required(monkeypatch, None)


def test_without_the_library_no_tensorflow_is_required(monkeypatch):
    monkeypatch.setenv("TF_DWBP_NATIVE", "0")
    assert _required(monkeypatch, "2.18.1") == []


def test_the_environments_tensorflow_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(backend.sysconfig, "get_path", lambda name: str(tmp_path / name))
    assert backend._in_the_environment() is None
    package = tmp_path / "platlib" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    about = tmp_path / "platlib" / "tensorflow_cpu-2.20.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: tensorflow_cpu\nVersion: 2.20.0\n", encoding="utf-8")
    (about / "top_level.txt").write_text("tensorflow\n", encoding="utf-8")
    assert backend._in_the_environment() == "2.20.0"
    assert tensorflow_wheel.owner(package) == ("tensorflow-cpu", "2.20.0")


@pytest.mark.parametrize(
    ("version", "label"),
    [
        ("2.20.0", "tf2.20"),
        ("2.19.1", "tf2.19.1"),
        ("2.22.0rc0", "tf2.22rc0"),
        ("2.21.0+mine.1", "tf2.21.mine.1"),
    ],
)
def test_what_a_build_is_called(version, label):
    assert tensorflow_versions.label(version) == label


def test_what_bazel_is_told():
    def program(version):
        return subprocess.run(
            [sys.executable, _ROOT / "build_support" / "tensorflow_versions.py", version],
            capture_output=True,
            encoding="utf-8",
        )

    assert json.loads(program("2.20.0").stdout) == {"label": "tf2.20"}
    failed = program("2.18.0")
    assert failed.returncode == 1
    assert failed.stderr.startswith("the installed TensorFlow is 2.18.0, but tf_dwbp can be")


def test_the_docs_name_each_version():
    page = (_ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    for version, (oldest, newest) in tensorflow_versions.PYTHONS.items():
        default = ", the default" if version == DEFAULT else ""
        xla = "yes" if version in tensorflow_versions.WITH_XLA else "no: "
        assert f"\n| {version}{default} | {oldest} to {newest} | {xla}" in page
        assert f"`{__version__}+{tensorflow_versions.label(version)}`" in page
    assert tensorflow_versions.VARIABLE in page


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
