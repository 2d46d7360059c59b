"""The framing of TensorFlow's record files: length, checksum, content, checksum.

TensorBoard's own writer computes the checksums byte by byte in Python, which costs more than all else that is written.
"""

import struct
from typing import BinaryIO

import numpy as np

CHUNK = 512  # bytes that are looked up at once
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed


def crc32c(data: bytes) -> int:
    """CRC-32C of ``data`` (RFC 3720, appendix B.4).

    The checksum is linear: a byte's part in it depends on its value and on how many bytes follow, and the parts are
    joined by exclusive or. What came before a chunk is joined to the chunk's first four bytes.
    """
    state = 0xFFFFFFFF
    numbers = np.frombuffer(data, np.uint8)
    for start in range(0, len(numbers), CHUNK):
        chunk = numbers[start : start + CHUNK].copy()
        before = np.frombuffer(struct.pack("<I", state), np.uint8)
        n = min(len(chunk), 4)
        chunk[:n] ^= before[:n]
        parts = _TABLE[np.arange(len(chunk) - 1, -1, -1), chunk]
        state = int(np.bitwise_xor.reduce(parts)) ^ (state >> 8 * n if n < 4 else 0)
    return state ^ 0xFFFFFFFF


def write_record(file: BinaryIO, content: bytes) -> None:
    """Append one record."""
    length = struct.pack("<Q", len(content))
    file.write(length + _masked(length) + content + _masked(content))


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> np.ndarray:
    """(CHUNK, 256) uint32: what a byte of each value leaves in the checksum when so many others follow it."""
    rows = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rows = np.where(rows & 1, rows >> 1 ^ np.uint32(_POLYNOMIAL), rows >> 1)
    table = np.empty((CHUNK, 256), np.uint32)
    table[0] = rows
    for i in range(1, CHUNK):
        table[i] = table[0][table[i - 1] & 0xFF] ^ (table[i - 1] >> 8)
    return table


_TABLE = _table()
