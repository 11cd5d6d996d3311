"""Writes compile_commands.json, by which clangd knows how each C++ file is compiled.

It is for this checkout and the TensorFlow that is installed: git ignores it.
"""

import json
import sys

from build_support import compiling, native, tensorflow_wheel, test_programs, xla_headers


def main() -> str | None:
    """Returns why there can be none, if so."""
    try:
        wheel = tensorflow_wheel.find()
        groups = native.library_units(wheel, cuda=None)
    except tensorflow_wheel.NotFound as error:
        return str(error)
    try:
        groups.append(native.xla_units(wheel, cuda=None))
    except xla_headers.NotFound as error:
        print(f"without the XLA library's sources: {error}", file=sys.stderr)
    sources = native.read_sources()
    lists = ("TEST_SOURCES", "GPU_CORE_SOURCES", "EMULATOR_SOURCES", "GPU_TEST_SOURCES")
    tests = [source for name in lists for source in sources[name]]
    flags, folder = test_programs.test_flags("plain"), test_programs.core_test_directory("plain")
    units = native.plain_units(list(dict.fromkeys(tests)), flags, folder)
    units += native.emulated_kernel_units(folder, flags)
    commands = [
        {
            "directory": str(compiling.ROOT),
            "file": unit.source,
            "arguments": [*unit.compiler, *unit.flags, *headers.flags, "-c", unit.source],
        }
        for group, headers in [*groups, (units, native.eigen_headers(wheel))]
        for unit in group
    ]
    path = compiling.ROOT / "compile_commands.json"
    path.write_text(json.dumps(commands, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}: {len(commands)} commands")
    return None


if __name__ == "__main__":
    sys.exit(main())
