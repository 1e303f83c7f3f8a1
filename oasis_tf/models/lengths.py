"""Lengths of tensors."""

import tensorflow as tf


def lengths(x):
    """Returns the length along each axis: ints where known, else scalars.

    What is known takes no operations in a graph, nor do the gradients that
    depend on it.

    Args:
        x: tensor of known rank.
    """
    known = list(x.shape)
    if None not in known:
        return known
    shape = tf.shape(x)
    return [shape[i] if n is None else n for i, n in enumerate(known)]
