"""All mutants."""

from .mechanism import Mutant
from .plants_dqn import DQN
from .plants_policy import PPO, REINFORCE, SAC
from .plants_values import PQN, TABLES

MUTANTS: dict[str, Mutant] = {m.title: m for m in (*DQN, *PPO, *SAC, *PQN, *TABLES, *REINFORCE)}
