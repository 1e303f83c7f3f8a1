"""Status codes: what went wrong with a request, for gRPC and for HTTP."""

import grpc

_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class StatusError(Exception):
    """A request that cannot be answered.

    Args:
        code: name of the status code: "INVALID_ARGUMENT", "NOT_FOUND", ...
        message: for the client.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self):
        return f"{self.code}: {self.message}"

    @property
    def http_status(self):
        """The HTTP status that stands for the code."""
        return _HTTP_STATUS.get(self.code, 500)

    @property
    def grpc_code(self):
        """The `grpc.StatusCode`."""
        return grpc.StatusCode[self.code]
