"""Finding nvcc: what the environment decides, and what is said where there is none."""

import os
import pathlib
import sys
import tempfile
from unittest import mock

import pytest
import tensorflow as tf

_ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(_ROOT))

from build_support import cuda_toolkit  # noqa: E402

_NVCC = """#!/bin/sh
case "$1" in
  --version) echo "Cuda compilation tools, release {release}, V{release}.1" ;;
  --list-gpu-arch) printf 'compute_%s\\n' 50 75 80 86 90 100 103 110 ;;
  --dryrun) echo "#$ TOP={top}" ;;
esac
"""


class CudaToolkitTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        # Only what a test puts there is found.
        self.enter_context(mock.patch.object(cuda_toolkit, "_candidates", self._nvccs))
        for name in ("TF_DWBP_CUDA", "TF_DWBP_CUDA_ARCHS"):
            self.enter_context(mock.patch.dict(os.environ))
            os.environ.pop(name, None)

    def _nvccs(self):
        return [str(path) for path in sorted(self.directory.glob("*/bin/nvcc"))]

    def _make(self, name="cuda", release="13.0", runtime=True):
        root = self.directory / name
        (root / "bin").mkdir(parents=True)
        (root / "lib64").mkdir()
        nvcc = root / "bin" / "nvcc"
        nvcc.write_text(_NVCC.format(release=release, top=root), encoding="utf-8")
        nvcc.chmod(0o755)
        if runtime:
            (root / "lib64" / "libcudart_static.a").touch()
        return nvcc

    def test_takes_what_is_there(self):
        self.assertIsNone(cuda_toolkit.find())
        nvcc = self._make()
        found = cuda_toolkit.find()
        self.assertEqual((found.nvcc, found.version), (str(nvcc), "13.0"))
        self.assertEqual(pathlib.Path(found.runtime).name, "libcudart_static.a")

    def test_an_architecture_for_each_generation_and_code_for_those_to_come(self):
        self._make()
        found = cuda_toolkit.find()
        self.assertEqual(found.archs, [75, 80, 90, 100])
        self.assertEqual(found.flags[-1], "-gencode=arch=compute_100,code=compute_100")
        os.environ["TF_DWBP_CUDA_ARCHS"] = "86,75"
        self.assertEqual(cuda_toolkit.find().archs, [75, 86])

    def test_the_docs_name_the_architectures(self):
        names = [f"sm_{arch}" for arch in cuda_toolkit.DEFAULT_ARCHS]
        page = (_ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
        self.assertIn(f"{', '.join(names[:-1])} and {names[-1]}", " ".join(page.split()))

    def test_0_means_none(self):
        self._make()
        os.environ["TF_DWBP_CUDA"] = "0"
        self.assertIsNone(cuda_toolkit.find())
        self.assertEqual(cuda_toolkit.why_not(), "TF_DWBP_CUDA is 0")

    def test_1_without_nvcc_is_an_error_that_says_where_it_was_looked_for(self):
        os.environ["TF_DWBP_CUDA"] = "1"
        with self.assertRaisesRegex(
            cuda_toolkit.NotFound, "TF_DWBP_CUDA is 1, .* on PATH, in CUDA_HOME, .*nvidia-nvvm"
        ):
            cuda_toolkit.find()

    def test_1_tells_what_is_wrong_with_each_nvcc(self):
        os.environ["TF_DWBP_CUDA"] = "1"
        self._make("a", release="11.2")
        self._make("b", runtime=False)
        with self.assertRaisesRegex(
            cuda_toolkit.NotFound, r"a/bin/nvcc is older than 11\.8; .*b/bin/nvcc lacks libcudart"
        ):
            cuda_toolkit.find()

    def test_a_usable_one_is_found_behind_others(self):
        self._make("a", release="11.2")
        nvcc = self._make("b")
        self.assertEqual(cuda_toolkit.find().nvcc, str(nvcc))

    def test_bad_settings_are_refused(self):
        self._make()
        os.environ["TF_DWBP_CUDA"] = "yes"
        with self.assertRaisesRegex(cuda_toolkit.NotFound, "must be 0 or 1, but is 'yes'"):
            cuda_toolkit.find()
        os.environ["TF_DWBP_CUDA"] = "1"
        for archs in ("sm_90", "50", "77", ","):
            os.environ["TF_DWBP_CUDA_ARCHS"] = archs
            with self.assertRaisesRegex(
                cuda_toolkit.NotFound, "some of 75, 80, 86, 90, 100, 103, 110"
            ):
                cuda_toolkit.find()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
