"""What goes wrong inside an agent while it trains, in words: told once, and again only when it has become worse.

`findings` knows one look; here are those that take a history: gradients that explode, ranks that fall, policies that
stay the same, rewards that do not come.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..numbers import number
from .findings import FLAT, Finding, findings, percent, telling_ranks
from .look import SeedLook
from .recent import Recent

UNREWARDED = 5_000  # env steps without a reward that are worth a word
SAME = 10_000  # env steps with the same action likewise
EXPLODED = 100.0  # times the median norm of the gradient at the looks before
LOOKS = 3  # at least, before that median counts
FALLEN = 0.1  # of the highest effective rank so far
NARROW = 1e-3  # standard deviation, by the width of the actions, at which a policy explores no more
CERTAIN = 0.99  # share of the states in which one action is certain likewise
#: By how much a finding has to become worse to be told again: added to a share, times another level.
MORE_SHARE, MORE_TIMES = 0.2, 4.0
_SHARES = ("dead", "saturated", "dormant", "rank", "fallen", "sure", "same-greedy")

#: Columns of debug.csv, beside seed, env_steps and updates.
COLUMNS = (
    "dead", "saturated", "dormant", "rank", "value_mean", "value_low", "value_high", "value_excess", "greedy_share",
    "entropy", "std", "grad_norm", "reward_low", "reward_high",
)  # fmt: skip


class Watched:
    """What is known of S seeds from their looks so far.

    Args:
        seeds: the S seed numbers.
        width: of the space of continuous actions; None of choices.
    """

    def __init__(self, seeds: Sequence[int], width: float | None = None) -> None:
        self.seeds, self._width = list(seeds), width
        self._told: dict[str, float] = {}  # kind and place -> level
        self._norms: dict[int, list[float]] = {seed: [] for seed in seeds}
        self._ranks: dict[str, int] = {}  # seed and network -> the highest
        self._greedy_since: dict[int, int] = {}  # env steps at which one greedy action was seen to stand for all states

    def found(self, look: SeedLook, recent: Recent, grad_norm: float | None, env_steps: int) -> list[Finding]:
        """All that is wrong with a seed at this look."""
        s = self.seeds.index(look.seed)
        out = [one for one in findings(look) if one.kind != "policy"]
        out += self._fallen(look) + self._exploded(look.seed, grad_norm) + self._policy(look, env_steps)
        same = env_steps - int(recent.same_since[s])
        if same >= SAME:
            text = f"all actions have been the same for {_steps(same)} steps"
            out.append(Finding("same", "", same, text))
        if env_steps >= UNREWARDED and not recent.rewarded[s]:
            text = f"no reward has come yet, in {_steps(env_steps)} steps: learning cannot begin"
            out.append(Finding("unrewarded", "", env_steps, text))
        elif env_steps >= UNREWARDED and recent.low[s] == recent.high[s] and not recent.ended[s]:
            text = (
                f"every reward has been {number(float(recent.low[s]))} so far, and no episode has ended by itself: "
                "nothing tells one action from another"
            )
            out.append(Finding("constant", "", env_steps, text))
        return out

    def news(self, found: Mapping[int, Sequence[Finding]]) -> list[list[tuple[int, Finding]]]:
        """Of the findings of each seed, those to be told: of each kind and place, with its seeds, if it is new or has
        become worse."""
        groups: dict[str, list[tuple[int, Finding]]] = {}
        for seed, own in found.items():
            for one in own:
                groups.setdefault(f"{one.kind}|{one.where}", []).append((seed, one))
        out = []
        for key, group in groups.items():
            level = max(one.level for _, one in group)
            before = self._told.get(key)
            worse = before is None or (
                level >= before + MORE_SHARE if key.split("|")[0] in _SHARES else level >= before * MORE_TIMES
            )
            if worse and before != math.inf:
                self._told[key] = level
                out.append(group)
        return out

    def _fallen(self, look: SeedLook) -> list[Finding]:
        out = []
        for rank in telling_ranks(look):
            key = f"{look.seed}|{rank.network}"
            most = self._ranks[key] = max(self._ranks.get(key, 0), rank.effective)
            if FLAT * rank.most < rank.effective <= FALLEN * most:
                fell = f"has fallen from {most} to {rank.effective}"
                text = f"the effective rank of the features of {rank.network} {fell}: states look more and more alike"
                out.append(Finding("fallen", rank.network, 1 - rank.effective / most, text))
        return out

    def _exploded(self, seed: int, norm: float | None) -> list[Finding]:
        if norm is None or math.isnan(norm):
            return []
        before = self._norms[seed]
        usual = float(np.median(before)) if len(before) >= LOOKS else math.inf
        self._norms[seed] = [*before, norm][-100:]
        if not math.isfinite(norm) or (usual > 0 and norm >= EXPLODED * usual):
            text = (
                f"the norm of the gradient is {_two(norm)}, and was {_two(usual)}: it explodes. Lower the learning "
                "rate, clip the gradient, or scale the rewards"
            )
            return [Finding("exploded", "", norm, text)]
        return []

    def _policy(self, look: SeedLook, env_steps: int) -> list[Finding]:
        policy, out = look.policy, list[Finding]()
        if len(policy.greedy) > 1 and max(policy.greedy) == 1:
            since = self._greedy_since.setdefault(look.seed, env_steps)
            if env_steps - since >= SAME:
                text = f"the greedy action has been the same in every state for {_steps(env_steps - since)} steps"
                out.append(Finding("same-greedy", "", 1.0, text))
        else:
            self._greedy_since.pop(look.seed, None)
        if policy.sure is not None and policy.sure >= CERTAIN:
            text = f"in {percent(policy.sure)} of the states one action is certain: the policy explores no more"
            out.append(Finding("sure", "", policy.sure, text))
        if policy.std and self._width and policy.std.high <= NARROW * self._width:
            text = (
                f"the standard deviation of actions has fallen to {_two(policy.std.high)}, of a width of "
                f"{number(self._width)}: the policy explores no more"
            )
            out.append(Finding("narrow", "", 1 / max(policy.std.high, 1e-30), text))
        return out

    def state_dict(self) -> dict[str, Any]:
        return {
            "told": dict(self._told),
            "norms": {str(seed): list(norms) for seed, norms in self._norms.items()},
            "ranks": dict(self._ranks),
            "greedy_since": {str(seed): at for seed, at in self._greedy_since.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._told, self._ranks = dict(state["told"]), dict(state["ranks"])
        self._norms |= {int(seed): list(norms) for seed, norms in state["norms"].items()}
        self._greedy_since = {int(seed): int(at) for seed, at in state["greedy_since"].items()}


def row(look: SeedLook, recent: Recent, s: int, grad_norm: float | None) -> dict[str, float]:
    """A look as the numbers of `COLUMNS`; NaN where there is none."""
    hidden = [layer for layer in look.layers if layer.place]
    shares = {
        name: [x for one in hidden if (x := getattr(one, name)) is not None]
        for name in ("dead", "saturated", "dormant")
    }
    values, policy = look.values, look.policy
    numbers: dict[str, float | None] = {
        **{name: max(found, default=None) for name, found in shares.items()},
        "rank": min((rank.effective / max(rank.most, 1) for rank in look.ranks), default=None),
        "value_mean": values and values.estimate.mean,
        "value_low": values and values.estimate.low,
        "value_high": values and values.estimate.high,
        "value_excess": values and values.excess,
        "greedy_share": max(policy.greedy, default=None),
        "entropy": policy.entropy,
        "std": policy.std and policy.std.mean,
        "grad_norm": grad_norm,
        "reward_low": float(recent.low[s]),
        "reward_high": float(recent.high[s]),
    }
    return {name: math.nan if numbers[name] is None else float(numbers[name] or 0.0) for name in COLUMNS}


def _two(x: float) -> str:
    """A number to two digits."""
    return number(float(f"{x:.2g}"))


def _steps(n: int) -> str:
    """A number of steps to two digits: 10,000."""
    return f"{int(float(f'{n:.2g}')):,}"
