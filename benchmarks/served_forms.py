"""Time of a served picture: the dense export and faster ones.

    python -m benchmarks.served_forms
    python -m benchmarks.served_forms --label_maps=FOLDER --num_maps=6

Exports an untrained generator of `--dataset`'s widths in several forms, serves
all with one local server, and asks each for the same pictures by gRPC, in
turns. Told is the time a client waits, the size of the export, and the largest
difference of levels from the dense form.
"""

import contextlib
import dataclasses
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import grpc
import numpy as np
import tensorflow as tf
from absl import flags
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from benchmarks import label_maps
from benchmarks.generator import spread
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.exporters import saved_model
from oasis_tf.models.generator import build_generator

_EXPORTS = {
    "dense": {"form": "dense", "convolutions": "direct"},
    "piecewise": {"form": "piecewise", "convolutions": "direct"},
    "fast": {"form": "piecewise", "convolutions": "winograd"},
}
"""Options of `export_generator`; the last are its defaults."""

_NUM_CLASSES = flags.DEFINE_integer("num_classes", 183, "S.")

# --dataset, --label_maps, --num_maps, --regions and --turns are those of
# `benchmarks.generator`.
FLAGS = flags.FLAGS


def main():
    config = config_lib.load(FLAGS.dataset)
    size = config.image_size
    maps = _read_maps(size)
    with tempfile.TemporaryDirectory() as folder:
        _export(config, pathlib.Path(folder))
        with _server(pathlib.Path(folder)) as channel:
            _compare(channel, maps, pathlib.Path(folder))


def _read_maps(size):
    channels = _NUM_CLASSES.value
    if FLAGS.label_maps:
        return label_maps.read(FLAGS.label_maps, FLAGS.num_maps, size, channels)
    rng = np.random.default_rng(0)
    return [
        label_maps.draw(int(regions), size, channels, rng)
        for regions in FLAGS.regions
    ]


def _export(config, folder):
    channels = _NUM_CLASSES.value
    widths = dataclasses.replace(config.generator, initial_gain=1.0)
    generator = build_generator(widths, channels)
    spread(generator)
    info = DatasetInfo(
        "made",
        [f"class {i}" for i in range(channels)],
        distinct_colors(channels),
        {i: i for i in range(channels)},
        has_dont_care=False,
    )
    for form, options in _EXPORTS.items():
        saved_model.export_generator(
            generator, config, info, folder / form, 1, **options
        )


@contextlib.contextmanager
def _server(folder):
    """Context with a server of the exports; yields a channel to it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    models = "".join(
        f'config {{ name: "{form}" base_path: "{folder / form}" '
        'model_platform: "tensorflow" }\n'
        for form in _EXPORTS
    )
    path = folder / "models.config"
    path.write_text(f"model_config_list {{\n{models}}}\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "oasis_tf.serve", "--engine=local"),
            f"--model_config_file={path}",
            *(f"--port={port}", "--rest_api_port=0"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if not any(line.startswith("Serving.") for line in process.stdout):
            sys.exit("served_forms: the server did not start.")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _compare(channel, maps, folder):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    seconds = {form: [] for form in _EXPORTS}
    difference = dict.fromkeys(_EXPORTS, 0)
    for i, label_map in enumerate(maps):
        for turn in range(1 + FLAGS.turns):
            images = {}
            for form in _EXPORTS:
                request = _request(form, label_map, seed=i)
                start = time.perf_counter()
                answer = stub.Predict(request)
                if turn > 0:  # The first one is slower.
                    seconds[form].append(time.perf_counter() - start)
                image = tf.make_ndarray(answer.outputs["image"])
                images[form] = image.astype(int)
                largest = np.abs(images[form] - images["dense"]).max()
                difference[form] = max(difference[form], largest)
    print("| Export | A picture | Dense / this | Size | Levels from dense |")
    print("| --- " * 5 + "|")
    for form in _EXPORTS:
        pairs = zip(seconds["dense"], seconds[form])
        ratio = statistics.median(a / b for a, b in pairs)
        files = (folder / form).rglob("*")
        megabytes = sum(f.stat().st_size for f in files if f.is_file()) / 1e6
        print(
            f"| {form} | {1e3 * statistics.median(seconds[form]):.0f} ms "
            f"| {ratio:.2f} | {megabytes:.0f} MB | {difference[form]} of 255 |"
        )


def _request(form, label_map, seed):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = form
    request.model_spec.signature_name = "synthesize"
    for name, value in (
        ("label_map", label_map[None]),
        ("seed", np.int64([seed])),
    ):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
