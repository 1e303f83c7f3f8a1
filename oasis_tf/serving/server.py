"""The local model server: gRPC and REST in one process."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging as std_logging
import os
import pathlib
import signal
import socket
import ssl
import tempfile
import time

import grpc
from absl import logging
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
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
        ValueError: if what is to be used for TLS cannot be.
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
        ValueError: if what is to be used for TLS cannot be.
    """
    # Loading may take minutes, and would be for nothing.
    _check_ports(options)
    _check_certificates(options.ssl)
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
        parts = manager, scheduler, metrics, pool
        parts += (Admission(options.max_bytes_held, options.max_requests),)
        servers = [_GrpcServer(options, parts, waiting)]
        servers.append(_RestServer(options, parts))
        poll = asyncio.create_task(_poll_config(options, manager))
        try:
            for server in servers:
                await server.start()
            yield True
        finally:
            poll.cancel()
            left = drain.seconds_left()
            await asyncio.gather(*(server.stop(left) for server in servers))
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


class _GrpcServer:
    """The gRPC API on its addresses; nothing, where there are none."""

    def __init__(self, options, parts, waiting):
        self._options = options
        self._server = grpc.aio.server(
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
            grpc_services.PredictionService(*parts), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            grpc_services.ModelService(parts[0], waiting), self._server
        )
        self._health = health.aio.HealthServicer()
        names = [*grpc_services.SERVICE_NAMES, reflection.SERVICE_NAME]
        if options.has_health:
            health_pb2_grpc.add_HealthServicer_to_server(
                self._health, self._server
            )
            names.append(health.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self):
        for name in _HEALTH_SERVICES:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        _listen(self._server, self._options)
        await self._server.start()

    async def stop(self, seconds):
        """Refuses new calls; those in flight may take so long."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)


def _check_ports(options):
    """Raises a StatusError for the first port that cannot be had."""
    ports = {"gRPC": options.port, "REST": options.rest_port}
    for api, port in ports.items():
        if not port:
            continue
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                options.host, port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind) as probe:
                # As the servers do: what only closes is no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise _cannot_listen(api, options.host, port, error) from error


def _cannot_listen(api, host, port, error):
    return StatusError(
        "UNAVAILABLE",
        f"{api} cannot listen on {_bracketed(host)}:{port}: {error.strerror}",
    )


def _check_certificates(ssl_config):
    """Raises a ValueError if a key or certificate cannot be used.

    gRPC would not tell: it refuses each connection.
    """
    if not ssl_config:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # For its owner alone.
        paths = []
        for field in ("server_cert", "server_key"):
            paths.append(pathlib.Path(folder, field))
            paths[-1].write_text(getattr(ssl_config, field))
        try:
            # An empty password, or it would be asked for.
            context.load_cert_chain(*paths, password="")
        except ssl.SSLError as error:
            raise ValueError(
                "`--ssl_config_file` must have a PEM key without a password as "
                "server_key, and its certificate as server_cert. Received: "
                f"{error.reason or error}."
            ) from error
    if ssl_config.client_verify and not ssl_config.custom_ca:
        raise ValueError(
            "`--ssl_config_file` with client_verify must have a custom_ca. "
            "Received: none."
        )
    if ssl_config.custom_ca:
        try:
            context.load_verify_locations(cadata=ssl_config.custom_ca)
        except ssl.SSLError as error:
            raise ValueError(
                "`--ssl_config_file` must have PEM certificates as custom_ca. "
                f"Received: {error.reason or error}."
            ) from error


def _listen(server, options):
    addresses = []
    if options.port:
        addresses.append(f"{_bracketed(options.host)}:{options.port}")
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


def _credentials(ssl_config):
    return grpc.ssl_server_credentials(
        [(ssl_config.server_key.encode(), ssl_config.server_cert.encode())],
        root_certificates=ssl_config.custom_ca.encode() or None,
        require_client_auth=ssl_config.client_verify,
    )


class _RestServer:
    """The REST API on its port; nothing, where there is none."""

    def __init__(self, options, parts):
        self._options = options
        self._api = RestApi(
            *parts,
            options.rest_timeout,
            options.max_bytes,
            options.has_cors,
            options.metrics_path,
        )
        self._runner = web.AppRunner(
            self._api.application(),
            # Bodies are inflated with a limit, in a thread.
            auto_decompress=False,
            access_log=None,
            logger=_http_logger(),
            handle_signals=False,
            # After the wait for calls in flight, which `stop` does.
            shutdown_timeout=0.1,
        )

    async def start(self):
        host, port = self._options.host, self._options.rest_port
        if not port:
            return
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise _cannot_listen("REST", host, port, error) from error
        print(f"REST: http://{_bracketed(host)}:{port}", flush=True)

    async def stop(self, seconds):
        """Refuses new connections; calls in flight may take so long."""
        for site in self._runner.sites:
            await site.stop()
        if self._runner.server:
            self._runner.server.pre_shutdown()
            await self._api.wait_until_idle(seconds)
        await self._runner.cleanup()


def _bracketed(host):
    """Returns a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _http_logger():
    """Returns a logger that does without what clients do wrong."""
    logger = std_logging.getLogger("oasis_tf.serving.http")

    def is_ours(record):
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, (HttpProcessingError, ConnectionError))

    logger.addFilter(is_ours)
    return logger


async def _poll_config(options, manager):
    """Reads the configuration file again and again; applies what changed."""
    if not (options.config_file and options.config_poll_seconds):
        return
    last, told = options.models, None
    while True:
        await asyncio.sleep(options.config_poll_seconds)
        try:
            models = read_models(options.config_file)
            if models != last:
                # What cannot be loaded then, the manager tells.
                manager.reload(models, wait=False)
                last = models
            told = None
        except (ValueError, StatusError) as error:
            if str(error) != told:
                logging.error(
                    "%s: the models stay as they were. %s",
                    options.config_file,
                    error,
                )
                told = str(error)
