"""What each copy of an environment gave in its episode under way, as two checksums: observations, and rewards.

Helps `env_batch`: an episode that is run again came back to where it stood only if all of it did. Steps are set aside
as they come, which costs next to nothing, and summed many at a time.
"""

import zlib

import numpy as np

_STEPS, _BYTES = 512, 2**20  # set aside at most
_LARGE = 2048  # bytes of an observation


class Digests:
    """The checksums of n copies. CRC-32 of the stored observations, the first one included; of the float64 rewards.

    Args:
        n: how many copies.
        size: bytes of what is set aside for a step of all of them.
    """

    def __init__(self, n: int, size: int) -> None:
        self._sums = [(0, 0)] * n
        self._from = [0] * n  # the first step set aside that belongs to the episode under way
        self._aside: list[tuple[np.ndarray, list[float]]] = []
        self._large = size >= _LARGE * n  # too large to be laid side by side first
        self._most = max(1, min(_STEPS, _BYTES // max(1, size)))

    def copy(self) -> "Digests":
        """These, as they are now."""
        other = Digests(0, 0)
        other._sums, other._from, other._aside = self._sums.copy(), self._from.copy(), self._aside.copy()
        other._most = self._most
        return other

    def begin(self, i: int, row: np.ndarray) -> None:
        """Copy ``i`` begins an episode with the observation ``row``, (1, *O)."""
        self.stand(i, (zlib.crc32(row.data), 0))

    def stand(self, i: int, sums: tuple[int, int]) -> None:
        """Copy ``i`` stands in an episode that has these checksums so far."""
        self._sums[i], self._from[i] = sums, len(self._aside)

    def add(self, after: np.ndarray, rewards: list[float]) -> None:
        """A step of all copies: (n, *O), and n rewards. Both are kept for a while; do not write to them."""
        self._aside.append((after, rewards))
        if len(self._aside) >= self._most:
            self._sum()

    def all(self) -> list[tuple[int, int]]:
        """The checksums of every copy."""
        self._sum()
        return list(self._sums)

    def _sum(self) -> None:
        if self._aside:
            seen = [after for after, _ in self._aside]
            paid = np.array([rewards for _, rewards in self._aside])  # (T, n)
            rows = None if self._large else np.concatenate(seen).reshape(*paid.shape, -1)  # (T, n, ...)
            for i, begin in enumerate(self._from):
                obs, reward = self._sums[i]
                if rows is not None:
                    obs = zlib.crc32(np.ascontiguousarray(rows[begin:, i]).data, obs)
                else:
                    for after in seen[begin:]:
                        obs = zlib.crc32(after[i].data, obs)
                self._sums[i] = obs, zlib.crc32(np.ascontiguousarray(paid[begin:, i]).data, reward)
            self._aside.clear()
        self._from = [0] * len(self._sums)
