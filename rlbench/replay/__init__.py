"""Where an agent keeps experience to learn from: the replay buffer, sequences of it, and the rollout of on-policy ones.

Part of the kit of those who write agents.
"""

from .minibatches import Minibatch
from .ring import Replay
from .rollout_buffer import Rollout
from .sequences import SequenceReplay, Sequences

__all__ = ["Minibatch", "Replay", "Rollout", "SequenceReplay", "Sequences"]
