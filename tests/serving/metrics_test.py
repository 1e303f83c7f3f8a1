"""The text of the metrics, worked out by hand."""

import threading

from oasis_tf.serving import metrics as metrics_lib
from oasis_tf.serving.metrics import Metrics


def lines(metrics, name):
    """Returns the lines of one metric, without its name."""
    return [
        line.removeprefix(name)
        for line in metrics.text().splitlines()
        if line.startswith(name)
    ]


def test_counts_by_labels():
    metrics = Metrics()
    for status in ("OK", "NOT_FOUND", "OK"):
        metrics.count(
            metrics_lib.REQUEST_COUNT, model_name="oasis", status=status
        )
    metrics.count(metrics_lib.REQUEST_COUNT, 5, model_name="b", status="OK")
    assert lines(metrics, ":tensorflow:serving:request_count") == [
        '{model_name="oasis",status="OK"} 2',
        '{model_name="oasis",status="NOT_FOUND"} 1',
        '{model_name="b",status="OK"} 5',
    ]


def test_histograms_have_tf_serving_s_bounds():
    metrics = Metrics()
    name = metrics_lib.QUEUING_LATENCY
    # On the first bound, within the second, beyond the last.
    for value in (10, 17.5, 1e12):
        metrics.observe(name, value)
    buckets = lines(metrics, f"{name}_bucket")
    assert buckets[:3] == [
        '{le="10"} 1',
        '{le="18"} 2',  # 10 x 1.8
        '{le="32.4"} 2',  # 10 x 1.8^2
    ]
    assert len(buckets) == 33 + 1
    assert buckets[-2].endswith(" 2")
    assert buckets[-1] == '{le="+Inf"} 3'
    assert lines(metrics, f"{name}_count") == ["{} 3"]
    assert lines(metrics, f"{name}_sum") == ["{} 1e+12"]


def test_each_metric_has_its_type_once_and_no_help():
    text = Metrics().text()
    types = [t for t in text.splitlines() if t.startswith("# TYPE ")]
    assert text.splitlines() == types
    assert "# TYPE :tensorflow:serving:request_count counter" in types
    assert "# TYPE :tensorflow:serving:request_latency histogram" in types
    assert len(set(types)) == len(types) == 10


def test_values_of_labels_are_escaped():
    metrics = Metrics()
    metrics.count(metrics_lib.REQUEST_COUNT, model_name='a"\\\nb')
    [line] = lines(metrics, metrics_lib.REQUEST_COUNT)
    assert line == r'{model_name="a\"\\\nb"} 1'


def test_threads_lose_nothing():
    metrics = Metrics()

    def work():
        for _ in range(1000):
            metrics.count(metrics_lib.REQUEST_COUNT, status="OK")
            metrics.observe(metrics_lib.RUNTIME_LATENCY, 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines(metrics, metrics_lib.REQUEST_COUNT) == ['{status="OK"} 8000']
    assert lines(metrics, f"{metrics_lib.RUNTIME_LATENCY}_sum") == ["{} 8000"]
