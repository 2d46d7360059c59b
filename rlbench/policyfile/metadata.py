"""What an exported policy says of itself: the JSON that lies inside the file, whatever its format.

Spaces are described here, and not by Gymnasium, so that a file can be used where nothing but NumPy is installed.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import RlbenchError

KEY = "rlbench"  # of the metadata of an ONNX file
ENTRY = "rlbench.json"  # of the extra files of a TorchScript or pt2 file
FORMAT = 1


class PolicyFileError(RlbenchError):
    """A file that is no exported policy of ours, is damaged, or does not do what it says."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __eq__(self, other: object) -> bool:
        """By what it says of a policy: not by arrays that were reckoned from it (`limits`), nor by a file's seal."""
        if not isinstance(other, _Part) or type(self) is not type(other):
            return False
        return self.model_dump(exclude={"seal"}) == other.model_dump(exclude={"seal"})

    __hash__ = None  # type: ignore[assignment]


Within = tuple[float | np.ndarray, float | np.ndarray]  # each one for all, or (*shape): within lies what surely fits


def representable(dtype: str) -> Within:
    """The lowest and the highest number that a dtype surely has, as floats."""
    if np.dtype(dtype).kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return low, high if high < 2**53 else float(np.nextafter(high, 0))  # those of 64 bits are rounded up


Bounds = float | None | list[Any]  # one number for all, None where there is no bound, or nested lists of the shape


class Box(_Part):
    """Numbers. ``low`` and ``high`` are one number for all of them, or nested lists; None is no bound."""

    type: Literal["Box"] = "Box"
    shape: tuple[int, ...]
    dtype: str  # NumPy's name: "float32", "uint8"
    low: Bounds = None
    high: Bounds = None

    @cached_property
    def limits(self) -> Within:
        low, high = representable(self.dtype)
        return (
            low if self.low is None else np.fmax(np.array(self.low, np.float64), low),
            high if self.high is None else np.fmin(np.array(self.high, np.float64), high),
        )


class Discrete(_Part):
    """One of ``n`` indices, from ``start`` on."""

    type: Literal["Discrete"] = "Discrete"
    n: int
    start: int = 0
    dtype: str = "int64"

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def limits(self) -> Within:
        return self.start, self.start + self.n - 1


class MultiDiscrete(_Part):
    """Several indices at once, number i one of ``nvec[i]`` from ``start[i]`` on; both flat, in the order of rows."""

    type: Literal["MultiDiscrete"] = "MultiDiscrete"
    shape: tuple[int, ...]
    nvec: list[int]
    start: list[int]
    dtype: str = "int64"

    @cached_property
    def limits(self) -> Within:
        start = np.array(self.start, np.float64).reshape(self.shape)
        return start, start + np.array(self.nvec, np.float64).reshape(self.shape) - 1


class MultiBinary(_Part):
    """Several numbers, each 0 or 1."""

    type: Literal["MultiBinary"] = "MultiBinary"
    shape: tuple[int, ...]
    dtype: str = "int8"

    @property
    def limits(self) -> Within:
        return 0.0, 1.0


class Dict(_Part):
    """Spaces by name, in Gymnasium's order."""

    type: Literal["Dict"] = "Dict"
    spaces: dict[str, "Space"]


class Tuple(_Part):
    """Spaces in a row."""

    type: Literal["Tuple"] = "Tuple"
    spaces: list["Space"]


Leaf = Box | Discrete | MultiDiscrete | MultiBinary
Space = Annotated[Leaf | Dict | Tuple, Field(discriminator="type")]


class Port(_Part):
    """One input or output of the graph. Its first axis, B, is the batch, and is not in ``shape``.

    ``role`` is, of inputs, "obs", "mask" (of legal actions) or "memory" (what a recurrent policy remembers; zeros when
    an episode begins); of outputs, "action", "shown" (Q-values, a value, ...) or "memory" (to be handed over with the
    next observation).
    """

    name: str
    role: Literal["obs", "mask", "memory", "action", "shown"]
    shape: tuple[int, ...]
    dtype: str
    of: str = ""  # of a memory output: the input that it goes to


class Metadata(_Part):
    """What is known of an exported policy.

    Attributes:
        env: the environment's name.
        env_kwargs: arguments of its constructor.
        wrappers: what stands around it, the first innermost, as recipes name it; observations and actions are theirs.
        agent: the agent's name, or where its code was.
        seeds: whose policy it is; several vote.
        vote: how: "majority" of an index, "mean" of numbers; None of one seed.
        env_steps: that each seed had trained for.
        checkpoint: SHA-256 of the checkpoint file, hexadecimal.
        obs: the observation space, without what is told apart from it (a mask).
        action: the action space.
        inputs: observations first, leaf by leaf in the order of `leaves`.
        outputs: "action" first.
        versions: of rlbench, torch, onnx, gymnasium and numpy, where it was written.
        quantized: None, or how: "int8, dynamic".
        proof: what was compared with the live agent before the file was kept.
        seal: SHA-256 of all else in an ONNX file, see `seal`; "" where there is none.
    """

    format: int = FORMAT
    env: str
    env_kwargs: dict[str, Any] = {}
    wrappers: list[str] = []
    agent: str
    seeds: list[int]
    vote: Literal["majority", "mean"] | None = None
    env_steps: int
    checkpoint: str
    obs: Space
    action: Space
    inputs: list[Port]
    outputs: list[Port]
    versions: dict[str, str]
    quantized: str | None = None
    proof: dict[str, Any] = {}
    seal: str = ""

    @property
    def recurrent(self) -> bool:
        """Whether something is remembered from one observation to the next."""
        return any(port.role == "memory" for port in self.inputs)

    def text(self) -> str:
        """As it lies in a file."""
        return self.model_dump_json()


def parse(text: str, where: str) -> Metadata:
    """What `Metadata.text` gave.

    Raises:
        PolicyFileError: it is of another format, or damaged.
    """
    try:
        found = Metadata.model_validate_json(text)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "metadata"
        raise PolicyFileError(
            f"{where} says of itself what rlbench cannot read ({place}: {first['msg']}). "
            "It was written by another version, or changed since: export the run again."
        ) from e
    if found.format != FORMAT:
        raise PolicyFileError(
            f"{where} is of format {found.format}, and this version of rlbench reads {FORMAT}: export the run again."
        )
    return found
