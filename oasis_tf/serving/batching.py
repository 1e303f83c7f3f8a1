"""Queues in front of the models; requests of one size run as one batch."""

import collections
import dataclasses
import os
import threading
import time
from concurrent import futures

import numpy as np

from oasis_tf.serving import metrics as metrics_lib
from oasis_tf.serving.status import StatusError

_UNBATCHED_QUEUE = 1000
_IN_QUEUE = "Run() timeout exceeded while waiting in batching queue"
_RUNNING = "Timed out waiting for notification"
_OF_ALL = ("DEADLINE_EXCEEDED", "CANCELLED")
"""Errors of a batch that are no member's own."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """How requests are queued and joined. The defaults are TF Serving's.

    Args:
        is_joining: whether several requests may run as one batch.
        max_batch_size: rows of a batch, and of a request, at most.
        batch_timeout_micros: how long a batch waits to become full.
        max_enqueued_batches: waiting batches of a signature, at most.
        num_batch_threads: batches that run at a time.
        allowed_batch_sizes: a batch is filled up to one of these sizes; empty
            for any.
    """

    is_joining: bool = False
    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple = ()

    @classmethod
    def from_message(cls, message):
        """Returns what a `BatchingParameters` message says.

        Raises:
            ValueError: for a field that is not supported, or one that does not
                fit the others.
        """
        for name in (
            "enable_large_batch_splitting",
            "max_execution_batch_size",
        ):
            if message.HasField(name) and getattr(message, name).value:
                raise ValueError(
                    f"The batching parameter `{name}` must be left out: the "
                    "local server does not support it."
                )
        if message.pad_variable_length_inputs:
            raise ValueError(
                "The batching parameter `pad_variable_length_inputs` must be "
                "left out: a padded label map is another picture."
            )
        given = {
            name: getattr(message, name).value
            for name in (
                "max_batch_size",
                "batch_timeout_micros",
                "max_enqueued_batches",
                "num_batch_threads",
            )
            if message.HasField(name)
        }
        parameters = cls(
            is_joining=True,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            **given,
        )
        parameters._check()
        return parameters

    def _check(self):
        for name in (
            "max_batch_size",
            "max_enqueued_batches",
            "num_batch_threads",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be positive; was {getattr(self, name)}"
                )
        if self.batch_timeout_micros < 0:
            raise ValueError(
                "batch_timeout_micros must be non-negative; was "
                f"{self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError(
                "Last entry in allowed_batch_sizes must match max_batch_size; "
                f"last entry was {sizes[-1]}; expected {self.max_batch_size}"
            )
        if list(sizes) != sorted(set(sizes)) or min(sizes, default=1) < 1:
            raise ValueError(
                "allowed_batch_sizes entries must be monotonically increasing"
            )


class _Task:
    """A request in the queue."""

    def __init__(
        self, servable, signature_name, inputs, output_names, deadline
    ):
        self.servable = servable
        self.signature_name = signature_name
        self.inputs = inputs
        self.output_names = output_names
        self.deadline = deadline  # By time.monotonic, or None.
        self.enqueued = time.monotonic()
        self.future = futures.Future()
        self.size = 1

    @property
    def queue_key(self):
        return (
            id(self.servable),
            self.signature_name,
            tuple(self.output_names or ()),
        )

    @property
    def group_key(self):
        # Other dimensions or dtypes are another batch.
        shapes = [
            (name, array.dtype.str, array.shape[1:])
            for name, array in sorted(self.inputs.items())
        ]
        return (*self.queue_key, tuple(shapes))

    def seconds_left(self):
        """Returns the time limit of a run, or None.

        Raises:
            StatusError: if it is over.
        """
        if self.is_late():
            raise StatusError("DEADLINE_EXCEEDED", _RUNNING)
        if self.deadline is None:
            return None
        return self.deadline - time.monotonic()

    def is_late(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def finish(self, result):
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)
        self.release()

    def release(self):
        """Lets go of the model and of the arrays."""
        self.servable.release()
        self.inputs = {}


class Scheduler:
    """Runs requests, in the order they came, on a few threads.

    Args:
        parameters: `Parameters`.
        metrics: `Metrics`.
    """

    def __init__(self, parameters, metrics):
        self._parameters = parameters
        self._metrics = metrics
        self._groups = collections.OrderedDict()  # group key -> deque of tasks
        self._changed = threading.Condition()
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, servable, signature_name, inputs, output_names, deadline):
        """Puts a request into the queue.

        Args:
            servable: acquired `Servable`, released when the request is done.
            signature_name, inputs, output_names: as for `Servable.run`.
            deadline: by `time.monotonic`, or None.

        Returns:
            `concurrent.futures.Future` of the outputs; raises StatusError.

        Raises:
            StatusError: if it is refused; then the servable is released.
        """
        task = _Task(servable, signature_name, inputs, output_names, deadline)
        try:
            if self._parameters.is_joining:
                task.size = self._batch_size(inputs)
            with self._changed:
                self._check_room(task)
                group = self._groups.setdefault(
                    task.group_key, collections.deque()
                )
                group.append(task)
                self._changed.notify()
        except StatusError:
            servable.release()
            raise
        task.future.add_done_callback(lambda _: self._drop_if_cancelled(task))
        return task.future

    def _drop_if_cancelled(self, task):
        if not task.future.cancelled():
            return
        with self._changed:
            key = task.group_key
            group = self._groups.get(key, ())
            if task not in group:
                return  # A thread has it, and releases it.
            group.remove(task)
            if not group:
                del self._groups[key]
        task.release()

    def give_up(self, future):
        """Takes a request whose time is over from the queue.

        Args:
            future: that `submit` returned.

        Returns:
            `StatusError` for the client.
        """
        if future.cancel():
            return self._late_in_queue()
        return StatusError("DEADLINE_EXCEEDED", _RUNNING)

    def _late_in_queue(self):
        if self._parameters.is_joining:
            return StatusError("RESOURCE_EXHAUSTED", _IN_QUEUE)
        # TF Serving has no queue without batching.
        return StatusError("DEADLINE_EXCEEDED", _RUNNING)

    def close(self):
        """Ends the threads when the queue is empty."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _batch_size(self, inputs):
        if any(array.ndim == 0 for array in inputs.values()):
            raise StatusError(
                "INVALID_ARGUMENT",
                "Batching Run() input tensors must have at least one dimension",
            )
        sizes = {len(array) for array in inputs.values()}
        if len(sizes) > 1:
            raise StatusError(
                "INVALID_ARGUMENT",
                "Batching Run() input tensors must have equal 0th-dimension "
                "size",
            )
        size = sizes.pop() if sizes else 1
        limit = self._parameters.max_batch_size
        if size > limit:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Task size {size} is larger than maximum input batch size "
                f"{limit}",
            )
        return size

    def _check_room(self, task):
        if self._is_closing:
            raise StatusError("UNAVAILABLE", "The server is shutting down.")
        limit = self._parameters.max_enqueued_batches
        if not self._parameters.is_joining:
            limit = _UNBATCHED_QUEUE
        waiting = sum(
            self._num_batches(group)
            for key, group in self._groups.items()
            if key[:3] == task.queue_key
        )
        group = self._groups.get(task.group_key, ())
        fits = self._parameters.is_joining and self._fits_last(group, task.size)
        if waiting + (not fits) > limit:
            raise StatusError(
                "UNAVAILABLE",
                "The batch scheduling queue to which this task was submitted "
                f"is full; currently {waiting} batches enqueued and "
                f"max_enqueued_batches is {limit}",
            )

    def _split(self, tasks):
        """Returns the sizes of the batches that tasks make, in their order."""
        sizes = []
        for task in tasks:
            if sizes and self._joins(sizes[-1], task.size):
                sizes[-1] += task.size
            else:
                sizes.append(task.size)
        return sizes

    def _joins(self, size, more):
        parameters = self._parameters
        return (
            parameters.is_joining and size + more <= parameters.max_batch_size
        )

    def _num_batches(self, group):
        return len(self._split(group))

    def _fits_last(self, group, size):
        sizes = self._split(group)
        return bool(sizes) and self._joins(sizes[-1], size)

    def _work(self):
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            self._run(batch)
            del batch  # Its arrays, before the next one comes.

    def _next_batch(self):
        """Returns the tasks of the next batch; None when it is time to end."""
        with self._changed:
            while True:
                key, seconds = self._due()
                if key is not None and seconds <= 0:
                    return self._pop(key)
                if key is None and self._is_closing:
                    return None
                self._changed.wait(seconds)

    def _due(self):
        """Returns the group whose batch is due first, and in how long."""
        now = time.monotonic()
        first = None, None
        for key, group in self._groups.items():
            wait = self._parameters.batch_timeout_micros / 1e6
            seconds = group[0].enqueued + wait - now
            if (
                not self._parameters.is_joining
                or self._is_closing
                or self._num_batches(group) > 1
                or self._split(group)[0] >= self._parameters.max_batch_size
            ):
                seconds = min(seconds, group[0].enqueued - now)
            if first[0] is None or seconds < first[1]:
                first = key, seconds
        return first

    def _pop(self, key):
        group = self._groups[key]
        tasks = [group.popleft()]
        size = tasks[0].size
        while group and self._joins(size, group[0].size):
            tasks.append(group.popleft())
            size += tasks[-1].size
        if not group:
            del self._groups[key]
        return tasks

    def _run(self, tasks):
        ready = []
        for task in tasks:
            if not task.future.set_running_or_notify_cancel():
                task.release()  # The client has gone.
            elif task.is_late():
                self._finish(task, self._late_in_queue())
            else:
                ready.append(task)
        if not ready:
            return
        if not self._parameters.is_joining:
            self._finish(ready[0], _result(self._run_singly, ready[0]))
            return
        for task in ready:
            self._metrics.observe(
                metrics_lib.QUEUING_LATENCY,
                1e6 * (time.monotonic() - task.enqueued),
            )
        for task, result in zip(ready, self._run_joined(ready), strict=True):
            self._finish(task, result)

    def _run_joined(self, tasks):
        """Returns the outputs, or the error, of each of some tasks.

        One bad request must not fail the others: where a batch fails, its
        halves are run apart.
        """
        results = _result(self._run_together, tasks)
        if not isinstance(results, Exception):
            return results
        if len(tasks) == 1 or results.code in _OF_ALL:
            return [results] * len(tasks)
        middle = len(tasks) // 2
        return self._run_joined(tasks[:middle]) + self._run_joined(
            tasks[middle:]
        )

    def _finish(self, task, result):
        if not isinstance(result, Exception):
            self._metrics.observe(
                metrics_lib.RUNTIME_LATENCY,
                1e6 * (time.monotonic() - task.enqueued),
                model_name=task.servable.name,
                API="Predict",
                runtime="TF1",
            )
        task.finish(result)

    def _run_singly(self, task):
        return task.servable.run(
            task.signature_name,
            task.inputs,
            task.output_names,
            task.seconds_left(),
        )

    def _run_together(self, tasks):
        """Returns the outputs of each of some tasks of one group."""
        first = tasks[0]
        sizes = [task.size for task in tasks]
        total = sum(sizes)
        padding = self._padded_size(total) - total
        inputs = {}
        for name in first.inputs:
            parts = [task.inputs[name] for task in tasks]
            if padding:
                parts.append(np.repeat(parts[0][:1], padding, axis=0))
            inputs[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._metrics.observe(metrics_lib.INPUT_BATCH_SIZE, total)
        self._metrics.observe(metrics_lib.PROCESSED_BATCH_SIZE, total + padding)
        self._metrics.observe(metrics_lib.PADDING_SIZE, padding)
        left = [task.seconds_left() for task in tasks]
        outputs = first.servable.run(
            first.signature_name,
            inputs,
            first.output_names,
            None if None in left else max(left),
        )
        for array in outputs.values():
            _check_output(array, total + padding)
        ends = np.cumsum(sizes)
        return [
            # Copies: no answer holds the whole batch in memory.
            {
                name: array[end - n : end].copy()
                for name, array in outputs.items()
            }
            for n, end in zip(sizes, ends, strict=True)
        ]

    def _padded_size(self, size):
        allowed = self._parameters.allowed_batch_sizes
        return next((n for n in allowed if n >= size), size)


def _result(function, argument):
    """Returns a function's result, or the StatusError that it raises."""
    try:
        return function(argument)
    except StatusError as error:
        return error.with_traceback(None)  # Which holds the arrays.
    except MemoryError:
        return StatusError("RESOURCE_EXHAUSTED", "Out of memory.")
    except Exception as error:  # A thread that ends would end the service.
        return StatusError("INTERNAL", f"{type(error).__name__}")


def _check_output(array, size):
    if array.ndim == 0:
        raise StatusError(
            "INVALID_ARGUMENT", "Batched output tensor has 0 dimensions"
        )
    if len(array) != size:
        raise StatusError(
            "INVALID_ARGUMENT",
            "Batched output tensor's 0th dimension does not equal the sum of "
            "the 0th dimension sizes of the input tensors",
        )
