"""Calls of a client: their deadline, their retries, their batches."""

import dataclasses
import itertools
import math
import numbers
import random
import time

from oasis_tf.serving.transports import ServingError
from oasis_tf.serving.transports import check_whole

_FIRST_PAUSE = 0.25  # Seconds before a retry; each further one waits twice it.
_LONGEST_PAUSE = 5
_PIXELS = 256 * 256  # Of a picture that `max_batch_size` counts as one.
_REQUEST_BYTES = 1024  # What is in a request beside the rows.


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a call may take; see `Client`.

    Raises:
        ValueError: if one is not as it must be.
    """

    timeout: float | None
    retries: int
    max_batch_size: int
    max_message_bytes: int

    def __post_init__(self):
        is_time = isinstance(self.timeout, numbers.Real) and self.timeout > 0
        if self.timeout is not None and not is_time:
            raise ValueError(
                "`timeout` must be seconds, more than 0, or None. Received: "
                f"{self.timeout!r}."
            )
        check_whole("retries", self.retries, 0)
        check_whole("max_batch_size", self.max_batch_size, 1)
        check_whole("max_message_bytes", self.max_message_bytes, 1)


class Call:
    """A call of one of the client's methods; its time begins to run.

    Args:
        transport: `Transport`.
        limits: `Limits`.
    """

    def __init__(self, transport, limits):
        self._transport = transport
        self._limits = limits
        self._end = time.monotonic() + (limits.timeout or math.inf)

    def status(self, model):
        """Does as `Transport.status`."""
        return self._ask(self._transport.status, model)

    def predict(self, model, signature, rows, num_pixels=1, max_pixels=None):
        """Asks a model, with as many rows at a time as the limits allow.

        Args:
            model: `ModelSpec`.
            signature: name of one with a single output.
            rows: list of examples of one shape; see `Transport`.
            num_pixels: of the output of one row.
            max_pixels: which the model takes at a time.

        Returns:
            list of bytes or arrays: the output for each row, in their order.

        Raises:
            ValueError: if there is no row, or one that no message can hold.
            ServingError: if there is no answer.
        """
        self._check(rows)
        most = min(
            self._limits.max_batch_size,
            self._limits.max_batch_size * _PIXELS // num_pixels,
            (max_pixels or num_pixels * len(rows)) // num_pixels,
            self._limits.max_message_bytes
            // self._transport.answer_bytes(3 * num_pixels),
        )
        outputs = []
        for batch in self._batches(rows, most):
            outputs += self._ask(
                self._transport.predict, model, signature, batch
            )
        if len(outputs) != len(rows):
            raise self._transport.unknown_answer(f"{len(outputs)} outputs")
        return outputs

    def _check(self, rows):
        if not rows:
            raise ValueError("Seeds must be one or more. Received: none.")
        limit = self._limits.max_message_bytes
        needed = max(map(self._transport.row_bytes, rows)) + _REQUEST_BYTES
        if needed > limit:
            raise ValueError(
                f"`max_message_bytes` must be at least {needed} for what is "
                f"asked. Received: {limit}."
            )

    def _batches(self, rows, most):
        """Yields the rows in parts of at least one and, if it may be, `most`.

        Fewer where a request would become too large.
        """
        batch, num_bytes = [], _REQUEST_BYTES
        for row in rows:
            row_bytes = self._transport.row_bytes(row)
            is_full = (
                len(batch) >= most
                or num_bytes + row_bytes > self._limits.max_message_bytes
            )
            if batch and is_full:
                yield batch
                batch, num_bytes = [], _REQUEST_BYTES
            batch.append(row)
            num_bytes += row_bytes
        yield batch

    def _ask(self, ask, *arguments):
        """Asks, and asks again where the server is unavailable."""
        for attempt in itertools.count():
            seconds = self._end - time.monotonic()
            if seconds <= 0:
                raise self._transport.error(
                    "DEADLINE_EXCEEDED", "Deadline exceeded"
                )
            try:
                return ask(*arguments, None if seconds == math.inf else seconds)
            except ServingError as error:
                # Clients that were refused together come back apart.
                pause = random.uniform(0.5, 1) * min(
                    _FIRST_PAUSE * 2 ** min(attempt, 10), _LONGEST_PAUSE
                )
                if (
                    error.code != "UNAVAILABLE"
                    or attempt >= self._limits.retries
                    or time.monotonic() + pause >= self._end
                ):
                    raise
            time.sleep(pause)
