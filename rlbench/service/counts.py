"""What a service counts, and the text that Prometheus reads.

Each worker counts in a row of its own of one table in shared memory, and adds to nobody else's; whoever is asked for
the metrics adds the rows up. A worker that takes a dead one's place goes on with its row, so no counter goes back.
"""

from collections.abc import Iterable
from itertools import accumulate

ROUTES = ("/predict", "/spec", "/healthz", "/metrics", "/reload", "/sessions", "other")
CODES = (200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 431, 500, 503, 0)  # 0: any other
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, float("inf"))
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, float("inf"))

REQUESTS = 0
OBSERVATIONS = len(ROUTES) * len(CODES)
LATENCY = OBSERVATIONS + 1  # how many fell in each range, then the sum
BATCHES = LATENCY + len(SECONDS) + 1
COMPUTED = BATCHES + len(SIZES) + 1  # seconds
KEPT, EVICTED, EXPIRED = COMPUTED + 1, COMPUTED + 2, COMPUTED + 3
RELOADS, UNDER_WAY = COMPUTED + 4, COMPUTED + 5
WIDTH = COMPUTED + 6

_ROUTE = {route: i for i, route in enumerate(ROUTES)}
_CODE = {code: i for i, code in enumerate(CODES)}


class Counts:
    """The row of one worker.

    Args:
        row: WIDTH numbers, float64, in shared memory or not.
    """

    def __init__(self, row: "memoryview[float]") -> None:
        self.row = row

    def add(self, what: int, amount: float = 1) -> None:
        self.row[what] += amount

    def put(self, what: int, amount: float) -> None:
        self.row[what] = amount

    def request(self, path: str, code: int) -> None:
        """One request was answered."""
        route = _ROUTE.get(path)
        if route is None:
            route = _ROUTE["/sessions" if path.startswith("/sessions/") else "other"]
        self.row[REQUESTS + route * len(CODES) + _CODE.get(code, len(CODES) - 1)] += 1

    def seconds(self, value: float) -> None:
        """How long a client waited for the answer of a prediction, from the head of its request on."""
        self._observe(LATENCY, SECONDS, value)

    def batch(self, size: int, seconds: float) -> None:
        """So many observations were computed together, in so long."""
        self._observe(BATCHES, SIZES, size)
        self.row[OBSERVATIONS] += size
        self.row[COMPUTED] += seconds

    def _observe(self, at: int, bounds: tuple[float, ...], value: float) -> None:
        row = self.row
        for bound in bounds:
            if value <= bound:
                row[at] += 1
                break
            at += 1
        row[at - bounds.index(bound) + len(bounds)] += value


def text(rows: Iterable["memoryview[float]"], about: dict[str, str], workers: int, generation: int) -> str:
    """The metrics of all workers, in the text format 0.0.4 of Prometheus.

    Args:
        rows: of all workers.
        about: labels of the policy.
        workers: how many answer now.
        generation: 1, and one more with each reload.
    """
    total = [sum(column) for column in zip(*rows, strict=True)]
    lines: list[str] = []

    def metric(name: str, kind: str, help: str, values: Iterable[tuple[str, float]]) -> None:
        lines.append(f"# HELP rlbench_{name} {help}")
        lines.append(f"# TYPE rlbench_{name} {kind}")
        lines.extend(f"rlbench_{name}{labels} {_number(value)}" for labels, value in values)

    def histogram(name: str, help: str, at: int, bounds: tuple[float, ...]) -> None:
        counted = list(accumulate(total[at : at + len(bounds)]))
        lines.append(f"# HELP rlbench_{name} {help}")
        lines.append(f"# TYPE rlbench_{name} histogram")
        for bound, count in zip(bounds, counted, strict=True):
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'rlbench_{name}_bucket{{le="{le}"}} {_number(count)}')
        lines.append(f"rlbench_{name}_sum {_number(total[at + len(bounds)])}")
        lines.append(f"rlbench_{name}_count {_number(counted[-1])}")

    requests = (
        (f'{{route="{route}",code="{code or "other"}"}}', total[REQUESTS + r * len(CODES) + c])
        for r, route in enumerate(ROUTES)
        for c, code in enumerate(CODES)
        if total[REQUESTS + r * len(CODES) + c]
    )
    metric("requests_total", "counter", "Requests answered, by route and status.", requests)
    metric("observations_total", "counter", "Observations answered.", [("", total[OBSERVATIONS])])
    histogram("predict_seconds", "From the head of a prediction's request to its answer.", LATENCY, SECONDS)
    histogram("batch_observations", "Observations computed together.", BATCHES, SIZES)
    metric("compute_seconds_total", "counter", "Time spent in the policy.", [("", total[COMPUTED])])
    metric("predictions_under_way", "gauge", "Predictions that wait for an answer.", [("", total[UNDER_WAY])])
    metric("sessions", "gauge", "Sessions that are remembered.", [("", total[KEPT])])
    gone = [('{why="room"}', total[EVICTED]), ('{why="expired"}', total[EXPIRED])]
    metric("sessions_forgotten_total", "counter", "Sessions that made room or expired.", gone)
    metric("reloads_total", "counter", "Times that a worker took up another file.", [("", total[RELOADS])])
    metric("policy_generation", "gauge", "1, and one more with each reload.", [("", generation)])
    metric("workers", "gauge", "Processes that answer.", [("", workers)])
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in about.items())
    metric("policy_info", "gauge", "The policy that is served.", [(f"{{{labels}}}", 1)])
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
