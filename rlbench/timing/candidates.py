"""What is timed, each in a process of its own: an exported file, or the live agent, asked one observation or many.

`python -m rlbench.timing.candidates` is such a process. It reads requests and writes answers, one JSON a line; what
libraries print goes to standard error. A file of ONNX is opened without torch: what that costs is not laid to it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import RlbenchError, first_line
from ..process.resources import peak_memory
from .stopwatch import calls_for, overhead, timed, warmed_up

Call = Callable[[Any], object]


class Candidate(Protocol):
    """A policy ready to be timed."""

    nbytes: int  # of the observations that it holds

    def prepared(self, batch: int) -> tuple[Call, Sequence[Any]]:
        """What answers a batch, from what its user has to what `env.step` takes; and inputs for it. An episode
        begins."""
        ...


class FileCandidate:
    """An exported file: one observation by `PolicyFile.act`, several by a call with arrays of them.

    Args:
        path: of the file.
        asked: of `asked.save`.
        threads: for its computing.
    """

    def __init__(self, path: str, asked: str, threads: int) -> None:
        from ..policyfile.opened import open_policy
        from .asked import load

        self.file = open_policy(path, threads=threads)
        self.asked = load(Path(asked))
        self.nbytes = self.asked.nbytes

    def prepared(self, batch: int) -> tuple[Call, Sequence[Any]]:
        import numpy as np

        file, asked, space = self.file, self.asked, self.file.metadata.obs
        if batch == 1:
            file.begin()
            ones = [asked.observation(space, i) for i in range(len(asked))]
            masks = [asked.inputs[port.name] for port in file.metadata.inputs if port.role == "mask"]
            return (lambda pair: file.act(*pair), list(zip(ones, *masks, strict=True))) if masks else (file.act, ones)
        wanted = [port.name for port in file.metadata.outputs if port.role in ("action", "memory")]
        batches = [asked.rows(first, batch) for first in range(0, len(asked) - batch + 1, batch)]
        if not file.metadata.recurrent:
            return lambda inputs: file(inputs, wanted), batches
        memory = {
            port.name: np.zeros((batch, *port.shape), port.dtype)
            for port in file.metadata.inputs
            if port.role == "memory"
        }

        def remembering(inputs: dict[str, Any]) -> object:
            outputs = file({**inputs, **memory}, wanted)
            memory.update(file.remembered(outputs))
            return outputs

        return remembering, batches


class LiveCandidate:
    """The agent of a checkpoint, on the CPU: one observation by `Trained.act`, several by the agent's own ``act``, with
    the way to tensors and back.

    Args:
        path: of a checkpoint or a run.
        asked: of `asked.save`.
        threads: of torch.
        seed: whose, or "best" or "all".
        agent: where its code is, if it is a user's own.
        imports: modules for its environment.
        space: of the observations, as `policyfile.metadata` describes it, JSON.
    """

    def __init__(
        self, path: str, asked: str, threads: int, seed: Any, agent: str | None, imports: Sequence[str], space: Any
    ) -> None:
        import numpy as np
        import torch
        from pydantic import TypeAdapter

        from ..border.extras import MASK
        from ..policyfile.metadata import Space
        from ..trained.load import load
        from .asked import load as load_asked

        torch.set_num_threads(threads)
        self.trained = load(path, seed=seed, agent=agent, imports=imports, device="cpu")
        described: Any = TypeAdapter(Space).validate_python(space)
        observations = load_asked(Path(asked))
        self.masks = observations.inputs.get(MASK)
        ones = [observations.observation(described, i) for i in range(len(observations))]
        infos: list[dict[str, Any]] = [{}] * len(ones) if self.masks is None else [{MASK: mask} for mask in self.masks]
        if any(source.where == "key" for source in self.trained.maker.extras):
            ones = [{**obs, **info} for obs, info in zip(ones, infos, strict=True)]
        form = self.trained.parts.obs_codec
        self.ones = list(zip(ones, infos, strict=True))
        self.encoded = np.stack([np.array(form.encode(obs), form.dtype) for obs in ones])  # (N, *O)
        self.nbytes = observations.nbytes + self.encoded.nbytes

    def prepared(self, batch: int) -> tuple[Call, Sequence[Any]]:
        import torch

        from ..acting import choose
        from ..border.extras import MASK
        from ..types import NO_EXTRAS

        trained = self.trained
        if batch == 1:
            trained.reset()
            if self.masks is None:
                return trained.act, [obs for obs, _ in self.ones]
            return lambda pair: trained.act(*pair), self.ones
        agent, decode, seeds = trained.agent, trained.parts.action_codec.decode, len(trained.seeds)
        agent.begin(torch.ones((seeds, batch), dtype=torch.bool), explore=False)

        def tensor(array: Any) -> Any:  # (B, ...) to (S, B, ...)
            return torch.from_numpy(array).expand(seeds, *array.shape)

        def call(given: tuple[Any, Any]) -> object:
            obs, mask = given
            extras = NO_EXTRAS if mask is None else {MASK: tensor(mask)}
            action, _ = choose(agent, tensor(obs), extras, explore=False)
            return decode(action[:1])

        places = [slice(i, i + batch) for i in range(0, len(self.ones) - batch + 1, batch)]
        masks = [None if self.masks is None else self.masks[place] for place in places]
        return call, [(self.encoded[place], mask) for place, mask in zip(places, masks, strict=True)]


def opened(kind: str, **how: Any) -> Candidate:
    """The candidate of a request: "file" or "live"."""
    return FileCandidate(**how) if kind == "file" else LiveCandidate(**how)


class Serving:
    """Answers the requests of one process."""

    def __init__(self, open_: Callable[..., Candidate] = opened) -> None:
        self.bare = peak_memory()
        self._open = open_
        self._candidate: Candidate | None = None
        self._warm: dict[int, float] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One of "open", "warm", "measure" and "memory" under the key ``do``; the rest is told with it."""
        do = request.pop("do")
        if do == "open":
            began = time.perf_counter()
            self._candidate = self._open(**request)
            return {"seconds": time.perf_counter() - began, "overhead": overhead()}
        assert self._candidate is not None
        if do == "memory":
            peak = peak_memory()
            if peak is None or self.bare is None:
                return {"bytes": None}
            return {"bytes": max(peak - self.bare - self._candidate.nbytes, 0)}
        call, inputs = self._candidate.prepared(request["batch"])
        if do == "warm":
            self._warm[request["batch"]] = warmed_up(call, inputs, request["seconds"])
            return {}
        count = calls_for(request["seconds"], self._warm[request["batch"]])
        return {"taken": timed(call, inputs, count)}


def main() -> None:
    """Answer until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serving = Serving()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = serving.answer(json.loads(line))
        except RlbenchError as e:
            answer = {"error": str(e), "exit_code": e.exit_code}
        except Exception as e:  # of a library, or of an agent's code
            answer = {"error": f"{type(e).__name__}: {first_line(e)}", "exit_code": 1}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
