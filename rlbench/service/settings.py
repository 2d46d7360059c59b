"""How a policy is served: what every worker is told when it begins."""

import signal
from dataclasses import dataclass, field
from pathlib import Path

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # each ends a service, with what is under way answered


@dataclass(frozen=True)
class Settings:
    """What `rlbench serve` was asked for.

    Attributes:
        name: the file or run that is served, to print.
        source: the file that a reload reads; None where a run was exported for this service.
        state: the folder that the workers share, see `state`.
        workers: how many processes answer.
        max_batch: observations that are computed together; 1: each request alone, at once.
        batch_wait: seconds that the first of a batch waits at most; 0: as ``max_batch`` of 1.
        max_queue: requests under way at a worker; what comes beyond them gets a 503.
        max_body: bytes of a request's body.
        max_observations: of one request.
        body_timeout: seconds within which a whole request has to arrive.
        max_sessions: of a recurrent policy; the one that was used least recently makes room.
        session_ttl: seconds after which an unused session is forgotten.
        token: what a reload has to show; None: nobody can reload.
        threads: that a worker computes by.
        grace: seconds that requests under way are given when the service stops.
    """

    name: str
    source: Path | None
    state: Path
    workers: int = 1
    max_batch: int = 64
    batch_wait: float = 0.002
    max_queue: int = 1024
    max_body: int = 4 * 2**20
    max_observations: int = 1024
    body_timeout: float = 10.0
    max_sessions: int = 10_000
    session_ttl: float = 600.0
    token: bytes | None = field(default=None, repr=False)
    threads: int = 1
    grace: float = 30.0

    @property
    def batching(self) -> bool:
        """Whether requests that arrive together are computed together."""
        return self.max_batch > 1 and self.batch_wait > 0
