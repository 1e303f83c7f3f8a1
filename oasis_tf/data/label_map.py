"""Label maps: replacing native ids, one-hot, colours."""

import numpy as np
import tensorflow as tf


def remap(native, info):
    """Replaces a data set's own ids by labels.

    Args:
        native: `[H, W]`, any integer dtype. Ids as in the data set's files.
        info: `DatasetInfo`.

    Returns:
        `[H, W]`, int32. Labels, 0..S-1; 0 is don't-care where there is one.

    Raises:
        ValueError: if an id is not one of the data set's.
    """
    labels = lookup(native, info)
    if (labels < 0).any():
        unknown = np.unique(np.asarray(native)[labels < 0])
        raise ValueError(
            f"Label map of {info.name!r} must hold ids among "
            f"{ranges(info.label_of_id)}. Received: {ranges(unknown)}."
        )
    return labels


def lookup(native, info):
    """Returns labels as `remap` does, but -1 for ids that are none."""
    native = np.asarray(native)
    size = max(256, max(info.label_of_id) + 1)
    label_of_id = np.full(size + 1, -1, np.int32)  # The last: beyond range.
    for i, label in info.label_of_id.items():
        if i >= 0:
            label_of_id[i] = label
    return label_of_id[np.where((native >= 0) & (native < size), native, size)]


def restore(label_map, info):
    """Replaces labels by the data set's own ids: the inverse of `remap`.

    Args:
        label_map: `[H, W]`, any integer dtype. Labels, 0..S-1.
        info: `DatasetInfo`.

    Returns:
        `[H, W]`, uint8, or uint16 where ids go beyond 255.

    Raises:
        ValueError: if a label has no native id.
    """
    label_map = np.asarray(label_map)
    present, inverse = np.unique(label_map, return_inverse=True)
    ids = [info.native_id(int(s)) for s in present]
    if any(i is None or i < 0 for i in ids):
        missing = [int(s) for s, i in zip(present, ids) if i is None or i < 0]
        raise ValueError(
            f"`label_map` must hold labels with an id in {info.name!r}. "
            f"Received: {missing}."
        )
    dtype = np.uint8 if max(ids, default=0) < 256 else np.uint16
    return np.array(ids, dtype)[inverse].reshape(label_map.shape)


def one_hot(label_map, semantic_channels, dtype=tf.float32):
    """Returns the semantic map of a label map.

    Args:
        label_map: `[B, H, W]`, int32. Labels, 0..S-1.
        semantic_channels: S.
        dtype: of the result.

    Returns:
        `[B, H, W, S]`. One-hot labels (the paper's t).
    """
    return tf.one_hot(label_map, semantic_channels, dtype=dtype)


def colorize(label_map, info):
    """Returns a label map in its classes' colours.

    Args:
        label_map: `[..., H, W]`, integer. Labels, 0..S-1.
        info: `DatasetInfo`.

    Returns:
        `[..., H, W, 3]`, uint8.
    """
    return np.array(info.colors, np.uint8)[np.asarray(label_map)]


def ranges(ids):
    """Returns ids as a short text: `0..5, 7, 255`."""
    runs = []
    for i in sorted(ids):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    texts = [str(a) if a == b else f"{a}..{b}" for a, b in runs]
    return ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
