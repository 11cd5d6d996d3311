"""Finds what the wheel's XLA headers want besides the wheel's own include path, or says why the
XLA library is left out.

The environment decides:
  TF_DWBP_XLA  0: no XLA library; 1: an error where it cannot be built; unset: as it comes.

Run as a program, with the wheel's include path, it prints what it found as JSON, for Bazel; it must
not import its neighbours.
"""

import json
import os
import pathlib
import re
import sys

# Folders of the wheel's include path -> a header that XLA's headers include from there. The wheel
# ships them under the names of their repositories, off the include path that they are written for.
_FOLDERS = {
    # xla/printer.h prints into a hash
    "external/highwayhash": "highwayhash/highwayhash.h",
    # tsl/platform/fingerprint.h, by which XLA's caches know their entries
    "external/farmhash_archive/src": "farmhash.h",
}
# Of XLA's foreign function interface, 0.2: older ones (TensorFlow 2.20) refuse attributes that
# a handler reads only when it is instantiated.
_OLDEST_MINOR = 2
_HEADERS = ("tensorflow/compiler/tf2xla/xla_op_kernel.h", "xla/ffi/api/ffi.h")


class BadSetting(Exception):
    """The environment asks for something that there is not; the message is for the user."""


class NotFound(Exception):
    """The XLA library is not built; the message is one sentence, or less, for the user."""


def setting() -> str:
    """What the environment asks for: 0, 1 or nothing."""
    wanted = os.environ.get("TF_DWBP_XLA", "")
    if wanted not in ("", "0", "1"):
        raise BadSetting(f"TF_DWBP_XLA must be 0 or 1, but is {wanted!r}.")
    return wanted


def find(include: pathlib.Path) -> list[pathlib.Path]:
    """The include paths to add to the wheel's."""
    if setting() == "0":
        raise NotFound("TF_DWBP_XLA is 0")
    there = {include / header: header for header in _HEADERS}
    there |= {include / folder / header: header for folder, header in _FOLDERS.items()}
    for path, header in there.items():
        if not path.exists():
            raise NotFound(f"this TensorFlow comes without {header}")
    api = include / "xla/ffi/api/c_api.h"
    text = api.read_text(encoding="utf-8") if api.exists() else ""
    minor = re.search(r"^#define XLA_FFI_API_MINOR (\d+)", text, re.MULTILINE)
    if minor and int(minor[1]) < _OLDEST_MINOR:
        raise NotFound(f"this TensorFlow's XLA FFI is 0.{minor[1]}, not 0.{_OLDEST_MINOR} or newer")
    return [include / folder for folder in _FOLDERS]


if __name__ == "__main__":
    try:
        found = {
            "folders": [str(path) for path in find(pathlib.Path(sys.argv[1]))],
            "problem": None,
        }
    except NotFound as error:
        if setting() == "1":
            sys.exit(f"TF_DWBP_XLA is 1, but {error}.")
        found = {"folders": [], "problem": str(error)}
    except BadSetting as error:
        sys.exit(str(error))
    print(json.dumps(found))
