"""How requests are joined, with a servable that only notes what it runs."""

import threading
import time

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from google.protobuf import text_format

from oasis_tf.serving import messages
from oasis_tf.serving.batching import Parameters
from oasis_tf.serving.batching import Scheduler
from oasis_tf.serving.metrics import Metrics
from oasis_tf.serving.status import StatusError

PATIENCE = 60  # Seconds.
FULL = (
    "The batch scheduling queue to which this task was submitted is full; "
    "currently {0} batches enqueued and max_enqueued_batches is {0}"
)
BAD = -1


class FakeServable:
    """Doubles `x`; refuses batches with a `BAD` row.

    Attributes:
        runs: list of the `x` that came.
        limits: list of the time limits that came.
        num_users: that acquired it and did not release it yet.
        gate: `threading.Event` that every run waits for.
        is_running: `threading.Event`, set by the first run.
    """

    name = "fake"

    def __init__(self):
        self.runs = []
        self.limits = []
        self.num_users = 0
        self.gate = threading.Event()
        self.is_running = threading.Event()
        self.finish = lambda y: y

    def release(self):
        self.num_users -= 1

    def run(self, signature_name, inputs, output_names, seconds):
        self.is_running.set()
        assert self.gate.wait(PATIENCE)
        x = inputs["x"]
        self.runs.append(x)
        self.limits.append(seconds)
        if np.any(x == BAD):
            raise StatusError("INVALID_ARGUMENT", f"Bad: {x.tolist()}")
        return {name: self.finish(2 * x) for name in output_names or ["y"]}


class SchedulerTest(parameterized.TestCase):
    def start(self, **parameters):
        """Starts a scheduler with one thread; it ends with the test."""
        self.servable = FakeServable()
        self.metrics = Metrics()
        parameters = {"is_joining": True, "num_batch_threads": 1} | parameters
        self.scheduler = Scheduler(Parameters(**parameters), self.metrics)
        self.addCleanup(self.scheduler.close)
        self.addCleanup(self.servable.gate.set)

    def start_busy(self, **parameters):
        """Starts one whose thread is busy: what comes later has to queue."""
        self.start(**parameters)
        self.submit([0], signature="busy", output_names=["busy"])
        assert self.servable.is_running.wait(PATIENCE)

    def submit(self, x, signature="s", output_names=None, deadline=None):
        self.servable.num_users += 1
        inputs = {"x": np.asarray(x)}
        return self.scheduler.submit(
            self.servable, signature, inputs, output_names, deadline
        )

    def finish(self):
        """Runs what waits; returns the `x` of each run but the first's."""
        self.servable.gate.set()
        self.scheduler.close()
        return [x.tolist() for x in self.servable.runs[1:]]

    def assert_refused(self, code, message, function, *arguments, **options):
        with self.assertRaises(StatusError) as context:
            function(*arguments, **options)
        self.assertEqual(context.exception.message, message)
        self.assertEqual(context.exception.code, code)

    def assert_failed(self, code, message, future):
        self.assert_refused(code, message, future.result, PATIENCE)

    def test_joins_requests_of_one_size_and_splits_their_answers(self):
        self.start_busy()
        futures = [self.submit(x) for x in ([1], [2, 3], [4])]
        self.assertEqual(self.finish(), [[1, 2, 3, 4]])
        answers = [future.result()["y"].tolist() for future in futures]
        self.assertEqual(answers, [[2], [4, 6], [8]])
        self.assertEqual(self.servable.num_users, 0)

    def test_answers_own_their_memory(self):
        self.start_busy()
        future = self.submit([1])
        self.submit([2])
        self.finish()
        self.assertIsNone(future.result()["y"].base)

    @parameterized.named_parameters(
        ("size", {}, {"x": [[1, 2]]}),
        ("rank", {}, {"x": [[1]]}),
        ("dtype", {}, {"x": [1.0]}),
        ("signature", {}, {"signature": "t"}),
        ("outputs", {"output_names": ["y"]}, {"output_names": ["z"]}),
    )
    def test_never_joins_what_differs_in(self, one, other):
        self.start_busy()
        calls = [{"x": [1]} | one, {"x": [1]} | other] * 2
        futures = [self.submit(**call) for call in calls]
        runs = self.finish()
        self.assertLen(runs, 2)
        self.assertEqual([len(x) for x in runs], [2, 2])
        for future, call in zip(futures, calls, strict=True):
            [y] = future.result().values()
            np.testing.assert_array_equal(y, 2 * np.array(call["x"]))

    def test_never_joins_without_batching(self):
        self.start_busy(is_joining=False)
        futures = [self.submit(x) for x in ([1], [1], 5, [[3]])]
        self.assertEqual(self.finish(), [[1], [1], 5, [[3]]])
        self.assertEqual(futures[2].result()["y"], 10)

    def test_batches_have_a_largest_size(self):
        self.start_busy(max_batch_size=3)
        for x in ([1], [2], [3, 3], [4, 4, 4], [5]):
            self.submit(x)
        self.assertEqual(self.finish(), [[1, 2], [3, 3], [4, 4, 4], [5]])

    def test_request_over_the_largest_size_is_refused(self):
        self.start(max_batch_size=3)
        self.assert_refused(
            "INVALID_ARGUMENT",
            "Task size 4 is larger than maximum input batch size 3",
            self.submit,
            [1] * 4,
        )
        self.assertEqual(self.servable.num_users, 0)

    @parameterized.parameters(
        (
            {"x": 5},
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            {"x": [1, 2], "z": [1]},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    )
    def test_inputs_need_one_first_axis(self, inputs, message):
        self.start()
        inputs = {name: np.array(x) for name, x in inputs.items()}
        self.servable.num_users += 1
        self.assert_refused(
            "INVALID_ARGUMENT",
            message,
            self.scheduler.submit,
            *(self.servable, "s", inputs, None, None),
        )
        self.assertEqual(self.servable.num_users, 0)

    @parameterized.parameters(
        (np.sum, "Batched output tensor has 0 dimensions"),
        (
            lambda y: y[:1],
            "Batched output tensor's 0th dimension does not equal the sum of "
            "the 0th dimension sizes of the input tensors",
        ),
    )
    def test_outputs_need_the_first_axis(self, finish, message):
        self.start()
        self.servable.finish = finish
        self.servable.gate.set()
        self.assert_failed("INVALID_ARGUMENT", message, self.submit([1, 2]))

    def test_batch_waits_until_it_is_full(self):
        self.start(max_batch_size=2, batch_timeout_micros=10**9)
        self.servable.gate.set()
        first = self.submit([1])
        second = self.submit([2])
        self.assertEqual(second.result(PATIENCE)["y"], [4])
        self.assertTrue(first.done())
        self.assertEqual(self.servable.runs[0].tolist(), [1, 2])

    def test_batch_that_the_next_request_does_not_fit_waits_no_longer(self):
        self.start(max_batch_size=3, batch_timeout_micros=10**9)
        self.servable.gate.set()
        first = self.submit([1, 1])
        second = self.submit([2, 2])
        first.result(PATIENCE)
        self.assertFalse(second.done())

    def test_batch_that_stays_small_runs_after_its_timeout(self):
        self.start(batch_timeout_micros=50_000)
        self.servable.gate.set()
        start = time.monotonic()
        self.submit([1]).result(PATIENCE)
        self.assertGreaterEqual(time.monotonic() - start, 0.05)

    def test_end_does_not_wait_for_a_timeout(self):
        self.start(batch_timeout_micros=10**9)
        self.servable.gate.set()
        future = self.submit([1])
        self.scheduler.close()
        self.assertTrue(future.done())
        self.assert_refused(
            "UNAVAILABLE", "The server is shutting down.", self.submit, [1]
        )

    @parameterized.parameters((1, 1), (2, 4), (3, 4), (4, 4), (5, 8), (8, 8))
    def test_fills_up_to_an_allowed_size_with_copies(self, num_rows, size):
        self.start(max_batch_size=8, allowed_batch_sizes=(1, 4, 8))
        self.servable.gate.set()
        rows = np.arange(2 * num_rows).reshape(num_rows, 2)
        answer = self.submit(rows).result(PATIENCE)
        np.testing.assert_array_equal(answer["y"], 2 * rows)
        [run] = self.servable.runs
        self.assertLen(run, size)
        for row in run[num_rows:]:
            self.assertIn(row.tolist(), rows.tolist())

    def test_bad_request_does_not_fail_the_others(self):
        self.start_busy()
        futures = [self.submit(x) for x in ([1], [BAD], [2])]
        self.finish()
        answers = [futures[i].result()["y"].tolist() for i in (0, 2)]
        self.assertEqual(answers, [[2], [4]])
        self.assert_failed("INVALID_ARGUMENT", "Bad: [-1]", futures[1])
        self.assertEqual(self.servable.num_users, 0)

    def test_bad_request_is_found_by_halves(self):
        self.start_busy()
        futures = [self.submit([i if i != 37 else BAD]) for i in range(64)]
        runs = self.finish()
        # All, and two halves of each of 64, 32, ..., 2 rows.
        self.assertLen(runs, 1 + 2 * 6)
        self.assert_failed("INVALID_ARGUMENT", "Bad: [-1]", futures[37])
        answers = [f.result()["y"].item() for f in futures if f != futures[37]]
        self.assertEqual(answers, [2 * i for i in range(64) if i != 37])

    def test_error_that_is_no_member_s_own_fails_the_batch_at_once(self):
        self.start_busy()
        futures = [self.submit([i]) for i in range(4)]

        def be_late(_):
            raise StatusError("DEADLINE_EXCEEDED", "Late.")

        self.servable.finish = be_late
        self.assertLen(self.finish(), 1)
        for future in futures:
            self.assert_failed("DEADLINE_EXCEEDED", "Late.", future)

    @parameterized.parameters(True, False)
    def test_mistake_in_a_run_ends_no_thread(self, is_joining):
        self.start(is_joining=is_joining)
        self.servable.gate.set()

        def raise_mistake(_):
            raise KeyError("A mistake of ours.")

        self.servable.finish = raise_mistake
        self.assert_failed("INTERNAL", "KeyError", self.submit([1]))
        self.servable.finish = lambda y: y
        self.assertEqual(self.submit([1]).result(PATIENCE)["y"], [2])
        self.assertEqual(self.servable.num_users, 0)

    def test_full_queue_refuses(self):
        self.start_busy(max_enqueued_batches=2, max_batch_size=2)
        for x in ([1, 1], [2]):
            self.submit(x)
        full = "UNAVAILABLE", FULL.format(2)
        self.assert_refused(*full, self.submit, [3, 3])
        # Another shape is another batch of the same queue.
        self.assert_refused(*full, self.submit, [[4]])
        self.submit([2])  # Fits the last batch.
        self.submit([5], signature="t")  # Has a queue of its own.
        self.assertEqual(self.finish(), [[1, 1], [2, 2], [5]])
        self.assertEqual(self.servable.num_users, 0)

    def test_queue_has_a_limit_without_batching_too(self):
        self.start_busy(is_joining=False)
        for _ in range(1000):
            self.submit([1])
        self.assert_refused("UNAVAILABLE", FULL.format(1000), self.submit, [1])

    @parameterized.parameters(
        (
            True,
            "RESOURCE_EXHAUSTED",
            "Run() timeout exceeded while waiting in batching queue",
        ),
        (False, "DEADLINE_EXCEEDED", "Timed out waiting for notification"),
    )
    def test_late_in_the_queue_is_not_run(self, is_joining, code, message):
        self.start_busy(is_joining=is_joining)
        late = self.submit([1], deadline=time.monotonic())
        good = self.submit([2], deadline=time.monotonic() + PATIENCE)
        self.assertEqual(self.finish(), [[2]])
        self.assert_failed(code, message, late)
        self.assertEqual(good.result()["y"], [4])

    @parameterized.parameters(
        (True, "RESOURCE_EXHAUSTED"), (False, "DEADLINE_EXCEEDED")
    )
    def test_given_up_in_the_queue_is_not_run(self, is_joining, code):
        self.start_busy(is_joining=is_joining)
        future = self.submit([1])
        self.assertEqual(self.scheduler.give_up(future).code, code)
        # Nothing of it is left but the run that keeps the thread busy.
        self.assertEqual(self.servable.num_users, 1)
        self.assertEqual(self.finish(), [])
        self.assertEqual(self.servable.num_users, 0)

    @parameterized.parameters(True, False)
    def test_given_up_requests_make_room(self, is_joining):
        self.start_busy(is_joining=is_joining, max_batch_size=1)
        limit = 10 if is_joining else 1000
        given_up = [self.submit([1]) for _ in range(limit)]
        with self.assertRaises(StatusError):
            self.submit([2])
        for future in given_up:
            future.cancel()
        self.submit([3])
        self.assertEqual(self.finish(), [[3]])
        self.assertEqual(self.servable.num_users, 0)
        self.assertEqual(self.servable.num_users, 0)

    @parameterized.parameters(True, False)
    def test_given_up_while_it_runs_exceeds_its_deadline(self, is_joining):
        self.start(is_joining=is_joining)
        future = self.submit([1])
        self.assertTrue(self.servable.is_running.wait(PATIENCE))
        error = self.scheduler.give_up(future)
        self.assertEqual(error.code, "DEADLINE_EXCEEDED")

    def test_batch_runs_as_long_as_the_most_patient_may(self):
        self.start_busy()
        now = time.monotonic()
        for seconds in (50, 100, 70):
            self.submit([1], deadline=now + seconds)
        self.submit([[1]])  # Without a limit.
        self.submit([[1]], deadline=now + 50)
        self.finish()
        _, limit, none = self.servable.limits
        self.assertAlmostEqual(limit, 100, delta=50)
        self.assertGreater(limit, 70)
        self.assertIsNone(none)

    def test_first_come_first_served(self):
        self.start_busy(is_joining=False)
        for i in range(20):
            self.submit([i], signature=f"s{i % 3}")
        self.assertEqual(self.finish(), [[i] for i in range(20)])

    def test_as_many_run_at_a_time_as_there_are_threads(self):
        self.start(is_joining=False, num_batch_threads=3)
        barrier = threading.Barrier(3, timeout=PATIENCE)
        self.servable.gate.set()
        self.servable.finish = lambda y: [barrier.wait(), y][1]
        futures = [self.submit([i]) for i in range(3)]
        # None gets by the barrier before all have come to it.
        answers = [future.result(PATIENCE) for future in futures]
        self.assertLen(answers, 3)
        self.assertFalse(barrier.broken)

    def test_sizes_and_times_are_counted(self):
        self.start_busy(max_batch_size=4, allowed_batch_sizes=(1, 4))
        for x in ([1], [2], [3]):
            self.submit(x)
        self.finish()
        lines = self.metrics.text().splitlines()
        start = ":tensorflow:serving:batching_session:"
        self.assertContainsSubset(
            [
                # Of the busy one and of the batch of three.
                f"{start}input_batch_size_sum{{}} 4",
                f"{start}processed_batch_size_sum{{}} 5",
                f"{start}padding_size_sum{{}} 1",
                f"{start}padding_size_count{{}} 2",
                f"{start}queuing_latency_count{{}} 4",
                ":tensorflow:serving:runtime_latency_count"
                '{model_name="fake",API="Predict",runtime="TF1"} 4',
            ],
            lines,
        )

    def test_many_threads_lose_nothing(self):
        self.start(
            num_batch_threads=4, max_batch_size=4, batch_timeout_micros=200
        )
        self.servable.gate.set()
        self.servable.release = lambda: None  # Not for several threads.
        results = {}

        def ask(first):
            for i in range(first, first + 100):
                shape = [1 + i % 3, 1 + i % 2]
                future = self.submit(np.full(shape, i))
                results[i] = future.result(PATIENCE)["y"], shape

        threads = [
            threading.Thread(target=ask, args=[100 * n]) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertLen(results, 800)
        for i, (y, shape) in results.items():
            np.testing.assert_array_equal(y, np.full(shape, 2 * i))
        self.assertTrue(all(len(x) <= 4 for x in self.servable.runs))


class ParametersTest(parameterized.TestCase):
    def read(self, text):
        message = text_format.Parse(text, messages.BatchingParameters())
        return Parameters.from_message(message)

    def test_defaults_are_those_of_tf_serving(self):
        parameters = self.read("")
        self.assertTrue(parameters.is_joining)
        self.assertEqual(parameters.max_batch_size, 1000)
        self.assertEqual(parameters.batch_timeout_micros, 0)
        self.assertEqual(parameters.max_enqueued_batches, 10)
        self.assertEqual(parameters.allowed_batch_sizes, ())

    def test_reads_a_file_s_message(self):
        parameters = self.read("""
            max_batch_size { value: 8 }
            batch_timeout_micros { value: 0 }
            max_enqueued_batches { value: 16 }
            num_batch_threads { value: 2 }
            thread_pool_name { value: "any" }
            allowed_batch_sizes: 1
            allowed_batch_sizes: 8
            enable_large_batch_splitting { value: false }
            pad_variable_length_inputs: false
        """)
        self.assertEqual(
            parameters,
            Parameters(
                is_joining=True,
                max_batch_size=8,
                max_enqueued_batches=16,
                num_batch_threads=2,
                allowed_batch_sizes=(1, 8),
            ),
        )

    @parameterized.parameters(
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last "
            "entry was 4; expected 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive"),
        ("max_batch_size { }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: -1 }", "num_batch_threads must be"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches must be"),
        ("batch_timeout_micros { value: -1 }", "must be non-negative; was -1"),
        ("pad_variable_length_inputs: true", "another picture"),
        (
            "enable_large_batch_splitting { value: true }",
            "`enable_large_batch_splitting` must be left out",
        ),
        (
            "max_execution_batch_size { value: 4 }",
            "`max_execution_batch_size` must be left out",
        ),
    )
    def test_what_does_not_fit_is_refused(self, text, message):
        with self.assertRaisesRegex(ValueError, message):
            self.read(text)


if __name__ == "__main__":
    absltest.main()
