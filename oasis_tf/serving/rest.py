"""The REST API: addresses, bodies and errors as TF Serving has them."""

import asyncio
import contextlib
import functools
import importlib.resources
import json
import re
import time
import urllib.parse
import zlib

import tensorflow as tf
from absl import logging
from aiohttp import ClientError
from aiohttp import web
from google.protobuf import json_format

from oasis_tf.serving import json_tensors
from oasis_tf.serving import metrics as metrics_lib
from oasis_tf.serving.admission import array_bytes
from oasis_tf.serving.pools import run_in
from oasis_tf.serving.servable import DEFAULT_SIGNATURE
from oasis_tf.serving.status import StatusError

_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(f"{_MODEL}{_VERSION}:predict", re.IGNORECASE)
_STATUS = re.compile(
    f"{_MODEL}{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE
)
_LARGEST_VERSION = 2**63 - 1
_MAX_INFLATED = 100 * 2**20
_LARGE = 4 * 2**20  # Bytes of a body; as Python's objects it is 20 times that.
_NOT_FOUND = (
    b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n"
    b"<H1>Not Found</H1>\n</BODY></HTML>\n"
)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestApi:
    """Answers HTTP requests.

    Args:
        manager: `ModelManager`.
        scheduler: `Scheduler`.
        metrics: `Metrics`.
        pool: `concurrent.futures.Executor` for what takes a processor's time.
        admission: `Admission`.
        timeout: seconds for one call.
        max_bytes: of a body.
        has_cors: whether pages of other sites may ask.
        metrics_path: address of the metrics, or "".
    """

    def __init__(
        self,
        manager,
        scheduler,
        metrics,
        pool,
        admission,
        timeout,
        max_bytes,
        has_cors=False,
        metrics_path="",
    ):
        self._manager = manager
        self._scheduler = scheduler
        self._metrics = metrics
        self._pool = pool
        self._admission = admission
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._cors = _CORS if has_cors else {}
        self._metrics_path = metrics_path
        self._large_ones = asyncio.Semaphore(1)
        self._num_running = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def application(self):
        """Returns the `aiohttp.web.Application`."""
        application = web.Application(client_max_size=self._max_bytes)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def wait_until_idle(self, seconds):
        """Waits for the calls in flight, so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()

    async def _handle(self, request):
        self._num_running += 1
        self._is_idle.clear()
        try:
            return await self._respond(request)
        finally:
            self._num_running -= 1
            if not self._num_running:
                self._is_idle.set()

    async def _respond(self, request):
        # As it was sent: a query is a part of the path.
        path = request.raw_path
        if self._metrics_path and path == self._metrics_path:
            return web.Response(
                body=self._metrics.text().encode(), content_type="text/plain"
            )
        if path[:4].lower() == "/v1/":
            response = await self._answer(request, path)
            if not response.prepared:
                response.headers.update(self._cors)
            return response
        if path == "/" and request.method == "GET":
            return web.Response(
                text=_page(self._manager.names()), content_type="text/html"
            )
        response = web.Response(
            body=_NOT_FOUND, status=404, content_type="text/html"
        )
        response.force_close()
        return response

    async def _answer(self, request, path):
        if request.method == "OPTIONS":
            origin = request.headers.get("Origin", "")
            is_web = origin.startswith(("http://", "https://"))
            return web.Response(
                status=200 if is_web else 400,
                headers={"Content-Type": "text/html; charset=ISO-8859-1"},
            )
        try:
            if request.method == "POST" and (match := _PREDICT.fullmatch(path)):
                return await self._counted_predict(request, match)
            if request.method == "GET" and (match := _STATUS.fullmatch(path)):
                return self._status(match)
            if request.method == "GET" and path.lower() == "/v1/models":
                text = "Missing model name in request."
            else:
                text = f"Malformed request: {request.method} {path}"
            raise StatusError("INVALID_ARGUMENT", text)
        except StatusError as error:
            return _error_response(error, request.method)
        except web.HTTPRequestEntityTooLarge:
            return _json_response(
                {"error": f"The body is larger than {self._max_bytes} bytes."},
                status=413,
            )

    def _status(self, match):
        name, version, label = _spec(match)
        if version is not None and version > _LARGEST_VERSION:
            return web.Response(status=400, content_type="application/json")
        if match["metadata"]:
            servable = self._manager.acquire(name, version, label)
            try:
                return _json_response(_metadata(servable))
            finally:
                servable.release()
        # The label is not looked at.
        versions = self._manager.status(name, version)
        return _json_response(
            {
                "model_version_status": [
                    {
                        "version": str(v),
                        "state": state,
                        "status": {
                            "error_code": error.code if error else "OK",
                            "error_message": error.message if error else "",
                        },
                    }
                    for v, state, error in versions
                ]
            }
        )

    async def _counted_predict(self, request, match):
        name, version, label = _spec(match)
        start, code = time.monotonic(), "INTERNAL"
        try:
            if version is not None and version > _LARGEST_VERSION:
                code = "INVALID_ARGUMENT"
                return web.Response(status=400, content_type="application/json")
            # The body is counted as it comes: how long one without its length
            # will be, nobody knows.
            with self._admission.holding() as held:
                body = await self._predict(
                    request,
                    (name, version, label),
                    start + self._timeout,
                    held,
                )
                code = "OK"
                self._metrics.observe(
                    metrics_lib.REQUEST_LATENCY,
                    1e6 * (time.monotonic() - start),
                    model_name=name,
                    API="predict",
                    entrypoint="REST",
                )
                return await self._send(request, body)
        except StatusError as error:
            code = error.code
            raise
        except web.HTTPRequestEntityTooLarge:
            code = "INVALID_ARGUMENT"
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.count(
                metrics_lib.REQUEST_COUNT,
                model_name=self._known(name),
                status=code,
            )

    async def _send(self, request, body):
        """Returns a response that is on its way.

        It is sent here, while it is counted: a client that does not read would
        leave it in memory.
        """
        response = web.Response(
            body=body, content_type="application/json", headers=self._cors
        )
        try:
            async with asyncio.timeout(self._timeout):
                await response.prepare(request)
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            if request.transport:
                request.transport.abort()
        return response

    def _known(self, name):
        # Names that clients make up would fill the memory.
        return name if name in self._manager.names() else ""

    async def _read(self, request, held):
        """Returns the body; every part is counted."""
        if (request.content_length or 0) > self._max_bytes:
            raise web.HTTPRequestEntityTooLarge(
                self._max_bytes, request.content_length
            )
        body = bytearray()
        try:
            async for part in request.content.iter_any():
                if len(body) + len(part) > self._max_bytes:
                    raise web.HTTPRequestEntityTooLarge(
                        self._max_bytes, len(body) + len(part)
                    )
                held.grow(len(part))
                body += part
        except (ConnectionError, ClientError) as error:
            raise StatusError("CANCELLED", "The client has gone.") from error
        return bytes(body)

    async def _predict(self, request, spec, deadline, held):
        encoding = request.headers.get("Content-Encoding", "")
        async with _time_limit(deadline):
            body = await self._read(request, held)
            if "gzip" in encoding:
                body = await run_in(self._pool, _guarded, _inflate, body)
                held.become(len(body))
            is_large = len(body) > _LARGE
            async with (
                self._large_ones if is_large else contextlib.nullcontext()
            ):
                future, is_row = await run_in(
                    self._pool,
                    _guarded,
                    self._parse_and_submit,
                    body,
                    spec,
                    deadline,
                    held,
                    drop=lambda result: result[0].cancel(),
                )
            del body
        try:
            async with asyncio.timeout(max(0, deadline - time.monotonic())):
                outputs = await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._scheduler.give_up(future) from None
        held.become(array_bytes(outputs))
        async with _time_limit(deadline):
            body = await run_in(
                self._pool,
                _guarded,
                json_tensors.write_outputs,
                outputs,
                is_row,
            )
        held.become(len(body))
        return body

    def _parse_and_submit(self, body, spec, deadline, held):
        """Reads a body and puts the request into the queue.

        Returns:
            The future of the outputs, and whether they are wanted in row form.
        """
        document = json_tensors.parse(body)
        servable = self._manager.acquire(*spec)
        try:
            signature_name = document.signature_name or DEFAULT_SIGNATURE
            signature = servable.signature(signature_name)
            if signature is None:
                raise StatusError(
                    "INVALID_ARGUMENT",
                    f'Serving signature name: "{signature_name}" not found in '
                    "signature def",
                )
            inputs, is_row = document.read_inputs(
                {
                    name: tf.dtypes.as_dtype(info.dtype)
                    for name, info in signature.inputs.items()
                }
            )
            held.become(array_bytes(inputs))
        except BaseException:
            servable.release()
            raise
        future = self._scheduler.submit(
            servable, signature_name, inputs, None, deadline
        )
        return future, is_row


@contextlib.asynccontextmanager
async def _time_limit(deadline):
    """Context that a StatusError ends at a time by `time.monotonic`."""
    try:
        async with asyncio.timeout(max(0, deadline - time.monotonic())):
            yield
    except TimeoutError:
        raise StatusError(
            "DEADLINE_EXCEEDED", "Timed out waiting for notification"
        ) from None


def _guarded(function, *arguments):
    """Calls a function; what it should not raise becomes INTERNAL."""
    try:
        return function(*arguments)
    except StatusError:
        raise
    except MemoryError:
        raise StatusError("RESOURCE_EXHAUSTED", "Out of memory.") from None
    except Exception as error:
        logging.exception("A request failed.")
        raise StatusError("INTERNAL", "Internal error.") from error


def _spec(match):
    name, version, label = match["name"], match["version"], match["label"]
    return (
        urllib.parse.unquote(name),
        # Digits beyond the largest's are not read: they take long.
        None if version is None else int(version.lstrip("0")[:20] or 0),
        None if label is None else urllib.parse.unquote(label),
    )


def _inflate(body):
    """Returns the body that was packed; nothing if it was not, or is huge."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, _MAX_INFLATED)
    except zlib.error:
        return b""
    return inflated if inflater.eof else b""


def _metadata(servable):
    signatures = {
        name: json_format.MessageToDict(
            signature,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, signature in servable.signature_defs.items()
    }
    return {
        "model_spec": {
            "name": servable.name,
            "signature_name": "",
            "version": str(servable.version),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _json_response(value, status=200):
    return web.Response(
        body=json.dumps(value).encode(),
        status=status,
        content_type="application/json",
    )


def _error_response(error, method):
    if method == "HEAD":
        return web.Response(
            status=error.http_status, content_type="application/json"
        )
    text = json.dumps({"error": error.message}, ensure_ascii=False)
    return web.Response(
        # Bytes of a request that are not UTF-8 come back as they were.
        body=text.encode(errors="surrogateescape"),
        status=error.http_status,
        content_type="application/json",
    )


def _page(names):
    """Returns the page about the models of these names."""
    place, end = '<script type="application/json" id="names">', "</script>"
    # A name with </script> in it must not end the element.
    text = json.dumps(names).replace("<", "\\u003c")
    return _template().replace(f"{place}[]{end}", f"{place}{text}{end}")


@functools.cache
def _template():
    folder = importlib.resources.files(__package__)
    return folder.joinpath("page.html").read_text(encoding="utf-8")
