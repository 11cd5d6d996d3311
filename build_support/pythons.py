"""Finds the Pythons of this machine that a TensorFlow has wheels for.

Run as a program, it prints for each supported TensorFlow, or each that is given, the newest, and
what its build is to have in TF_DWBP_XLA.
"""

import os
import pathlib
import subprocess
import sys

from build_support.tensorflow_versions import PYTHONS, SUPPORTED, WITH_XLA, Unsupported, check


class Failed(Exception):
    """There is none, or one that was given does not run; the message says which."""


def find(given: list[str]) -> dict[str, str]:
    """Version, such as 3.12, -> interpreter, of those given that run, or of all on this machine."""
    names = given or [f"python3.{minor}" for minor in range(10, 16)] + [sys.executable]
    # Where pyenv is, its own, which need not be on PATH.
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"), "versions")
    names += [] if given else [str(path) for path in sorted(pyenv.glob("3.*/bin/python"))]
    found = {}
    for name in names:
        program = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run(
                [name, "-c", program], capture_output=True, encoding="utf-8", check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            if given:
                raise Failed(f"{name} does not run: {error}") from None
            continue
        found.setdefault(done.stdout.strip(), name)
    return found


def suitable(version: str, found: dict[str, str]) -> dict[str, str]:
    """Those of the Pythons that a TensorFlow has a wheel for, the newest last; at least one."""
    if version not in PYTHONS:
        raise Failed(f"what is tested is TensorFlow {', '.join(PYTHONS)}, not {version}")
    oldest, newest = (_numbers(text) for text in PYTHONS[version])
    able = {text: found[text] for text in sorted(found, key=_numbers)}
    able = {text: name for text, name in able.items() if oldest <= _numbers(text) <= newest}
    if not able:
        raise Failed(f"TensorFlow {version} has no wheel for Python {', '.join(found)}")
    return able


def xla_setting(version: str) -> str:
    """TF_DWBP_XLA for a TensorFlow: where there can be XLA kernels, a build without has failed."""
    return "1" if version in WITH_XLA else ""


def _numbers(text):
    return tuple(map(int, text.split(".")))


def main(versions: list[str]) -> str | None:
    """Prints the lines, or returns why there are none."""
    try:
        for version in [check(text, "it is") for text in versions] or SUPPORTED:
            newest = [*suitable(version, find([])).values()][-1]
            print(version, newest, xla_setting(version))
    except (Failed, Unsupported) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
