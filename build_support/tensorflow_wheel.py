"""Finds the TensorFlow that this interpreter would import, without the seconds of importing it.

Run as a program it prints what it found as JSON, for Bazel; it must not import its neighbours.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import pathlib
import platform
import sys


class NotFound(Exception):
    """No TensorFlow to build against; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class TensorFlowWheel:
    distribution: str  # "tensorflow" or "tensorflow-cpu"
    version: str
    directory: pathlib.Path

    @property
    def include(self) -> pathlib.Path:
        return self.directory / "include"

    @property
    def framework(self) -> pathlib.Path:
        return self.directory / "libtensorflow_framework.so.2"

    @property
    def compiler(self) -> pathlib.Path:
        """Holds XLA, which only the XLA library needs."""
        return self.directory / "libtensorflow_cc.so.2"


def find() -> TensorFlowWheel:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise NotFound(
            f"tf_dwbp is compiled against TensorFlow's headers, and {sys.executable} has no "
            "TensorFlow: install tensorflow or tensorflow-cpu, or build without "
            "--no-build-isolation."
        )
    directory = pathlib.Path(spec.origin).parent
    distribution, version = owner(directory)
    wheel = TensorFlowWheel(distribution, version, directory)
    if not wheel.framework.exists():
        raise NotFound(
            f"{distribution} {version} is of no use to build against: no {wheel.framework}."
        )
    return wheel


def installed_version() -> str | None:
    """The version of the TensorFlow that this interpreter would import, if there is one."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return None
    return owner(pathlib.Path(spec.origin).parent)[1]


def owner(directory: pathlib.Path) -> tuple[str, str]:
    """The distribution that the package in this directory came from: (name, version).

    Raises:
      NotFound: there is none, or there are two.
    """
    owners = {
        (distribution.metadata["Name"].replace("_", "-"), distribution.version)
        for distribution in importlib.metadata.distributions(path=[str(directory.parent)])
        if "tensorflow" in (distribution.read_text("top_level.txt") or "").split()
    }
    if not owners:
        raise NotFound(f"no installed package claims {directory}, so its version is unknown.")
    if len({version for _, version in owners}) > 1:
        names = " and ".join(" ".join(owner) for owner in sorted(owners))
        raise NotFound(
            f"{names} have overwritten each other in {directory}: uninstall all, install one."
        )
    return min(owners)


if __name__ == "__main__":
    try:
        found = find()
    except NotFound as error:
        sys.exit(str(error))
    print(
        json.dumps(
            {
                "version": found.version,
                "include": str(found.include.resolve()),
                "framework": str(found.framework.resolve()),
                "compiler": str(found.compiler.resolve()),
                "machine": platform.machine(),
                "python": sys.executable,
            }
        )
    )
