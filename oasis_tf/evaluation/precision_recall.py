"""Precision and recall of a set of fakes, by nearest neighbours."""

import numpy as np

from oasis_tf.evaluation.kid import check_features

# Squared distances below this share of the vectors' squares are rounding.
_ROUNDING = 1e-12


def precision_recall(real, fake, num_neighbors=3, block_size=2000):
    """Returns how many fakes look real, and how many reals can be faked.

    A set's manifold is the union of balls around its features, each reaching
    to its k-th nearest neighbour in the set, itself not counted. Precision is
    the share of fakes in the manifold of the reals, recall the share of reals
    in that of the fakes.

    The distances are worked out in blocks, in float64: beside the features
    themselves it takes a few times `block_size` x (`block_size` + D) numbers,
    and (N + M)^2 / 2 products of vectors.

    Args:
        real, fake: `[N, D]`, `[M, D]`, more than k each, finite.
        num_neighbors: k.
        block_size: rows and columns in a block; of no effect on the result.

    Returns:
        (precision, recall), floats, 0..1.

    Raises:
        ValueError: if the arguments are not of that kind.

    Source: Kynkaanniemi et al. (arXiv:1904.06991).
    """
    real, fake = np.asarray(real), np.asarray(fake)
    if num_neighbors < 1 or block_size < 1:
        raise ValueError(
            "`num_neighbors` and `block_size` must be 1 or more. Received: "
            f"num_neighbors={num_neighbors}, block_size={block_size}."
        )
    check_features(real, fake, at_least=num_neighbors + 1)
    # Near 0, distances lose fewer digits.
    center = real.mean(axis=0, dtype=np.float64)
    real_radii = _radii(real, center, num_neighbors, block_size)
    fake_radii = _radii(fake, center, num_neighbors, block_size)
    is_real = np.zeros(len(fake), bool)  # Fakes among the reals.
    is_covered = np.zeros(len(real), bool)  # Reals among the fakes.
    for rows in _blocks(len(real), block_size):
        for columns in _blocks(len(fake), block_size):
            d = _squared_distances(real[rows], fake[columns], center)
            is_real[columns] |= (d <= real_radii[rows, None]).any(axis=0)
            is_covered[rows] |= (d <= fake_radii[columns]).any(axis=1)
    return float(is_real.mean()), float(is_covered.mean())


def _radii(features, center, num_neighbors, block_size):
    """Returns `[N]`: squared distances to the k-th nearest neighbours."""
    nearest = np.full([len(features), num_neighbors], np.inf)

    def keep_nearest(rows, d):
        d = np.concatenate([nearest[rows], d], axis=1)
        d.partition(num_neighbors - 1, axis=1)
        nearest[rows] = d[:, :num_neighbors]

    blocks = _blocks(len(features), block_size)
    for i, rows in enumerate(blocks):
        # The distances back are the same.
        for columns in blocks[i:]:
            d = _squared_distances(features[rows], features[columns], center)
            if rows == columns:
                np.fill_diagonal(d, np.inf)  # Nobody is its own neighbour.
            else:
                keep_nearest(columns, d.T)
            keep_nearest(rows, d)
    return nearest.max(axis=1)


def _squared_distances(x, y, center):
    """Returns `[m, n]` of `[m, D]` and `[n, D]`; 0 for equal vectors."""
    x, y = x - center, y - center
    squares = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1)
    d = squares - 2 * (x @ y.T)
    d[d < _ROUNDING * squares] = 0
    return d


def _blocks(num, size):
    return [slice(i, min(i + size, num)) for i in range(0, num, size)]
