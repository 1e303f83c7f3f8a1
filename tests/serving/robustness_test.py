"""What a hostile client may send: a thousand broken requests, and bombs.

The server runs in a process of its own, with an exported model.
"""

import base64
import gzip
import json
import random
import socket
import struct
import threading
import zlib

import grpc
import numpy as np
import pytest

from tests import trained
from tests.serving import running

NUM_EACH = 340  # Broken JSON, PNG files and protocol buffers: over 1,000.
PATH = "/v1/models/generator:predict"
METHOD = "/tensorflow.serving.PredictionService/Predict"
MAX_MIB = 2500  # TensorFlow alone has 500.


@pytest.fixture(scope="module")
def label_map_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    return trained.save_scene(folder)[1].read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("robustness")
    trained.make_workdir(folder / "run")
    with running.process(folder, "--workdir=run") as process:
        yield process
        # After all of it: alive, no mistake of its own, memory bounded.
        assert process.popen.poll() is None
        assert "Traceback" not in process.log.read_text()
        assert process.peak_mib() < MAX_MIB


@pytest.fixture
def stays_well(server, label_map_file):
    """The same picture is drawn before and after the test."""
    request = rest_request(label_map_file)
    before = running.ask(server, "POST", PATH, request)
    assert before.status == 200, before.body
    yield
    assert running.ask(server, "POST", PATH, request).body == before.body


pytestmark = pytest.mark.usefixtures("stays_well")


def rest_request(file):
    instance = {
        "label_map_bytes": {"b64": base64.b64encode(file).decode()},
        "seed": 3,
    }
    body = {"signature_name": "synthesize_png", "instances": [instance]}
    return json.dumps(body).encode()


def grpc_request(file):
    return running.predict_request(
        "generator",
        {
            "label_map_bytes": np.array([file], object),
            "seed": np.array([3]),
        },
        signature_name="synthesize_png",
    )


def broken(file, rng):
    """Returns a file with some bytes changed, added, lost or cut off."""
    data = bytearray(file)
    for _ in range(rng.randint(1, 6)):
        i = rng.randrange(len(data) + 1)
        kind = rng.choice(["change", "change", "add", "lose", "cut"])
        if kind == "change":
            data[i : i + 1] = rng.randbytes(1)
        elif kind == "add":
            data[i:i] = rng.randbytes(rng.randint(1, 8))
        elif kind == "lose":
            del data[i : i + rng.randint(1, 20)]
        else:
            del data[max(i, 1) :]
    return bytes(data)


def check_answer(answer):
    """Fails where a request is answered as if the server were at fault."""
    # 413 for a body over the limit.
    assert answer.status in (200, 400, 404, 413), answer
    assert b"Traceback" not in answer.body
    assert b'File \\"' not in answer.body
    assert list(answer.json) == (
        ["predictions"] if answer.status == 200 else ["error"]
    )


def check_call(server, data):
    """Sends bytes as a `PredictRequest`; checks and returns the code."""
    with running.stubs(server) as stubs:
        call = stubs.channel.unary_unary(METHOD)
        try:
            call(data, timeout=running.PATIENCE)
        except grpc.RpcError as error:
            assert "Traceback" not in error.details()
            assert 'File "' not in error.details()
            return error.code().name
    return "OK"


def test_broken_json(server, label_map_file):
    rng = random.Random(0)
    request = rest_request(label_map_file)
    statuses = set()
    with running.connect(server) as connection:
        for _ in range(NUM_EACH):
            answer = running.send(
                connection, "POST", PATH, broken(request, rng)
            )
            check_answer(answer)
            statuses.add(answer.status)
    assert 400 in statuses


def test_broken_png_files(server, label_map_file):
    rng = random.Random(1)
    statuses = set()
    with running.connect(server) as connection:
        for _ in range(NUM_EACH):
            body = rest_request(broken(label_map_file, rng))
            answer = running.send(connection, "POST", PATH, body)
            check_answer(answer)
            statuses.add(answer.status)
    assert 400 in statuses


def test_broken_protocol_buffers(server, label_map_file):
    rng = random.Random(2)
    data = grpc_request(label_map_file).SerializeToString()
    codes = {check_call(server, broken(data, rng)) for _ in range(NUM_EACH)}
    assert "INVALID_ARGUMENT" in codes
    assert codes <= {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        # What is no request at all, as TF Serving answers it.
        "INTERNAL",
        # A signature or a field that is left out.
        "UNIMPLEMENTED",
    }


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (100_000, 100_000),
        (2**31 - 1, 2**31 - 1),
        (2**32 - 1, 1),
        (8, 2**30),
        (1024, 1040),
        (0, 16),
    ],
)
def test_png_files_that_say_they_are_large(
    server, label_map_file, width, height
):
    file = bytearray(label_map_file)
    file[16:24] = struct.pack(">II", width, height)
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    answer = running.ask(server, "POST", PATH, rest_request(bytes(file)))
    assert answer.status == 400
    assert "label_map_bytes" in answer.error
    assert check_call(
        server, grpc_request(bytes(file)).SerializeToString()
    ) == ("INVALID_ARGUMENT")


def test_png_files_that_are_large(server):
    """Small files of many pixels: 16,384 x 16,384 zeros in 260 KB."""
    rows = zlib.compress(bytes((16384 + 1) * 16384), 9)

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + crc.to_bytes(4)

    file = b"\x89PNG\r\n\x1a\n"
    file += chunk(b"IHDR", struct.pack(">IIBBBBB", 16384, 16384, 8, 0, 0, 0, 0))
    file += chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    answer = running.ask(server, "POST", PATH, rest_request(file))
    assert answer.status == 400
    assert "must be at most 1048576" in answer.error


def test_packed_bodies_that_are_large(server):
    body = b'{"instances":[' + b" " * (150 * 2**20) + b"]}"
    body = gzip.compress(body)
    for _ in range(3):
        answer = running.ask(
            server, "POST", PATH, body, {"Content-Encoding": "gzip"}
        )
        check_answer(answer)
        assert answer.status in (400, 413)


def test_deep_and_endless_json(server):
    for body in (
        b"[" * 1_000_000,
        b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances":[' + b"9" * 1_000_000 + b"]}",
        b'{"instances":[' + b'{"seed":1e' + b"9" * 999 + b"}]}",
        b'{"a":' * 100_000,
        b'{"' + b"a" * 5_000_000,
    ):
        answer = running.ask(server, "POST", PATH, body)
        check_answer(answer)
        assert answer.status == 400


@pytest.mark.parametrize(
    "shape",
    [
        (1, 2**20, 2**20),
        (2**62, 4, 4),
        (2**31, 2**31, 2**31),
        (1, 8192, 4096),
        (16, 1024, 1024),
        (-1, 16, 16),
        (0, 16, 16),
        (1, 0, 0),
    ],
)
def test_shapes_that_are_large(server, shape):
    """One value stands for all of them in a `TensorProto`."""
    request = running.predict_request("generator", {"seed": np.array([3])})
    tensor = request.inputs["label_map"]
    tensor.dtype = 3  # DT_INT32
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.int_val.append(0)
    code = check_call(server, request.SerializeToString())
    assert code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def test_bodies_that_end_early(server, label_map_file):
    body = rest_request(label_map_file)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
    for length in range(0, len(body), 50):
        with socket.create_connection(
            (running.HOST, server.rest_port)
        ) as client:
            client.sendall(head.encode() + body[:length])


def test_what_is_no_http(server):
    rng = random.Random(4)
    for _ in range(50):
        with socket.create_connection(
            (running.HOST, server.rest_port)
        ) as client:
            client.sendall(rng.randbytes(200) + b"\r\n\r\n")


@pytest.mark.slow
def test_many_bombs_at_a_time(server, label_map_file):
    """What is queued is bounded, and others are answered meanwhile."""
    body = b'{"instances":[' + b"1," * (20 * 2**20) + b"1]}"
    body = gzip.compress(body)
    packed = {"Content-Encoding": "gzip"}
    answers = []

    def ask():
        answers.append(running.ask(server, "POST", PATH, body, packed))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    answer = running.ask(server, "GET", "/v1/models/generator")
    assert answer.status == 200
    for thread in threads:
        thread.join()
    # Late ones among them.
    assert {a.status for a in answers} <= {400, 503, 504}


def test_strange_paths_and_methods(server):
    rng = random.Random(3)
    with running.connect(server) as connection:
        for _ in range(100):
            path = "/v1/" + "".join(
                rng.choice("models/generator:predict%?=&.~{}[]0")
                for _ in range(rng.randint(0, 60))
            )
            method = rng.choice(["GET", "POST", "PUT", "PATCH", "DELETE"])
            answer = running.send(connection, method, path, b"{}")
            assert 400 <= answer.status < 500, (method, path, answer)
