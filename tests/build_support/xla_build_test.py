"""The build's optional part: what is said, and done, where the XLA library cannot be built."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import pytest
import tensorflow as tf

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import native, tensorflow_wheel, xla_headers  # noqa: E402

_GOOD = 'extern "C" int tf_dwbp_nothing() { return 0; }\n'


class XlaBuildTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        self.enter_context(mock.patch.dict(os.environ))
        os.environ.pop("TF_DWBP_XLA", None)

    def _include(self, *without):
        """An include path like a wheel's, less some headers."""
        include = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        headers = [*xla_headers._HEADERS]
        headers += [f"{folder}/{header}" for folder, header in xla_headers._FOLDERS.items()]
        for header in headers:
            if not header.endswith(without):
                path = include / header
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return include

    def _build(self, source):
        """What native builds, or says, with this source in place of its own."""
        path = self.directory / "a_source.cc"
        path.write_text(source, encoding="utf-8")
        sources = native.read_sources() | {"XLA_SOURCES": [str(path)]}
        wheel = tensorflow_wheel.find()
        (self.directory / native.LIBRARY_NAME).unlink(missing_ok=True)
        native.link(["-shared", "-x", "c++", os.devnull], self.directory / native.LIBRARY_NAME)
        stdout = io.StringIO()
        with (
            mock.patch.object(native, "read_sources", return_value=sources),
            contextlib.redirect_stdout(stdout),
        ):
            why = native._build_xla_library(wheel, self.directory, cuda=None)
        return why, stdout.getvalue()

    @property
    def _library(self):
        return self.directory / native.XLA_LIBRARY_NAME

    def test_what_the_wheel_has_is_found(self):
        include = self._include()
        self.assertEqual(
            xla_headers.find(include), [include / folder for folder in xla_headers._FOLDERS]
        )
        # The names are those of the wheel that is installed.
        xla_headers.find(tensorflow_wheel.find().include)

    def test_what_the_wheel_lacks_is_named(self):
        for header in ("xla/ffi/api/ffi.h", "farmhash.h"):
            with self.assertRaisesRegex(xla_headers.NotFound, f"comes without {header}"):
                xla_headers.find(self._include(header))

    def test_an_older_interface_is_refused(self):
        include = self._include()
        api = include / "xla" / "ffi" / "api" / "c_api.h"
        api.write_text("#define XLA_FFI_API_MINOR 2\n", encoding="utf-8")
        xla_headers.find(include)
        api.write_text("#define XLA_FFI_API_MINOR 1\n", encoding="utf-8")
        with self.assertRaisesRegex(xla_headers.NotFound, r"XLA FFI is 0\.1, not 0\.2 or newer"):
            xla_headers.find(include)

    def test_0_means_none(self):
        os.environ["TF_DWBP_XLA"] = "0"
        with self.assertRaisesRegex(xla_headers.NotFound, "TF_DWBP_XLA is 0"):
            xla_headers.find(self._include())
        self._library.touch()
        why, printed = self._build(_GOOD)
        self.assertEqual(why, "TF_DWBP_XLA is 0")
        self.assertIn("tf_dwbp: without XLA kernels: TF_DWBP_XLA is 0\n", printed)
        self.assertFalse(self._library.exists())  # one of an earlier build would be loaded

    def test_bad_settings_are_refused(self):
        os.environ["TF_DWBP_XLA"] = "yes"
        with self.assertRaisesRegex(xla_headers.BadSetting, "must be 0 or 1, but is 'yes'"):
            xla_headers.find(self._include())
        with (
            mock.patch.object(native, "compile_all") as compile_all,
            self.assertRaises(xla_headers.BadSetting),
        ):
            native.build_library(tensorflow_wheel.find(), self.directory, cuda=None)
        compile_all.assert_not_called()

    def test_what_compiles_is_linked(self):
        os.environ["TF_DWBP_XLA"] = "1"
        why, printed = self._build(_GOOD)
        self.assertIsNone(why)
        self.assertIn("tf_dwbp: with XLA kernels\n", printed)
        self.assertTrue(self._library.exists())

    def test_what_does_not_compile_is_left_out(self):
        self._library.touch()
        why, printed = self._build("#error a header has changed\n")
        self.assertRegex(why, r"a_source\.cc:1:2: error: #error a header has changed$")
        self.assertIn(f"tf_dwbp: without XLA kernels: {why}\n", printed)
        self.assertFalse(self._library.exists())

    def test_what_does_not_link_is_left_out(self):
        why, _ = self._build("int gone_from_xla();\nint used() { return gone_from_xla(); }\n")
        self.assertRegex(why, r"undefined reference to `gone_from_xla\(\)'")
        self.assertFalse(self._library.exists())

    def test_1_makes_that_an_error(self):
        os.environ["TF_DWBP_XLA"] = "1"
        with self.assertRaisesRegex(
            native.BuildError, "TF_DWBP_XLA is 1, but there can be no XLA kernels: .*a header has"
        ):
            self._build("#error a header has changed\n")

    def test_what_bazel_is_told(self):
        def program(include, **environment):
            return subprocess.run(
                [sys.executable, str(_ROOT / "build_support" / "xla_headers.py"), str(include)],
                env=os.environ | environment,
                capture_output=True,
                encoding="utf-8",
            )

        include = self._include()
        found = json.loads(program(include).stdout)
        self.assertEqual(found["problem"], None)
        self.assertEqual(found["folders"], [*map(str, xla_headers.find(include))])
        found = json.loads(program(include, TF_DWBP_XLA="0").stdout)
        self.assertEqual(found, {"folders": [], "problem": "TF_DWBP_XLA is 0"})
        without = self._include("ffi.h")
        self.assertIn("without xla/ffi/api/ffi.h", json.loads(program(without).stdout)["problem"])
        failed = program(without, TF_DWBP_XLA="1")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("TF_DWBP_XLA is 1, but this TensorFlow comes without", failed.stderr)
        self.assertIn("must be 0 or 1", program(include, TF_DWBP_XLA="maybe").stderr)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
