"""The blind set: mistakes that were written down before anybody knew what `rlbench check` says of them.

The rows of the other plants were written with these plants at hand, so that their score says that rows do what they
were made for, and not how many mistakes of other people's they would find. Whoever planted these had read the agents,
and neither the rows nor what they ask.
"""

from typing import NamedTuple

from .mechanism import Mutant


class Blind(NamedTuple):
    """A mistake that was planted blind.

    Attributes:
        mutant: its row is the one that was found, or made, since.
        worse: what is worse for it: one that changes nothing would be no mistake.
        first: the row that failed first when it was asked the first time; "": none did.
        judged: whether what that row said "leads" to the mistake, comes "near", or "misleads"; "alarm" where it was a
            false one, which a sound agent of the same hyper-parameters raised too.
        why: where it slips through still, why.
    """

    mutant: Mutant
    worse: str
    first: str
    judged: str
    why: str = ""

    @property
    def caught_at_first(self) -> bool:
        return bool(self.first) and self.judged != "alarm"
