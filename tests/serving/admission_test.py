"""The bound on the requests that a server holds."""

import concurrent.futures

import numpy as np
import pytest

from oasis_tf.serving.admission import Admission
from oasis_tf.serving.admission import array_bytes
from oasis_tf.serving.status import StatusError


def test_room_comes_back_when_a_request_is_done():
    admission = Admission(max_bytes=10, max_requests=1)
    for _ in range(3):
        with admission.holding(10) as held:
            assert held.num_bytes == 10
        assert held.is_over


def test_bytes_beyond_the_bound_are_refused():
    admission = Admission(max_bytes=10, max_requests=5)
    with admission.holding(6):
        with pytest.raises(StatusError, match="6 bytes, at most 5 of 10") as e:
            with admission.holding(5):
                pass
        assert e.value.code == "UNAVAILABLE"
        with admission.holding(4):
            pass


def test_a_request_may_grow_up_to_the_bound():
    admission = Admission(max_bytes=10, max_requests=5)
    with admission.holding() as held:
        held.grow(6)
        held.grow(4)
        with pytest.raises(StatusError, match="busy"):
            held.grow(1)
    with admission.holding(10):
        pass


def test_more_requests_than_the_bound_are_refused():
    admission = Admission(max_bytes=10, max_requests=1)
    with admission.holding(1):
        with pytest.raises(StatusError, match="holds 1 requests"):
            with admission.holding(1):
                pass


def test_a_request_may_become_its_answer():
    admission = Admission(max_bytes=10, max_requests=5)
    with admission.holding(8) as held:
        held.become(3)
        with admission.holding(7):
            with pytest.raises(StatusError, match="busy"):
                held.become(4)
            held.become(3)
    with admission.holding(10):
        pass


def test_a_request_that_is_done_takes_no_more():
    admission = Admission(max_bytes=10, max_requests=5)
    with admission.holding(8) as held:
        pass
    with pytest.raises(StatusError, match="CANCELLED"):
        held.grow(1)  # By a thread that did not hear of it.
    with admission.holding(10):
        pass


def test_refusal_of_the_first_bytes_takes_nothing():
    admission = Admission(max_bytes=10, max_requests=1)
    with pytest.raises(StatusError):
        with admission.holding(11):
            pass
    with admission.holding(10):
        pass


def test_strings_count_with_their_bytes():
    arrays = {
        "text": np.array([b"abc", b"de"], object),
        "x": np.zeros([2, 3], np.float32),
    }
    assert array_bytes(arrays) == 2 * 8 + 5 + 24


def test_threads_lose_nothing():
    admission = Admission(max_bytes=8, max_requests=8)

    def work():
        for _ in range(1000):
            with admission.holding(1) as held:
                held.become(0)
                held.grow(1)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work) for _ in range(8)]
    assert [future.exception() for future in futures] == [None] * 8
    # All of the room is there again, and not more.
    with admission.holding(8):
        with pytest.raises(StatusError, match="8 bytes"):
            with admission.holding(1):
                pass
