"""The command line: exit statuses, and the files it writes."""

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from unittest import mock
from xml.etree import ElementTree

import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import _library, cli
from tf_dwbp.conformance import cases, runner
from tf_dwbp.tools import targets

_NARROW = ["--quick", "--dtype", "float", "--layout", "NHWC", "--padding", "SAME"]
_EXECUTIONS = targets.EXECUTIONS if _library.build_info()["xla"] else targets.EXECUTIONS[:2]
_TEXT = "forward:double:NHWC:b1:4x4x2m1:k3x3:s1x1:d1x1:SAME"
_PROGRAM = [sys.executable, "-m", "tf_dwbp"]
_ROOT = pathlib.Path(__file__).absolute().parents[2]


def _children(process):
    """The process ids of a process's children, which is how Linux lists them."""
    listing = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(text) for text in listing.read_text(encoding="utf-8").split()]


class CliTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(self.get_temp_dir())

    def _usage_error(self, *arguments):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), self.assertRaises(SystemExit) as exit:
            cli.main([*arguments])
        self.assertEqual(exit.exception.code, 2)
        return stderr.getvalue()

    def test_our_op_passes_and_every_file_is_written(self):
        files = {name: self.directory / name for name in ("json", "html", "junit", "markdown")}
        options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            status = cli.main(["conformance", *_NARROW, *options])
        self.assertEqual(status, 0)
        ours = "".join(f"ours {name} 197 agree, 0 fail | " for name in _EXECUTIONS)
        self.assertIn(f"197 cells: {ours}stock Eigen", stdout.getvalue())
        self.assertLessEqual(max(map(len, stdout.getvalue().splitlines()[:6])), 120)

        selected = cases.select(["float"], ["NHWC"], ["SAME"], quick=True, epilogues=())
        ids = {case.id for case in selected}
        found = json.loads(files["json"].read_text(encoding="utf-8"))
        self.assertEqual({cell["id"] for cell in found["cells"]}, ids)
        for name in _EXECUTIONS:
            self.assertEqual(found["counts"][f"ours {name}"], {"agrees": 197})
        fused = [cell for cell in found["cells"] if cell["epilogue"]]
        self.assertEqual({cell["epilogue"] for cell in fused}, {*map(str, cases.EPILOGUES)})
        for cell in fused:
            self.assertEndsWith(cell["problem"], f":{cell['epilogue']}")
            self.assertNotIn("stock XLA", cell["outcomes"])
            if "gelu" in cell["epilogue"]:
                (outcome,) = cell["outcomes"]["stock oneDNN"]
                self.assertIn("stock fuses no gelu", outcome["message"])
        self.assertEqual(found["lanes"]["ours"], [f"ours {name}" for name in _EXECUTIONS])
        self.assertEqual(found["failing"], 0)
        self.assertIn("WRONG", found["counts"]["stock oneDNN"])

        suite = ElementTree.parse(files["junit"]).getroot().find("testsuite")
        self.assertEqual({test.get("name") for test in suite.iter("testcase")}, ids)
        group = "conformance.forward-epilogue.float-NHWC-SAME"
        groups = [test.get("classname") for test in suite.iter("testcase")]
        self.assertEqual(groups.count(group), len(cases.EPILOGUES))
        self.assertEmpty(list(suite.iter("failure")))
        judged = {found.get("value") for found in suite.iter("property")}
        self.assertEqual(judged, {f"ours {name}" for name in _EXECUTIONS})

        page = files["html"].read_text(encoding="utf-8")
        evidence = json.loads(
            page.partition('type="application/json" id="evidence">')[2].partition("</script>")[0]
        )
        self.assertEqual({cell["id"] for cell in evidence["cells"]}, ids)
        axis = evidence["axes"].index("epilogue")
        told = {cell["axes"][axis] for cell in evidence["cells"]}
        self.assertEqual(told, {"none", *map(str, cases.EPILOGUES)})
        self.assertEqual(page.count('<i class="'), 60 * 4 + 120 + 17 * 3)
        self.assertNotIn("http", page.partition('id="evidence"')[0])

        table = files["markdown"].read_text(encoding="utf-8").splitlines()
        for op in cases.OPS:
            row = table.index(f"| {op} | SAME, dilation 1 | SAME, dilated |")
            self.assertStartsWith(table[row + 2], "| float NHWC | ✓ ")
        row = table.index("| epilogues | float |")
        self.assertStartsWith(table[row + 2], "| linear | ✓ ")
        self.assertStartsWith(table[row + 10], "| gelu_tanh | ✓ –0 % –0 % |")
        all_agree = f" {' '.join('✓' for _ in _EXECUTIONS)} |"
        by_execution = table.index(
            "| ours by execution | "
            + " | ".join(f"{op} | {op}, gradients" for op in cases.OPS)
            + " |"
        )
        self.assertEqual(table[by_execution + 2], f"| float NHWC |{all_agree * 6}")
        self.assertIn(f"ours by execution: {', '.join(_EXECUTIONS)})", "\n".join(table))

    def test_stock_fails(self):
        report = self.directory / "junit.xml"
        found = subprocess.run(
            [*_PROGRAM, "conformance", "--target", "stock", "--junit", report, *_NARROW],
            cwd=_ROOT,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        self.assertEqual(found.returncode, 1, found.stderr)
        self.assertRegex(found.stdout, r"60 cells: stock Eigen .* [1-9]\d* WRONG, [1-9]\d* fail")
        suite = ElementTree.parse(report).getroot().find("testsuite")
        failures = list(suite.iter("failure"))
        self.assertLen(failures, int(suite.get("failures")))
        self.assertTrue(any("WRONG" in failure.text for failure in failures))

    def test_a_case_that_fails_names_itself(self):
        stdout = io.StringIO()
        text = "forward:float:NHWC:b2:7x30x30m1:k3x3:s1x2:d2x2:EXPLICIT(0,1,2,3)"
        with contextlib.redirect_stdout(stdout):
            status = cli.main(["conformance", "--target", "stock", "--case", text, _TEXT, _TEXT])
        self.assertEqual(status, 1)
        self.assertIn("2 cells: ", stdout.getvalue())
        command = f"  tf-dwbp conformance --target stock --case '{text}' --seed 0\n"
        self.assertIn(f"\n{text}\n", stdout.getvalue())
        self.assertIn(command, stdout.getvalue())
        self.assertNotIn(f"--case {_TEXT}", stdout.getvalue())  # which agrees

    def test_our_ops_are_judged_case_by_case(self):
        path = self.directory / "json"
        arguments = ["--case", _TEXT, "--order", "0", "2", "--no-stock", "--json", str(path)]
        with contextlib.redirect_stdout(io.StringIO()):
            status = cli.main(["conformance", *arguments, "--execution", "eager"])
        self.assertEqual(status, 0)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.assertEqual([cell["id"] for cell in cells], [_TEXT, f"{_TEXT} order 2"])
        self.assertEqual([cell["problem"] for cell in cells], [_TEXT, _TEXT])

    def test_info_tells_what_the_build_depends_on(self):
        build = {
            "native": True,
            "tensorflow_version": "1.2.3",
            "compiler": "a compiler",
            "cpu_isas": ["baseline", "avx2"],
            "cuda_version": "13.0",
            "cuda_architectures": [75, 90],
            "xla": True,
            "why_no_xla": None,
        }
        without = build | {"cuda_version": None, "cuda_architectures": None}
        without |= {"xla": False, "why_no_xla": "a header is missing"}
        for info, cuda, xla in (
            (build, "13.0, kernels for sm_75, sm_90", "XLA         jit_compile=True works"),
            (without, "none: without", "XLA         none: a header is missing"),
        ):
            stdout = io.StringIO()
            with (
                contextlib.redirect_stdout(stdout),
                mock.patch.object(_library, "build_info", return_value=info),
                mock.patch.object(_library, "problem", return_value=None),
            ):
                self.assertEqual(cli.main(["info"]), 0)
            for text in ("TensorFlow  1.2.3", "a compiler", "baseline, avx2", cuda, xla):
                self.assertIn(text, stdout.getvalue())
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            self.assertEqual(cli.main(["info", "--json"]), 0)
        found = json.loads(stdout.getvalue())
        self.assertEqual(found, found | _library.build_info())
        self.assertIsNone(found["problem"])
        self.assertEqual(found["version"], tf_dwbp.__version__)
        _library.check_version(found["tensorflow_installed"], tf.__version__)

    @parameterized.parameters(
        ([], "required: COMMAND"),
        (["conformance", "--dtype", "int8"], "invalid choice: 'int8'"),
        (["conformance", "--layout", "CHWN"], "invalid choice: 'CHWN'"),
        (["conformance", "--padding", "FULL"], "invalid choice: 'FULL'"),
        (["conformance", "--execution", "graph"], "invalid choice: 'graph'"),
        (
            ["conformance", "--target", "stock", "--execution", "jit"],
            "stock is judged by its implementations",
        ),
        (["conformance", "--target", "module"], "neither ours, stock nor MODULE:FUNCTION"),
        (["conformance", "--case", "forward"], "'forward' is no problem such as"),
        (["conformance", "--case", _TEXT, "--quick"], "--quick has no place beside it"),
        (["conformance", "--json", "/no/such/place/file"], "cannot write /no/such/place/file"),
        (["conformance", "--html", "/"], "cannot write /"),
        (["conformance", "--target", "no_such_module:f"], "No module named 'no_such_module'"),
    )
    def test_usage_errors(self, arguments, text):
        self.assertIn(text, self._usage_error(*arguments))

    def _run_with(self, *arguments):
        """The executions that a run with these arguments asks for."""
        with (
            mock.patch.object(runner, "run", side_effect=runner.UnusableTarget("stopped")) as run,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
            self.assertRaises(SystemExit),
        ):
            cli.main(["conformance", *arguments])
        return run.call_args and run.call_args.kwargs["executions"], stderr.getvalue()

    def test_executions(self):
        self.assertEqual(self._run_with()[0], ["eager", "function", "jit"])
        self.assertEqual(self._run_with("--execution", "jit", "eager")[0], ["eager", "jit"])
        self.assertEqual(self._run_with("--target", "a:b")[0], ["eager"])
        self.assertEqual(self._run_with("--target", "a:b", "--execution", "jit")[0], ["jit"])

    def test_executions_without_xla_kernels(self):
        info = _library.build_info() | {"xla": False, "why_no_xla": "a reason"}
        with mock.patch("tf_dwbp.conformance.command.build_info", return_value=info):
            executions, stderr = self._run_with()
            self.assertEqual(executions, ["eager", "function"])
            self.assertIn("without jit, since built without XLA kernels: a reason", stderr)
            self.assertEqual(self._run_with("--execution", "eager")[0], ["eager"])
            executions, stderr = self._run_with("--execution", "jit")
            self.assertIsNone(executions)
            self.assertIn("cannot judge our ops under jit: built without XLA kernels", stderr)
            self.assertEqual(self._run_with("--target", "a:b", "--execution", "jit")[0], ["jit"])

    def test_checking_that_a_file_can_be_written_leaves_it_alone(self):
        old, new = self.directory / "old", self.directory / "new"
        old.write_text("kept", encoding="utf-8")
        files = ["--json", str(old), "--junit", str(new)]
        self._usage_error("conformance", "--target", "no_such_module:f", *files)
        self.assertEqual(old.read_text(encoding="utf-8"), "kept")
        self.assertFalse(new.exists())

    def test_interrupting_ends_the_workers(self):
        process = subprocess.Popen(
            [*_PROGRAM, "conformance"],
            cwd=_ROOT,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            # Where the tests run in the background, Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while len(workers := _children(process)) < 2 and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEndsWith(stderr, "interrupted\n")
        self.assertNotIn("Traceback", stderr)
        for pid in workers:
            with self.assertRaises(ProcessLookupError):
                os.kill(pid, 0)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
