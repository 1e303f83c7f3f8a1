"""How much the pictures of one label map differ.

per_map = [
    diversity.mean_distances(
        generator.generate(label_map, range(20)), lpips
    )
    for label_map in label_maps
]
print(diversity.summarize(per_map))
"""

import numpy as np
import tensorflow as tf

from oasis_tf.evaluation.ms_ssim import ms_ssim

NUM_IMAGES = 20
"""Pictures of each label map in the paper: 190 pairs."""


def pairs(n):
    """Returns all pairs of n things.

    Args:
        n: int, at least 2.

    Returns:
        `[n * (n - 1) / 2, 2]`, int array: (0, 1), (0, 2) and so on; the first
        of a pair is the smaller one.

    Raises:
        ValueError: if there is no pair.
    """
    if n < 2:
        raise ValueError(f"`n` must be at least 2 for pairs. Received: {n}.")
    return np.stack(np.triu_indices(n, k=1), axis=1)


def mean_distances(
    images, lpips=None, num_scales=None, batch_size=8, block_bytes=2**30
):
    """Returns the mean MS-SSIM and LPIPS of all pairs of one map's pictures.

    The lower MS-SSIM and the higher LPIPS, the more diverse they are.

    Args:
        images: `[n, H, W, 3]`, uint8, n >= 2. Of one label map, each with
            other noise; the paper takes `NUM_IMAGES`.
        lpips: `LPIPS`, or None to leave it out. What it returns is not
            comparable to published numbers unless `lpips.is_comparable`.
        num_scales: of MS-SSIM; None for `ms_ssim.num_scales_for(H, W)`.
        batch_size: pairs, or pictures, that are computed at a time.
        block_bytes: of LPIPS's features, held to see each picture once. 20
            pictures of 256 x 256 pixels have 51 MB with AlexNet, 640 MB with
            VGG16; of more than this, some are computed again. About three
            times as much is in use at most.

    Returns:
        `{"ms_ssim": float, "lpips": float, "num_pairs": int}`; "lpips" where
        there is one.

    Raises:
        ValueError: if the pictures are others or too small.

    Source: OASIS (arXiv:2012.04781), Section 4; MS-SSIM and LPIPS there are
        means over the pairs of 20 pictures, then over the label maps.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            "`images` must be the pictures of one label map, uint8 [n, H, W, "
            f"3]. Received: {images.dtype} {images.shape}."
        )
    means = {"ms_ssim": float(_ms_ssim(images, num_scales, batch_size).mean())}
    if lpips is not None:
        distances = _lpips(images, lpips, batch_size, block_bytes)
        means["lpips"] = float(distances.mean())
    return {**means, "num_pairs": len(pairs(len(images)))}


def _ms_ssim(images, num_scales, batch_size):
    """Returns the MS-SSIM of each of `pairs`, float64."""
    values = []
    indices = pairs(len(images))
    for start in range(0, len(indices), batch_size):
        first, second = indices[start : start + batch_size].T
        values.append(ms_ssim(images[first], images[second], num_scales))
    return np.concatenate(values).astype(np.float64)


def _lpips(images, lpips, batch_size, block_bytes):
    """Returns the LPIPS of each of `pairs`, float64."""
    vector_bytes = 4 * lpips.embedding_size(*images.shape[1:3])
    block_size = max(1, block_bytes // vector_bytes)
    starts = range(0, len(images), block_size)

    def embed(start):
        """Returns the vectors of the block that starts there."""
        block = images[start : start + block_size]
        vectors = [
            lpips.embed(block[i : i + batch_size])
            for i in range(0, len(block), batch_size)
        ]
        return tf.concat(vectors, axis=0) if len(vectors) > 1 else vectors[0]

    distances = np.zeros([len(images)] * 2)
    for start in starts:
        block = embed(start)
        for other_start in starts[starts.index(start) :]:
            other = block if other_start == start else embed(other_start)
            for i, vector in enumerate(block):
                # Within one block, only with those that follow.
                first = i + 1 if other_start == start else 0
                distances[
                    start + i, other_start + first : other_start + len(other)
                ] = tf.reduce_sum(
                    tf.math.squared_difference(other[first:], vector), axis=1
                )
    return distances[tuple(pairs(len(images)).T)]


def summarize(per_map):
    """Returns mean and standard deviation over the label maps.

    The deviation is that of these maps (divided by their number), and tells
    how unlike they are, not how sure the mean is.

    Args:
        per_map: what `mean_distances` returns for each label map, at least
            one.

    Returns:
        `{"mean": {measure: float}, "std": {measure: float}, "num_maps": int,
        "pairs_per_map": int}`.

    Raises:
        ValueError: if there is no map, or they differ in their measures or in
            the number of pairs.
    """
    per_map = [dict(values) for values in per_map]
    kinds = {(*sorted(v), v.get("num_pairs")) for v in per_map}
    if len(kinds) != 1:
        raise ValueError(
            "`per_map` must be one or more maps of the same measures and "
            f"number of pairs. Received: {len(per_map)} maps, of "
            f"{sorted(map(str, kinds))}."
        )
    num_pairs = [values.pop("num_pairs") for values in per_map]
    columns = {
        name: np.array([values[name] for values in per_map], np.float64)
        for name in per_map[0]
    }
    return {
        "mean": {name: float(c.mean()) for name, c in columns.items()},
        "std": {name: float(c.std()) for name, c in columns.items()},
        "num_maps": len(per_map),
        "pairs_per_map": num_pairs[0],
    }
