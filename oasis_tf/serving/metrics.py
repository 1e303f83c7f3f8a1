"""Counters and histograms under the names that TF Serving gives them."""

import bisect
import collections
import threading

_BOUNDS = [10 * 1.8**i for i in range(33)]

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"
WARMUP_LATENCY = ":tensorflow:serving:model_warmup_latency"
WARMUP_RECORDS = ":tensorflow:serving:model_warmup_records_read"
LOAD_ATTEMPTS = ":tensorflow:cc:saved_model:load_attempt_count"
INPUT_BATCH_SIZE = ":tensorflow:serving:batching_session:input_batch_size"
PROCESSED_BATCH_SIZE = (
    ":tensorflow:serving:batching_session:processed_batch_size"
)
PADDING_SIZE = ":tensorflow:serving:batching_session:padding_size"
QUEUING_LATENCY = ":tensorflow:serving:batching_session:queuing_latency"

_COUNTERS = (REQUEST_COUNT, WARMUP_RECORDS, LOAD_ATTEMPTS)
_HISTOGRAMS = (
    REQUEST_LATENCY,
    RUNTIME_LATENCY,
    WARMUP_LATENCY,
    INPUT_BATCH_SIZE,
    PROCESSED_BATCH_SIZE,
    PADDING_SIZE,
    QUEUING_LATENCY,
)


class _Histogram:
    def __init__(self):
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0

    def add(self, value):
        self.counts[bisect.bisect_left(_BOUNDS, value)] += 1
        self.sum += value


class Metrics:
    """What a server has done so far. Its methods may be called by any thread.

    Latencies are in microseconds.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._counters = collections.Counter()
        self._histograms = collections.defaultdict(_Histogram)

    def count(self, name, amount=1, **labels):
        """Adds to a counter with these labels."""
        with self._lock:
            self._counters[name, tuple(labels.items())] += amount

    def observe(self, name, value, **labels):
        """Adds a value to a histogram with these labels."""
        with self._lock:
            self._histograms[name, tuple(labels.items())].add(value)

    def text(self):
        """Returns all metrics in Prometheus' text format."""
        with self._lock:
            lines = []
            for name in _COUNTERS:
                lines.append(f"# TYPE {name} counter")
                for (own, labels), value in self._counters.items():
                    if own == name:
                        lines.append(f"{name}{_braces(labels)} {value}")
            for name in _HISTOGRAMS:
                lines.append(f"# TYPE {name} histogram")
                for (own, labels), histogram in self._histograms.items():
                    if own == name:
                        lines += _histogram_lines(name, labels, histogram)
        return "\n".join(lines) + "\n"


def _histogram_lines(name, labels, histogram):
    total = 0
    for bound, count in zip([*_BOUNDS, None], histogram.counts, strict=True):
        total += count
        le = "+Inf" if bound is None else f"{bound:g}"
        braces = _braces((*labels, ("le", le)))
        yield f"{name}_bucket{braces} {total}"
    yield f"{name}_sum{_braces(labels)} {histogram.sum:g}"
    yield f"{name}_count{_braces(labels)} {total}"


def _braces(labels):
    if not labels:
        return "{}"
    parts = [f'{name}="{_escape(value)}"' for name, value in labels]
    return "{" + ",".join(parts) + "}"


def _escape(value):
    text = str(value).replace("\\", r"\\").replace('"', r"\"")
    return text.replace("\n", r"\n")
