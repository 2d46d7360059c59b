"""One worker's part of a service: the policy it answers by, the sessions it keeps, what is asked of it meanwhile."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import RlbenchError
from ..policyfile.metadata import PolicyFileError
from ..policyfile.opened import PolicyFile
from . import counts
from .asked import PredictRequest, RequestForm
from .batching import Batcher
from .computing import Computing, Reply
from .policy import differs, opened, read
from .refused import Refused
from .sessions import Sessions
from .settings import Settings
from .state import SharedState

log = logging.getLogger("rlbench.service")


class Answering:
    """What answers predictions in one process.

    Args:
        settings: of the service.
        state: shared with the other workers; it has a policy.
    """

    def __init__(self, settings: Settings, state: SharedState) -> None:
        self.settings, self.state, self.counts = settings, state, state.counts
        self.sessions = Sessions(settings.max_sessions, settings.session_ttl)
        self._batcher: Batcher[PredictRequest, Reply] | None = None
        if settings.batching:
            self._batcher = Batcher(self._answer, settings.max_batch, settings.batch_wait)
        self._under_way = 0
        self._forgotten = {counts.EVICTED: 0, counts.EXPIRED: 0}  # as far as they were counted
        self.counts.put(counts.UNDER_WAY, 0)  # of the worker in whose place this one is
        self.counts.put(counts.KEPT, 0)
        self.generation = state.generation
        self._take_up(opened(state.content(self.generation), settings.name, settings.threads))

    def _take_up(self, file: PolicyFile) -> None:
        self.file, self._compute = file, Computing(file)
        self.form = RequestForm(file.metadata, self.settings.max_observations, sessions=self.settings.workers == 1)
        self.sessions.clear()
        self.state.serves(self.generation)

    def look(self) -> None:
        """Take up the policy that is to be served now, where it is another."""
        generation = self.state.generation
        if generation == self.generation:
            return
        try:
            file = opened(self.state.content(generation), self.settings.name, self.settings.threads)
        except (OSError, PolicyFileError) as e:  # it was opened once before it was published
            log.error("the policy of generation %d cannot be taken up: %s", generation, e)
            return
        self.generation = generation
        self._take_up(file)
        self.counts.add(counts.RELOADS)

    async def predict(self, body: bytes) -> bytes:
        """The body of the answer to the body of a request. Raises Refused."""
        if self._under_way >= self.settings.max_queue:
            raise Refused(503, f"{self._under_way:,} predictions are under way: come again", [(b"retry-after", b"1")])
        self._under_way += 1
        self.counts.put(counts.UNDER_WAY, self._under_way)
        try:
            if self.state.generation != self.generation:
                self.look()
            asked = self.form.read(body)
            if self._batcher:
                outcome = await self._batcher.ask(asked, len(asked.observations))
            else:
                outcome = self._answer([asked])[0]
        finally:
            self._under_way -= 1
            self.counts.put(counts.UNDER_WAY, self._under_way)
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def _answer(self, asked: Sequence[PredictRequest]) -> list[Reply]:
        """Answers to what is asked together. Of one session, what was asked first is answered first."""
        began = time.perf_counter()
        if not self.form.memory:
            made = [outcome for outcome, _ in self._compute(asked)]
        else:
            made = self._in_turn(asked)
        size = sum(len(one.observations) for one, outcome in zip(asked, made, strict=True) if type(outcome) is bytes)
        if size:
            self.counts.batch(size, time.perf_counter() - began)
        return made

    def _in_turn(self, asked: Sequence[PredictRequest]) -> list[Reply]:
        outcomes: dict[int, Reply] = {}
        waiting = list(range(len(asked)))
        while waiting:
            now: list[int] = []
            later: list[int] = []
            names: set[str] = set()
            for i in waiting:
                session = asked[i].session
                if session is not None and session in names:
                    later.append(i)
                    continue
                try:
                    self._recall(asked[i])
                except Refused as e:
                    outcomes[i] = e
                    continue
                now.append(i)
                names |= {session} if session is not None else set()
            for i, (outcome, memory) in zip(now, self._compute([asked[i] for i in now]), strict=True):
                outcomes[i] = outcome
                session = asked[i].session
                if session is not None and not isinstance(outcome, Refused):
                    self.sessions.keep(session, memory)
            waiting = later
        self._count_sessions()
        return [outcomes[i] for i in range(len(asked))]

    def _recall(self, asked: PredictRequest) -> None:
        if asked.session is not None and not asked.begin:
            asked.memory = self.sessions.recall(asked.session)

    def begin_session(self, name: str) -> None:
        """An episode of a session begins anew with its next prediction. Raises Refused where it is not known here."""
        self.form.check_session(name, 404)
        try:
            self.sessions.recall(name)
        finally:
            self._count_sessions()
        self.sessions.keep(name, None)

    def _count_sessions(self) -> None:
        self.counts.put(counts.KEPT, len(self.sessions))
        for what, now in ((counts.EVICTED, self.sessions.evicted), (counts.EXPIRED, self.sessions.expired)):
            self.counts.add(what, now - self._forgotten[what])
            self._forgotten[what] = now

    def sweep(self) -> None:
        """Now and then: another policy is taken up where nobody asks, and expired sessions go."""
        self.look()
        if self.form.memory:
            self._count_sessions()

    def swapped(self) -> int:
        """Read the file that lies on disk now, and let all workers take it up; gives the generation. It takes a while.

        Raises:
            Refused: 409 where it does not fit in place of the one that is served, or there is no such file: that one
                is kept.
        """
        source = self.settings.source
        if source is None:
            raise Refused(409, "a run is served, exported when the service began: serve a file to swap it")
        with self.state.reloading() as mine:
            if not mine:
                raise Refused(409, "another reload is under way")
            try:
                content = read(source, self.settings.name)
                file = opened(content, self.settings.name)
            except RlbenchError as e:
                raise Refused(409, f"{e}. The policy that was served before still is") from e
            if file.digest == self.file.digest and self.generation == self.state.generation:
                return self.generation
            if why := differs(self.file.metadata, file.metadata):
                raise Refused(409, f"{self.settings.name} is not taken up: {why}")
            try:
                return self.state.publish(content)
            except OSError as e:
                raise Refused(503, f"{self.settings.name} cannot be copied for all workers: {e.strerror or e}") from e


def begin_state(folder: Path, workers: int, content: bytes) -> None:
    """Lay down what workers share, with the policy they begin with."""
    SharedState(folder, workers).publish(content)
