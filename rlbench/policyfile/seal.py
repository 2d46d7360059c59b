"""A seal in an ONNX file: the SHA-256 of all else in it, so that a number which changed on a disk is no answer.

ONNX Runtime takes whatever numbers it finds. The formats of torch are zip files, which have checksums of their own.
"""

import hashlib

FIELD = "seal"
OPEN = "0" * 64  # stands in the metadata where the seal goes


def _written(seal: str) -> bytes:
    return f'"{FIELD}":"{seal}"'.encode()


def sealed(content: bytes) -> bytes:
    """A file whose metadata have the seal `OPEN`, with its own in that place.

    Raises:
        ValueError: it has no such place, or several.
    """
    if content.count(_written(OPEN)) != 1:
        raise ValueError("a file is sealed in one place")
    return content.replace(_written(OPEN), _written(hashlib.sha256(content).hexdigest()))


def intact(content: bytes, seal: str) -> bool:
    """Whether a file is as it was when ``seal``, which its metadata tell, was put into it."""
    return hashlib.sha256(content.replace(_written(seal), _written(OPEN))).hexdigest() == seal
