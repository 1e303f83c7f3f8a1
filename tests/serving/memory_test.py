"""What a server holds stays within its bound, whatever clients do."""

import contextlib
import gzip
import json
import socket
import threading
import time

import numpy as np
import pytest

from oasis_tf.serving import tensor_protos
from oasis_tf.serving.versions import Settings
from tests.serving import running
from tests.serving import toy_models

MIB = 2**20
SETTINGS = Settings(allow_labels=True)
TEXT = "x" * (8 * MIB)  # More than the kernel keeps of an answer.


@contextlib.contextmanager
def serving(**options):
    options = {"drain_seconds": 0.1, "settings": SETTINGS} | options
    options["max_bytes_held"] = 20 * MIB
    with running.running(toy_models.models(), **options) as server:
        yield server


def echo(server, text=TEXT):
    """Returns the status of a call whose answer is as long as the text."""
    body = {"signature_name": "text", "instances": [text]}
    return running.predict(server, body, "oasis").status


def slow_request(num_steps):
    return running.predict_request(
        "oasis",
        {"x": np.ones([1], np.float32), "num_steps": np.array([num_steps])},
        signature_name="slow",
    )


@contextlib.contextmanager
def busy(server):
    """Context in which long runs keep all threads busy; for seconds."""
    with running.stubs(server) as stubs:
        calls = [
            stubs.predict.future(slow_request(10**12), timeout=8)
            for _ in range(16)
        ]
        time.sleep(0.3)
        yield
        for call in calls:
            call.cancel()


@contextlib.contextmanager
def deaf(port):
    """Context with a port that leads to another, but lets no answer back.

    It yields the port and an event that is set when an answer is on its way.
    """
    sockets = []
    answered = threading.Event()

    def accept(listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((running.HOST, port))
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sockets.extend([near, far])
                threading.Thread(
                    target=forward, args=[near, far], daemon=True
                ).start()
                threading.Thread(
                    target=begin, args=[far, near], daemon=True
                ).start()

    def forward(near, far):
        with contextlib.suppress(OSError):
            while data := near.recv(MIB):
                far.sendall(data)

    def begin(far, near):
        # HTTP/2's settings and receipts, which a client awaits.
        num_bytes = 0
        with contextlib.suppress(OSError):
            while num_bytes < 2000:
                data = far.recv(100)
                near.sendall(data)
                num_bytes += len(data)
            answered.set()

    with socket.create_server((running.HOST, 0)) as listener:
        threading.Thread(target=accept, args=[listener], daemon=True).start()
        yield listener.getsockname()[1], answered
    for open_one in sockets:
        with contextlib.suppress(OSError):
            open_one.shutdown(socket.SHUT_RDWR)  # Ends what reads from it.
        open_one.close()


def test_rest_answers_that_nobody_reads_are_counted():
    with serving() as server, contextlib.ExitStack() as stack:
        body = json.dumps({"signature_name": "text", "instances": [TEXT]})
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((running.HOST, server.rest_port))
            head = "POST /v1/models/oasis:predict HTTP/1.1\r\nHost: x\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            client.sendall((head + body).encode())
        running.wait_until(lambda: echo(server) == 503)
        stack.close()
        running.wait_until(lambda: echo(server) == 200)


def test_rest_client_that_does_not_read_is_left():
    with serving(rest_timeout=1) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((running.HOST, server.rest_port))
        text = "x" * (16 * MIB)
        body = json.dumps({"signature_name": "text", "instances": [text]})
        head = "POST /v1/models/oasis:predict HTTP/1.1\r\nHost: x\r\n"
        head += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall((head + body).encode())
        # From when the answer begins, which is late on a busy machine.
        client.settimeout(running.PATIENCE)
        client.recv(1, socket.MSG_PEEK)
        time.sleep(4)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(MIB):
                received += len(data)
        assert 0 < received < len(text)


def test_grpc_answers_that_nobody_reads_are_counted():
    # Small itself: who hears nothing may send little in HTTP/2.
    request = running.predict_request(
        "oasis", {"u": np.ones([1], np.uint8)}, signature_name="u8"
    )
    request.inputs["u"].tensor_shape.dim[0].size = 14 * MIB
    with serving() as server, contextlib.ExitStack() as stack:
        with deaf(server.port) as (port, answered):
            stubs = stack.enter_context(running.stubs(f"{running.HOST}:{port}"))
            call = stubs.predict.future(request)
            # Before others ask, which could leave no room for it.
            assert answered.wait(running.PATIENCE)
            assert echo(server) == 503
            assert not call.done()
            stack.close()
        running.wait_until(lambda: echo(server) == 200)


def test_requests_given_up_in_the_queue_are_let_go():
    request = running.predict_request(
        "oasis",
        {"t": np.array([TEXT.encode()], object)},
        signature_name="text",
    )
    with serving() as server, busy(server), running.stubs(server) as stubs:
        for _ in range(20):
            # Each waits in the queue and holds its bytes, but not longer.
            code, _ = running.refusal(
                lambda message, timeout: stubs.predict(message, timeout=0.05),
                request,
            )
            assert code in ("DEADLINE_EXCEEDED", "CANCELLED")


def test_bodies_count_as_large_as_they_are():
    # 12 KB that are 8 MB of JSON.
    body = {"signature_name": "text", "instances": [TEXT]}
    body = gzip.compress(json.dumps(body).encode())
    assert len(body) < MIB / 100
    packed = {"Content-Encoding": "gzip"}
    statuses = []

    def ask():
        answer = running.predict(server, body, "oasis", packed)
        statuses.append(answer.status)

    with serving(rest_timeout=2) as server:
        with busy(server):
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            running.wait_until(lambda: 503 in statuses)
            for thread in threads:
                thread.join()
        # Some wait in the queue; for all there is no room.
        assert set(statuses) <= {503, 504}
        running.wait_until(lambda: echo(server) == 200)


def test_many_dimensions_are_refused_at_once():
    request = running.predict_request("oasis", {"seed": np.array([3])})
    shape = request.inputs["label_map"].tensor_shape
    request.inputs["label_map"].dtype = 3  # DT_INT32
    for _ in range(50_000):
        shape.dim.add(size=2**62)
    # Their product alone takes seconds.
    start = time.monotonic()
    assert tensor_protos.bytes_in_memory(request.inputs) < 2**20
    with pytest.raises(Exception, match="tensor parsing error: label_map"):
        tensor_protos.read_all(request.inputs)
    assert time.monotonic() - start < 1
