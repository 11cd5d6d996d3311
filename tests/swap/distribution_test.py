"""Training over several devices and processes, swapped in, has the losses of the plain run."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

_PROGRAM = pathlib.Path(__file__).with_name("distributed_program.py")


def _start(*arguments, task=None):
    environment = dict(os.environ)
    if task is not None:
        environment["TF_CONFIG"] = json.dumps(task)
    return subprocess.Popen(
        [sys.executable, str(_PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )


def _result(process):
    output, errors = process.communicate()
    if process.returncode:
        raise AssertionError(f"exit status {process.returncode}: {errors[-4000:]}")
    return json.loads(output.splitlines()[-1])


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class DistributionTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_swapped_and_same(self, result, plain, ours):
        found = [result[by] for by in ("ours", "stock", "undecided")]
        self.assertEqual(found, [ours, 0, 0])
        self.assertEqual((plain["ours"], plain["stock"]), (0, 0))  # nothing was installed
        self.assertAllClose(result["losses"], plain["losses"], rtol=1e-5)
        # The loss must tell one weight from another.
        self.assertGreater(np.ptp(plain["losses"]), 1e-3)

    @parameterized.parameters("loop", "fit")
    def test_mirrored(self, way):
        plain = _start(way, "plain", "stock")
        mirrored = _start(way, "mirrored", "swapped")
        # Two layers, whose images need no gradient, on two devices.
        self._assert_swapped_and_same(_result(mirrored), _result(plain), ours=10)

    def test_multi_worker_mirrored(self):
        plain = _start("loop", "plain", "stock")
        workers = [f"localhost:{port}" for port in _free_ports(2)]
        processes = [
            _start(
                "loop",
                "multiworker",
                "swapped",
                task={"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}},
            )
            for index in range(2)
        ]
        try:
            results = [_result(process) for process in processes]
        finally:
            for process in processes:
                process.kill()
        plain = _result(plain)
        for result in results:
            self._assert_swapped_and_same(result, plain, ours=5)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
