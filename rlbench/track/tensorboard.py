"""TensorBoard's event files: scalars, histograms, videos, hyper-parameters, and a page of charts that show all seeds.

Written without TensorBoard's own writer: many numbers in one record cost a tenth of as many records, there is no thread
whose errors nobody sees, and the length of the file is known, so that a resumed run can be cut back to its checkpoint.
"""

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams

from ..recipe import Recipe
from ..runfolder.layout import whole_run
from .names import flat, hyper_parameters, run_name
from .tfrecord import write_record
from .tracker import Numbers, Tracker

FOLDER = "tb"
BINS = 30  # of a histogram
MOST_HISTOGRAMS = 12  # seeds that have one each; of more they are put together


class TensorBoard(Tracker):
    """Writes events to ``tb/`` in a run folder.

    Args:
        folder: the run folder, or that of a worker.
        recipe: what is run.
        sizes: for a resumed run, what `sizes` gave when its checkpoint was written; None for a new run.
        env_steps: where a resumed run goes on.
    """

    def __init__(self, folder: Path, recipe: Recipe, sizes: Mapping[str, int] | None, env_steps: int) -> None:
        self.place = folder / FOLDER
        self.place.mkdir(exist_ok=True)
        if sizes is not None:
            _cut_back(self.place, sizes)
        self._file = _new_file(self.place)
        self._quantities: set[str] = set()
        self._write(file_version="brain.Event:2", source_metadata=SourceMetadata(writer="rlbench"))
        if sizes is not None:  # for a TensorBoard that has read further already
            self._write(env_steps + 1, session_log=SessionLog(status=SessionLog.START))
        self._values(env_steps, _session_start(recipe, run_name(whole_run(folder))))

    def numbers(self, values: Numbers, env_steps: int) -> None:
        self._lay_out({quantity for quantity, per_seed in values.items() if per_seed}, env_steps)
        named = flat(values)
        if named:
            self._values(env_steps, *(Summary.Value(tag=tag, simple_value=x) for tag, x in named.items()))

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        found: dict[str, HistogramProto | None] = {}
        for quantity, per_seed in values.items():
            if len(per_seed) <= MOST_HISTOGRAMS:
                found |= {f"{quantity}/seed_{seed}": _histogram(x) for seed, x in per_seed.items()}
            else:
                found[f"{quantity}/all_seeds"] = _histogram(np.concatenate([x.ravel() for x in per_seed.values()]))
        known = [Summary.Value(tag=tag, histo=bins) for tag, bins in found.items() if bins is not None]
        if known:
            self._values(env_steps, *known)

    def video(self, path: Path, title: str, env_steps: int) -> None:
        if path.suffix == ".gif":  # which browsers show where TensorBoard puts an image
            width, height = (int.from_bytes(path.read_bytes()[at : at + 2], "little") for at in (6, 8))
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=path.read_bytes())
            about = SummaryMetadata(summary_description=title)
            self._values(env_steps, Summary.Value(tag="evaluation/episode", image=image, metadata=about))

    def flush(self) -> None:
        self._file.flush()

    def sizes(self) -> dict[str, int]:
        self.flush()
        return {f"{FOLDER}/{path.name}": path.stat().st_size for path in _files(self.place)}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        status = api_pb2.STATUS_FAILURE if summary is None else api_pb2.STATUS_SUCCESS
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        try:
            self._values(0, _about_hparams(hparams.SESSION_END_INFO_TAG, content))
        finally:
            self._file.close()

    def _values(self, env_steps: int, *values: Summary.Value) -> None:
        self._write(env_steps, summary=Summary(value=values))

    def _write(self, step: int = 0, **content: Any) -> None:
        write_record(self._file, Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def _lay_out(self, quantities: set[str], env_steps: int) -> None:
        """Say again which charts there are, where a quantity is new; the newest such record counts."""
        if quantities <= self._quantities:
            return
        self._quantities |= quantities
        text = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[_layout(self._quantities)])
        tag, about = custom_scalar.CONFIG_SUMMARY_TAG, custom_scalar.create_summary_metadata()
        self._values(env_steps, Summary.Value(tag=tag, metadata=about, tensor=text))


def _cut_back(place: Path, sizes: Mapping[str, int]) -> None:
    """Bring the event files to their lengths at the checkpoint; younger ones go."""
    if not any(name.startswith(f"{FOLDER}/") for name in sizes):
        return  # written by an rlbench that did not note them: TensorBoard itself passes over what comes twice
    for path in _files(place):
        size = sizes.get(f"{FOLDER}/{path.name}", 0)
        if size:
            os.truncate(path, min(size, path.stat().st_size))
        else:
            path.unlink()


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("events.out.tfevents.*"))


def _new_file(place: Path) -> Any:
    """A file that sorts behind those that are there, which is the order in which TensorBoard reads them."""
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    seconds = int(time.time())
    for path in _files(place):
        named = path.name.split(".")[3]
        seconds = max(seconds, int(named) + 1 if named.isdecimal() else 0)
    return (place / f"events.out.tfevents.{seconds:010}.{host}.{os.getpid()}.0").open("xb")


def _histogram(x: np.ndarray) -> HistogramProto | None:
    """Of the finite values; None if there are none."""
    x = x[np.isfinite(x)].astype(np.float64)
    if not x.size:
        return None
    low, high = float(x.min()), float(x.max())
    counts, edges = np.histogram(x, BINS, range=(low, high) if high > low else (low - 0.5, high + 0.5))
    return HistogramProto(
        min=low,
        max=high,
        num=x.size,
        sum=float(x.sum()),
        sum_squares=float(x @ x),
        bucket_limit=[float(edges[0]), *edges[1:].tolist()],  # the first bucket, below the lowest value, is empty
        bucket=[0.0, *counts.astype(float).tolist()],
    )


def _layout(quantities: set[str]) -> bytes:
    """Custom scalars: of every quantity one chart with all seeds, and the mean return with its band."""

    def lines(quantity: str) -> Any:
        content = layout_pb2.MultilineChartContent(tag=[rf"{re.escape(quantity)}_seed_\d+$"])
        return layout_pb2.Chart(title=quantity, multiline=content)

    def band(quantity: str) -> Any:
        names = {"value": "mean", "lower": "low", "upper": "high"}
        series = layout_pb2.MarginChartContent.Series(**{key: f"{quantity}_{name}" for key, name in names.items()})
        title = f"{quantity}: mean of the seeds with its 95 % interval"
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))

    returns = sorted((q for q in quantities if q.endswith("/return")), reverse=True)  # training before evaluation
    others = sorted(quantities - set(returns))
    categories = [
        layout_pb2.Category(title="return", chart=[chart(q) for q in returns for chart in (band, lines)]),
        layout_pb2.Category(title="learning, all seeds", chart=[lines(q) for q in others]),
    ]
    return bytes(layout_pb2.Layout(category=[c for c in categories if c.chart]).SerializeToString())


def _session_start(recipe: Recipe, group: str) -> Any:
    """The hyper-parameters; the workers of one run are one group."""
    start = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
    for name, value in hyper_parameters(recipe).items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    content = plugin_data_pb2.HParamsPluginData(session_start_info=start)
    return _about_hparams(hparams.SESSION_START_INFO_TAG, content)


def _about_hparams(tag: str, content: Any) -> Any:
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, metadata=hparams.create_summary_metadata(content), tensor=nothing)
