"""The releases of TensorFlow: which the package is built for, and which one a build takes.

The environment decides:
  TF_DWBP_TENSORFLOW  a version, such as 2.20.0 or 2.20, instead of the one that is installed, or,
                      where none is, instead of DEFAULT.

Run as a program, with a version, it prints what the package is called for it as JSON, for Bazel; it
must not import its neighbours.
"""

import json
import os
import sys

try:
    from packaging.version import InvalidVersion, Version
except ImportError:
    sys.exit(
        "tf_dwbp's build compares versions by a package that is missing: pip install packaging"
    )

# What is built and tested -> the oldest and the newest Python that it has wheels for, from 3.10 on.
# Of each series, other patch releases are taken as well.
PYTHONS = {
    "2.19.1": ("3.10", "3.12"),
    "2.20.0": ("3.10", "3.13"),
    "2.21.0": ("3.10", "3.13"),
    "2.22.0rc0": ("3.10", "3.14"),
}
SUPPORTED = tuple(PYTHONS)
# Those that the XLA library can be built for; xla_headers says why not for the others.
WITH_XLA = ("2.21.0", "2.22.0rc0")
# What the extras and an isolated build bring unless told otherwise.
DEFAULT = "2.21.0"
# What stock's ops are judged of, for docs/versions.md.
JUDGED = ("2.16.2", "2.17.1", "2.18.1", *SUPPORTED)
# From which on the package without a library works.
OLDEST = "2.16"

VARIABLE = "TF_DWBP_TENSORFLOW"


class Unsupported(Exception):
    """There can be no build for a version; the message is one sentence for the user."""


def check(version: str, what: str) -> str:
    """Returns a supported version as pip writes it, and a series as the release that stands for it.

    Args:
      version: as pip or as TensorFlow writes it.
      what: the subject of the error's sentence, which "is" or "has" the version.

    Raises:
      Unsupported: the package is not built for it.
    """
    try:
        parsed = Version(version)
    except InvalidVersion:
        parsed = None
    series = {Version(text).release[:2]: text for text in SUPPORTED}
    if parsed is None or parsed.release[:2] not in series:
        raise Unsupported(
            f"{what} {version}, but tf_dwbp can be built for TensorFlow {_listed(SUPPORTED)}."
        )
    if parsed.public == ".".join(map(str, parsed.release[:2])):
        return series[parsed.release]
    return str(parsed)


def choose(installed: str | None) -> str:
    """The version to build for.

    Args:
      installed: the version that is there, which a build has to take; None: it can be any.

    Raises:
      Unsupported: there is no such build, or another version is asked for than is installed.
    """
    asked = os.environ.get(VARIABLE)
    if asked:
        asked = check(asked, f"{VARIABLE} is")
    if installed is None:
        return asked or DEFAULT
    found = check(installed, "the installed TensorFlow is")
    if asked and Version(asked) != Version(found):
        raise Unsupported(
            f"{VARIABLE} is {asked}, but the installed TensorFlow is {found}, for which alone a "
            f"build without isolation can be: install TensorFlow {asked}, or unset {VARIABLE}."
        )
    return found


def requested(environments: str | None) -> str:
    """The version that an isolated build is to get.

    Args:
      environments: the version in the environment that the package is installed into, if any.

    Raises:
      Unsupported: there is no such build.
    """
    if os.environ.get(VARIABLE) or environments is None:
        return choose(None)
    try:
        return check(environments, "this environment has TensorFlow")
    except Unsupported as error:
        raise Unsupported(
            f"{str(error)[:-1]}: install one of these first, or set {VARIABLE} to what is to be "
            "installed after."
        ) from None


def label(version: str) -> str:
    """What the package's version has behind its + in a build for a TensorFlow."""
    parsed = Version(version)
    parts = parsed.release if len(parsed.release) < 3 or parsed.release[2] else parsed.release[:2]
    behind = str(parsed).removeprefix(".".join(map(str, parsed.release)))
    return "tf" + ".".join(map(str, parts)) + behind.replace("+", ".")


def _listed(versions):
    return f"{', '.join(versions[:-1])} or {versions[-1]}"


if __name__ == "__main__":
    try:
        print(json.dumps({"label": label(check(sys.argv[1], "the installed TensorFlow is"))}))
    except Unsupported as error:
        sys.exit(str(error))
