"""Makes @local_config_cuda out of the nvcc that is installed, if there is one."""

def _cuda_configure_impl(ctx):
    python = ctx.os.environ.get("PYTHON_BIN_PATH") or ctx.which("python3")
    finder = ctx.path(Label("//:build_support/cuda_toolkit.py"))
    found = ctx.execute([python, finder])
    if found.return_code != 0:
        fail("%s: %s" % (python, found.stderr))
    toolkit = json.decode(found.stdout)
    build = ""
    if toolkit:
        ctx.symlink(toolkit["runtime"], "libcudart_static.a")
        build = "exports_files([\"libcudart_static.a\"])\n"
    ctx.file("BUILD", build)

    # A dictionary, or None without GPU kernels.
    ctx.file("config.bzl", "CUDA = %r\n" % toolkit)

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    configure = True,
    environ = [
        "CUDA_HOME",
        "PATH",
        "PYTHON_BIN_PATH",
        "TF_DWBP_CUDA",
        "TF_DWBP_CUDA_ARCHS",
    ],
    local = True,
)
