"""What the tests of this folder share."""

import os
import textwrap

import pytest


@pytest.fixture
def target_module(tmp_path, monkeypatch):
    """Makes a module of a text, for workers to import; returns its name."""

    def make(text, name="some_target"):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", path)
        return name

    return make
