"""The build backend of pyproject.toml: setuptools', and TensorFlow among what a build requires.

pip installs what is required for an isolated build, and for no other.
"""

import os
import pathlib
import sysconfig

from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from build_support import tensorflow_versions, tensorflow_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def is_native() -> bool:
    """Whether the ops' library is to be built."""
    wanted = os.environ.get("TF_DWBP_NATIVE", "")
    if wanted not in ("", "0", "1"):
        raise SystemExit(f"TF_DWBP_NATIVE must be 0 or 1, but is {wanted!r}.")
    return wanted != "0"


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    """The TensorFlow whose headers the library is compiled against."""
    if not is_native():
        return []
    try:
        version = tensorflow_versions.requested(_in_the_environment())
    except (tensorflow_versions.Unsupported, tensorflow_wheel.NotFound) as error:
        raise SystemExit(f"tf_dwbp: {error}") from None
    return [f"tensorflow-cpu=={version}"]


get_requires_for_build_editable = get_requires_for_build_wheel


def get_requires_for_build_sdist(config_settings=None) -> list[str]:
    """Nothing: the sources are those for every TensorFlow."""
    return []


def _in_the_environment():
    """The TensorFlow of the environment that the package is for, which pip hides from the build."""
    for name in ("purelib", "platlib"):
        package = pathlib.Path(sysconfig.get_path(name), "tensorflow")
        if (package / "__init__.py").exists():
            return tensorflow_wheel.owner(package)[1]
    return None
