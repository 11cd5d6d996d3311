"""Copies of the package whose files can be changed."""

import json
import os
import pathlib
import shutil

from tf_dwbp import _library

_PACKAGE = pathlib.Path(_library.__file__).parent


def make(directory: str | os.PathLike) -> pathlib.Path:
    """Copies the package into the directory, without its libraries; returns the copy's folder."""
    copy = pathlib.Path(directory, "tf_dwbp")
    shutil.copytree(_PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return copy


def describe(package: pathlib.Path, **info) -> None:
    """Gives a copy the description of another build."""
    (package / _library.BUILD_INFO_PATH.name).write_text(json.dumps(info), encoding="utf-8")
