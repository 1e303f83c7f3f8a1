"""How far a local edit reaches: change of pixels by distance from the mask."""

import dataclasses

import numpy as np
from scipy import ndimage

DISTANCES = (0, 4, 8, 16, 32)
"""Bounds of the rings around the mask, in pixels."""


@dataclasses.dataclass(frozen=True)
class Change:
    """Change of the pixels in one ring around a mask.

    Args:
        nearest, farthest: distances from the mask in pixels, the first
            excluded, the second included; both 0 inside the mask.
        mean, largest: change of a pixel, 0..255: that of its channel which
            changes most.
    """

    nearest: float
    farthest: float
    mean: float
    largest: int

    def __str__(self):
        where = "inside the mask"
        if self.farthest == np.inf:
            where = f"more than {self.nearest} pixels away"
        elif self.farthest > 0:
            where = f"{self.nearest} to {self.farthest} pixels away"
        return f"{where}: mean {self.mean:.1f}, largest {self.largest}"


def pixel_change(before, after):
    """Returns how much each pixel changes.

    Args:
        before, after: `[..., H, W, 3]`, uint8.

    Returns:
        `[..., H, W]`, uint8: that of the channel which changes most.
    """
    difference = np.asarray(after, np.int16) - before
    return np.abs(difference).max(axis=-1).astype(np.uint8)


def by_distance(before, after, mask):
    """Measures how an edit inside a mask fades with the distance from it.

    Args:
        before: `[H, W, 3]`, uint8.
        after: `[H, W, 3]` or `[n, H, W, 3]`, uint8: several edits count
            together.
        mask: `[H, W]`, bool.

    Returns:
        list of `Change`: inside the mask first, then in the rings between
        `DISTANCES` (Euclidean) that have pixels.
    """
    change = pixel_change(before, after)
    distance = ndimage.distance_transform_edt(~mask)
    rings = [(0, 0), *zip(DISTANCES, (*DISTANCES[1:], np.inf), strict=True)]
    changes = []
    for nearest, farthest in rings:
        is_here = (distance > nearest) & (distance <= farthest)
        values = change[..., mask if farthest == 0 else is_here]
        if values.size:
            changes.append(
                Change(nearest, farthest, values.mean(), values.max())
            )
    return changes
