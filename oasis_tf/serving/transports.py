"""What the ways to a model server, gRPC and REST, have in common."""

import dataclasses
import numbers
import ssl
import urllib.parse

_PORTS = {"grpc": 8500, "grpcs": 8500, "http": 80, "https": 443}
_MAX_SHOWN = 100  # Letters of an answer that is none.


class ServingError(Exception):
    """A request that a server refused, or that did not come through.

    Args:
        code: name of gRPC's status code: "INVALID_ARGUMENT", "UNAVAILABLE", ...
            Codes that share an HTTP status have one name over REST.
        message: what was wrong.
    """

    def __init__(self, code, message):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self):
        return f"{self.code}: {self.message}"


def check_whole(name, value, least):
    """Raises a ValueError unless an argument is an int and large enough."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(
            f"`{name}` must be a whole number, at least {least}. Received: "
            f"{value!r}."
        )


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Which model is asked.

    Args:
        name: of the model.
        version: int, or None.
        label: of a version, or None; without either the newest answers.

    Raises:
        ValueError: if one is none, or both a version and a label are given.
    """

    name: str
    version: int | None
    label: str | None

    def __post_init__(self):
        if self.version is not None:
            check_whole("version", self.version, 0)
            if self.label is not None:
                raise ValueError(
                    "`version` and `label` exclude each other. Received: "
                    f"{self.version} and {self.label!r}."
                )
        for name in (self.name, "any" if self.label is None else self.label):
            if not isinstance(name, str) or not name:
                raise ValueError(
                    "The name of a model and a `label` must be texts that are "
                    f"not empty. Received: {name!r}."
                )


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What a server tells about a version of a model.

    Args:
        version: int.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        error_code: "OK", or why it could not be loaded.
        error_message: the same in words.
    """

    version: int
    state: str
    error_code: str
    error_message: str


@dataclasses.dataclass(frozen=True)
class Certificates:
    """PEM files for TLS.

    Args:
        root: path of the certificates to trust; None for the usual ones.
        client: path of the client's own, where the server wants one.
        key: path of its private key, without a password.
    """

    root: str | None = None
    client: str | None = None
    key: str | None = None

    def context(self):
        """Returns the `ssl.SSLContext`.

        Raises:
            ValueError: if a file is not what it must be.
        """
        if (self.client is None) != (self.key is None):
            raise ValueError(
                "`client_certificate` and `client_key` must go together. "
                f"Received: {self.client!r} and {self.key!r}."
            )
        try:
            context = ssl.create_default_context(cafile=self.root)
        except OSError as error:
            raise ValueError(
                "`root_certificates` must be a PEM file of certificates. "
                f"Received: {str(self.root)!r} ({error})."
            ) from error
        if self.client is None:
            return context
        try:
            # An empty password, or it would be asked for.
            context.load_cert_chain(self.client, self.key, password="")
        except OSError as error:
            raise ValueError(
                "`client_certificate` and `client_key` must be PEM files that "
                f"belong together. Received: {str(self.client)!r} and "
                f"{str(self.key)!r} ({error})."
            ) from error
        return context


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server is.

    Args:
        scheme: "grpc" or "http"; "grpcs" or "https" with TLS.
        host: name or number, without the brackets of IPv6.
        port: int.
        path: of a proxy, in front of REST's own; without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text):
        """Returns the `Address` of a text such as "grpc://host:8500".

        Raises:
            ValueError: if it is none.
        """
        try:
            parts = urllib.parse.urlsplit(text)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError, AttributeError, TypeError):
            raise _no_address(text) from None
        path = parts.path.rstrip("/")
        address = cls(parts.scheme, parts.hostname or "", port, path)
        is_more = "@" in parts.netloc or parts.query or parts.fragment
        if not address.host or is_more or (address.is_grpc and path):
            raise _no_address(text)
        return address

    @property
    def is_grpc(self):
        return self.scheme in ("grpc", "grpcs")

    @property
    def has_tls(self):
        return self.scheme in ("grpcs", "https")

    @property
    def host_and_port(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self):
        return f"{self.scheme}://{self.host_and_port}{self.path}"


def _no_address(text):
    return ValueError(
        "`address` must be like grpc://host:8500 or http://host:8501, or begin "
        f"with grpcs:// or https://. Received: {text!r}."
    )


class Transport:
    """A way to a server; nothing is sent before something is asked.

    A row is one example: a dict of input name -> bytes, int or array. `seconds`
    is the time that is left, or None.

    Args:
        address: `Address`.
        max_message_bytes: of a request or an answer.
        certificates: `Certificates`, where the address is one with TLS.
    """

    def __init__(self, address, max_message_bytes, certificates):
        if not address.has_tls and certificates != Certificates():
            raise ValueError(
                "Certificates must be for an `address` with grpcs:// or "
                f"https://. Received: {str(address)!r}."
            )
        self.address = address
        self.max_message_bytes = max_message_bytes

    def predict(self, model, signature, rows, seconds):
        """Asks a model.

        Args:
            model: `ModelSpec`.
            signature: name of one with a single output.
            rows: list of examples of one shape, at least one.
            seconds: see the class.

        Returns:
            list of bytes or arrays: the output for each row.

        Raises:
            ServingError: if there is no answer.
        """
        raise NotImplementedError

    def status(self, model, seconds):
        """Returns a list of `VersionStatus`; may raise a ServingError."""
        raise NotImplementedError

    def row_bytes(self, row):
        """Returns how much of a request a row may take."""
        raise NotImplementedError

    def answer_bytes(self, num_values):
        """Returns how much of an answer so many values of pixels may take."""
        raise NotImplementedError

    def close(self):
        """Gives the connections back."""
        raise NotImplementedError

    def error(self, code, message):
        """Returns a `ServingError` that says which way, where that matters."""
        if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND"):
            message = f"{self.address}: {message}"
        return ServingError(code, message)

    def unknown_answer(self, answer):
        """Returns the `ServingError` for what a server never answers."""
        answer = str(answer)
        if len(answer) > _MAX_SHOWN:
            answer = answer[:_MAX_SHOWN] + "..."
        return ServingError(
            "UNKNOWN",
            f"{self.address} must answer as TF Serving does. Received: "
            f"{answer}",
        )
