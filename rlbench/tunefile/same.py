"""What makes two searches the same, so that a process may join one, and what of it the base recipe has already."""

import json
from typing import Any

from .file import TuneFile
from .space import Dimension


def what_is_searched(file: TuneFile) -> dict[str, Any]:
    """What makes two searches the same: trials of one count for the other."""
    seeds = file.tuning_seeds
    base = file.base.content()
    for key in ("seed", "seeds"):  # of the report alone
        base.pop(key)
    return {
        "base": base,
        "space": {one.key: one.plain() for one in file.space},
        "seeds": [seeds.start, len(seeds)],
    }


def base_values(file: TuneFile) -> dict[str, Any] | None:
    """The base recipe's own values as Optuna stores them; None where the space does not hold one of them."""
    values = {one.key: one.store(value_in(file, one)) for one in file.space}
    return None if None in values.values() else values


def value_in(file: TuneFile, dimension: Dimension) -> Any:
    """What the base recipe has for a key."""
    content: Any = file.base.content()
    if len(dimension.path) == 2:
        content = content["hyper"]
    return content.get(dimension.path[-1])


def first_difference(about: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first thing that two searches do not have in common, in words; "" where there is none."""
    for part, name in (("space", "[space]"), ("base", "[base]")):
        old, new = about.get(part, {}), wanted[part]
        for key in sorted({*old, *new}):
            if key not in new or key not in old or json.loads(json.dumps(new[key])) != old[key]:
                where = "has" if key in old else "lacks"
                it = f" {json.dumps(old[key])}" if key in old else ""
                return f"its {name} {where} {key}{it}, this one's {json.dumps(new[key]) if key in new else 'does not'}"
    old_seeds, new_seeds = about.get("seeds"), wanted["seeds"]
    if old_seeds != new_seeds:
        return f"its trials have [first_seed, seeds] {old_seeds}, this one's {new_seeds}"
    return ""
