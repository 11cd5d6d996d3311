"""Makes @local_config_tf out of the TensorFlow wheel that is installed."""

_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_python//python:defs.bzl", "py_runtime", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

# NDEBUG as in the wheel's own build: some of its headers depend on it.
cc_library(
    name = "tf_headers",
    hdrs = glob(["include/**"]),
    defines = [
        "EIGEN_MAX_ALIGN_BYTES=64",
        "NDEBUG",
        "_GLIBCXX_USE_CXX11_ABI=1",
    ],
    includes = ["include"],
)

exports_files(["libtensorflow_framework.so.2"])

py_runtime(
    name = "py3_runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "py_runtime_pair",
    py3_runtime = ":py3_runtime",
)

toolchain(
    name = "py_toolchain",
    toolchain = ":py_runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

_CONFIG = """
MACHINE = "{machine}"

TENSORFLOW_VERSION = "{version}"
"""

def _tf_configure_impl(ctx):
    python = ctx.os.environ.get("PYTHON_BIN_PATH") or ctx.which("python3")
    finder = ctx.path(Label("//:build_support/tensorflow_wheel.py"))
    found = ctx.execute([python, finder])
    if found.return_code != 0:
        fail("%s: %s" % (python, found.stderr))
    wheel = json.decode(found.stdout)
    ctx.symlink(wheel["include"], "include")
    ctx.symlink(wheel["framework"], "libtensorflow_framework.so.2")
    ctx.file("BUILD", _BUILD.format(**wheel))
    ctx.file("config.bzl", _CONFIG.format(**wheel))

tf_configure = repository_rule(
    implementation = _tf_configure_impl,
    configure = True,
    environ = [
        "PATH",
        "PYTHON_BIN_PATH",
    ],
    local = True,
)
