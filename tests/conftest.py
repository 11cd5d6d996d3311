"""Decides which tests this machine can run."""

import os
import pathlib
import signal

import pytest

# Where a shell runs the tests in the background, Ctrl-C is ignored, and under nohup the end of the
# terminal, also by the programs that the tests send these signals to.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def support_for_workers(monkeypatch):
    """Has the processes that a test starts find the targets in tests/support."""
    folder = pathlib.Path(__file__).parent / "support"
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def pytest_collection_modifyitems(items):
    # A helper of tf.test.TestCase that only looks like a test.
    items[:] = [item for item in items if item.name != "test_session"]
    marked = {
        name: [item for item in items if item.get_closest_marker(name)]
        for name in ("slow", "gpu", "xla")
    }
    if os.environ.get("TF_DWBP_SKIP_SLOW"):
        _skip(marked["slow"], "TF_DWBP_SKIP_SLOW is set")
    if marked["xla"]:
        from tf_dwbp import build_info

        if why := build_info()["why_no_xla"]:
            _skip(marked["xla"], f"built without XLA kernels: {why}")
    if marked["gpu"]:
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            _skip(marked["gpu"], "TensorFlow sees no GPU")


def _skip(items, reason):
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))
