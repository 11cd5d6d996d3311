"""Processes that may do anything, and that end with all that they have started."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

import lone_worker
from tf_dwbp.tools import descendants, machine, process

_ROOT = pathlib.Path(__file__).absolute().parents[2]


_MODULE = """
    import signal, subprocess, threading

    channel.send(arguments=sys.argv[2:], variable=os.environ.get("A_VARIABLE"))

    def children():
        subprocess.Popen(["sleep", "1000"])
        subprocess.Popen(["sleep", "1000"], env={})
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(1000)

    for message in channel:
        exec(message["code"])
        channel.send(said="done")
"""


_LOAD = lone_worker.PREAMBLE.partition("channel")[0]


def _alive_in(group):
    """The processes of a group, zombies apart."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group, *_ = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(its_group) == group and state != "Z":
                found.append(path.parent.name)
    return found


class WorkerTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name, "some_worker.py")
        program = lone_worker.PREAMBLE + textwrap.dedent(_MODULE)
        path.write_text(program, encoding="utf-8")
        environment = {"PYTHONPATH": f"{folder.name}{os.pathsep}{_ROOT}"}
        self.enter_context(mock.patch.dict(os.environ, environment))

    def _start(self, *arguments, **environment):
        worker = process.Worker("some_worker", arguments, environment)
        self.addCleanup(worker.stop)
        (begun,) = self._receive(worker)
        self.assertEqual(begun["arguments"], list(arguments))
        return worker, begun

    def _receive(self, worker, seconds=60):
        self.assertEqual(process.wait([worker], seconds), [worker])
        return worker.receive()

    def _ask(self, code, **options):
        worker, _ = self._start()
        worker.send(code=code)
        return worker, self._receive(worker, **options)

    def test_messages_go_both_ways(self):
        worker, begun = self._start("an argument", A_VARIABLE="a value")
        self.assertEqual(begun["variable"], "a value")
        long = "x" * 10**6
        worker.send(code=f"channel.send(text={long!r})")
        received = []
        while len(received) < 2:
            received += self._receive(worker)
        self.assertEqual(received, [{"text": long}, {"said": "done"}])
        self.assertEqual(worker.receive(), [])
        self.assertFalse(worker.ended)

    @parameterized.parameters(
        ("os._exit(3)", "exit status 3"),
        ("os._exit(0)", "exit status 0"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 5)", "signal 39"),
        ("sys.exit(4)", "exit status 4"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.write(channel._socket.fileno(), b'?\\n'); time.sleep(1000)", "it wrote into"),
        ("os.write(channel._socket.fileno(), b'5\\n'); time.sleep(1000)", "it wrote into"),
        # A fork holds the channel open, and what is printed.
        ("if not os.fork():\n  time.sleep(1000)\nos.abort()", "SIGABRT"),
        (
            "import ctypes\nif not ctypes.CDLL(None).fork():\n  time.sleep(1000)\nos.abort()",
            "SIGAB",
        ),
    )
    def test_ends(self, code, how):
        worker, received = self._ask(
            f"print('a last ✓ word'); {code}" if "\n" not in code else code
        )
        self.assertIsNone(received)
        words = worker.last_words().split("\n")
        self.assertStartsWith(words[0], how)
        if "\n" not in code:
            self.assertIn("a last ✓ word", words[1:])

    def test_a_closed_channel_is_an_end(self):
        worker, received = self._ask("os.closerange(3, 10000); time.sleep(1000)")
        self.assertIsNone(received)
        with mock.patch.object(process, "_EXIT_SECONDS", 1):
            self.assertStartsWith(worker.last_words(), "stopped answering")

    @parameterized.parameters(
        "sys.stdin.read()",
        "os.closerange(0, 64)",
        "print('{\"said\": 1}'); os.write(2, b'text')",
        "os.write(1, b'x' * 10**7)",
        "os.chdir('/')",
        "os.fork()",
        "[os.fork() for _ in range(3)]",
        "import ctypes; ctypes.CDLL(None).fork()",
        "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT)]",
        "threading.Thread(target=time.sleep, args=[1000]).start()",
    )
    def test_answers_all_the_same(self, code):
        worker, received = self._ask(code)
        self.assertEqual(received, [{"said": "done"}])
        worker.send(code="pass")
        self.assertEqual(self._receive(worker), [{"said": "done"}])

    def test_hanging(self):
        worker, _ = self._start()
        worker.send(code="print('almost'); time.sleep(1000)")
        start = time.monotonic()
        self.assertEqual(process.wait([worker], 1), [])
        self.assertGreaterEqual(time.monotonic() - start, 1)
        self.assertEqual(worker.last_words("it hangs"), "it hangs\nalmost")
        self.assertTrue(worker.ended)

    def test_what_is_printed_is_not_kept_but_for_the_end(self):
        worker, _ = self._start()
        worker.send(code="while True: print('x' * 1000)")
        self.assertEqual(process.wait([worker], 2), [])
        worker.stop()
        self.assertLessEqual(len(worker._log._tail), process._LOG_BYTES)

    def test_nothing_is_left_behind(self):
        for end in ("pass", "os.abort()"):
            worker, _ = self._start()
            worker.send(code=f"children(); {end}")
            self._receive(worker)
            group, token = worker._process.pid, worker._token
            deadline = time.monotonic() + 30  # one that forks just now is not to be found
            while len(marked := list(descendants.marked(process._MARK, token))) < 3:
                self.assertLess(time.monotonic(), deadline, marked)
            worker.stop()
            self.assertEmpty(list(descendants.marked(process._MARK, token)))
            deadline = time.monotonic() + 30
            while _alive_in(group) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEmpty(_alive_in(group))  # nor is one without the mark

    def test_a_worker_does_not_outlive_its_parent(self):
        program = """
            import signal
            worker = process.Worker("some_worker")
            process.wait([worker], 60)
            worker.receive()
            worker.send(code="time.sleep(1000)")
            print(worker._process.pid, flush=True)
            END
        """
        for end in ("os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit", "1 / 0"):
            done = subprocess.run(
                [sys.executable, "-c", _LOAD + textwrap.dedent(program).replace("END", end)],
                cwd=_ROOT,
                capture_output=True,
                text=True,
                encoding="utf-8",
            )
            deadline = time.monotonic() + 30
            status = pathlib.Path("/proc", done.stdout.strip(), "status")
            while status.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertFalse(status.exists(), end)

    def test_orphans_are_ended_but_for_others_children(self):
        program = """
            import subprocess
            from tf_dwbp.tools import descendants
            descendants.adopt_orphans()
            ended = descendants.orphans_ended()
            if ENDS: ended.__enter__()
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            own = subprocess.Popen(["sleep", "1000"], **silent)
            worker = process.Worker("some_worker")
            process.wait([worker], 60)
            worker.receive()
            worker.send(code="print(subprocess.Popen(['sleep', '1000'], env={'PATH': os.defpath}, "
                "start_new_session=True).pid, flush=True); os.kill(os.getpid(), 9)")
            while not worker.ended: time.sleep(0.01)
            print(worker.last_words().split()[-1], own.pid, own.poll(), flush=True)
        """
        for ends in (True, False):
            done = subprocess.run(
                [sys.executable, "-c", _LOAD + textwrap.dedent(program).replace("ENDS", str(ends))],
                cwd=_ROOT,
                capture_output=True,
                text=True,
                encoding="utf-8",
            )
            orphan, own, ended = done.stdout.split()
            os.kill(int(own), signal.SIGKILL)
            self.assertEqual(ended, "None", done.stderr)
            self.assertEqual(pathlib.Path("/proc", orphan).exists(), not ends)
            if not ends:
                os.kill(int(orphan), signal.SIGKILL)

    def test_workers_need_nothing_that_linux_alone_has(self):
        with mock.patch.object(descendants.ctypes, "CDLL", return_value=object()):
            descendants.adopt_orphans()
            descendants.end_with_parent()
        with mock.patch.object(machine, "_CPU_INFO", pathlib.Path("/no/such/file")):
            self.assertEqual(machine._processor()[1], [])

    @parameterized.parameters(False, True)
    def test_forks_do_not_pile_up(self, ids_begin_anew):
        # In a process of its own: this one may have children that are not the test's.
        program = """
            import signal, time
            from tf_dwbp.tools import descendants
            descendants._MOST_CHILDREN = 2
            pids = []
            for _ in range(4):
                if not (pid := os.fork()):
                    time.sleep(1000)
                pids.append(pid)
            if IDS_BEGIN_ANEW:
                of_child = dict(zip(pids, range(4)))
                descendants._ticks_at_start = lambda pid: -of_child[pid]
            descendants.end_oldest_children()
            for index, pid in enumerate(pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    print(index)
        """.replace("IDS_BEGIN_ANEW", str(ids_begin_anew))
        done = subprocess.run(
            [sys.executable, "-c", _LOAD + textwrap.dedent(program)],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        gone = ["2", "3"] if ids_begin_anew else ["0", "1"]
        self.assertEqual((done.stdout.split(), done.returncode), (gone, 0), done.stderr)

    def test_a_process_that_cannot_start(self):
        before = len(os.listdir("/proc/self/fd"))
        with (
            mock.patch.object(subprocess, "Popen", side_effect=BlockingIOError(11, "no more")),
            self.assertRaises(BlockingIOError),
        ):
            process.Worker("some_worker")
        self.assertLen(os.listdir("/proc/self/fd"), before)

    def test_standard_descriptors_may_be_closed(self):
        program = """
            with process.Worker("some_worker") as worker:
                process.wait([worker], 60)
                [message] = worker.receive()
                os.write(FD, repr(message).encode())
        """
        read, write = os.pipe()
        program = _LOAD + textwrap.dedent(program).replace("FD", str(write))
        command = f'exec {sys.executable} -c "$0" <&- >&- 2>&-'
        subprocess.run(["sh", "-c", command, program], pass_fds=[write], cwd=_ROOT, check=True)
        os.close(write)
        with open(read, "rb") as pipe:
            self.assertEqual(pipe.read(), b"{'arguments': [], 'variable': None}")


class JudgedTest(absltest.TestCase):
    def test_what_the_user_tells_of_the_cache_holds(self):
        for told, judged in (
            (None, {"TF_DWBP_L3_MB": "0"}),
            ("", {"TF_DWBP_L3_MB": "0"}),
            ("64", {}),
        ):
            with mock.patch.dict(os.environ):
                os.environ.pop("TF_DWBP_L3_MB", None)
                if told is not None:
                    os.environ["TF_DWBP_L3_MB"] = told
                self.assertEqual(process.judged(), judged)


class SignalsTest(absltest.TestCase):
    def test_signals_come_at_the_end_of_the_block(self):
        done = []
        with self.assertRaises(KeyboardInterrupt), process.signals_held():
            signal.raise_signal(signal.SIGINT)
            done.append(True)
        self.assertEqual(done, [True])
        with self.assertRaises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
