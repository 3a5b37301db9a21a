"""What HDF5 itself does not look after in the bytes of a file: that its heaps, walked from object to object, end."""

import re
import struct

COLLECTION = re.compile(rb"GCOL\x01.{3}(.{8})", re.DOTALL)
"""A global heap's beginning, with its size (HDF5 File Format Specification 3.0, III.E)."""

OBJECT = struct.Struct("<HH4xQ")
"""Index, references and size of an object, before what it holds; index 0: what is left, its size with this header."""


def check(data: bytes) -> None:
    """Refuse what HDF5 would walk for ever: an object that is followed by itself, or by one before it.

    Raises
    ------
    ValueError
        For a heap whose objects do not lead from one to the next within it.
    """
    for heap in COLLECTION.finditer(data):
        at, end = heap.end(), heap.start() + int.from_bytes(heap[1], "little")
        while at + OBJECT.size <= min(end, len(data)):
            index, _, size = OBJECT.unpack_from(data, at)
            step = OBJECT.size + -(-size // 8) * 8 if index else size
            if step < OBJECT.size or at + step > end:
                raise ValueError(f"object {index} of the heap at byte {heap.start():,} claims {size:,} bytes")
            at += step
