"""What users hand in: label maps, images and masks, as arrays or as files."""

import os

import numpy as np

from oasis_tf.data import pipeline
from oasis_tf.data import reading
from oasis_tf.data.label_map import remap
from oasis_tf.models.generator import check_size


def read_label_map(label_map, info):
    """Returns labels of a label map in the data set's own ids.

    Args:
        label_map: `[H, W]` integer array, or the path of a label file, as in
            the data that the model was trained on.
        info: `DatasetInfo`.

    Returns:
        `[H, W]`, int32. Labels, 0..S-1.

    Raises:
        ValueError: if it holds other ids, or is no label map at all.
    """
    if isinstance(label_map, (str, os.PathLike)):
        return reading.read_label_map(label_map, info)
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in "iu":
        raise ValueError(
            "`label_map` must be an integer array of shape [H, W], or the path "
            f"of a file. Received: shape {label_map.shape}, {label_map.dtype}."
        )
    return remap(label_map, info)


def read_image(image):
    """Returns an image's pixels.

    Args:
        image: `[H, W, 3]` uint8 array, or the path of an image file.

    Returns:
        `[H, W, 3]`, uint8.

    Raises:
        ValueError: if it is no image.
    """
    if isinstance(image, (str, os.PathLike)):
        return reading.read_image(image)
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            "`image` must be a uint8 array of shape [H, W, 3], or the path of "
            f"a file. Received: shape {image.shape}, {image.dtype}."
        )
    return image


def read_mask(mask, size, resize=False):
    """Returns which pixels a mask marks.

    Args:
        mask: `[H, W]` array, whose pixels other than 0 are marked, or the path
            of an image file, whose bright ones are.
        size: (height, width) that it must have.
        resize: whether another size is brought to this one.

    Returns:
        `[H, W]`, bool.

    Raises:
        ValueError: if it has another size, or is no mask.
    """
    name = "`mask`"
    if isinstance(mask, (str, os.PathLike)):
        name = os.fspath(mask)
        mask = reading.read_mask(mask)
    mask = np.asarray(mask) != 0
    if resize and mask.ndim == 2:
        mask = resize_label_map(mask, size)
    if mask.shape != tuple(size):
        raise ValueError(
            f"{name} must have the label map's height and width, "
            f"{tuple(size)}. Received: {mask.shape}."
        )
    return mask


def target_size(name, size, multiple, resize):
    """Returns the (height, width) that something is brought to.

    Args:
        name: of the argument, for the message.
        size: (height, width) that it has.
        multiple: of which height and width must be.
        resize: True for the nearest size that the model works in, (height,
            width) for a certain one, False to take the size as it is.

    Raises:
        ValueError: if the model does not work in that size.
    """
    if resize is True:
        return tuple(
            max(multiple, round(n / multiple) * multiple) for n in size
        )
    if resize:
        check_size("size", resize, multiple)
        return tuple(resize)
    try:
        check_size(name, size, multiple)
    except ValueError as error:
        raise ValueError(
            f"{error} With `resize` it is brought there."
        ) from None
    return tuple(size)


def resize_label_map(label_map, size):
    """Returns a `[h, w]` label map or mask at (height, width) `size`."""
    if label_map.shape == tuple(size):
        return label_map
    resized = pipeline.resize_label_map(
        label_map[..., np.newaxis].astype(np.int32), size
    )
    return resized.numpy()[..., 0].astype(label_map.dtype)


def resize_image(image, size):
    """Returns a `[h, w, 3]` image at (height, width) `size`."""
    if image.shape[:2] == tuple(size):
        return image
    return pipeline.resize_image(image, size).numpy()
