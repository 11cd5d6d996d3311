"""What the header of a program or of a shared library says (ELF, the format of Linux)."""

import os
import pathlib
import struct
from typing import NamedTuple

_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv"}


class Header(NamedTuple):
    """What is of interest in it."""

    machine: str  # what it is for


def read(path: pathlib.Path) -> Header:
    """Reads the header of a file that is there as a whole.

    Raises:
      OSError: when it cannot be read.
      ValueError: when it is no such file, or when a part of it is missing.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(64)
        if size == 0:
            raise ValueError("the file is empty")
        if start[:4] != b"\x7fELF":
            raise ValueError("the file is no library")
        order = {1: "<", 2: ">"}.get(start[5] if len(start) > 5 else 0)
        if order is None or len(start) < 64:
            raise ValueError("the file is cut off")
        bits = {1: 32, 2: 64}.get(start[4])
        (machine,) = struct.unpack_from(f"{order}H", start, 18)
        header = Header(f"{_MACHINES.get(machine, f'machine {machine}')}, {bits} bits")
        if bits == 64:
            _check_size(file, size, order, start)
        return header


def _check_size(file, size, order, start):
    """That all the parts that the header tells of lie inside the file."""
    segments_at, sections_at = struct.unpack_from(f"{order}QQ", start, 32)
    segment, segments, section, sections = struct.unpack_from(f"{order}4H", start, 54)
    ends = [segments_at + segment * segments, sections_at + section * sections]
    file.seek(segments_at)
    table = file.read(segment * segments)
    if len(table) == segment * segments and segment >= 40:
        for at in range(0, len(table), segment):
            offset, _, _, length = struct.unpack_from(f"{order}4Q", table, at + 8)
            ends.append(offset + length)
    if max(ends) > size:
        raise ValueError(f"the file is cut off: it has {size} bytes of {max(ends)}")
