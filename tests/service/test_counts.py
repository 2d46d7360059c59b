"""Prometheus' text: what was counted by all workers, in the form that it reads."""

import re
from array import array
from pathlib import Path

import policy_files
from serving import Served

from rlbench.service import counts

LINE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [0-9.e+-]+')


def rows(number: int) -> list["memoryview[float]"]:
    return [memoryview(array("d", [0.0] * counts.WIDTH)) for _ in range(number)]


def test_rows_add_up() -> None:
    first, second = rows(2)
    for row, n in ((first, 2), (second, 3)):
        one = counts.Counts(row)
        for _ in range(n):
            one.request("/predict", 200)
            one.batch(4, 0.5)
            one.seconds(0.003)
        one.request("/nowhere", 404)
        one.request("/sessions/x/reset", 418)
    text = counts.text([first, second], {"env": 'a "b"\n\\'}, workers=2, generation=1)
    for line in (
        'rlbench_requests_total{route="/predict",code="200"} 5',
        'rlbench_requests_total{route="other",code="404"} 2',
        'rlbench_requests_total{route="/sessions",code="other"} 2',
        "rlbench_observations_total 20", "rlbench_compute_seconds_total 2.5", "rlbench_batch_observations_count 5",
        "rlbench_batch_observations_sum 20", 'rlbench_batch_observations_bucket{le="2"} 0',
        'rlbench_batch_observations_bucket{le="4"} 5', 'rlbench_batch_observations_bucket{le="+Inf"} 5',
        'rlbench_predict_seconds_bucket{le="0.0025"} 0', 'rlbench_predict_seconds_bucket{le="0.005"} 5',
        'rlbench_policy_info{env="a \\"b\\"\\n\\\\"} 1', "rlbench_workers 2",
    ):  # fmt: skip
        assert f"\n{line}\n" in f"\n{text}", line


def test_every_line_has_the_form_and_every_metric_its_type() -> None:
    text = counts.text(rows(3), {"env": "x"}, workers=3, generation=1)
    assert text.endswith("\n")
    typed = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    for line in text.splitlines():
        if not line.startswith("#"):
            assert LINE.fullmatch(line), line
            name = re.split(r"[{ ]", line)[0]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed
    assert typed["rlbench_requests_total"] == "counter"
    assert typed["rlbench_predict_seconds"] == "histogram"


def test_a_value_at_a_bound_is_within_it() -> None:
    (row,) = rows(1)
    for value in (0.0005, 0.00051, 99.0):
        counts.Counts(row).seconds(value)
    text = counts.text([row], {}, 1, 1)
    found = [int(n) for n in re.findall(r'predict_seconds_bucket\{le="[^"]+"\} (\d+)', text)]
    assert found == [1, *[2] * 10, 3]


def test_a_service_counts_what_it_answers(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state")
    served.predict({"obs": [0, 0, 0, 0]})
    served.predict({"observations": [[0, 0, 0, 0]] * 7})
    served.predict({"obs": 1}, 422)
    served.get("/spec")
    served.get("/nowhere")
    answer = served.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        '{route="/predict",code="200"} 2', '{route="/predict",code="422"} 1', '{route="/spec",code="200"} 1',
        '{route="other",code="404"} 1', "rlbench_observations_total 8", "rlbench_batch_observations_count 2",
        "rlbench_predictions_under_way 0", f'digest="{served.answering.file.digest}"',
    ):  # fmt: skip
        assert line in answer.text, line
