"""Label maps for benchmarks: drawn ones, and a folder's."""

import pathlib

import numpy as np

from oasis_tf.data.reading import read_ids


def draw(regions, size, semantic_channels, rng):
    """Draws a label map.

    Args:
        regions: that the map is divided into, each all that is nearest to one
            of so many random points; 0 for a label for each pixel, which is
            the worst case of what works by regions.
        size: (height, width) in pixels.
        semantic_channels: S.
        rng: `np.random.Generator`.

    Returns:
        `[H, W]`, int32. Labels, 0..S-1; regions may have the same.
    """
    if regions == 0:
        return rng.integers(semantic_channels, size=size).astype(np.int32)
    height, width = size
    y, x = np.mgrid[:height, :width]
    nearest = np.zeros(size, int)
    least = np.full(size, np.inf)
    for i, (v, u) in enumerate(rng.uniform(size=[regions, 2]) * size):
        distance = np.hypot(y - v, x - u)
        nearest[distance < least] = i
        least = np.minimum(distance, least)
    labels = rng.integers(semantic_channels, size=regions)
    return labels.astype(np.int32)[nearest]


def read(folder, num_maps, size, semantic_channels):
    """Reads the first label files of a folder and of those in it.

    Args:
        folder: path. Its PNGs have a number per pixel.
        num_maps: how many, at most.
        size: (height, width) to bring them to, by the nearest pixel.
        semantic_channels: S. Ids beyond take other classes' labels.

    Returns:
        `[N, H, W]`, int32. Labels, 0..S-1.

    Raises:
        ValueError: if there is none.
        DataError: if one is no label file.
    """
    files = sorted(pathlib.Path(folder).rglob("*.png"))[:num_maps]
    if not files:
        raise ValueError(
            f"`label_maps` must be a folder with PNGs. Received: {folder}."
        )
    maps = [_resize(read_ids(file), size) % semantic_channels for file in files]
    return np.stack(maps)


def _resize(label_map, size):
    rows, columns = (
        ((np.arange(n) + 0.5) * there / n).astype(int)
        for n, there in zip(size, label_map.shape)
    )
    return label_map[rows][:, columns].astype(np.int32)
