"""The (N + 1)-class cross-entropy losses and their class weights."""

import tensorflow as tf


def count_classes(label_map, semantic_channels):
    """Counts the pixels of each class.

    Args:
        label_map: `[B, H, W]`, int32. Labels, 0..S-1.
        semantic_channels: S.

    Returns:
        `[S]`, float32.
    """
    # Unlike one-hot maps this takes no [B, H, W, S], unlike
    # `tf.math.bincount` XLA compiles it.
    labels = tf.reshape(label_map, [-1])
    ones = tf.ones_like(labels, tf.float32)
    return tf.math.unsorted_segment_sum(ones, labels, semantic_channels)


def balanced_class_weights(class_counts, has_dont_care):
    """Returns each class's weight alpha: its inverse frequency.

        alpha_s = n / (m * n_s)

    n pixels in all (don't-care included), n_s of class s, m classes present.

    Args:
        class_counts: `[S]`, float32. n_s, over the global batch.
        has_dont_care: whether label 0 means don't-care; it weighs nothing.

    Returns:
        `[S]`, float32. 0 for don't-care and for absent classes: all zeros for
        a batch of nothing but don't-care.

    Source: OASIS (arXiv:2012.04781), Section 3.2 (alpha_c), up to the
        factor 1 / m, which is the authors'.
    """
    num_pixels = tf.reduce_sum(class_counts)
    if has_dont_care:
        class_counts = _without_first(class_counts)
    num_present = tf.math.count_nonzero(class_counts, dtype=tf.float32)
    return tf.math.divide_no_nan(num_pixels, num_present * class_counts)


def uniform_class_weights(semantic_channels, has_dont_care):
    """Returns 1 for every class, 0 for don't-care: no balancing.

    Args:
        semantic_channels: S.
        has_dont_care: whether label 0 means don't-care.

    Returns:
        `[S]`, float32.
    """
    weights = tf.ones([semantic_channels])
    return _without_first(weights) if has_dont_care else weights


def _without_first(values):
    return tf.concat([tf.zeros_like(values[:1]), values[1:]], axis=0)


def real_loss(logits, label_map, class_weights):
    """Cross-entropy against each pixel's own class.

    The discriminator minimizes it on real images, the generator on its own.

        L = -mean_{b,h,w} alpha_s * log softmax(logits)_{s + 1}

    Args:
        logits: `[B, H, W, S + 1]`, any float dtype. Channel 0 means "fake".
        label_map: `[B, H, W]`, int32. s, 0..S-1.
        class_weights: `[S]`, float32. alpha; 0 where pixels should not count.

    Returns:
        Scalar, float32: the mean over this replica's pixels.

    Raises:
        ValueError: if `logits` is not one channel deeper than `class_weights`.

    Source: OASIS (arXiv:2012.04781), Eq. 1, first term; for the generator
        Section 3.3.
    """
    if logits.shape[-1] != class_weights.shape[-1] + 1:
        raise ValueError(
            "`logits` needs one channel more than `class_weights` (the fake "
            f"class). Received: logits.shape={tuple(logits.shape)}, "
            f"class_weights.shape={tuple(class_weights.shape)}."
        )
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=label_map + 1, logits=tf.cast(logits, tf.float32)
    )  # [B, H, W]
    weights = tf.gather(class_weights, label_map)  # [B, H, W]
    return tf.reduce_mean(weights * cross_entropy)


def fake_loss(logits):
    """Cross-entropy against "fake" at every pixel.

        L = -mean_{b,h,w} log softmax(logits)_0

    Args:
        logits: `[B, H, W, S + 1]`, any float dtype. Channel 0 means "fake".

    Returns:
        Scalar, float32: the mean over this replica's pixels.

    Source: OASIS (arXiv:2012.04781), Eq. 1, second term.
    """
    log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    return -tf.reduce_mean(log_probs[..., 0])
