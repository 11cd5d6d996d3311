"""Fails if the kernels of two instruction sets define the same mergeable ("weak") symbol.

The linker keeps any one of such definitions, for all callers: perhaps the one for AVX2, which
then runs, and dies, on a processor without AVX2.
"""

import collections
import subprocess
import sys

from build_support import native

_WEAK = set("WwVvu")


def main() -> str | None:
    definers = collections.defaultdict(set)
    kernels = native.library_kernels()
    for isa, unit in ((isa, unit) for isa, units in kernels.items() for unit in units):
        if not unit.object.exists():
            return f"no {unit.object}: build the library first."
        listing = subprocess.run(
            ["nm", "--demangle", "--defined-only", "--format=posix", unit.object],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        ).stdout
        for line in listing.splitlines():
            # name (may hold spaces), kind, value and perhaps size
            name, kind = line.rsplit(maxsplit=3)[:2] if line else ("", "")
            if kind in _WEAK:
                definers[name].add(isa)
    shared = {name: isas for name, isas in definers.items() if len(isas) > 1}
    if shared:
        return "weak symbols in several isas' kernels:\n" + "\n".join(
            f"  {name}: {', '.join(sorted(isas))}" for name, isas in sorted(shared.items())
        )
    print(f"no weak symbol is shared between {', '.join(kernels)}")
    return None


if __name__ == "__main__":
    sys.exit(main())
