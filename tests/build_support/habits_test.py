"""What is written down for those who work on the package agrees with what it is."""

import json
import pathlib
import re
import subprocess
import sys
from unittest import mock

import pytest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import (  # noqa: E402
    compile_commands,
    compiling,
    native,
    tensorflow_versions,
)
from tf_dwbp import __version__  # noqa: E402

_NEEDS_FILES_OF_GIT = pytest.mark.skipif(
    not (_ROOT / ".pre-commit-config.yaml").exists(),
    reason="a checkout's files, which Bazel is not given",
)


@_NEEDS_FILES_OF_GIT
def test_pre_commit_runs_the_tools_of_ci():
    hooks = (_ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    tools = (_ROOT / ".ci" / "lint-requirements.txt").read_text(encoding="utf-8").split()
    assert sorted(set(re.findall(r'\["(.*)"\]', hooks))) == sorted(tools)


@_NEEDS_FILES_OF_GIT
def test_the_workflow_judges_each_tensorflow_by_itself():
    text = (_ROOT / ".github" / "workflows" / "ci.yaml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^ +tensorflow: (\[.*\])$", text, re.MULTILINE)
    assert tuple(json.loads(listed)) == tensorflow_versions.SUPPORTED
    assert "- run: .ci/versions ${{ matrix.tensorflow }}\n" in text


@_NEEDS_FILES_OF_GIT
def test_the_changelog_begins_with_this_version():
    text = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == __version__


@_NEEDS_FILES_OF_GIT
def test_contributing_names_files_that_are_there():
    page = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:cc|tf_dwbp|build_support)/[\w./]+)`", page):
        assert (_ROOT / name).exists(), name
    for name in re.findall(r"python -m (build_support\.\w+)", page):
        assert (_ROOT / f"{name.replace('.', '/')}.py").exists(), name


@_NEEDS_FILES_OF_GIT
def test_clangd_is_told_how_each_source_is_compiled(tmp_path):
    (tmp_path / "cc").symlink_to(_ROOT / "cc")
    with mock.patch.object(compiling, "ROOT", tmp_path):
        assert compile_commands.main() is None
    commands = json.loads((tmp_path / "compile_commands.json").read_text(encoding="utf-8"))
    sources = {path.relative_to(_ROOT).as_posix() for path in (_ROOT / "cc").rglob("*.c[cu]")}
    listed = native.read_sources()
    only_gpu = set(listed["GPU_LIBRARY_SOURCES"] + listed["GPU_XLA_SOURCES"])
    only_gpu -= set(listed["GPU_CORE_SOURCES"])  # compiled for the emulator as well
    only_gpu |= set(listed["GPU_HARNESS_SOURCES"])
    assert {command["file"] for command in commands} == sources - only_gpu
    # One, as clangd would run it.
    (command,) = (each for each in commands if each["file"] == "cc/conv/problem.cc")
    done = subprocess.run(
        [*command["arguments"], "-fsyntax-only"], cwd=command["directory"], capture_output=True
    )
    assert done.returncode == 0, done.stderr


@_NEEDS_FILES_OF_GIT
def test_every_bazel_is_given_the_same_repositories():
    """The files are read as Python: they use nothing else of Starlark."""
    modules, made = {"bazel_tools"}, set()

    def rules(label, *names):
        """Functions that note which repositories they make."""
        return {
            name: lambda name=None, rule=name, **_: made.add((label, rule, name)) for name in names
        }

    def read(file, **functions):
        made.clear()
        toolchains = set()
        names = {"register_toolchains": lambda *labels: toolchains.update(labels)}
        names["load"] = lambda label, *loaded: names.update(rules(label, *loaded))
        exec((_ROOT / file).read_text(encoding="utf-8"), names | functions, names)
        return {repository for repository in made if repository[2]}, toolchains

    newer = read(
        "MODULE.bazel",
        module=lambda name: None,
        bazel_dep=lambda name, version: modules.add(name),
        use_repo_rule=lambda label, rule: rules(label, rule)[rule],
    )
    older = read("WORKSPACE", workspace=lambda name: None)
    assert newer[0] == older[0]
    assert newer[1] == older[1] | {"@local_config_tf//:exec_tools_toolchain"}
    there = modules | {name for _, _, name in newer[0]}
    files = [_ROOT / "BUILD", *_ROOT.glob("bazel/*_configure.bzl")]
    used = {n for f in files for n in re.findall(r'"@(\w+)//', f.read_text(encoding="utf-8"))}
    assert used == there


def test_tests_do_not_leave_bazels_sandbox():
    """Its files are links to the source tree, where nothing is built."""
    followed = re.compile(r"__file__\)\.resolve" + r"\(")
    for path in (_ROOT / "tests").rglob("*.py"):
        assert not followed.search(path.read_text(encoding="utf-8")), path


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
