"""What each GPU kernel takes of a multiprocessor, as the build that made them tells.

`accounts()` reads what ptxas said when the kernels were compiled (native.gpu_kernel_units).
"""

import dataclasses
import pathlib
import re
import subprocess

from build_support import cuda_toolkit, native

_ENTRY = "Compiling entry function "
_NAMED = re.compile(r"'(\w+)' for 'sm_(\d+)")
# Of the kernel and of what it calls.
_SPILLED = re.compile(r"(\d+) bytes (?:stack frame|spill stores|spill loads)")
_USED = re.compile(r"Used (\d+) registers([^\n]*)")
_INSTANCE = re.compile(r"(gather|filter_grad)_(\w+)")
_KERNEL = re.compile(r"tf_dwbp::gpu::(\w+)<([\w:]+)(?:, (\(tf_dwbp::conv::Layout\))?(\d+))?>")
_LAYOUTS = ("NHWC", "NCHW")  # cc/conv/attributes.h
_CONFIGURATIONS = re.compile(r"k(\w+)Configurations\[\] = \{(.*?)\};", re.DOTALL)

# Of all architectures that the kernels are built for.
_REGISTERS = 1 << 16  # of a multiprocessor
_REGISTER_UNIT = 8  # of a thread
_WARP = 32  # threads
_QUARTERS = 4  # of a multiprocessor, each with registers for whole warps
# cc/gpu/tuning.h: of a block, by strips in NCHW and in NHWC
THREADS, STRIP_THREADS, STRIP_WARPS_NHWC = 128, 224, 8
# -> warps of a multiprocessor, and bytes of shared memory.
_MULTIPROCESSORS = {
    75: (32, 64 << 10),
    80: (64, 164 << 10),
    90: (64, 228 << 10),
    100: (64, 228 << 10),
    120: (48, 100 << 10),
}


@dataclasses.dataclass(frozen=True)
class Account:
    """One kernel on one architecture."""

    arch: int
    kernel: str  # "gather NHWC"
    windows: str  # "5x5, stride 2", or "any"
    dtype: str
    registers: int  # of a thread
    spilled_bytes: int  # stored and loaded for want of registers, and the stack, of a thread
    shared_bytes: int  # of a block, besides those that a plan asks for

    @property
    def threads(self) -> int:
        """Those of a block, at most."""
        if "strips NHWC" in self.kernel:
            return STRIP_WARPS_NHWC * _WARP
        return STRIP_THREADS if "strips" in self.kernel else THREADS

    @property
    def blocks(self) -> int:
        """How many blocks' registers, and threads, a multiprocessor has room for."""
        of_thread = -(-self.registers // _REGISTER_UNIT) * _REGISTER_UNIT
        room = _REGISTERS // _QUARTERS // (of_thread * _WARP) * _QUARTERS
        warps, _ = _MULTIPROCESSORS.get(self.arch, (48, 0))
        return min(room, warps) * _WARP // self.threads

    @property
    def occupancy(self) -> float:
        """The share of a multiprocessor's warps that these blocks are."""
        warps, _ = _MULTIPROCESSORS.get(self.arch, (48, 0))
        return self.blocks * self.threads / (warps * _WARP)


def accounts(directory: pathlib.Path = native.BUILD / "library") -> list[Account]:
    """Of all kernels that were built there, and optimized; empty where none were."""
    folder = (directory / native.read_sources()["GPU_KERNEL_SOURCE"]).parent
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.ptxas"))]
    # Registers of a build that is not optimized are not worth a look.
    optimized = [text for text in texts if not re.search(r"-O[01]\b", text.partition("\n")[0])]
    return [account for text in optimized for account in parse(text)]


def parse(text: str) -> list[Account]:
    """The kernels in what ptxas printed with -v."""
    entries = text.split(_ENTRY)[1:]
    found = [_NAMED.match(entry).groups() for entry in entries]
    names = _demangled([symbol for symbol, _ in found])
    listed = _configurations()
    made = []
    for entry, (_, arch), name in zip(entries, found, names, strict=True):
        kernel, dtype, of_layout, index = _KERNEL.search(name).groups()
        if of_layout:
            kernel, index = f"{kernel}_{_LAYOUTS[int(index)]}", None
        registers, rest = _USED.search(entry).groups()
        shared = re.search(r"(\d+) bytes smem", rest)
        made.append(
            Account(
                int(arch),
                *_words(kernel, index, listed),
                dtype.rpartition("::")[2].lower(),
                int(registers),
                sum(int(size) for size in _SPILLED.findall(entry)),
                int(shared[1]) if shared else 0,
            )
        )
    return made


def table(found: list[Account]) -> str:
    """All of them, in Markdown: registers, and blocks that share a multiprocessor."""
    archs = sorted({account.arch for account in found})
    rows: dict[tuple, dict[int, Account]] = {}
    for account in found:
        row = (account.kernel, account.windows, account.dtype)
        rows.setdefault(row, {})[account.arch] = account
    lines = [
        "| kernel | windows | type | " + " | ".join(f"sm_{arch}" for arch in archs) + " |",
        "|---" * (3 + len(archs)) + "|",
    ]
    for row in sorted(rows):
        cells = [_cell(rows[row].get(arch)) for arch in archs]
        lines.append("| " + " | ".join([*row, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(account):
    if account is None:
        return ""
    spilled = f", {account.spilled_bytes} bytes spilled" if account.spilled_bytes else ""
    shared = f", {account.shared_bytes} bytes shared" if account.shared_bytes else ""
    return f"{account.registers}: {account.blocks}, {account.occupancy:.0%}{spilled}{shared}"


def _words(kernel, index, configurations):
    """What a kernel is called in docs/gpus.md, and its member of the list of configurations."""
    if index is None:
        return kernel.replace("_", " "), "any"
    kind, how = _INSTANCE.fullmatch(kernel).groups()
    listed = {"gather": "Gather", "filter_grad": "FilterGrad"}[kind]
    taps, result_step, source_step = configurations[listed][int(index)]
    words = [word.upper() if word in ("nhwc", "nchw") else word for word in how.split("_")]
    name = " ".join([kind.replace("_", " "), *words])
    if source_step > 1:
        return name, f"{taps}x{taps}, input gradient of stride {source_step}"
    return name, f"{taps}x{taps}, stride {result_step}"


def _configurations():
    """The lists of cc/gpu/configurations.h by their names."""
    text = (native.ROOT / "cc/gpu/configurations.h").read_text(encoding="utf-8")
    return {
        name: [tuple(map(int, one)) for one in re.findall(r"\{(\d+), (\d+), (\d+)\}", members)]
        for name, members in _CONFIGURATIONS.findall(text)
    }


def _demangled(symbols):
    if not symbols:
        return []
    command = ["c++filt", *symbols]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.splitlines()


def main() -> None:
    """Builds the kernels for all architectures; writes the table into docs/gpu_registers.md."""
    cuda = cuda_toolkit.find()
    if cuda is None:
        raise SystemExit(f"no nvcc to build the kernels with: {cuda_toolkit.why_not()}")
    native.compile_all((native.gpu_kernel_units(native.BUILD / "library", cuda), native.Headers()))
    page = native.ROOT / "docs/gpu_registers.md"
    head = page.read_text(encoding="utf-8").partition("| kernel")[0]
    page.write_text(head + table(accounts()), encoding="utf-8")
    print(f"wrote {page}")


if __name__ == "__main__":
    main()
