"""What the figures were measured on."""

import contextlib
import os
import pathlib
import platform

import tensorflow as tf

from tf_dwbp import _library
from tf_dwbp.tools import process

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
# The instruction sets that make a difference to kernels like these, as Linux spells them.
_FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd")


def describe(threads: int, peer: str = "") -> dict:
    """The processor and the software, as plain data; `peer` is another framework, with version."""
    model, features = _processor()
    found = {
        "cpu": model,
        "cpu_features": features,
        "cores": process.cores(),
        "threads": threads,
        "cpu_isas": _library.build_info()["cpu_isas"],
        "forced_cpu_isa": os.environ.get("TF_DWBP_CPU_ISA"),
        "told_l3_mb": os.environ.get("TF_DWBP_L3_MB"),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),  # on by default on x86-64
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }
    return found | ({"peer": peer} if peer else {})


def _processor():
    """The model's name and the features that matter, as far as the system tells."""
    fields, lines = {}, []
    with contextlib.suppress(OSError):  # Linux alone has this file
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, [feature for feature in _FEATURES if feature in flags]
