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
    native = np.asarray(native)
    ids, inverse = np.unique(native, return_inverse=True)
    unknown = [int(i) for i in ids if int(i) not in info.label_of_id]
    if unknown:
        raise ValueError(
            f"Label map of {info.name!r} must hold ids among "
            f"{_ranges(info.label_of_id)}. Received: {_ranges(unknown)}."
        )
    labels = np.array([info.label_of_id[int(i)] for i in ids], np.int32)
    return labels[inverse].reshape(native.shape)


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


def _ranges(ids):
    """Returns ids as a short text: `0..5, 7, 255`."""
    runs = []
    for i in sorted(ids):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    texts = [str(a) if a == b else f"{a}..{b}" for a, b in runs]
    return ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
