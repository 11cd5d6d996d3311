"""Files are written whole, or not at all."""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from unittest import mock

import pytest
from absl.testing import parameterized

from tf_dwbp.tools import files

_ROOT = pathlib.Path(__file__).absolute().parents[2]


class FilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "file"

    def _listing(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_text_is_utf8_and_never_fails(self):
        files.write(self.path, "✓ \udc80")
        self.assertEqual(self.path.read_bytes(), "✓ \\udc80".encode())
        files.write(self.path, b"\x00")
        self.assertEqual(self.path.read_bytes(), b"\x00")
        self.assertEqual(self._listing(), ["file"])

    def test_mode_and_link_stay(self):
        self.path.write_bytes(b"old")
        self.path.chmod(0o640)
        link = self.folder / "link"
        link.symlink_to("file")
        files.write(link, "new")
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.path.read_bytes(), b"new")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)

    def test_a_new_file_has_the_mode_of_any_new_file(self):
        files.write(self.path, "")
        plain = self.folder / "plain"
        plain.touch()
        self.assertEqual(self.path.stat().st_mode, plain.stat().st_mode)

    @parameterized.parameters("fsync", "replace")
    def test_the_old_file_stays_when_writing_fails(self, function):
        self.path.write_bytes(b"old")
        full = OSError(28, "No space left on device")
        with (
            mock.patch.object(os, function, side_effect=full),
            self.assertRaisesRegex(OSError, f"No space left on device: '{self.path}'"),
        ):
            files.write(self.path, "new")
        self.assertEqual(self.path.read_bytes(), b"old")
        self.assertEqual(self._listing(), ["file"])

    def test_nothing_half_written_is_ever_there(self):
        """Killed while it writes, at many moments: the old file, or all of the new."""
        program = """
            import runpy, sys
            write = runpy.run_path(sys.argv[1])["write"]
            for number in range(10**6):
                write(sys.argv[2], bytes([number % 256]) * 10**6)
        """
        self.path.write_bytes(b"\xff" * 10**6)
        for milliseconds in range(0, 100, 20):
            writing = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(program), files.__file__, self.path]
            )
            before = self.path.stat().st_ino
            while self.path.stat().st_ino == before and writing.poll() is None:
                time.sleep(0.01)
            time.sleep(milliseconds / 1000)
            writing.kill()
            writing.wait()
            found = self.path.read_bytes()
            self.assertEqual((len(found), len(set(found))), (10**6, 1))

    def test_devices_and_pipes_are_written_into(self):
        with self.assertRaisesRegex(OSError, "No space left on device: '/dev/full'"):
            files.write("/dev/full", "text")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/full").st_mode))
        os.mkfifo(self.path)
        files.check_writable(self.path)  # without waiting for a reader
        heard = []
        reader = threading.Thread(target=lambda: heard.append(self.path.read_bytes()))
        reader.start()
        files.write(self.path, "text")
        reader.join()
        self.assertEqual(heard, [b"text"])

    def test_standard_output_is_written_where_it_is(self):
        program = """
            import runpy, sys
            files = runpy.run_path(sys.argv[1])
            print("before")
            files["check_writable"]("/dev/stdout")
            files["write"]("/dev/stdout", "written\\n")
            files["write"]("/dev/fd/1", "again\\n")
            print("after")
        """
        with self.path.open("wb") as file:
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), files.__file__],
                stdout=file,
                check=True,
            )
        self.assertEqual(self.path.read_bytes(), b"before\nwritten\nagain\nafter\n")

    def test_what_cannot_be_written_is_found_out_before(self):
        self.path.write_bytes(b"old")
        files.check_writable(self.path)
        files.check_writable(self.folder / "new")
        files.check_writable("/dev/full")
        self.assertEqual(self._listing(), ["file"])
        self.assertEqual(self.path.read_bytes(), b"old")
        for path, text in (
            (self.folder, "Is a directory"),
            (self.folder / "no" / "file", "No such file or directory"),
            (self.path / "file", "Not a directory"),
            ("/dev/fd/1234", "Bad file descriptor"),
        ):
            for function in (files.check_writable, lambda path: files.write(path, "")):
                with self.assertRaisesRegex(OSError, f"{text}: '{path}'"):
                    function(path)

    def test_a_file_that_may_not_be_written_is_not_replaced(self):
        self.path.write_bytes(b"old")
        with mock.patch.object(os, "access", return_value=False):
            for function in (files.check_writable, lambda path: files.write(path, "new")):
                with self.assertRaises(PermissionError):
                    function(self.path)
        self.assertEqual(self.path.read_bytes(), b"old")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
