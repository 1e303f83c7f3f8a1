"""Multi-scale structural similarity of two pictures."""

import tensorflow as tf

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponent of each scale, the picture's own resolution first."""

_FILTER_SIZE = 11  # Pixels; the Gaussian window has a sigma of 1.5.


def num_scales_for(height, width):
    """Returns how many of the five scales a size has room for.

    The window must fit into the last one, and each scale is half as high and
    wide as the one before, rounded up: five from 161 pixels on, four from 81,
    three from 41, two from 21, one from 11.

    Args:
        height, width: of the pictures, in pixels.

    Returns:
        int, 1..5.

    Raises:
        ValueError: if not even one fits.
    """
    side = min(height, width)
    if side < _FILTER_SIZE:
        raise ValueError(
            f"Pictures must be at least {_FILTER_SIZE} pixels high and wide "
            f"for MS-SSIM. Received: (height, width)=({height}, {width})."
        )
    num_scales = 0
    while num_scales < len(WEIGHTS) and side >= _FILTER_SIZE:
        num_scales += 1
        side = (side + 1) // 2
    return num_scales


def ms_ssim(first, second, num_scales=None):
    """Returns the multi-scale structural similarity of pairs of pictures.

        MS-SSIM = l_M^w_M * prod_{j=1..M} cs_j^w_j

    with l the luminance and cs the contrast and structure terms of scale j, in
    a Gaussian window of 11 pixels that stays inside the picture, averaged over
    its places; at the last scale over their product. The scales are means of
    2 x 2 pixels; an odd last row or column is repeated. Each colour channel
    has a value of its own, and the mean of the three is returned.

    Five scales (M = 5) are the published measure. Smaller pictures have fewer,
    by default as many as fit: the first M weights, divided by their sum. Such
    values compare with those of the same number of scales only: report it.

    A term whose mean over the picture is negative, as that of a negative, has
    no real power. It counts as 0, and the channel's value is then 0.

    TensorFlow computes it in float32: about 1e-5 from the exact value, 1e-3 at
    most where both pictures are flat and nearly white.

    Args:
        first, second: `[B, H, W, 3]`, uint8, or float in [-1, 1].
        num_scales: M, 1..5; None for `num_scales_for(H, W)`.

    Returns:
        `[B]`, float32, 0..1; 1 for equal pictures.

    Raises:
        ValueError: if the pictures differ in shape or dtype, are of another
            kind, or too small for the scales.

    Source: Wang, Simoncelli and Bovik, Multi-Scale Structural Similarity for
        Image Quality Assessment (2003), Eq. 7 and Section 3.
    """
    first = tf.convert_to_tensor(first)
    second = tf.convert_to_tensor(second)
    _check(first, second)
    fitting = num_scales_for(*first.shape[1:3])
    if num_scales is None:
        num_scales = fitting
    if num_scales not in range(1, fitting + 1):
        raise ValueError(
            f"`num_scales` must be 1..{fitting} for pictures of "
            f"{first.shape[1]} x {first.shape[2]} pixels. Received: "
            f"{num_scales!r}."
        )
    return _ms_ssim(first, second, int(num_scales))


@tf.function(reduce_retracing=True)
def _ms_ssim(first, second, num_scales):
    weights = WEIGHTS[:num_scales]
    return tf.image.ssim_multiscale(
        _to_unit(first),
        _to_unit(second),
        max_val=1.0,
        power_factors=[weight / sum(weights) for weight in weights],
        filter_size=_FILTER_SIZE,
        filter_sigma=1.5,
        k1=0.01,
        k2=0.03,
    )


def _to_unit(images):
    """Returns uint8 pictures, or those in [-1, 1], in [0, 1]."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255
    return (tf.cast(images, tf.float32) + 1) / 2


def _check(first, second):
    is_image = first.shape.rank == 4 and first.shape[-1] == 3
    is_known = first.dtype == tf.uint8 or first.dtype.is_floating
    if not (is_image and is_known) or (
        (first.shape.as_list(), first.dtype)
        != (second.shape.as_list(), second.dtype)
    ):
        raise ValueError(
            "`first` and `second` must be pictures of one shape [B, H, W, 3] "
            "and one dtype, uint8 or float. Received: "
            f"{first.dtype.name} {first.shape} and {second.dtype.name} "
            f"{second.shape}."
        )
