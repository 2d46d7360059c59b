"""A row about memory: what was seen two steps ago says what to do."""

from typing import Any

import torch

from ..agent import Agent
from ..learner import Learner
from ..probing.answers import LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial
from .lesson import Glance, in_time, learned, lesson, taught
from .riddles import Recalled

SHORT: dict[str, Any] = {"sequence_length": 4, "burn_in": 2, "memory_size": 16, "gamma": 0.95}
#: Of policies, which else make up their mind before they know: more steps at a time, and a little that keeps them open.
WIDER: dict[str, Any] = {"rollout_steps": 16, "batch_size": 64, "entropy_weight": 0.05}


@row("memory", "what was seen at an episode's first step is known at its last", group="values", limit=90.0, quick=False)
def memory(subject: Subject) -> None:
    subject.fitting("vector")
    optional = subject.has("memory") and getattr(subject.config, "memory", None) == "none"
    own = getattr(subject.cls, "origin", subject.cls)  # of a learner that was lifted, that one
    kind = getattr(subject.config, "memory", None)
    if not optional and (kind == "none" or (kind is None and own.begin in (Agent.begin, Learner.begin))):
        raise LeftOut("it remembers nothing")
    in_time(subject)
    kept: dict[str, Any] = {"memory": "gru"} if optional else {}
    wider = WIDER if subject.has("rollout_steps") else {}
    trial = lesson(subject, Recalled, {}, **SHORT, **wider, **kept)
    seeds = trial.spec.num_seeds
    signs = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).expand(seeds, 2, 2)
    later = [torch.tensor([[0.0, x]] * 2).expand(seeds, 2, 2) for x in (0.5, 1.0)]

    def look(trial: Trial) -> Glance:
        trial.act(signs)
        for obs in later:
            done = trial.act(obs, begin=False)  # (S, 2)
        right = bool((done == torch.tensor([0, 1])).all())
        worst = int((done != torch.tensor([0, 1])).sum(1).argmax())
        cause = "what is remembered is lost on the way, or learned from otherwise than it was acted with"
        return Glance(right, "the actions [0, 1] after the signs -1 and 1", f"{done[worst].tolist()}", cause)

    learned(subject, taught(trial, look, least=900, most=12_000))
