"""All mutants: those whose rows were written with them at hand, and the blind ones."""

from .mechanism import Mutant
from .plants_blind import BLIND
from .plants_dqn import DQN
from .plants_policy import PPO, REINFORCE, SAC
from .plants_values import PQN, TABLES

MUTANTS: dict[str, Mutant] = {m.title: m for m in (*DQN, *PPO, *SAC, *PQN, *TABLES, *REINFORCE)}
BLINDLY = {one.mutant.title: one for one in BLIND}
