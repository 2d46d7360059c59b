"""Where an agent keeps experience to learn from: the replay buffer. Part of the kit of those who write agents."""

from .ring import Replay

__all__ = ["Replay"]
