"""What a card said, where that is behind an error: it failed, or its memory ran out. torch is not imported for it."""

import re

from ..errors import first_line

_TYPES = ("AcceleratorError", "OutOfMemoryError")  # torch's, of any accelerator; both are RuntimeErrors
_SAID = re.compile(
    r"\b(CUDA|cuDNN|cuBLAS|NCCL|HIP)( driver| kernel)? error\b|\b(CUBLAS|CUDNN|CUSOLVER)_STATUS_|CUDA out of mem"
)
_FULL = re.compile(r"Tried to allocate ([\d.,]+ \w+)\b.*?of which ([\d.,]+ \w+) is free", re.DOTALL)


class CardFailure(str):
    """What a card said, in one line. ``full``: its memory ran out, and the card itself goes on."""

    full = False


def card_failure(e: BaseException | None) -> CardFailure | None:
    """What the card said that is behind ``e``, or behind what ``e`` was made from; None where it is no card's doing."""
    seen: set[int] = set()
    while e is not None and id(e) not in seen:
        seen.add(id(e))
        if isinstance(e, RuntimeError) and (type(e).__name__ in _TYPES or _SAID.search(str(e))):
            return _told(e)
        e = e.__cause__ or e.__context__
    return None


def _told(e: RuntimeError) -> CardFailure:
    text = first_line(e)
    full = type(e).__name__ == "OutOfMemoryError" or "out of memory" in text.lower()
    if full and (sizes := _FULL.search(str(e))):
        text = f"CUDA out of memory: {sizes[1]} were wanted, and {sizes[2]} are free"
    said = CardFailure(text.rstrip(". "))
    said.full = full
    return said
