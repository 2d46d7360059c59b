"""What is wrong inside an agent, in words: of one look into it, without knowledge of any before."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..numbers import number
from .layers import LayerStats, Rank
from .look import SeedLook
from .values import ValueStats

# Share of a layer's units that fail, from which on it is worth a word: agents that do well have come to 0.71 dead ones
# on CartPole, to 0.7 dormant ones, and to 0.92 saturated ones where every state is worth the same.
DEAD, SATURATED, DORMANT = 0.75, 0.95, 0.8
FLAT = 0.03  # effective rank, by what it could be: features that have collapsed
UNITS = 16  # a layer of fewer may well do with one or two directions
BEYOND = 2.0  # times the largest possible return: values that cannot be true
SAME = 100  # states in which a policy may do the same before that is worth a word


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        kind: one word for all findings of the kind.
        where: of what, where there may be several: a layer, a network.
        level: how bad, a number that grows.
        text: a sentence without a full stop, and without the seed's number.
    """

    kind: str
    where: str
    level: float
    text: str


def findings(seed: SeedLook) -> list[Finding]:
    """All that is wrong with one seed."""
    found = [finding for layer in seed.layers if layer.place for finding in _layer(layer)]
    found += [_collapsed(one) for one in telling_ranks(seed) if one.effective <= FLAT * one.most]
    if seed.values:
        found += values(seed.values)
    found += _policy(seed) + _gradients(seed) + _buffer(seed)
    return found


def telling_ranks(seed: SeedLook) -> list[Rank]:
    """The ranks of features that tell something: of many units, and of networks that give more than one number.

    A single value may well be the same in all states, where an agent has learned all there is.
    """
    single = {layer.network for layer in seed.layers if not layer.place and layer.units == 1}
    return [one for one in seed.ranks if one.most >= UNITS and one.network not in single]


def gathered(group: Sequence[tuple[int, Finding]], seeds: int) -> str:
    """One sentence for the findings of one kind, by seed: that of the worst seed, and which others have it."""
    seed, worst = max(group, key=lambda pair: pair[1].level)
    if seeds == 1:
        return f"{worst.text}."
    if len(group) == 1:
        return f"seed {seed}: {worst.text}."
    named = ", ".join(str(other) for other, _ in group[:8]) + ", ..." * (len(group) > 8)
    return f"seed {seed}, the worst of seeds {named}: {worst.text}."


def percent(share: float) -> str:
    """A share in words: 82 %, and what is neither none nor all as such."""
    whole = round(100 * share)
    return "nearly all" if whole == 100 and share < 1 else "under 1 %" if not whole and share else f"{whole} %"


def _layer(layer: LayerStats) -> list[Finding]:
    dead, saturated, dormant = (x or 0.0 for x in (layer.dead, layer.saturated, layer.dormant))
    of = f"of the units of {layer.title}"
    if dead >= DEAD:
        return [Finding("dead", layer.title, dead, f"{percent(dead)} {of} never fire")]
    if saturated >= SATURATED:
        text = f"{percent(saturated)} {of} are saturated: they are at a bound of {layer.kind} in nearly every state"
        return [Finding("saturated", layer.title, saturated, text)]
    if dormant >= DORMANT:
        text = f"{percent(dormant)} {of} are dormant: next to what the others give they give nothing"
        return [Finding("dormant", layer.title, dormant, text)]
    return []


def _collapsed(rank: Rank) -> Finding:
    text = (
        f"the features of {rank.network} have collapsed: their effective rank is {rank.effective} of {rank.most}, so "
        "that nearly all states look alike to it"
    )
    return Finding("rank", rank.network, 1 - rank.effective / rank.most, text)


def values(found: ValueStats) -> list[Finding]:
    """What is wrong with what an agent expects."""
    what = "Q-values" if found.what.startswith("Q") else "values"
    if not all(map(math.isfinite, found.estimate)):
        return [Finding("values", what, math.inf, f"{what} are not finite")]
    if found.excess is not None and found.excess >= BEYOND:
        assert found.possible is not None
        most = max(found.possible, key=abs)
        times = "tenfold" if 9.5 <= found.excess < 10.5 else f"{number(_rounded(found.excess))} times"
        why = "overestimation, or rewards need scaling" if found.excess >= 10 else "overestimation"
        text = f"{what} exceed the largest possible return, {number(most)} by size, {times}: {why}"
        return [Finding("values", what, found.excess, text)]
    gap = found.gap
    if gap is not None and gap.off:
        expected, came, least = (number(_rounded(x)) for x in (gap.expected, gap.came, gap.low))
        text = (
            f"{what} lie far above what comes: {expected} is expected and {came} came, in the mean of {gap.episodes} "
            f"episodes that it played, a difference of {least} at least: overestimation"
        )
        return [Finding("bias", what, gap.low / gap.far, text)]
    return []


def _policy(seed: SeedLook) -> list[Finding]:
    greedy = seed.policy.greedy
    if len(greedy) > 1 and max(greedy) == 1 and seed.observations >= SAME:
        action = greedy.index(1.0)
        text = f"the greedy action is {action} in every one of {seed.observations:,} states: it tells none apart"
        return [Finding("policy", "", 1.0, text)]
    return []


def _gradients(seed: SeedLook) -> list[Finding]:
    found = seed.gradients
    if found is None or found.norm is None:
        return []
    if not math.isfinite(found.norm):
        return [Finding("gradient", "", math.inf, "the gradient is not finite")]
    if found.norm == 0:
        return [Finding("gradient", "", 1.0, "the gradient is zero: nothing is learned any more")]
    return []


def _buffer(seed: SeedLook) -> list[Finding]:
    found = seed.buffer
    if found is None:
        return []
    out = []
    if found.zero == 1:
        text = f"every reward in the buffer is 0, of {found.held:,}: there is nothing to learn from"
        out.append(Finding("reward", "", 1.0, text))
    never = [str(a) for a, share in enumerate(found.actions) if not share]
    if never and found.looked_at >= SAME * len(found.actions):
        text = f"the buffer holds no transition with action {', '.join(never[:8])}{', ...' * (len(never) > 8)}"
        out.append(Finding("actions", "", len(never) / len(found.actions), text))
    return out


def _rounded(x: float) -> float:
    """To two digits: 13, 480, 1.7."""
    return float(f"{x:.2g}")
