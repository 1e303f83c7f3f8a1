"""Peak resident memory of a piece of work in this process, on Linux.

Resident is what the process has of the machine's memory, whoever asked for it:
the framework, its caches, the libraries' code.
"""

import contextlib
import ctypes
import dataclasses
import gc
import pathlib

_STATUS = pathlib.Path("/proc/self/status")
_CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # See proc(5), clear_refs.


@dataclasses.dataclass
class Peak:
    """What `measure` finds, in bytes.

    Attributes:
        num_bytes: the most that the whole process had while the work was done.
        increase: by how much that was more than it had before.
    """

    num_bytes: int = 0
    increase: int = 0


@contextlib.contextmanager
def measure():
    """Measures what is done in its context.

    What was freed before goes back to the system first: kept by the process,
    it would be there for the work to take without any increase.

    Yields:
        `Peak`, which has its numbers at the end of the context.

    Raises:
        RuntimeError: if the system does not tell it.
    """
    gc.collect()
    _trim()
    before = _reset()
    peak = Peak()
    try:
        yield peak
    finally:
        peak.num_bytes = _read("VmHWM")
        peak.increase = max(0, peak.num_bytes - before)


def resident():
    """Returns the bytes that the process has now.

    Raises:
        RuntimeError: if the system does not tell it.
    """
    return _read("VmRSS")


def _trim():
    # The C library keeps freed memory; glibc's has a function for it.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _reset():
    """Lets the peak start anew; returns the bytes that there are now."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError as error:
        raise _unsupported(error) from error
    return resident()


def _read(name):
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError as error:
        raise _unsupported(error) from error
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return 1024 * int(value.removesuffix("kB"))
    raise _unsupported(f"{_STATUS} without {name}")


def _unsupported(found):
    return RuntimeError(
        "Peak memory is measured where Linux has /proc/self/clear_refs, to "
        f"write to, and VmHWM in /proc/self/status. Received: {found}."
    )
