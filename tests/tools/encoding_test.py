"""Files and other programs' output are read as UTF-8, whatever the locale is."""

import ast
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest
from absl.testing import absltest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_FOLDERS = ("tf_dwbp", "build_support", "tests")


def _name(call):
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _constant(node):
    return node.value if isinstance(node, ast.Constant) else None


def _depends_on_the_locale(call):
    """Whether a call opens a text, or another program's, without saying its encoding."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in keywords or None in keywords:  # **: passed on
        return False
    name = _name(call)
    if name in ("run", "Popen", "check_output"):
        return any(_constant(keywords.get(word)) for word in ("text", "universal_newlines"))
    if name == "read_text":
        return not call.args
    if name == "write_text":
        return len(call.args) < 2
    if name == "open" and not (
        isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "os"
    ):
        positions = call.args[0 if isinstance(call.func, ast.Attribute) else 1 :]
        mode = keywords.get("mode", positions[0] if positions else None)
        return mode is None or "b" not in (_constant(mode) or "b")
    return False


class EncodingTest(absltest.TestCase):
    def test_every_place_says_its_encoding(self):
        paths = [_ROOT / "setup.py"]
        paths += [path for folder in _FOLDERS for path in (_ROOT / folder).rglob("*.py")]
        found = [
            f"{path.relative_to(_ROOT)}:{node.lineno}"
            for path in paths
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and _depends_on_the_locale(node)
        ]
        self.assertEmpty(found)

    def test_the_search_finds_them(self):
        for text, expected in (
            ("open(a)", True),
            ("open(a, 'w')", True),
            ("a.open('w')", True),
            ("open(a, 'rb')", False),
            ("a.open('wb')", False),
            ("open(a, encoding='utf-8')", False),
            ("os.open(a, b)", False),
            ("a.read_text()", True),
            ("a.read_text('utf-8')", False),
            ("a.write_text(b)", True),
            ("a.write_text(b, encoding='utf-8')", False),
            ("subprocess.run(a, text=True)", True),
            ("subprocess.run(a)", False),
            ("subprocess.run(a, text=True, encoding='utf-8')", False),
        ):
            [expression] = ast.parse(text).body
            self.assertEqual(_depends_on_the_locale(expression.value), expected, text)

    def test_a_run_in_a_locale_of_another_encoding(self):
        with tempfile.TemporaryDirectory() as folder:
            # 1: with warnings; more: without its sources, which not every machine has.
            name = "en_US.ISO-8859-1"
            made = subprocess.run(
                ["localedef", "-i", "en_US", "-f", "ISO-8859-1", f"{folder}/{name}"],
                capture_output=True,
            ).returncode
            locale = {"LC_ALL": name, "LOCPATH": folder} if made in (0, 1) else {"LC_ALL": "C"}
            environment = os.environ | locale | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
            files = {kind: pathlib.Path(folder, kind) for kind in ("html", "markdown", "json")}
            options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
            narrow = [
                "--dtype",
                "half",
                "--layout",
                "NCHW",
                "--padding",
                "VALID",
                "--op",
                "forward",
            ]
            done = subprocess.run(
                [sys.executable, "-m", "tf_dwbp", "conformance", "--quick", "--no-stock"]
                + ["--order", "0", "--execution", "eager", *narrow, *options],
                cwd=_ROOT,
                env=environment,
                capture_output=True,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            for kind in ("html", "markdown"):
                self.assertIn("✓", files[kind].read_text(encoding="utf-8"))
            done.stdout.decode("ascii")  # the table without what the terminal lacks


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
