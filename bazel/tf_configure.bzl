"""Makes @local_config_tf out of the TensorFlow wheel that is installed."""

_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_python//python:defs.bzl", "py_runtime", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

cc_library(
    name = "eigen_headers",
    hdrs = glob(["include/Eigen/**"]),
    includes = ["include"],
)

# NDEBUG as in the wheel's own build: some of its headers depend on it.
cc_library(
    name = "tf_headers",
    hdrs = glob(["include/**"]),
    defines = [
        "EIGEN_MAX_ALIGN_BYTES=64",
        "NDEBUG",
        "_GLIBCXX_USE_CXX11_ABI=1",
    ],
    includes = [
        "include",
        # What headers of the eager runtime include from there.
        "include/external/farmhash_archive/src",
    ],
)

# The above, and what the headers of XLA want besides.
cc_library(
    name = "xla_headers",
    includes = {xla_folders},
    deps = [":tf_headers"],
)

exports_files([
    "libtensorflow_cc.so.2",
    "libtensorflow_framework.so.2",
])

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

# Else rules_python downloads an interpreter for tools that no target here needs.
_NO_TOOLS = """
load("@rules_python//python:py_exec_tools_toolchain.bzl", "py_exec_tools_toolchain")

py_exec_tools_toolchain(
    name = "no_tools",
    exec_interpreter = "@rules_python//python:none",
)

toolchain(
    name = "exec_tools_toolchain",
    toolchain = ":no_tools",
    toolchain_type = "@rules_python//python:exec_tools_toolchain_type",
)
"""

_CONFIG = """
MACHINE = "{machine}"

TENSORFLOW_VERSION = "{version}"

# Why there are no XLA kernels, or None where there are.
WHY_NO_XLA = {why_no_xla}
"""

def _found_by(ctx, module, *arguments):
    python = ctx.os.environ.get("PYTHON_BIN_PATH") or ctx.which("python3")
    finder = ctx.path(Label("//:build_support/%s.py" % module))
    found = ctx.execute([python, finder] + list(arguments))
    if found.return_code != 0:
        fail("%s: %s" % (python, found.stderr))
    return json.decode(found.stdout)

def _tf_configure_impl(ctx):
    wheel = _found_by(ctx, "tensorflow_wheel")
    _found_by(ctx, "tensorflow_versions", wheel["version"])  # fails if it is not supported
    xla = _found_by(ctx, "xla_headers", wheel["include"])
    wheel["xla_folders"] = repr([
        "include" + folder[len(wheel["include"]):]
        for folder in xla["folders"]
    ])
    wheel["why_no_xla"] = repr(xla["problem"])
    ctx.symlink(wheel["include"], "include")
    ctx.symlink(wheel["framework"], "libtensorflow_framework.so.2")
    ctx.symlink(wheel["compiler"], "libtensorflow_cc.so.2")
    ctx.file("BUILD", _BUILD.format(**wheel) + (_NO_TOOLS if ctx.attr.exec_tools else ""))
    ctx.file("config.bzl", _CONFIG.format(**wheel))

tf_configure = repository_rule(
    implementation = _tf_configure_impl,
    # Whether rules_python asks for tools: that of Bazel 7 does.
    attrs = {"exec_tools": attr.bool()},
    configure = True,
    environ = [
        "PATH",
        "PYTHON_BIN_PATH",
        "TF_DWBP_XLA",
    ],
    local = True,
)
