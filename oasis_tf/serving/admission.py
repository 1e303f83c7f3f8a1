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
        self._num_requests = 0

    @contextlib.contextmanager
    def holding(self, num_bytes=0):
        """Context in which a request of so many bytes is in memory.

        Yields:
            Function of a number of bytes, by which the request has grown. It
            raises a StatusError, too, if there is no room.

        Raises:
            StatusError: if there is no room for it.
        """
        if self._num_requests >= self._max_requests:
            raise self._busy()
        held = 0

        def grow(more):
            nonlocal held
            if self._num_bytes + more > self._max_bytes:
                raise self._busy()
            self._num_bytes += more
            held += more

        grow(num_bytes)
        self._num_requests += 1
        try:
            yield grow
        finally:
            self._num_bytes -= held
            self._num_requests -= 1

    def _busy(self):
        return StatusError(
            "UNAVAILABLE",
            f"The server is busy: it holds {self._num_requests} requests of "
            f"{self._num_bytes} bytes, at most {self._max_requests} of "
            f"{self._max_bytes}",
        )
