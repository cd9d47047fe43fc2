"""NumPy's `.npz`, read as strictly as a stranger's file wants it: stored arrays one behind the
other, as `np.savez` writes them, each with its checksum, and not one byte beside them.

Everything is compared with the length of the file before any memory is taken for it. What two
programs could read in two ways is refused: the local headers must say what the directory says.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ._types import Array

MAX_MEMBERS = 100_000
MAX_PREFIX = 1000  # bytes of a name, and of what else stands in a header of no fixed size
FULL = 0xFFFFFFFF  # in a field of 32 bits: the number stands in a field of 64 bits
UTF8 = 0x800  # the flag of a name that is not ASCII
NAME = re.compile(r"(?:run/)?[^\W_][^/\\:\x00-\x1f\x7f]*\.npy")
END = struct.Struct("<4s4H2LH")  # the record that ends an archive
END64, LOCATOR = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")  # before it, in large ones
ENTRY, LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")


class Member(NamedTuple):
    """Where an array lies in the file, header included, and the checksum of these bytes."""

    start: int
    size: int
    crc: int


class Archive:
    """The arrays of an open file by name; nothing is read but headers until `read` is called.

    Parameters
    ----------
    file : binary file

    Attributes
    ----------
    members : dict of str to Member
        By name, without ``.npy``.

    Raises
    ------
    ValueError
        For a file that `np.savez` has not written, or that was changed since.

    References
    ----------
    PKWARE, *APPNOTE.TXT - .ZIP File Format Specification*, 6.3.10, sections 4.3 and 4.5.3; NumPy,
    *numpy.lib.format*, version 1.0.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file: Any = file
        self.members: dict[str, Member] = {}
        where, n, size = self._directory()
        directory, at, end = self._bytes(where, size), 0, 0
        for _ in range(n):
            at, end = self._member(directory, at, end)
        if at != size or end != where:
            raise ValueError("there are bytes between its members that belong to none.")

    def read(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Read one array of this shape and dtype; any other is refused before memory is taken."""
        start, size, crc = self.members[name]
        kind = np.dtype(dtype)
        head = self._bytes(start, min(10, size))
        if head[:8] != b"\x93NUMPY\x01\x00" or len(head) < 10:
            raise ValueError(f"its array {name} is none of NumPy's format 1.0.")
        length = int.from_bytes(head[8:], "little")
        head += self._bytes(start + 10, min(length, size - 10))
        wanted = f"{{'descr': {kind.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
        found = head[10:].decode("latin-1")
        if found[-1:] != "\n" or found[:-1].rstrip(" ") != wanted:
            raise ValueError(f"its array {name} says {found.strip()!r:.300}, expected {wanted!r}.")
        nbytes = math.prod(shape) * kind.itemsize
        if size != 10 + length + nbytes:
            raise ValueError(f"its array {name} has not the length that its shape tells.")
        array = np.empty(shape, kind)
        data = array.reshape(-1).view(np.uint8).data
        if self.file.readinto(data) != nbytes:
            raise ValueError("it became shorter while it was read.")
        if zlib.crc32(data, zlib.crc32(head)) != crc:
            raise ValueError(f"its array {name} is damaged: its checksum is another.")
        return array

    def _bytes(self, start: int, count: int) -> bytes:
        self.file.seek(start)
        data: bytes = self.file.read(count)
        if len(data) != count:
            raise ValueError("it became shorter while it was read.")
        return data

    def _directory(self) -> tuple[int, int, int]:
        """Where the directory begins, how many members it has, and its size."""
        length = self.file.seek(0, os.SEEK_END)
        end = length - END.size
        if end < 0:
            raise ValueError("it is too short for an archive.")
        mark, *disks, n, total, size, where, comment = END.unpack(self._bytes(end, END.size))
        if mark != b"PK\5\6" or comment:
            raise ValueError(
                "it is no archive of arrays, is cut short, or has bytes behind the archive."
            )
        before = end - LOCATOR.size - END64.size
        if before >= 0:
            mark, disk, at, parts = LOCATOR.unpack(self._bytes(end - LOCATOR.size, LOCATOR.size))
            if mark == b"PK\6\7":
                mark, rest, _, _, *other, n, total, size, where = END64.unpack(
                    self._bytes(before, END64.size)
                )
                if (mark, rest, disk, at, parts) != (b"PK\6\6", 44, 0, before, 1):
                    raise ValueError("the records that end it do not agree.")
                disks, end = disks + other, before
        if any(disks) or n != total or not 0 < n <= MAX_MEMBERS:
            raise ValueError(f"it has {total} members, expected 1 to {MAX_MEMBERS}, in one file.")
        if where + size != end:
            raise ValueError("there are bytes before or behind the archive.")
        if not ENTRY.size * n <= size <= (ENTRY.size + MAX_PREFIX) * n:
            raise ValueError(f"its directory of {n} members takes {size} bytes.")
        return where, n, size

    def _member(self, directory: bytes, at: int, expected: int) -> tuple[int, int]:
        """Check one entry at a place in the directory; return where the next and its data begin.

        `expected` is where the member must begin: behind the one before.
        """
        if len(directory) < at + ENTRY.size:
            raise ValueError("its directory is cut short.")
        mark, _, _, flags, method, _, _, crc, packed, size, a, b, comment, disk, _, _, offset = (
            ENTRY.unpack_from(directory, at)
        )
        at += ENTRY.size
        raw, extra = directory[at : at + a], directory[at + a : at + a + b]
        name = raw.decode("utf-8" if flags & UTF8 else "ascii")
        if mark != b"PK\1\2" or disk or comment:
            raise ValueError(f"its directory does not tell where {name!r:.100} is.")
        if not NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"its member {name!r:.100} has a name that no array of a model has.")
        if flags & ~UTF8 or method or packed != size:
            raise ValueError(f"its member {name!r} is compressed or encrypted; save stores arrays.")
        size, packed, offset = _wide(name, extra, [size, packed, offset])
        if offset != expected:
            raise ValueError(f"its member {name!r} does not begin where the one before ends.")
        start = offset + LOCAL.size + a
        head = self._bytes(offset, LOCAL.size + a)
        mark, _, *local, packed_too, size_too, a_too, b_too = LOCAL.unpack(head[: LOCAL.size])
        same = (mark, local[0], local[1], local[4], a_too) == (b"PK\3\4", flags, 0, crc, a)
        if not same or head[LOCAL.size :] != raw or b_too > MAX_PREFIX:
            raise ValueError(f"its member {name!r} has two headers that do not agree.")
        extra = self._bytes(start, b_too)
        if extra and (size_too, packed_too) == (size, packed):  # as Python 3.10 writes
            size_too = packed_too = FULL
        if _wide(name, extra, [size_too, packed_too]) != [size, size]:
            raise ValueError(f"its member {name!r} has two headers that do not agree.")
        key = name.removesuffix(".npy")
        if key in self.members:
            raise ValueError(f"two of its members have one name, {name!r}.")
        self.members[key] = Member(start + b_too, size, crc)
        return at + a + b, start + b_too + size


def _wide(name: str, extra: bytes, fields: list[int]) -> list[int]:
    """Fields of 32 bits, with the numbers of 64 bits that stand for those that are full."""
    wide = [i for i, value in enumerate(fields) if value == FULL]
    head = struct.pack("<2H", 1, 8 * len(wide)) if wide else b""
    if len(extra) != len(head) + 8 * len(wide) or not extra.startswith(head):
        raise ValueError(f"its member {name!r} has a header with more than sizes.")
    fields = fields.copy()
    for i, value in zip(wide, struct.unpack_from(f"<{len(wide)}Q", extra, len(head)), strict=True):
        fields[i] = value
    return fields
