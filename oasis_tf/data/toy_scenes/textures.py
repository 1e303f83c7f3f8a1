"""Random and regular patterns; the same at every image size."""

import numpy as np

from oasis_tf.data.toy_scenes.blending import saturate


def noise(rng, cells, rows, columns):
    """Smooth random values, independent from cell to cell of a lattice.

    Args:
        rng: `np.random.Generator`.
        cells: `(vertical, horizontal)`, number of lattice cells. Few vertical
            and many horizontal ones give upright blades, the reverse ripples.
        rows: `[h, 1]`, where to sample: 0 and 1 are the ends of the lattice.
        columns: `[1, w]`, likewise.

    Returns:
        `[h, w]`, float32 in [-1, 1].
    """
    lattice = rng.random((cells[0] + 1, cells[1] + 1), np.float32) * 2 - 1
    row, down = _cell_and_way(rows, cells[0])
    column, across = _cell_and_way(columns, cells[1])
    upper = lattice.take(row[:, 0], axis=0)
    lower = lattice.take(row[:, 0] + 1, axis=0)
    bands = upper + down * (lower - upper)
    left = bands.take(column[0], axis=1)
    right = bands.take(column[0] + 1, axis=1)
    return left + across * (right - left)


def octaves(rng, cells, rows, columns, num_octaves):
    """Noise plus finer noise, each octave half as strong and half as wide."""
    total = 0
    for octave in range(num_octaves):
        finer = (cells[0] << octave, cells[1] << octave)
        total = total + noise(rng, finer, rows, columns) / 2**octave
    return total


def stripes(position, period, pixel):
    """A wave in [-1, 1] that fades where pixels are too coarse to show it.

    Args:
        position: any shape; the wave runs along it.
        period: length of one wave, in the unit of `position`.
        pixel: size of a pixel in the same unit.
    """
    strength = min(max(period / (2 * pixel) - 1, 0), 1)
    return strength * np.sin(position * (2 * np.pi / period))


def _cell_and_way(positions, num_cells):
    """The lattice cell of each position, and the eased way through it."""
    positions = saturate(positions) * np.float32(num_cells)
    cell = np.minimum(positions.astype(np.int32), num_cells - 1)
    way = positions - cell.astype(np.float32)
    return cell, way * way * (3 - 2 * way)
