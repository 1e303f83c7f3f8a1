"""Peak memory of a piece of work, measured on arrays of known size."""

import pathlib
import sys
from unittest import mock

import numpy as np
import pytest

from benchmarks import peak_memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux's /proc"
)

MB = 2**20
SLACK = 30 * MB  # What the rest of the process may take or give back.


def touched(num_bytes):
    return np.ones(num_bytes, np.uint8)  # Every page is written to.


def test_memory_that_is_freed_before_the_end_is_seen():
    with peak_memory.measure() as peak:
        touched(200 * MB)  # Freed at once.
    assert 200 * MB - SLACK < peak.increase < 200 * MB + SLACK
    assert peak_memory.resident() < peak.num_bytes - 200 * MB + SLACK


def test_an_earlier_peak_is_forgotten():
    touched(200 * MB)  # Freed at once.
    with peak_memory.measure() as peak:
        touched(50 * MB)  # Freed at once.
    assert 50 * MB - SLACK < peak.increase < 50 * MB + SLACK


def test_memory_in_use_before_is_in_the_peak_alone():
    with peak_memory.measure() as before:
        pass
    kept = touched(100 * MB)
    with peak_memory.measure() as peak:
        kept[0] = 2
    assert peak.increase < SLACK
    assert peak.num_bytes > before.num_bytes + 100 * MB - SLACK


def test_small_pieces_that_were_freed_count_when_they_are_taken_again():
    pieces = [touched(MB // 16) for _ in range(16 * 100)]
    # The last stays: by itself the C library gives back what is beyond it only.
    pieces = pieces[-1:]
    with peak_memory.measure() as peak:
        pieces += [touched(MB // 16) for _ in range(16 * 100)]
    assert peak.increase > 100 * MB - SLACK


def test_a_failure_is_passed_on():
    with pytest.raises(KeyError):
        with peak_memory.measure():
            raise KeyError


def test_a_system_without_the_files_is_refused():
    nowhere = pathlib.Path("/proc/nowhere")
    with mock.patch.object(peak_memory, "_CLEAR_REFS", nowhere):
        with pytest.raises(RuntimeError, match="clear_refs.*nowhere"):
            with peak_memory.measure():
                pass
    with mock.patch.object(peak_memory, "_STATUS", nowhere):
        with pytest.raises(RuntimeError, match="VmHWM.*nowhere"):
            peak_memory.resident()
