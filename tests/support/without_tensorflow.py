"""Runs of `tf-dwbp` where TensorFlow cannot be imported, by a package whose library is missing."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

_SUPPORT = pathlib.Path(__file__).absolute().parent
_PACKAGE = _SUPPORT.parents[1] / "tf_dwbp"

# Leaves a trace even where the error is caught.
_TENSORFLOW = """
import pathlib
pathlib.Path(__file__).with_name("was_imported").touch()
raise ImportError("TensorFlow must not be imported here")
"""


@dataclasses.dataclass(frozen=True)
class Program:
    """A copy of the package in a folder, beside a `tensorflow` that raises."""

    folder: pathlib.Path

    def __post_init__(self):
        omitted = shutil.ignore_patterns("*.so", "_build_info.json", "__pycache__")
        shutil.copytree(_PACKAGE, self.folder / "tf_dwbp", ignore=omitted)
        tensorflow = self.folder / "tensorflow"
        tensorflow.mkdir()
        (tensorflow / "__init__.py").write_text(_TENSORFLOW, encoding="utf-8")

    def run(self, *arguments) -> subprocess.CompletedProcess:
        """Runs `python -m tf_dwbp` with these arguments, and the tests' helpers on the path."""
        path = os.pathsep.join(map(str, (self.folder, _SUPPORT)))
        return subprocess.run(
            [sys.executable, "-m", "tf_dwbp", *map(str, arguments)],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            encoding="utf-8",
            timeout=600,
        )

    @property
    def tensorflow_was_imported(self) -> bool:
        """Whether any process has tried."""
        trace = self.folder / "tensorflow" / "was_imported"
        with contextlib.suppress(FileNotFoundError):
            trace.unlink()
            return True
        return False
