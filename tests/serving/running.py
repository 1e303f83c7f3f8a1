"""The local server, in this process or its own, and the least of a client."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from oasis_tf.serving import server
from oasis_tf.serving import tensor_protos
from tests import trained

HOST = "127.0.0.1"
PATIENCE = 60  # Seconds.


def free_port():
    """Returns a port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(models, **options):
    """Context in which a server answers.

    Args:
        models: list of `Model`.
        **options: of `server.Options`, where they are not the defaults.

    Yields:
        `server.Options`, which tell the ports: free ones, if not given.
    """
    options = {"port": free_port(), "rest_port": free_port()} | options
    options = server.Options(models, **options)
    stop = asyncio.Event()
    is_up = concurrent.futures.Future()

    async def serve():
        try:
            async with server.running(options, stop) as is_serving:
                is_up.set_result(is_serving)
                await stop.wait()
        except BaseException as error:
            if is_up.done():
                raise
            is_up.set_exception(error)

    served = asyncio.run_coroutine_threadsafe(serve(), _loop())
    assert is_up.result(PATIENCE)
    try:
        yield options
    finally:
        _loop().call_soon_threadsafe(stop.set)
        served.result(PATIENCE)


@dataclasses.dataclass
class Process:
    """A server started as users start it.

    Args:
        popen: `subprocess.Popen`.
        port, rest_port: of gRPC and of REST.
        printed: lines up to "Serving".
        log: path of what it tells beside.
    """

    popen: subprocess.Popen
    port: int
    rest_port: int
    printed: list
    log: pathlib.Path

    def peak_mib(self):
        """Returns the most memory that it has had so far, in MiB."""
        status = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def end(self, number=signal.SIGTERM):
        """Sends a signal; returns the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE)


@contextlib.contextmanager
def process(folder, *arguments, is_awaited=True):
    """Context with `python -m oasis_tf.serve --engine=local` on free ports.

    Args:
        folder: to run in.
        *arguments: of the command.
        is_awaited: whether to wait until it serves.

    Yields:
        `Process`.
    """
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "oasis_tf.serve", "--engine=local"]
    command += [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
    log = pathlib.Path(folder, "server.log")
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=trained.environment(),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as popen,
    ):
        try:
            printed = []
            patience = threading.Timer(PATIENCE, popen.kill)
            patience.start()
            while is_awaited and "Serving." not in "".join(printed):
                line = popen.stdout.readline()
                assert line, log.read_text()
                printed.append(line.strip())
            patience.cancel()
            yield Process(popen, *ports, printed, log)
        finally:
            popen.kill()


@functools.cache
def _loop():
    """Returns the loop of all servers, which runs in a thread.

    One for all: asynchronous gRPC is made for one loop in a process.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


@dataclasses.dataclass
class Answer:
    """Of the REST API.

    Args:
        status: of HTTP.
        headers: as in `http.client`.
        body: bytes.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return parse(self.body)

    @property
    def error(self):
        """The only member of an error; without the node that tells it."""
        [(key, message)] = self.json.items()
        assert key == "error"
        return message.partition("\n\t")[0]


def parse(body):
    """Returns the value of an answer, which need not be strict JSON."""
    text = body.decode(errors="surrogateescape")
    return json.loads(text, strict=False)


def connect(options, seconds=PATIENCE):
    """Returns a context: an HTTP connection to the REST API."""
    return contextlib.closing(
        http.client.HTTPConnection(HOST, options.rest_port, timeout=seconds)
    )


def send(connection, method, path, body=None, headers=()):
    """Sends a request as it is, without headers of the client's own.

    Args:
        connection: of `connect`.
        method, path: str.
        body: bytes; or what is sent as JSON; or None.
        headers: dict.

    Returns:
        `Answer`.
    """
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in dict(headers).items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return receive(connection)


def receive(connection):
    """Returns the `Answer` to a request that was sent."""
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def ask(options, method, path, body=None, headers=()):
    """Does as `send`, with a connection of its own."""
    with connect(options) as connection:
        return send(connection, method, path, body, headers)


def predict(options, body, model="half_plus_two", headers=()):
    """Asks a model; `model` may go on: "oasis/versions/1"."""
    return ask(options, "POST", f"/v1/models/{model}:predict", body, headers)


class Stubs:
    """The gRPC methods of a server.

    Args:
        channel: `grpc.Channel`.
    """

    def __init__(self, channel):
        self.channel = channel
        predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.predict = predictions.Predict
        self.metadata = predictions.GetModelMetadata
        self.classify = predictions.Classify
        self.regress = predictions.Regress
        self.multi_inference = predictions.MultiInference
        self.status = models.GetModelStatus
        self.reload = models.HandleReloadConfigRequest


@contextlib.contextmanager
def stubs(address, credentials=None, **options):
    """Context with the `Stubs` of an address, or of `server.Options`.

    Args:
        address: "host:port"; or what `running` or `process` yields.
        credentials: of TLS, or None.
        **options: of the channel, without the "grpc." before their names.
    """
    if isinstance(address, (server.Options, Process)):
        address = f"{HOST}:{address.port}"
    options = {"max_receive_message_length": -1} | options
    options = [(f"grpc.{name}", value) for name, value in options.items()]
    if credentials:
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        yield Stubs(channel)


def predict_request(model, inputs, output_filter=(), **spec):
    """Returns a `PredictRequest`.

    Args:
        model: name.
        inputs: dict of name -> array or `TensorProto`.
        output_filter: names.
        **spec: signature_name, version or version_label.
    """
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    _fill(request.model_spec, name=model, **spec)
    for name, value in inputs.items():
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            value = tensor_protos.write(value)
        request.inputs[name].CopyFrom(value)
    return request


def metadata_request(model, *fields, **spec):
    """Returns a `GetModelMetadataRequest`."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=fields
    )
    _fill(request.model_spec, name=model, **spec)
    return request


def status_request(model, **spec):
    """Returns a `GetModelStatusRequest`."""
    request = get_model_status_pb2.GetModelStatusRequest()
    _fill(request.model_spec, name=model, **spec)
    return request


def _fill(model_spec, version=None, **fields):
    if version is not None:
        model_spec.version.value = version
    for name, value in fields.items():
        setattr(model_spec, name, value)


def refusal(call, request, **options):
    """Returns the code's name and the details of a call that must fail."""
    try:
        answer = call(request, timeout=PATIENCE, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"No error, but {answer}")


def wait_until(is_so):
    """Waits until a function returns something true; returns that."""
    end = time.monotonic() + PATIENCE
    while not (value := is_so()):
        assert time.monotonic() < end, "Waited in vain."
        time.sleep(0.01)
    return value


def kernel_message(message):
    """Returns what TensorFlow says, without what differs from build to build.

    Behind the message are names of nodes; and of its two matrix products, one
    for processors with AVX-512 and one for others, each says in its own way
    that a rank is wrong.
    """
    message = message.partition("\n\t")[0]
    return re.sub(
        r"In\[0\] and In\[1\] has different ndims: .*",
        "In[0] ndims must be >= 2",
        message,
    )
