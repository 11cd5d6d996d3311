"""What the programs do where the machine does not let them work: one line, and a status not 1."""

import contextlib
import errno
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

import lone_worker
from tf_dwbp import cli, info
from tf_dwbp.conformance import cases, runner
from tf_dwbp.tools import console, files

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_PROGRAM = f"{sys.executable} -m tf_dwbp"


def _main(*arguments):
    """The status, and what was printed on standard output and standard error."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = cli.main([*arguments])
    return status, stdout.getvalue(), stderr.getvalue()


class StatusTest(parameterized.TestCase):
    def _folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    @parameterized.parameters(
        (OSError(errno.ENOSPC, "No space left", "a/file"), 2, "tf-dwbp: a/file: No space left\n"),
        (OSError(errno.EAGAIN, "No more processes"), 2, "tf-dwbp: No more processes\n"),
        (BrokenPipeError(), 2, "tf-dwbp: standard output was closed before everything was"),
        (ModuleNotFoundError("No module named 'a'", name="a"), 2, "tf-dwbp: No module named 'a':"),
        (ImportError("a library\nis broken"), 2, "tf-dwbp: a library is broken\n"),
        (MemoryError(), 2, "tf-dwbp: not enough memory\n"),
        (KeyError("a"), 2, "tf-dwbp: KeyError: 'a' ("),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    )
    def test_one_line(self, error, expected, line):
        with mock.patch.object(info, "describe", side_effect=error):
            status, _, stderr = _main("info")
        self.assertEqual(status, expected)
        self.assertStartsWith(stderr, line)
        self.assertEqual(stderr.count("\n"), 1)

    def test_one_file_that_cannot_be_written_costs_no_other(self):
        folder = self._folder()
        page = folder / "page.html"
        some = cases.select(["half"], ["NHWC"], ["SAME"], quick=True, ops=["forward"], orders=[0])
        run = self._agreeing_run(folder, some[:2])
        with mock.patch.object(runner, "run", return_value=run):
            status, stdout, stderr = _main(
                "conformance", "--json", "/dev/full", "--html", str(page), "--execution", "eager"
            )
        self.assertEqual(status, 2)
        self.assertIn("tf-dwbp: cannot write /dev/full: No space left on device\n", stderr)
        self.assertIn(f"wrote {page}\n", stderr)
        self.assertIn("</html>", page.read_text(encoding="utf-8"))
        self.assertIn("2 cells: ours eager 2 agree", stdout)

    def _agreeing_run(self, folder, selected):
        program = """
send(ready=True)
for job in channel:
    for case in job["cases"]:
        send(case=case, outcome={"verdict": "agrees"})
"""
        (folder / "some_worker.py").write_text(lone_worker.PREAMBLE + program, encoding="utf-8")
        with (
            mock.patch.object(runner, "_WORKER_MODULE", "some_worker"),
            mock.patch.dict(os.environ, PYTHONPATH=str(folder)),
        ):
            return runner.run(selected, stock=False)

    @parameterized.parameters("[]", "{}", '{"runs": 1}', '{"runs": [[]], "machine": {}}', "\xff")
    def test_files_that_hold_something_else(self, text):
        path = self._folder() / "saved.json"
        path.write_bytes(text.encode("latin-1"))
        for command in ("bench", "train"):
            with self.assertRaises(SystemExit) as exit, contextlib.redirect_stderr(io.StringIO()):
                cli.main([command, "--load", str(path)])
            self.assertEqual(exit.exception.code, 2)

    @parameterized.parameters(
        ("bench", ["--load"], "--load"),
        ("train", ["--load"], "--load"),
        ("conformance", ["--expect"], "--expect"),
        ("diff", [], "A.json"),
    )
    def test_a_file_without_an_end_is_not_read(self, command, options, name):
        with mock.patch.object(files, "LARGEST_BYTES", 1 << 20):
            line = self._usage_error(command, *options, "/dev/zero")
        self.assertStartsWith(line, f"tf-dwbp {command}: argument {name}: cannot read /dev/zero: ")

    @parameterized.parameters(
        *(
            (command, option, path, why)
            for command, options in (
                ("conformance", ("--json", "--html", "--junit", "--markdown")),
                ("fuzz", ("--json",)),
                ("bench", ("--json",)),
                ("train", ("--json",)),
            )
            for option in options
            for path, why in (
                ("/no/such/folder/x", "cannot write /no/such/folder/x: No such file or directory"),
                ("/proc/x", "cannot write /proc/x: No such file or directory"),
                ("/", "cannot write /: Is a directory"),
                ("", "cannot write '': a file must have a name"),
            )
        )
    )
    def test_files_that_cannot_be_written_are_told_before_the_run(self, command, option, path, why):
        self.assertEqual(
            self._usage_error(command, option, path),
            f"tf-dwbp {command}: argument {option}: {why} (usage: tf-dwbp {command} --help)\n",
        )

    @parameterized.parameters(
        ("", "there is no file "),
        ("/", "there is no file /"),
        ("/no/such", "there is no file /no/such"),
        ("/proc/self/mem", "cannot read /proc/self/mem: Input/output error"),
    )
    def test_scripts_that_cannot_be_run(self, path, why):
        self.assertEqual(_main("run", path), (2, "", f"tf-dwbp run: {why}\n"))

    def _usage_error(self, *arguments):
        with (
            self.assertRaises(SystemExit) as exit,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            cli.main([*arguments])
        self.assertEqual(exit.exception.code, 2)
        self.assertEqual(stderr.getvalue().count("\n"), 1)
        return stderr.getvalue()

    def test_long_messages_are_cut(self):
        line = console.one_line(ValueError("x" * 10**6))
        self.assertLess(len(line), 2000)
        self.assertEqual(console.one_line(KeyboardInterrupt()), "KeyboardInterrupt")


class ProcessTest(parameterized.TestCase):
    """The whole program, with what only a process of its own can have."""

    def _run(self, command):
        return subprocess.run(
            ["bash", "-c", command],
            cwd=_ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": ""},
            capture_output=True,
            encoding="utf-8",
        )

    @parameterized.parameters(
        ("info > /dev/full", 2, "No space left on device\n"),
        ("info >&3", 2, "tf-dwbp: standard output was closed before everything was"),
        ("--help >&3", 2, "tf-dwbp: standard output was closed before everything was"),
        ("info <&- >&-", 0, ""),
    )
    def test_standard_output(self, rest, status, line):
        # Descriptor 3 is a pipe whose reader has ended.
        done = self._run(f"exec 3> >(exec true); wait $!; {_PROGRAM} {rest}")
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(line, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("Exception ignored", done.stderr)

    @parameterized.parameters("rich", "jinja2")
    def test_missing_modules(self, name):
        hidden = f"import sys; sys.modules[{name!r}] = None"
        done = self._run(
            f'{sys.executable} -c "{hidden}; from tf_dwbp import cli; '
            "sys.exit(cli.main(['conformance']))\""
        )
        self.assertEqual(done.returncode, 2)
        line = f"conformance: not installed: {name}; pip install 'tf-dwbp[cli]', or {name}\n"
        self.assertEndsWith(done.stderr, line)
        self.assertNotIn("Traceback", done.stderr)

    @parameterized.parameters(signal.SIGTERM, signal.SIGHUP)
    def test_signals_end_the_workers(self, number):
        with tempfile.TemporaryDirectory() as folder:
            target = "import os, time\ndef f(**k): os.fork(); time.sleep(98765)\n"
            pathlib.Path(folder, "hangs.py").write_text(target, encoding="utf-8")
            found = pathlib.Path(folder, "pids")
            wrapper = (
                f"import os, hangs\ndef f(**k):\n"
                f"    open({str(found)!r}, 'a', encoding='utf-8').write(f'{{os.getpid()}} ')\n"
                f"    hangs.f()\n"
            )
            pathlib.Path(folder, "target.py").write_text(wrapper, encoding="utf-8")
            process = subprocess.Popen(
                [*_PROGRAM.split(), "conformance", "--quick", "--no-stock", "--target", "target:f"],
                cwd=_ROOT,
                env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{_ROOT}"},
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
            while not found.exists() and process.poll() is None:
                os.sched_yield()
            process.send_signal(number)
            _, stderr = process.communicate()
            self.assertEqual(process.returncode, 128 + number, stderr)
            self.assertNotIn("Traceback", stderr)
            for pid in found.read_text(encoding="utf-8").split():
                self.assertFalse(pathlib.Path("/proc", pid, "exe").exists())


class JsonTest(absltest.TestCase):
    def test_standard_output_can_be_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            printed = pathlib.Path(folder, "printed")
            program = (
                "import json\nfrom tf_dwbp.tools import console, files\n"
                "path = console.writable('/dev/stdout')\n"
                "console.write_files([(path, lambda path: files.write(path, json.dumps([1])))])\n"
            )
            with printed.open("wb") as file:
                subprocess.run([sys.executable, "-c", program], stdout=file, cwd=_ROOT, check=True)
            self.assertEqual(json.loads(printed.read_text(encoding="utf-8")), [1])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
