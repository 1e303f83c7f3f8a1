"""The way to a model server over HTTP, with connections that are kept."""

import base64
import collections
import contextlib
import http.client
import json
import math
import ssl
import time
import urllib.parse

import numpy as np

from oasis_tf.serving.transports import Transport
from oasis_tf.serving.transports import VersionStatus

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",  # A proxy's that does not reach the server.
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NAME_BYTES = 64  # The name of a value, and what stands around it.
_NUMBER_BYTES = len("-1.2345678901234567e-05,")
_PIXEL_VALUE_BYTES = 6  # TF Serving puts spaces between them.
_CHUNK_BYTES = 2**16


class RestTransport(Transport):
    """See `Transport`."""

    def __init__(self, address, max_message_bytes, certificates):
        super().__init__(address, max_message_bytes, certificates)
        self._tls = certificates.context() if address.has_tls else None
        # As many as there were threads asking at a time. A deque's methods may
        # be called from all of them.
        self._idle = collections.deque()
        self._is_closed = False

    def predict(self, model, signature, rows, seconds):
        document = {
            "signature_name": signature,
            "instances": [
                {name: _to_json(value) for name, value in row.items()}
                for row in rows
            ],
        }
        path = f"{self._path(model)}:predict"
        answer = self._ask("POST", path, document, seconds)
        try:
            return [_from_json(value) for value in answer["predictions"]]
        except (KeyError, TypeError, ValueError):
            raise self.unknown_answer(answer) from None

    def status(self, model, seconds):
        answer = self._ask("GET", self._path(model), None, seconds)
        try:
            return [
                VersionStatus(
                    int(version["version"]),
                    version["state"],
                    version["status"]["error_code"],
                    version["status"]["error_message"],
                )
                for version in answer["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError):
            raise self.unknown_answer(answer) from None

    def row_bytes(self, row):
        num_bytes = _NAME_BYTES * len(row)
        for value in row.values():
            if isinstance(value, bytes):
                num_bytes += 4 * math.ceil(len(value) / 3)
            else:
                num_bytes += _NUMBER_BYTES * np.size(value)
        return num_bytes

    def answer_bytes(self, num_values):
        return _NAME_BYTES + _PIXEL_VALUE_BYTES * num_values

    def close(self):
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _path(self, model):
        path = f"{self.address.path}/v1/models/{_quote(model.name)}"
        if model.version is not None:
            path += f"/versions/{model.version}"
        elif model.label is not None:
            path += f"/labels/{_quote(model.label)}"
        return path

    def _ask(self, method, path, document, seconds):
        """Returns the JSON document that answers another, or none."""
        deadline = None if seconds is None else time.monotonic() + seconds
        body = None
        if document is not None:
            body = json.dumps(document, separators=(",", ":")).encode()
        try:
            status, answer = self._exchange(method, path, body, deadline)
        except (OSError, http.client.IncompleteRead) as error:
            # A timeout with a number is the system's, which gave up sooner.
            if isinstance(error, TimeoutError) and error.errno is None:
                code, message = "DEADLINE_EXCEEDED", "Deadline exceeded"
            else:
                code, message = "UNAVAILABLE", f"No connection: {error}"
            raise self.error(code, message) from error
        except http.client.HTTPException as error:
            raise self.unknown_answer(repr(error)) from error
        try:
            document = json.loads(answer)
        except ValueError:
            document = None
        if status != http.HTTPStatus.OK:
            message = f"HTTP status {status}"
            if isinstance(document, dict) and "error" in document:
                message = document["error"]
            raise self.error(_CODES.get(status, "UNKNOWN"), message)
        if document is None:
            raise self.unknown_answer(answer)
        return document

    def _exchange(self, method, path, body, deadline):
        """Returns the HTTP status and the body of an answer."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._new_connection()
        is_kept = connection.sock is not None
        request = connection, method, path, body, deadline
        try:
            try:
                result = self._exchange_over(*request)
            except (ConnectionError, ssl.SSLError):
                if not is_kept:
                    raise
                # The server has closed it meanwhile.
                connection.close()
                result = self._exchange_over(*request)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:
            self.close()
        return result

    def _new_connection(self):
        host, port = self.address.host, self.address.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, context=self._tls)
        return http.client.HTTPConnection(host, port)

    def _exchange_over(self, connection, method, path, body, deadline):
        connection.timeout = _seconds_to(deadline)
        if connection.sock is None:
            connection.connect()
        # Held, for the connection may let it go before the body is read.
        socket = connection.sock
        socket.settimeout(_seconds_to(deadline))
        headers = {"Content-Type": "application/json"} if body else {}
        # A server that refuses a large body may have answered before its end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, headers)
        with connection.getresponse() as response:
            chunks, num_bytes = [], 0
            while not response.isclosed():
                socket.settimeout(_seconds_to(deadline))
                chunk = response.read1(_CHUNK_BYTES)
                if not chunk:
                    break
                chunks.append(chunk)
                num_bytes += len(chunk)
                if num_bytes > self.max_message_bytes:
                    raise self.error(
                        "RESOURCE_EXHAUSTED",
                        "Received message larger than max "
                        f"({self.max_message_bytes} bytes)",
                    )
            if response.length:
                raise ConnectionError("The answer was cut off.")
            return response.status, b"".join(chunks)


def _seconds_to(deadline):
    """Returns the seconds until a time; None for no such time.

    Raises:
        TimeoutError: if it is over.
    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _quote(name):
    return urllib.parse.quote(name, safe="")


def _to_json(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _from_json(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else np.asarray(value)
