"""What kernels take of a multiprocessor: the table in the docs, and the build it was made of."""

import dataclasses
import re
import sys

import pytest

from build_support import cuda_toolkit, gpu_registers, native
from build_support.compiling import compiler_version, is_current

_ARGUMENTS = "EEEvNS0_26GeneralFilterGradArgumentsIT_EE"
_PTXAS = f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN7tf_dwbp3gpu16filter_grad_nhwcIfLi2EEEvNS0_19\
FilterGradArgumentsIT_EE' for 'sm_90'
ptxas info    : Function properties for _ZN7tf_dwbp3gpu16filter_grad_nhwcIfLi2EEEvNS0_19\
FilterGradArgumentsIT_EE
    40 bytes stack frame, 56 bytes spill stores, 148 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 40 bytes cumulative stack size, 8 bytes smem
ptxas info    : Compile time = 100.000 ms
ptxas info    : Compiling entry function '_ZN7tf_dwbp3gpu19filter_grad_generalINS_4Half\
{_ARGUMENTS}' for 'sm_120'
ptxas info    : Function properties for _ZN7tf_dwbp3gpu19filter_grad_generalINS_4Half{_ARGUMENTS}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 65 registers, used 1 barriers
ptxas info    : Function properties for part_again
    0 bytes stack frame, 4 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function '_ZN7tf_dwbp3gpu18filter_grad_stripsIfLi0EEEvNS0_25\
FilterGradStripsArgumentsIT_EE' for 'sm_75'
ptxas info    : Used 96 registers, used 1 barriers
ptxas info    : Compiling entry function '_ZN7tf_dwbp3gpu18gather_strips_nhwcIdLi8EEEvNS0_25\
GatherStripsNhwcArgumentsIT_EE' for 'sm_80'
ptxas info    : Used 80 registers, used 1 barriers
ptxas info    : Compiling entry function '_ZN7tf_dwbp3gpu13gather_stagedIfLNS_4conv6LayoutE1EEEvNS\
0_21StagedGatherArgumentsIT_EE' for 'sm_90'
ptxas info    : Used 120 registers, used 1 barriers
"""


def _rows():
    """Kernel, windows and type -> the cells of the page's table, by architecture."""
    text = (native.ROOT / "docs/gpu_registers.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    head, *rows = (line for line in lines)
    archs = [int(name.removeprefix("sm_")) for name in head[3:]]
    return {tuple(row[:3]): dict(zip(archs, row[3:], strict=True)) for row in rows}


def test_an_account_is_read():
    first, second, third, fourth, fifth = gpu_registers.parse(_PTXAS)
    words = ("filter grad NHWC", "5x5, stride 1", "float")
    assert first == gpu_registers.Account(90, *words, 128, 40 + 56 + 148, 8)
    assert (first.blocks, first.occupancy) == (4, 0.25)
    # What a kernel calls counts, too.
    words = ("filter grad general", "any", "half")
    assert second == gpu_registers.Account(120, *words, 65, 4, 0)
    assert (second.blocks, second.occupancy) == (7, 7 * 4 / 48)  # of 72 registers
    # Strips have blocks of seven warps, or eight: each quarter has registers for five, or six.
    words = ("filter grad strips", "3x3, stride 1", "float")
    assert third == gpu_registers.Account(75, *words, 96, 0, 0)
    assert (third.blocks, third.occupancy) == (2, 14 / 32)
    words = ("gather strips NHWC", "7x7, input gradient of stride 2", "double")
    assert fourth == gpu_registers.Account(80, *words, 80, 0, 0)
    assert (fourth.blocks, fourth.occupancy) == (3, 24 / 64)
    words = ("gather staged NCHW", "any", "float")
    assert fifth == gpu_registers.Account(90, *words, 120, 0, 0)
    told = gpu_registers.table([first, second])
    assert "| 128: 4, 25%, 244 bytes spilled, 8 bytes shared |  |\n" in told


def test_blocks_have_as_many_threads_as_the_sources_say():
    tuning = (native.ROOT / "cc/gpu/tuning.h").read_text(encoding="utf-8")
    for name, threads in (
        ("kThreads", gpu_registers.THREADS),
        ("kStripThreads", gpu_registers.STRIP_THREADS),
        ("kStripGroups", gpu_registers.STRIP_WARPS_NHWC),
    ):
        assert f"constexpr int {name} = {threads};" in tuning


_NVCC = r"""#!/bin/bash
while (($#)); do
  case $1 in -o) touch "$2" ;; -MF) echo "it: cc/gpu/tuning.h" >"$2" ;; esac
  shift
done
cat {account}
"""


def test_the_compiler_s_account_is_kept_with_the_object(tmp_path, capsys):
    (tmp_path / "account").write_text(_PTXAS, encoding="utf-8")
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(_NVCC.format(account=tmp_path / "account"), encoding="utf-8")
    nvcc.chmod(0o755)
    cuda = cuda_toolkit.CudaToolkit(str(nvcc), "13.0", "", [90], [])
    unit = native.gpu_kernel_units(tmp_path, cuda)[0]

    def compiled(unit):
        native.compile_all(([unit], native.Headers()))
        return int(re.search(r"compiled (\d) of 1", capsys.readouterr().out)[1])

    assert gpu_registers.accounts(tmp_path) == []
    assert (compiled(unit), compiled(unit)) == (1, 0)
    assert gpu_registers.accounts(tmp_path) == gpu_registers.parse(_PTXAS)
    unit.log.unlink()
    assert compiled(unit) == 1
    assert len(gpu_registers.accounts(tmp_path)) == 5
    # A quick build's registers are another matter.
    assert compiled(dataclasses.replace(unit, flags=[*unit.flags, "-Xptxas=-O0"])) == 1
    assert gpu_registers.accounts(tmp_path) == []


def test_no_kernel_in_the_table_spills_and_none_is_missing():
    rows = _rows()
    archs = set(cuda_toolkit.DEFAULT_ARCHS)
    assert all(set(cells) == archs for cells in rows.values())
    cells = [cell for row in rows.values() for cell in row.values()]
    assert all(re.fullmatch(r"\d+: \d+, \d+%", cell) for cell in cells), "a spill, or a gap"
    listed = (native.ROOT / "cc/gpu/configurations.h").read_text(encoding="utf-8")
    gather, filter_grad = (
        re.findall(r"\{(\d+), \d+, \d+\}", part)
        for part in listed.partition("Configurations[] =")[2].split("kFilterGradConfigurations")[:2]
    )
    # In either layout, by tiles and by strips; in NHWC the latter for a part of them. And for
    # whatever fits none: two for staged windows in each layout, and three that are general.
    kernels = 3 * (len(gather) + len(filter_grad)) + sum(int(taps) > 3 for taps in gather) + 7
    assert len(rows) == len(native.read_sources()["TYPES"]) * kernels


def test_the_build_is_what_the_table_says():
    cuda = cuda_toolkit.find()
    if cuda is None:
        pytest.skip("there is no nvcc, or TF_DWBP_CUDA is 0")
    units, by = native.gpu_kernel_units(native.BUILD / "library", cuda), compiler_version()
    if not all(is_current(unit, native.Headers(), by) for unit in units):
        pytest.skip("the GPU kernels of these sources were not built here")
    built = gpu_registers.accounts()
    if not built:
        pytest.skip("the GPU kernels were built without optimization")
    assert not [account for account in built if account.spilled_bytes or account.shared_bytes]
    page = (native.ROOT / "docs/gpu_registers.md").read_text(encoding="utf-8")
    if f"CUDA {cuda.version} " not in page:
        pytest.skip(f"the table is of another nvcc than {cuda.version}")
    rows = _rows()
    for account in built:
        cell = rows[account.kernel, account.windows, account.dtype].get(account.arch)
        told = gpu_registers.table([account]).splitlines()[-1].split(" | ")[-1].strip(" |")
        assert cell in (None, told), (account, "run python -m build_support.gpu_registers")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
