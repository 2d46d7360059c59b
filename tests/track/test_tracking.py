"""Trackers: what TensorBoard, Weights & Biases and Trackio are told, once each, also by runs that are resumed."""

import importlib.machinery
import json
import shutil
import signal
import sys
import types
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import mistake
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from test_promises import FULL, MORE, At, assert_same, opened, recipe, rows

import rlbench
from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.record.watcher import Watcher
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import checkpoints
from rlbench.track import open as opening
from rlbench.track.tensorboard import TensorBoard
from rlbench.track.tfrecord import crc32c
from rlbench.training import session
from rlbench.training import train as training

Scalar = tuple[str, int, float]


def events(folder: Path) -> list[Any]:
    """All events of a run or worker, as they lie in the files."""
    files = sorted((folder / "tb").glob("events.*"))
    assert files
    return [event for path in files for event in LegacyEventFileLoader(str(path)).Load()]


def scalars(folder: Path) -> list[Scalar]:
    """(tag, step, value) of every number in the event files."""
    found = [
        (v.tag, e.step, v.simple_value) for e in events(folder) for v in e.summary.value if v.HasField("simple_value")
    ]
    return sorted(found)


def shown(folder: Path) -> list[Scalar]:
    """The same as TensorBoard shows it."""
    board = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "tensors": 0})
    board.Reload()
    return sorted((tag, e.step, e.value) for tag in board.Tags()["scalars"] for e in board.Scalars(tag))


def value(folder: Path, tag: str) -> list[Any]:
    return [v for e in events(folder) for v in e.summary.value if v.tag == tag]


def test_every_number_of_the_record_is_in_tensorboard(tmp_path: Path) -> None:
    folder = rlbench.train(recipe=recipe(**FULL), out=tmp_path / "run").folder
    found = scalars(folder)
    assert found == shown(folder)
    told = {(tag, step): x for tag, step, x in found}
    assert len(told) == len(found)  # nothing twice
    for row in rows(folder, name="updates.csv"):
        for name in ("loss", "q_value", "grad_norm", "epsilon"):
            tag = f"update/{name}_seed_{row['seed']}"
            assert told[tag, int(row["env_steps"])] == pytest.approx(float(row[name]), rel=1e-4)
    for row in rows(folder, name="evaluations.csv"):
        tag = f"evaluation/return_seed_{row['seed']}"
        assert told[tag, int(row["env_steps"])] == pytest.approx(float(row["mean_return"]), rel=1e-6)
    at = int(rows(folder, name="evaluations.csv")[-1]["env_steps"])
    pair = [told[f"evaluation/return_seed_{seed}", at] for seed in (0, 1)]
    assert told["evaluation/return_mean", at] == pytest.approx(np.mean(pair), rel=1e-6)
    assert told["evaluation/return_low", at] <= min(pair) <= max(pair) <= told["evaluation/return_high", at]


def test_epsilon_is_recorded_as_it_falls(tmp_path: Path) -> None:
    folder = rlbench.train(recipe=recipe(seeds=1, total_steps=400, log_every=20), out=tmp_path / "run").folder
    told = {int(row["env_steps"]): float(row["epsilon"]) for row in rows(folder, name="updates.csv")}
    assert min(told) == 60  # the first row after an update
    assert told[160] == pytest.approx(1 - 0.95 * 160 / 300, rel=1e-4)
    assert told[400] == pytest.approx(0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, MemoryError])
def test_tensorboard_of_a_resumed_run(how: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped, or that crashed long after its checkpoint, and one that never was: every point, once."""
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "SAVE_SHARE", 1e9)
    keys = {**FULL, "checkpoint_every": 90}
    whole = rlbench.train(recipe=recipe(hyper=MORE, **keys), out=tmp_path / "whole").folder
    cut = tmp_path / "cut"
    with pytest.raises((Interrupted, MemoryError)):
        rlbench.train(recipe=recipe(hyper=MORE, **keys), out=cut, watcher=At(262, how))
    beyond = max(step for _, step, _ in scalars(cut))
    assert (beyond > opened(cut)["env_steps"]) == (how is MemoryError)
    training.resume(cut)
    assert scalars(cut) == scalars(whole) == shown(cut)
    assert len(scalars(whole)) > 300


@pytest.mark.slow
def test_tensorboard_of_workers_that_are_resumed(tmp_path: Path) -> None:
    whole = rlbench.train(recipe=recipe(hyper=MORE, **FULL, workers=2), out=tmp_path / "whole").folder
    cut = rlbench.train(
        recipe=recipe(hyper=MORE, **{**FULL, "total_steps": 300}, workers=2), out=tmp_path / "cut"
    ).folder
    training.resume(cut, total_steps=600)
    for k in ("0", "1"):
        assert scalars(cut / "workers" / k) == scalars(whole / "workers" / k)
    assert {tag for tag, _, _ in scalars(cut / "workers" / "1")} >= {"update/loss_seed_1", "training/return_seed_1"}


def test_a_resume_between_two_updates_adds_no_row_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of updates.csv are due oftener than there are updates: only where there was one since, there is one."""
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys = {"seeds": 2, "total_steps": 300, "log_every": 10}
    seldom = {"train_every": 50}
    whole = rlbench.train(recipe=recipe(hyper=seldom, **keys), out=tmp_path / "whole").folder
    with pytest.raises(Interrupted):
        rlbench.train(recipe=recipe(hyper=seldom, **keys), out=tmp_path / "cut", watcher=At(117, signal.SIGTERM))
    training.resume(tmp_path / "cut")
    assert rows(tmp_path / "cut", name="updates.csv") == rows(whole, name="updates.csv")
    steps = [int(row["env_steps"]) for row in rows(whole, name="updates.csv")]
    assert steps == sorted([*range(50, 301, 50)] * 2)


def test_hyper_parameters_layout_and_histograms(tmp_path: Path) -> None:
    folder = rlbench.train(recipe=recipe(**FULL), out=tmp_path / "run").folder
    (start,) = value(folder, "_hparams_/session_start_info")
    info = plugin_data_pb2.HParamsPluginData.FromString(start.metadata.plugin_data.content).session_start_info
    assert info.hparams["batch_size"].number_value == 16
    assert info.hparams["env"].string_value == "CartPole-v1"
    assert info.hparams["stop_when_solved"].bool_value is False
    (end,) = value(folder, "_hparams_/session_end_info")
    assert plugin_data_pb2.HParamsPluginData.FromString(end.metadata.plugin_data.content).session_end_info.status == 1

    layout = layout_pb2.Layout.FromString(value(folder, "custom_scalars__config__")[-1].tensor.string_val[0])
    charts = {chart.title: chart for category in layout.category for chart in category.chart}
    assert list(charts["update/loss"].multiline.tag) == [r"update/loss_seed_\d+$"]
    band = charts["training/return: mean of the seeds with its 95 % interval"].margin.series[0]
    assert (band.value, band.lower, band.upper) == tuple(f"training/return_{name}" for name in ("mean", "low", "high"))
    assert {"update/epsilon", "evaluation/return"} < set(charts)

    for name in ("q_values", "gradients"):
        for seed in (0, 1):
            bins = value(folder, f"learning/{name}/seed_{seed}")
            assert len(bins) == 6  # one for each evaluation
            assert bins[-1].histo.num == sum(bins[-1].histo.bucket) > 0
            assert bins[-1].histo.min < bins[-1].histo.max
    assert value(folder, "learning/q_values/seed_0")[-1].histo.num == 16 * 2  # the batch's, of two actions


def test_a_histogram_counts_what_it_is_given(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, recipe(), None, 0)
    odd = np.array([0.0, 1.0, 1.0, 3.0, np.nan, np.inf])
    board.histograms({"x": {0: odd, 1: np.array([2.0]), 2: np.array([np.nan])}}, 5)
    board.histograms({"y": {k: np.arange(4.0) for k in range(13)}}, 6)
    board.close(None)
    (x,) = value(tmp_path, "x/seed_0")
    assert (x.histo.num, x.histo.sum, x.histo.min, x.histo.max) == (4, 5.0, 0.0, 3.0)
    assert sum(x.histo.bucket) == 4
    assert len(x.histo.bucket) == len(x.histo.bucket_limit)
    assert value(tmp_path, "x/seed_1")[0].histo.num == 1
    assert value(tmp_path, "x/seed_2") == []
    assert value(tmp_path, "y/all_seeds")[0].histo.num == 52  # more than twelve seeds share one


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 511, 512, 513, 515, 516, 1024, 1537])
def test_the_checksum_is_tensorflows(n: int) -> None:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as slow

    data = np.random.default_rng(n).bytes(n)
    assert crc32c(data) == slow(data)
    assert crc32c(b"123456789") == 0xE3069283  # the value that every description of CRC-32C gives


class Notes(Watcher):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class FakeService(types.ModuleType):
    """Stands for ``wandb`` or ``trackio``: keeps what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0

    def init(self, **about: Any) -> "FakeService":
        print("an advertisement")
        self.begun.append(about)
        return self

    def log(self, named: dict[str, Any], step: int) -> None:
        self.logged.append((step, named))

    def finish(self) -> None:
        self.finished += 1

    def Histogram(self, x: np.ndarray) -> tuple[str, int]:
        return "histogram", len(x)

    def Video(self, path: str, **about: Any) -> tuple[str, str]:
        return "video", path


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeService]:
    fakes = {name: FakeService(name) for name in ("wandb", "trackio")}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    return fakes


def test_services_are_told_what_tensorboard_is(
    services: dict[str, FakeService], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: Any = {**FULL, "track": ["tensorboard", "wandb", "trackio"]}
    folder = rlbench.train(recipe=recipe(**keys), out=tmp_path / "some" / "run").folder
    assert "advertisement" not in capsys.readouterr().out
    told = {(tag, step): x for tag, step, x in scalars(folder)}
    for name, service in services.items():
        assert service.finished == 1
        (about,) = service.begun
        assert about["project"] == "rlbench"
        assert about["group"] == "some/run"
        assert about["name"].startswith("some/run")
        assert about["config"]["batch_size"] == 16
        steps = [step for step, _ in service.logged]
        assert steps == sorted(set(steps)), name  # each once, in order
        numbers = {(tag, step): x for step, named in service.logged for tag, x in named.items() if isinstance(x, float)}
        assert numbers.keys() == told.keys()
        assert all(numbers[key] == pytest.approx(told[key], rel=1e-6, abs=1e-9) for key in told)
        assert ("histogram", 32) in [x for _, named in service.logged for x in named.values()]


@pytest.mark.parametrize("how", [signal.SIGTERM, MemoryError])
def test_services_are_told_once_by_a_resumed_run(
    how: Any, services: dict[str, FakeService], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "SAVE_SHARE", 1e9)
    keys: Any = {**FULL, "checkpoint_every": 90, "track": "wandb,trackio"}
    rlbench.train(recipe=recipe(**keys), out=tmp_path / "whole")
    whole = {name: list(service.logged) for name, service in services.items()}
    for service in services.values():
        service.logged.clear()
    with pytest.raises((Interrupted, MemoryError)):
        rlbench.train(recipe=recipe(**keys), out=tmp_path / "cut", watcher=At(262, how))
    training.resume(tmp_path / "cut")
    assert not (tmp_path / "cut" / "tb").exists()
    for name, service in services.items():
        assert [step for step, _ in service.logged] == [step for step, _ in whole[name]]
        assert [named.keys() for _, named in service.logged] == [named.keys() for _, named in whole[name]]
    first, second = services["wandb"].begun[-2:]
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    first, second = services["trackio"].begun[-2:]
    assert first["name"] == second["name"]


def test_workers_are_a_group_there(services: dict[str, FakeService], tmp_path: Path) -> None:
    """Seen from a worker's folder, without the process."""
    folder = tmp_path / "some" / "run" / "workers" / "1"
    folder.mkdir(parents=True)
    opening.open_tracker(recipe(track="wandb"), folder).close(None)
    assert services["wandb"].begun[0]["group"] == "some/run"
    assert services["wandb"].begun[0]["name"] == "some/run 1"


def test_a_service_that_cannot_begin(services: dict[str, FakeService], tmp_path: Path) -> None:
    def refuses(**about: Any) -> None:
        raise RuntimeError("api_key not configured\nmore")

    services["wandb"].init = refuses  # type: ignore[method-assign, assignment]
    with pytest.raises(UsageError, match=r"--track wandb could not begin: api_key not configured\. Try without"):
        opening.open_tracker(recipe(track="wandb"), tmp_path)


def test_a_missing_extra_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    for workers in ("1", "2"):
        said = mistake(
            "train", "--env", "CartPole-v1", "--track", "wandb", "--seeds", "2", "--workers", workers,
            "--out", tmp_path / "run",
        )  # fmt: skip
        assert "pip install 'rlbench[wandb]'" in said
    assert not (tmp_path / "run").exists()


def test_a_service_that_fails_later_harms_nothing(services: dict[str, FakeService], tmp_path: Path) -> None:
    def breaks(named: dict[str, Any], step: int) -> None:
        raise ConnectionError("the network is gone\nmore")

    services["wandb"].log = breaks  # type: ignore[method-assign]
    plain = rlbench.train(recipe=recipe(**FULL), out=tmp_path / "plain").folder
    said = Notes()
    keys: Any = {**FULL, "track": "wandb,trackio"}
    run = rlbench.train(recipe=recipe(**keys), out=tmp_path / "run", watcher=said).folder
    assert rows(run) == rows(plain)
    assert services["trackio"].logged
    (note,) = [text for text in said.texts if "failed" in text]
    assert note.startswith("Weights & Biases failed, and is told nothing more: the network is gone.")


def test_track_in_a_recipe(tmp_path: Path) -> None:
    assert Recipe.load(env="CartPole-v1").track == ("tensorboard",)
    asked = {"none": (), "wandb, tensorboard": ("wandb", "tensorboard"), "trackio,trackio": ("trackio",)}
    for text, names in asked.items():
        made = Recipe.load(env="CartPole-v1", overrides={"track": text})
        assert made.track == names
        (tmp_path / "r.toml").write_text(made.to_toml())
        assert Recipe.load(tmp_path / "r.toml").track == names
    assert "mlflow" in mistake("train", "--env", "CartPole-v1", "--track", "mlflow", "--out", tmp_path / "run")
    folder = rlbench.train(recipe=recipe(total_steps=60, track="none"), out=tmp_path / "none").folder
    assert not (folder / "tb").exists()


def test_films(services: dict[str, FakeService], tmp_path: Path) -> None:
    keys: Any = {**FULL, "seeds": 2, "video_every": 200, "track": "tensorboard,wandb"}
    plain = rlbench.train(recipe=recipe(**FULL), out=tmp_path / "plain").folder
    filmed = rlbench.train(recipe=recipe(**keys), out=tmp_path / "filmed").folder
    for name in ("checkpoint", "best"):  # films and services leave no trace in what is learned
        assert_same(opened(filmed, name)["agent"], opened(plain, name)["agent"])
    assert_same(opened(filmed)["training"]["streams"], opened(plain)["training"]["streams"])
    assert rows(filmed) == rows(plain)
    assert sorted(path.name for path in (filmed / "videos").iterdir()) == [f"step-{n}.gif" for n in (200, 400, 600)]

    from PIL import Image

    lengths = {row["env_steps"]: float(row["mean_length"]) for row in rows(filmed, name="evaluations.csv")}
    with Image.open(filmed / "videos" / "step-600.gif") as film:
        assert film.size == (300, 200)
        assert film.n_frames > 1  # type: ignore[attr-defined]
    assert lengths["600"] > 1
    images = value(filmed, "evaluation/episode")
    assert [(image.image.width, image.image.height) for image in images] == [(300, 200)] * 3
    assert images[-1].image.encoded_image_string == (filmed / "videos" / "step-600.gif").read_bytes()
    films = [named["evaluation/episode"] for _, named in services["wandb"].logged if "evaluation/episode" in named]
    assert films[0] == ("video", str(filmed / "videos" / "step-200.gif"))


def test_films_of_workers_lie_in_the_run_and_are_cut_back(tmp_path: Path) -> None:
    keys: Any = {"seeds": 2, "workers": 2, "total_steps": 90, "video_every": 40}
    folder = rlbench.train(recipe=recipe(**keys), out=tmp_path / "run").folder
    assert sorted(path.name for path in (folder / "videos").iterdir()) == ["step-40.gif", "step-80.gif"]
    late = folder / "videos" / "step-120.gif"
    late.write_bytes(b"of a time that never was")
    mine = folder / "videos" / "step-mine.gif"
    mine.write_bytes(b"")
    behind = folder / "workers" / "1"  # killed: at a checkpoint before the other's
    shutil.rmtree(behind)
    rlbench.train(recipe=recipe(seed=1, seeds=1, total_steps=60), out=behind)
    training.resume(folder, total_steps=100, video_every=95)
    assert (folder / "videos" / "step-80.gif").exists()
    assert not late.exists()
    assert mine.exists()


def test_films_that_cannot_be_made(tmp_path: Path) -> None:
    for workers in (1, 2):
        with pytest.raises(UsageError, match="makes no pictures"):
            rlbench.train(
                recipe=recipe("rlbench/ProbeNan-v0", video_every=10, workers=workers, seeds=2), out=tmp_path / "run"
            )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tensorboard_serves_the_run(tmp_path: Path) -> None:
    """The real server, over HTTP."""
    import re
    import subprocess

    folder = rlbench.train(recipe=recipe(**FULL, workers=2), out=tmp_path / "run").folder
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = next(m[0] for line in server.stderr if (m := re.search(r"http://127.0.0.1:\d+", line)))

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"{address}/data/{path}", timeout=60) as answer:
                return json.loads(answer.read())

        tags: Any = {}
        for _ in range(120):  # it reads the files in its own time
            tags = get("plugin/scalars/tags")
            if len(tags) == 2:
                break
            import time

            time.sleep(0.5)
        assert {"update/loss_seed_0", "update/epsilon_mean", "evaluation/return_seed_0"} <= tags["workers/0/tb"].keys()
        assert "training/return_seed_1" in tags["workers/1/tb"]
        points = get("plugin/scalars/scalars?run=workers%2F0%2Ftb&tag=evaluation%2Freturn_seed_0")
        recorded = [(int(row["env_steps"]), float(row["mean_return"])) for row in rows(folder, 0, "evaluations.csv")]
        assert [(step, pytest.approx(x)) for _, step, x in points] == recorded
        charts = {chart["title"] for part in get("plugin/custom_scalars/layout")["category"] for chart in part["chart"]}
        assert "update/loss" in charts
        assert "learning/q_values/seed_0" in get("plugin/histograms/tags")["workers/0/tb"]
    finally:
        server.terminate()
        server.wait(30)
        assert server.stderr is not None
        server.stderr.close()
