"""Keeps what is held in memory for requests within a bound."""

import contextlib
import threading

from oasis_tf.serving.status import StatusError


class Admission:
    """Counts requests in memory, from any thread.

    Args:
        max_bytes: of the requests, or their answers, at a time.
        max_requests: at a time.
    """

    def __init__(self, max_bytes, max_requests):
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._num_bytes = 0
        self._num_requests = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def holding(self, num_bytes=0):
        """Context in which a request is in memory.

        Args:
            num_bytes: that it takes.

        Yields:
            `Held`, to tell how it grows.

        Raises:
            StatusError: if there is no room for it.
        """
        held = self._enter()
        try:
            held.grow(num_bytes)
            yield held
        finally:
            self._leave(held)

    def _enter(self):
        with self._lock:
            if self._num_requests >= self._max_requests:
                raise self._busy()
            self._num_requests += 1
        return Held(self)

    def _leave(self, held):
        with self._lock:
            self._num_requests -= 1
            self._num_bytes -= held.num_bytes
            held.is_over = True

    def resize(self, held, num_bytes):
        """Takes other bytes for a request; see `Held`."""
        with self._lock:
            if held.is_over:
                raise StatusError("CANCELLED", "The client has gone.")
            more = num_bytes - held.num_bytes
            if more > 0 and self._num_bytes + more > self._max_bytes:
                raise self._busy()
            self._num_bytes += more
            held.num_bytes = num_bytes

    def _busy(self):
        return StatusError(
            "UNAVAILABLE",
            f"The server is busy: it holds {self._num_requests} requests of "
            f"{self._num_bytes} bytes, at most {self._max_requests} of "
            f"{self._max_bytes}",
        )


class Held:
    """The share of a request.

    Attributes:
        num_bytes: that it takes.
        is_over: whether it is done.
    """

    def __init__(self, admission):
        self._admission = admission
        self.num_bytes = 0
        self.is_over = False

    def grow(self, num_bytes):
        """Takes so many bytes more.

        Raises:
            StatusError: if there is no room for them, or the request is done.
        """
        self._admission.resize(self, self.num_bytes + num_bytes)

    def become(self, num_bytes):
        """Takes so many bytes from now on: another form of the same request.

        Raises:
            StatusError: as `grow` does.
        """
        self._admission.resize(self, num_bytes)


def array_bytes(arrays):
    """Returns the bytes of a dict of arrays, with those of their strings."""
    return sum(
        array.nbytes + sum(map(len, array.flat))
        if array.dtype == object
        else array.nbytes
        for array in arrays.values()
    )
