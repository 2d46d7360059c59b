"""A file that is not the live agent is caught, and nothing is kept of it; what is a tie, and what rounding may do."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import registering
from shipped import ENVS, GRU, exported, opened

from rlbench.border.spaces import ActionCodec
from rlbench.policyfile.metadata import Metadata
from rlbench.policyfile.opened import PolicyFile
from rlbench.proving import episodes, proof
from rlbench.proving.agree import compared, relative
from rlbench.proving.proof import Mismatch
from rlbench.ship import export
from rlbench.tracing import encode, policy
from rlbench.tracing.live import Answer, LivePolicy, _majority
from rlbench.tracing.policy import contract

_registered = registering(ENVS)
SMALL: dict[str, Any] = {"hidden": (8,)}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "RECORDED", 300)
    monkeypatch.setattr(proof, "RANDOM", 300)


def caught(trained: Any, folder: Path, said: str, kind: str = "pt2") -> str:
    """What is said of a file that is not the live agent; a file that was there stays as it was."""
    out = folder / "policy.pt2"
    out.write_bytes(b"the one before")
    with pytest.raises(Mismatch, match=said) as e:
        export.export(trained, kind, out, episodes=2)
    assert out.read_bytes() == b"the one before"
    assert sorted(path.name for path in folder.iterdir()) == ["best.pth", "policy.pt2"]
    assert e.value.exit_code == 1
    assert "\n" not in str(e.value)
    return str(e.value)


def test_other_weights_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(trained: Any) -> Any:
        agent: Any = policy.anew(trained)
        agent.q_net.layers[-1].bias.data[:, :, 1] += 1e-3
        return agent

    monkeypatch.setattr(export, "anew", changed)
    said = caught(opened(tmp_path, "CartPole-v1", **SMALL), tmp_path, r"^the file is not the same policy\. Of ")
    assert "{'obs': [" in said
    assert "it gave q_values [" in said
    assert "and the live agent [" in said


class Asked:
    """A file, by what it is asked through."""

    def __init__(self, file: PolicyFile, ask: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
        self.metadata, self.remembered, self._ask = file.metadata, file.remembered, ask

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._ask(inputs)


@pytest.fixture
def odd(tmp_path: Path) -> Callable[[Callable[[np.ndarray], bool]], None]:
    """Compares a file that gives something else where it is asked observations, (B, 4), that are said to be odd."""
    trained = opened(tmp_path, "CartPole-v1", **SMALL)
    _, file = exported(trained, tmp_path / "a.pt2", "pt2", episodes=1)
    agreed = contract(trained)
    live = LivePolicy(trained, agreed.obs)

    def compare(where: Callable[[np.ndarray], bool]) -> None:
        def ask(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            given = file(inputs)
            return {**given, "q_values": given["q_values"] + np.float32(1e-3)} if where(inputs["obs"]) else given

        proof.compare_answers(cast(PolicyFile, Asked(file, ask)), live, agreed, proof.to_compare(trained, agreed))

    return compare


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 256])
def test_batches_of_all_sizes_are_compared(odd: Any, size: int) -> None:
    odd(lambda obs: False)
    with pytest.raises(Mismatch, match=f", in a batch of {size}, on "):
        odd(lambda obs: len(obs) == size)


def test_random_observations_are_compared_too(odd: Any) -> None:
    """As those that no episode shows: a cart whose speed is beyond reach."""
    with pytest.raises(Mismatch, match="Of random observations, in a batch of 256, on "):
        odd(lambda obs: np.abs(obs[:, 1]).max() > 50)


def test_another_action_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though all that is shown be the same."""
    forward = encode.Decoder.forward
    monkeypatch.setattr(encode.Decoder, "forward", lambda self, action: 1 - forward(self, action))
    caught(opened(tmp_path, "CartPole-v1", **SMALL), tmp_path, r"it gave action [01], and the live agent [01] ")


def test_another_encoding_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of indices that count from elsewhere."""
    one_hot = encode._one_hot
    monkeypatch.setattr(encode, "_one_hot", lambda x, n, start: one_hot(x, n, start + (start == -1)))
    caught(opened(tmp_path, "ship/Everything-v0", "ppo", **SMALL), tmp_path, r"the live agent")


def test_a_memory_that_is_lost_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy.PolicyModule, "_given", lambda self, memory: torch.zeros_like(memory[0]))
    caught(opened(tmp_path, "rlbench/TMaze-v0", "dqn", **GRU), tmp_path, r"it gave q_values")


def test_other_returns_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the two agree at every step and the returns are others all the same."""
    monkeypatch.setattr(episodes, "evaluate", lambda trained, episodes: np.array([[9.0, 500.0]]))
    caught(opened(tmp_path, "CartPole-v1", **SMALL), tmp_path, r"in episode \d of the evaluation, .* agreed at every")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["graph", "metadata"])
def test_a_file_that_changes_as_its_proof_is_written_is_caught(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was proved is the file without its proof; what is kept is another one, which has to be the same."""
    write, folder = export.write, tmp_path / "run"
    folder.mkdir()
    other = opened(tmp_path, "CartPole-v1", hidden=(9,))
    of_other = write(other, "pt2", contract(other), LivePolicy(other, contract(other).obs))

    def changing(*args: Any) -> Any:
        written = write(*args)

        def to_bytes(metadata: Metadata) -> bytes:
            if not metadata.proof:
                return written.to_bytes(metadata)
            if what == "graph":
                return of_other.to_bytes(metadata)
            return written.to_bytes(metadata.model_copy(update={"env_steps": metadata.env_steps + 1}))

        return written._replace(to_bytes=to_bytes)

    monkeypatch.setattr(export, "write", changing)
    caught(opened(folder, "CartPole-v1", **SMALL), folder, r"^the file changed when its proof was written into it\.")


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any, **how: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "play_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export.export(opened(tmp_path, "CartPole-v1", **SMALL), "pt2", tmp_path / "a.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]


TWO = ActionCodec(True, 10, 2, (), np.dtype(np.int64))


def answer(q: list[list[float]], chosen: list[int]) -> Answer:
    """Of seeds with these values, one row."""
    values = np.array(q, np.float32)[:, None]
    return Answer(np.array([chosen[0] + 10]), np.array(chosen)[:, None], {"q_values": values})


def gave(action: int, q: list[float]) -> dict[str, np.ndarray]:
    return {"action": np.array([action]), "q_values": np.array([q], np.float32)}


def test_a_tie_is_no_difference() -> None:
    names = ["action", "q_values"]
    near = answer([[0.5, 0.5 + 5e-6]], [1])
    both = compared(gave(10, [0.5, 0.5 + 5e-6]), near, TWO, names, lambda i: [near])
    assert both.wrong is None
    assert both.tied.tolist() == [True]
    far = answer([[0.5, 0.5 + 1e-3]], [1])
    wrong = compared(gave(10, [0.5, 0.5 + 1e-3]), far, TWO, names, lambda i: [far]).wrong
    assert wrong is not None
    assert wrong[:4] == (0, "action", 10, 11)


def test_a_vote_is_a_tie_where_a_seed_is_undecided() -> None:
    names = ["action", "q_values"]
    q = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5 + 1e-6]]
    undecided = answer(q, [1, 0, 1])
    assert compared(gave(10, np.mean(q, 0).tolist()), undecided, TWO, names, lambda i: [undecided]).wrong is None
    q[2] = [0.0, 0.5]
    decided = answer(q, [1, 0, 1])
    assert compared(gave(10, np.mean(q, 0).tolist()), decided, TWO, names, lambda i: [decided]).wrong is not None


def test_numbers_are_measured_by_the_largest_beside_them() -> None:
    x, y = np.array([[100.0, 0.0], [0.5, 0.0]]), np.array([[100.0, 1e-3], [0.5, 1e-3]])
    assert relative(y, x) == pytest.approx([1e-5, 1e-3])
    infinite = np.array([[-np.inf, 1.0]])
    assert relative(infinite, infinite).tolist() == [0.0]
    assert relative(np.array([[0.0, 1.0]]), infinite).tolist() == [np.inf]
    assert relative(np.array([[np.nan, 1.0]]), np.array([[0.0, 1.0]])).tolist() == [np.inf]


def test_rounding_is_as_wide_as_the_live_agents_own() -> None:
    names = ["action", "q_values"]
    live = answer([[0.0, 1.0]], [1])
    spread = answer([[0.0, 1.0 + 2e-5]], [1])
    for off, wrong in ((3e-5, False), (5e-5, True)):
        found = compared(gave(11, [0.0, 1.0 + off]), live, TWO, names, lambda i: [spread])
        assert (found.wrong is not None, found.rounded) == (wrong, 1)


def test_a_majority_is_counted_and_ties_go_to_the_best_seed() -> None:
    assert _majority(np.array([0, 2, 2]), 0) == 2
    assert _majority(np.array([0, 2, 2, 0]), 2) == 2
    assert _majority(np.array([3, 2, 2, 3, 1]), 1) == 2


def test_the_live_agent_goes_on_as_if_it_had_not_been_asked_again(tmp_path: Path) -> None:
    trained = opened(tmp_path, "rlbench/TMaze-v0", "dqn", **GRU)
    agreed = contract(trained)
    live = LivePolicy(trained, agreed.obs)
    stream = proof.random_stream(agreed, 40, np.random.default_rng(0))

    def course(asking: bool) -> list[Answer]:
        found = []
        live.begin(np.ones(4, bool))
        for t in range(5):
            taken = {name: x[4 * t : 4 * t + 4] for name, x in stream.inputs.items()}
            found.append(live(taken))
            if asking:
                assert [len(one.action) for one in live.again(taken, 2)] == [1, 16]
        return found

    for one, two in zip(course(False), course(True), strict=True):
        assert one.of_seeds["q_values"].tobytes() == two.of_seeds["q_values"].tobytes()


def test_what_was_proved_is_what_was_written(tmp_path: Path) -> None:
    done, file = exported(opened(tmp_path, "CartPole-v1", **SMALL), tmp_path / "a.pt2", "pt2")
    assert file.metadata.proof == done.metadata.proof
    summary = done.metadata.proof
    assert summary["batch_sizes"] == [256, 7, 1]
    assert 0 <= summary["largest_difference"] <= 1e-5
    assert summary["mean_return"] == summary["mean_return_live"]


def test_a_file_says_whose_policy_it_is(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", seeds=2, **SMALL)._replace(env_steps=1234)
    _, file = exported(trained, tmp_path / "a.pt2", "pt2", episodes=2)
    m = file.metadata
    assert (m.env, m.agent, m.seeds, m.vote, m.env_steps) == ("CartPole-v1", "dqn", [0, 1], "majority", 1234)
    assert m.checkpoint == hashlib.sha256(trained.path.read_bytes()).hexdigest()
    assert m.versions["torch"] == torch.__version__
    assert file.digest == hashlib.sha256((tmp_path / "a.pt2").read_bytes()).hexdigest()
    assert file.nbytes == (tmp_path / "a.pt2").stat().st_size
