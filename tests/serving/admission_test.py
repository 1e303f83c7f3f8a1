"""The bound on the requests that a server holds."""

import pytest

from oasis_tf.serving.admission import Admission
from oasis_tf.serving.status import StatusError


def test_room_comes_back_when_a_request_is_done():
    admission = Admission(max_bytes=10, max_requests=1)
    for _ in range(3):
        with admission.holding(10):
            pass


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
    with admission.holding() as grow:
        grow(6)
        grow(4)
        with pytest.raises(StatusError, match="busy"):
            grow(1)
    with admission.holding(10):
        pass


def test_more_requests_than_the_bound_are_refused():
    admission = Admission(max_bytes=10, max_requests=1)
    with admission.holding(1):
        with pytest.raises(StatusError, match="holds 1 requests"):
            with admission.holding(1):
                pass
