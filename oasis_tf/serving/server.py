"""The local model server: gRPC and REST in one process."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import signal
import time

import grpc
from absl import logging
from aiohttp import web
from grpc_health.v1 import health
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from oasis_tf.serving import grpc_services
from oasis_tf.serving import messages
from oasis_tf.serving import model_config
from oasis_tf.serving.admission import Admission
from oasis_tf.serving.batching import Parameters
from oasis_tf.serving.batching import Scheduler
from oasis_tf.serving.metrics import Metrics
from oasis_tf.serving.rest import RestApi
from oasis_tf.serving.status import StatusError
from oasis_tf.serving.versions import ModelManager
from oasis_tf.serving.versions import Settings

_HEALTH_SERVICES = ("", "ModelService", "PredictionService")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a server is started with.

    Args:
        models: list of `Model`.
        settings: `Settings` of the versions.
        batching: `Parameters`.
        host: address to listen on.
        port: of gRPC; 0 for none.
        socket_path: of a UNIX socket for gRPC as well, or "".
        rest_port: of REST; 0 for none.
        rest_timeout: seconds for a REST call.
        has_cors: whether pages of other sites may ask.
        has_health: whether gRPC's health service answers.
        metrics_path: address of the metrics on the REST port, or "".
        ssl: `SSLConfig` for gRPC, or None.
        channel_arguments: list of (key, value) for gRPC.
        max_bytes: of a request.
        max_bytes_held: of all requests in memory.
        max_requests: in memory.
        drain_seconds: for calls in flight when the server is told to end.
        config_file: of the models, to be read again; or "".
        config_poll_seconds: how often; 0 for never.
    """

    models: list
    settings: Settings = Settings()
    batching: Parameters = Parameters()
    host: str = "127.0.0.1"
    port: int = 8500
    socket_path: str = ""
    rest_port: int = 0
    rest_timeout: float = 30
    has_cors: bool = False
    has_health: bool = False
    metrics_path: str = ""
    ssl: object = None
    channel_arguments: tuple = ()
    max_bytes: int = 2**26
    max_bytes_held: int = 2**29
    max_requests: int = 4096
    drain_seconds: float = 30
    config_file: str = ""
    config_poll_seconds: float = 0


def read_models(path):
    """Returns the models of a `models.config` file.

    Raises:
        ValueError: if it is not one.
        StatusError: if TF Serving would refuse what it says.
    """
    return model_config.read(
        messages.parse_file(path, model_server_config_pb2.ModelServerConfig)
    )


def serve(options):
    """Serves until SIGTERM or SIGINT, then lets calls in flight finish.

    The ports open when every model has a version.

    Args:
        options: `Options`.

    Raises:
        StatusError: if a model cannot be loaded, or a port cannot be had.
    """
    asyncio.run(_serve(options))


async def _serve(options):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(options, stop) as is_serving:
        if is_serving:
            print("Serving. Ctrl-C ends it.", flush=True)
            await stop.wait()
            print("Ending: calls in flight are answered.", flush=True)


@contextlib.asynccontextmanager
async def running(options, stop):
    """Context in which a server answers; calls in flight finish at its end.

    Args:
        options: `Options`.
        stop: `asyncio.Event`; set, it ends the wait for the models.

    Yields:
        Whether it answers: not where `stop` was set before the models were
        loaded.

    Raises:
        StatusError: if a model cannot be loaded, or a port cannot be had.
    """
    drain = _Drain(options.drain_seconds)
    metrics = Metrics()
    manager = ModelManager(options.settings, metrics)
    manager.start(options.models)
    scheduler = Scheduler(options.batching, metrics)
    # What takes a processor's time beside the models: JSON, TensorProtos.
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)
    waiting = concurrent.futures.ThreadPoolExecutor(8)
    try:
        if not await _loaded(manager, stop, waiting):
            yield False
            return
        async with contextlib.AsyncExitStack() as stack:
            parts = manager, scheduler, metrics, pool
            admission = Admission(options.max_bytes_held, options.max_requests)
            if options.port or options.socket_path:
                await stack.enter_async_context(
                    _grpc_server(options, parts, admission, waiting, drain)
                )
            if options.rest_port:
                # Ends first, and may take the whole time of the drain.
                await stack.enter_async_context(
                    _rest_server(options, parts, admission, drain)
                )
            if options.config_file and options.config_poll_seconds:
                poll = asyncio.create_task(
                    _poll_config(options, manager, waiting)
                )
                stack.callback(poll.cancel)
            yield True
    finally:
        await asyncio.to_thread(manager.close, drain.seconds_left())
        # What still runs was cancelled with its model.
        await asyncio.to_thread(scheduler.close)
        pool.shutdown(wait=False, cancel_futures=True)
        waiting.shutdown(wait=False, cancel_futures=True)


class _Drain:
    """The time for calls in flight; it begins when it is first asked for."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._end = None

    def seconds_left(self):
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._seconds
        return max(0, self._end - now)


async def _loaded(manager, stop, waiting):
    """Waits for the models; returns False where `stop` was set first."""
    loop = asyncio.get_running_loop()
    load = loop.run_in_executor(waiting, manager.wait_until_loaded)
    end = asyncio.create_task(stop.wait())
    await asyncio.wait([load, end], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        return False
    end.cancel()
    await load
    return True


@contextlib.asynccontextmanager
async def _grpc_server(options, parts, admission, waiting, drain):
    manager = parts[0]
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", options.max_bytes),
            ("grpc.max_send_message_length", -1),
            # Two servers on one port would each get a part of the calls.
            ("grpc.so_reuseport", 0),
            *options.channel_arguments,
        ],
        interceptors=[grpc_services.BrokenRequests()],
        maximum_concurrent_rpcs=options.max_requests,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        grpc_services.PredictionService(*parts, admission), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        grpc_services.ModelService(manager, waiting), server
    )
    names = [*grpc_services.SERVICE_NAMES, reflection.SERVICE_NAME]
    health_servicer = None
    if options.has_health:
        health_servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        names.append(health.SERVICE_NAME)
        for name in _HEALTH_SERVICES:
            await health_servicer.set(
                name, health_pb2.HealthCheckResponse.SERVING
            )
    reflection.enable_server_reflection(names, server)
    _listen(server, options)
    await server.start()
    try:
        yield
    finally:
        if health_servicer:
            await health_servicer.enter_graceful_shutdown()
        await server.stop(drain.seconds_left())


def _listen(server, options):
    addresses = []
    if options.port:
        addresses.append(f"{options.host}:{options.port}")
    if options.socket_path:
        addresses.append(f"unix:{options.socket_path}")
    for address in addresses:
        try:
            if options.ssl and not address.startswith("unix:"):
                server.add_secure_port(address, _credentials(options.ssl))
            else:
                server.add_insecure_port(address)
        except RuntimeError as error:
            raise StatusError(
                "UNAVAILABLE", f"gRPC cannot listen on {address}: {error}"
            ) from error
        print(f"gRPC: {address}", flush=True)


def _credentials(ssl):
    return grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )


@contextlib.asynccontextmanager
async def _rest_server(options, parts, admission, drain):
    api = RestApi(
        *parts,
        admission,
        options.rest_timeout,
        options.max_bytes,
        options.has_cors,
        options.metrics_path,
    )
    runner = web.AppRunner(
        api.application(),
        # Bodies are inflated with a limit, in a thread.
        auto_decompress=False,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=options.drain_seconds,
    )
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.rest_port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise StatusError(
            "UNAVAILABLE",
            f"REST cannot listen on {options.host}:{options.rest_port}: "
            f"{error.strerror}",
        ) from error
    print(f"REST: http://{options.host}:{options.rest_port}", flush=True)
    try:
        yield
    finally:
        drain.seconds_left()  # Begins.
        await runner.cleanup()


async def _poll_config(options, manager, waiting):
    """Reads the configuration file again and again; applies what changed."""
    path = pathlib.Path(options.config_file)
    last = path.read_bytes()
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(options.config_poll_seconds)
        try:
            text = path.read_bytes()
            if text == last:
                continue
            models = read_models(path)
            await loop.run_in_executor(waiting, manager.reload, models)
            last = text
        except (OSError, ValueError, StatusError) as error:
            logging.error("%s: the models stay as they were. %s", path, error)
