"""What users hand in: label maps, images and masks, as arrays or as files."""

import os

import numpy as np
from absl import logging

from oasis_tf.data import pipeline
from oasis_tf.data import reading
from oasis_tf.data.label_map import remap
from oasis_tf.models.generator import check_size

_FAR = 2.5  # Times the size of the training images.


def read_label_map(label_map, info, config):
    """Returns labels of a label map in the data set's own ids.

    Args:
        label_map: `[H, W]` integer array, or the path of a label file, as in
            the data that the model was trained on.
        info: `DatasetInfo`.
        config: `Config` of the training.

    Returns:
        `[H, W]`, int32. Labels, 0..S-1.

    Raises:
        ValueError: if it holds other ids, or is no label map at all.
    """
    if isinstance(label_map, (str, os.PathLike)):
        is_palette_color = bool(config.data.palette)
        return reading.read_label_map(label_map, info, is_palette_color)
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


def read_mask(mask, size):
    """Returns which pixels a mask marks.

    Args:
        mask: `[H, W]` array, whose pixels other than 0 are marked, or the path
            of an image file; see `reading.read_mask`.
        size: (height, width) that it must have.

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
    if mask.shape != tuple(size):
        raise ValueError(
            f"{name} must have the label map's height and width, "
            f"{tuple(size)}. Received: {mask.shape}."
        )
    return mask


def target_size(name, size, multiple, resize, trained_size):
    """Returns the (height, width) that something is brought to.

    Warns of a size far from that of the training.

    Args:
        name: of the argument, for the message.
        size: (height, width) that it has.
        multiple: of which height and width must be.
        trained_size: (height, width) of the model's training images.
        resize: True for the nearest size that the model works in, (height,
            width) for a certain one, False to take the size as it is.

    Raises:
        ValueError: if the model does not work in that size.
    """
    is_switch = isinstance(resize, (bool, np.bool_))
    if not is_switch and np.shape(resize) != (2,):
        raise ValueError(
            "`resize` must be True, False or (height, width). Received: "
            f"{resize!r}."
        )
    best = "{},{}".format(*trained_size)
    if is_switch and resize:
        target = tuple(
            max(multiple, round(n / multiple) * multiple) for n in size
        )
    elif is_switch:
        target = tuple(size)
        try:
            check_size(name, target, multiple)
        except ValueError as error:
            raise ValueError(
                f"{error} `--resize` brings it there, `--size={best}` to the "
                "size of the training images (resize=True, resize=(height, "
                "width))."
            ) from None
    else:
        check_size("size", resize, multiple)
        target = tuple(resize)
    ratios = [n / m for n, m in zip(target, trained_size, strict=True)]
    if max(ratios) > _FAR or min(ratios) < 1 / _FAR:
        logging.warning(
            "%s: %s pixels (height, width) are far from the %s of the "
            "training; what comes out may be poor. `--size=%s` is the latter.",
            name,
            target,
            tuple(trained_size),
            best,
        )
    return target


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
