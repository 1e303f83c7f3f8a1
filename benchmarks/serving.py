"""Load on the local model server: throughput, latency, memory, wrong answers.

    python -m benchmarks.serving --model=runs/demo --clients=64 --seconds=60
    python -m benchmarks.serving --model=runs/demo --overload=10

Serves the run's exports without batching and with it, one after the other, and
asks by gRPC from so many clients, each of which waits for its answer; every
picture is compared with what the local generator draws for the same seed.
Clients share the machine with the server. `--overload` then asks from so many
times as many clients, lets only `--queue` batches wait, and afterwards asks
normally again. Exits with 1 if a picture was wrong, or a call failed but for
the refusals of an overload.
"""

import asyncio
import collections
import contextlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import grpc
import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

import oasis_tf
from oasis_tf import command_line
from oasis_tf.data.label_map import restore

_MODEL = flags.DEFINE_string("model", "runs/demo", "Work directory of a run.")
_CLIENTS = flags.DEFINE_integer("clients", 64, "Concurrent calls.")
_SECONDS = flags.DEFINE_float("seconds", 60, "Of each variant.")
_SIGNATURE = flags.DEFINE_enum(
    "signature", "synthesize_png", ["synthesize", "synthesize_png"], "Asked."
)
_OVERLOAD = flags.DEFINE_integer("overload", 0, "Times as many clients.")
_MAX_BATCH_SIZE = flags.DEFINE_integer("max_batch_size", 8, "With batching.")
_TIMEOUT_MICROS = flags.DEFINE_integer("timeout_micros", 5000, "With batching.")
_QUEUE = flags.DEFINE_integer("queue", 16, "Batches that wait, at most.")
_DEADLINE = flags.DEFINE_float("deadline", 30, "Of a call, in seconds.")

_NUM_ASKED = 32  # Different requests.
_CALLS_PER_CHANNEL = 64
_REFUSALS = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}


def main():
    asked = _make_requests()
    is_well = True
    for is_batching in (False, True):
        name = "with batching" if is_batching else "without batching"
        with _server(is_batching) as (port, process):
            asyncio.run(_load(port, process, asked, 1, 3, "warm-up"))
            turns = [(1, _SECONDS.value, name)]
            if times := _OVERLOAD.value:
                turns.append((times, _SECONDS.value, f"{name}, x {times}"))
                turns.append((1, 5, f"{name}, afterwards"))
            for times, seconds, what in turns:
                is_well &= asyncio.run(
                    _load(port, process, asked, times, seconds, what)
                )
    return 0 if is_well else 1


def _make_requests():
    """Returns requests and the pictures that answer them."""
    generator = oasis_tf.load_generator(_MODEL.value)
    height, width = generator.config.image_size
    rng = np.random.default_rng(0)
    labels = [
        label
        for label in range(generator.info.semantic_channels)
        if (generator.info.native_id(label) or 0) >= 0
    ]
    label_maps = [
        np.repeat(
            np.repeat(rng.choice(labels, [8, 8]), height // 8, 0), width // 8, 1
        ).astype(np.int32)
        for _ in range(_NUM_ASKED)
    ]
    pictures = generator.draw(label_maps, seeds=range(_NUM_ASKED))
    requests = []
    for seed, label_map in enumerate(label_maps):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "generator"
        request.model_spec.signature_name = _SIGNATURE.value
        if _SIGNATURE.value == "synthesize":
            name, value = "label_map", label_map[None]
        else:
            file = io.BytesIO()
            ids = restore(label_map, generator.info)
            Image.fromarray(ids).save(file, "PNG")
            name, value = "label_map_bytes", [file.getvalue()]
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        request.inputs["seed"].CopyFrom(
            tf.make_tensor_proto([seed], dtype=tf.int64)
        )
        requests.append(request)
    return list(zip(requests, pictures, strict=True))


@contextlib.contextmanager
def _server(is_batching):
    """Context with a server process; yields its port and the process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    arguments = [
        f"--workdir={_MODEL.value}",
        "--engine=local",
        f"--port={port}",
        "--rest_api_port=0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        if is_batching:
            path = pathlib.Path(folder, "batching.config")
            path.write_text(
                f"max_batch_size {{ value: {_MAX_BATCH_SIZE.value} }}\n"
                f"batch_timeout_micros {{ value: {_TIMEOUT_MICROS.value} }}\n"
                f"max_enqueued_batches {{ value: {_QUEUE.value} }}\n"
            )
            arguments += [
                "--enable_batching",
                f"--batching_parameters_file={path}",
            ]
        process = subprocess.Popen(
            [sys.executable, "-m", "oasis_tf.serve", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for line in process.stdout:
                if line.startswith("Serving."):
                    break
            else:
                sys.exit("serving: the server did not start.")
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


async def _load(port, process, asked, times, seconds, name):
    num_clients = times * _CLIENTS.value
    codes, latencies = collections.Counter(), []
    answers = collections.Counter()
    end = time.monotonic() + seconds
    channels = [
        grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(-(-num_clients // _CALLS_PER_CHANNEL))
    ]

    async def client(number):
        channel = channels[number // _CALLS_PER_CHANNEL]
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        turn = number
        while time.monotonic() < end:
            turn += 1
            request, picture = asked[turn % len(asked)]
            start = time.monotonic()
            try:
                answer = await stub.Predict(request, timeout=_DEADLINE.value)
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
                await asyncio.sleep(0.05)
                continue
            latencies.append(time.monotonic() - start)
            codes["OK"] += 1
            answers["wrong"] += not np.array_equal(_picture(answer), picture)

    rss = [_rss(process)]

    async def watch():
        while time.monotonic() < end:
            await asyncio.sleep(1)
            rss.append(_rss(process))

    start = time.monotonic()
    await asyncio.gather(watch(), *map(client, range(num_clients)))
    took = time.monotonic() - start
    for channel in channels:
        await channel.close()
    p50, p99 = np.percentile(latencies or [np.nan], [50, 99])
    print(
        f"{name}: {num_clients} clients, {codes['OK'] / took:.1f} pictures/s, "
        f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, "
        f"{answers['wrong']} wrong, {dict(codes)}, memory {rss[0]:.0f} MiB at "
        f"first, {max(rss):.0f} at most, {rss[-1]:.0f} at last",
        flush=True,
    )
    refusals = _REFUSALS if times > 1 else set()
    return not answers["wrong"] and set(codes) <= {"OK"} | refusals


def _picture(answer):
    [tensor] = answer.outputs.values()
    if tensor.string_val:
        return np.asarray(Image.open(io.BytesIO(tensor.string_val[0])))
    return tf.make_ndarray(tensor)[0]


def _rss(process):
    pages = pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
