"""``python -m rlbench.experiments.bench.cuda --out DIR``: what a card does for training, in a few minutes.

Stages, each by itself if named, correctness first: the most telling tests, what machine it is, where the loop waits for
the card, rates by number of seeds beside one CPU thread, with environments and replay buffers on the host and on the
card, a thousand seeds, pictures, torch.compile, which kernels a step is made of, what an update costs as one graph,
where card and CPU cross, and a run as users make it. A stage that fails is named and the others go on. The table comes
last; DIR/cuda.json holds the figures, DIR/cuda.log what the stages said. ``--device cpu --seeds 1,3 --steps 20`` is a
rehearsal without a card.
"""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from .job import Job
from .machine import copies, facts, right, waits
from .rates import compiled, pictures, rates, thousand, used
from .steps import crossing, graphs, kernels

STAGES: dict[str, Callable[[Job], dict[str, Any]]] = {
    "right": right, "facts": facts, "copies": copies, "waits": waits, "thousand": thousand, "rates": rates,
    "graphs": graphs, "kernels": kernels, "crossing": crossing, "pictures": pictures, "compile": compiled, "used": used,
}  # fmt: skip


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path(), show_default=True, help="For the figures.")
@click.option("--device", default="cuda", show_default=True)
@click.option("--stages", default=",".join(STAGES), show_default=True, help="With commas.")
@click.option("--seeds", default="1,10,100,1000", show_default=True, help="Widths to time, with commas.")
@click.option("--steps", default=1_000, show_default=True, help="Vector steps of one timing.")
@click.option("--minutes", default=5.5, show_default=True, help="After which no further stage begins.")
def main(out: Path, device: str, stages: str, seeds: str, steps: int, minutes: float) -> None:
    """Time training on a card beside one CPU thread."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise click.ClickException(f"torch {torch.__version__} sees no CUDA device; --device cpu tries the script.")
    asked = [name for name in stages.split(",") if name]
    if unknown := [name for name in asked if name not in STAGES]:
        raise click.ClickException(f"no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    job = Job(device, [int(n) for n in seeds.split(",")], steps)
    found: dict[str, Any] = {}
    failed, left = [], []
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with (out / "cuda.log").open("w", encoding="utf-8") as log:
        for name in asked:
            began = time.perf_counter()
            if began - start > 60 * minutes:
                left.append(name)
                continue
            try:
                found[name] = STAGES[name](job)
            except Exception:  # a card is lent for minutes: what else there is to learn is to be learned
                failed.append(name)
                found[name] = {"failed": traceback.format_exc().strip().splitlines()[-1]}
                log.write(f"{name}\n{traceback.format_exc()}\n")
            said = f"{name}: {time.perf_counter() - began:.1f} s"
            click.echo(said, err=True)
            log.write(f"{said}\n{table({name: found[name]})}\n")
            log.flush()
            (out / "cuda.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    click.echo(table(found))
    if left:
        click.echo(f"\nno time left for: {','.join(left)}")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def table(found: dict[str, Any]) -> str:
    """Stage by stage, a line for each figure."""
    lines = []
    for name, rows in found.items():
        lines += ["", name, *(f"  {key:44} {_cell(value)}" for key, value in rows.items())]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items()) if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    main(prog_name="python -m rlbench.experiments.bench.cuda")
