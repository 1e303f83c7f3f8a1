"""Keeps the requests that are held in memory within a bound."""

import contextlib

from oasis_tf.serving.status import StatusError


class Admission:
    """Counts requests in memory. For one asyncio loop.

    Args:
        max_bytes: of the requests at a time.
        max_requests: at a time.
    """

    def __init__(self, max_bytes, max_requests):
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._num_bytes = 0
        self.num_requests = 0

    @contextlib.contextmanager
    def holding(self, num_bytes):
        """Context in which a request of so many bytes is in memory.

        Raises:
            StatusError: if there is no room for it.
        """
        self.check_room(num_bytes)
        self._num_bytes += num_bytes
        self.num_requests += 1
        try:
            yield
        finally:
            self._num_bytes -= num_bytes
            self.num_requests -= 1

    def check_room(self, num_bytes):
        """Raises a StatusError if a request of so many bytes has no room."""
        if (
            self._num_bytes + num_bytes > self._max_bytes
            or self.num_requests >= self._max_requests
        ):
            raise StatusError(
                "UNAVAILABLE",
                f"The server is busy: it holds {self.num_requests} requests "
                f"of {self._num_bytes} bytes, at most {self._max_requests} of "
                f"{self._max_bytes}",
            )
