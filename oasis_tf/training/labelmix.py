"""LabelMix: mixing a real and a fake image along the class borders."""

import tensorflow as tf


def sample_class_bits(seed, semantic_channels):
    """Draws for each class whether its pixels are taken from the real image.

    Args:
        seed: `[2]`, int32 or int64.
        semantic_channels: S.

    Returns:
        `[S]`, int32. 1 takes the real pixels, 0 the fake ones.
    """
    return tf.random.stateless_uniform(
        [semantic_channels], seed, 0, 2, dtype=tf.int32, alg="philox"
    )


def mix_mask(label_map, class_bits):
    """Returns LabelMix's mask M, which is constant within each class.

    Args:
        label_map: `[B, H, W]`, int32. Labels, 0..S-1.
        class_bits: `[S]`, int32.

    Returns:
        `[B, H, W, 1]`, float32. 1 takes the real pixel, 0 the fake one.

    Source: OASIS (arXiv:2012.04781), Section 3.2, LabelMix.
    """
    return tf.cast(tf.gather(class_bits, label_map), tf.float32)[..., None]


def mix(real, fake, mask):
    """Returns M real + (1 - M) fake, for images and for logits.

    Args:
        real, fake: `[B, H, W, C]`.
        mask: M, `[B, H, W, 1]`.

    Returns:
        `[B, H, W, C]`.

    Source: OASIS (arXiv:2012.04781), Section 3.2, LabelMix.
    """
    mask = tf.cast(mask, real.dtype)
    return mask * real + (1 - mask) * fake


def labelmix_loss(mixed_logits, real_logits, fake_logits, mask):
    """Distance of the mixed image's logits from the logits mixed alike.

        L = mean_{b,h,w,c} (D(mix(x, y)) - mix(D(x), D(y)))^2

    Args:
        mixed_logits, real_logits, fake_logits: `[B, H, W, S + 1]`.
        mask: M, `[B, H, W, 1]`.

    Returns:
        Scalar, float32. Not yet times lambda_labelmix.

    Source: OASIS (arXiv:2012.04781), Section 3.2, LabelMix; the mean is
        the authors'.
    """
    return tf.reduce_mean(
        tf.math.squared_difference(
            tf.cast(mixed_logits, tf.float32),
            tf.cast(mix(real_logits, fake_logits, mask), tf.float32),
        )
    )
