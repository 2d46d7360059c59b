"""What a sweep folder remembers of earlier drives: sweep.json, and where its run folders are kept."""

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cells.attempt import ORDER
from ..cells.order import Order
from ..errors import RunFolderError, UsageError
from ..process.places import shown
from ..sweep.folder import ABOUT, CELLS, is_sweep, open_sweep
from .mirror import checked_store


def known_of(out: Path) -> dict[str, Any]:
    """What sweep.json in ``out`` says; {} where there is none, or it is damaged: it is written anew."""
    try:
        return open_sweep(out).about if is_sweep(out) else {}
    except RunFolderError:
        return {}


def store_of(out: Path, about: Mapping[str, Any], store: str) -> str:
    """Where the run folders of the sweep in ``out`` are kept, if it is asked to be ``store``; "": below ``out``."""
    forgotten = "" if about else _kept_at(out)
    if forgotten and not store:
        raise UsageError(
            f"{shown(out / ABOUT)} is {'damaged' if is_sweep(out) else 'missing'}, and its runs were kept at "
            f"{forgotten}. Say so, and it goes on: --store {shlex.quote(forgotten)}"
        )
    known = str(about.get("store") or forgotten)
    address = checked_store(store or known) if store or known else ""
    if (about or forgotten) and address != known and any((out / CELLS).glob("*")):
        raise UsageError(
            f"{shown(out)} keeps its runs at {known or shown(out / CELLS)}. Leave --store out, or give the sweep "
            "another folder: --out DIR"
        )
    return address


def _kept_at(out: Path) -> str:
    """The store that run folders in ``out`` came down from, by the orders of their cells; "" where none did."""
    for path in sorted((out / CELLS).glob(f"*/{ORDER}")):
        with contextlib.suppress(OSError, UsageError):
            order = Order.from_json(path.read_text(encoding="utf-8", errors="replace"))
            return str(order.store).removesuffix(f"/{order.cell}")
    return ""
