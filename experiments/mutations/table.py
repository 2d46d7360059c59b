"""All mutants: those whose rows were written with them at hand, and the blind ones."""

from . import plants_blind_dqn, plants_blind_others, plants_blind_policy
from .mechanism import Mutant
from .plants_dqn import DQN
from .plants_policy import PPO, REINFORCE, SAC
from .plants_values import PQN, TABLES

MUTANTS: dict[str, Mutant] = {m.title: m for m in (*DQN, *PPO, *SAC, *PQN, *TABLES, *REINFORCE)}
BLINDLY = {
    one.mutant.title: one
    for plants in (plants_blind_dqn, plants_blind_policy, plants_blind_others)
    for one in plants.BLIND
}
