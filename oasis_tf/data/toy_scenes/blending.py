"""Arithmetic with colours, which are kept as planes: `[3, h, w]`."""

import numpy as np


def saturate(values):
    """Clips to [0, 1]; on small arrays much faster than `np.clip`."""
    return np.minimum(np.maximum(values, 0), 1)


def planes(color):
    """A colour, `[3]` or `[3, h, w]`, as float32 planes to calculate with."""
    color = np.asarray(color, np.float32)
    return color[:, np.newaxis, np.newaxis] if color.ndim == 1 else color


def mix(first, second, share):
    """Blends two colours: `first`, with this share of `second`.

    Args:
        first: `[3]` or `[3, h, w]`, in [0, 1].
        second: likewise.
        share: `[h, w]`, in [0, 1].

    Returns:
        `[3, h, w]`, float32.
    """
    first = planes(first)
    return first + share * (planes(second) - first)
