"""From prepared examples to batches of images and label maps."""

import numpy as np
import tensorflow as tf


def train_batches(
    dataset, image_size, global_batch_size, config, seed, first_step=0
):
    """Returns endless batches for training.

    Everything about sample n of the run (which example, crop, flip) follows
    from `seed` and n alone. So a run that is resumed at `first_step` sees the
    batches it would have seen, on any number of processors.

    Args:
        dataset: `Dataset`.
        image_size: (height, width) of the batches, in pixels.
        global_batch_size: B.
        config: `DataConfig`, with `load_size` and `flip`.
        seed: int.
        first_step: step of the first batch.

    Returns:
        `tf.data.Dataset` of dicts: `image` `[B, H, W, 3]`, uint8; `label_map`
        `[B, H, W]`, int32, labels 0..S-1; `sample_number` `[B]`, int64:
        step k's batch has k * B .. k * B + B - 1.

    Raises:
        ValueError: if `load_size` is smaller than `image_size`, or a number
            is out of range.
    """
    load_size = config.load_size or image_size
    if load_size[0] < image_size[0] or load_size[1] < image_size[1]:
        raise ValueError(
            "`load_size` must be at least `image_size`, which is cropped from "
            f"it. Received: load_size={tuple(load_size)}, "
            f"image_size={tuple(image_size)}."
        )
    if global_batch_size < 1 or first_step < 0:
        raise ValueError(
            "`global_batch_size` must be at least 1 and `first_step` at least "
            f"0. Received: {global_batch_size} and {first_step}."
        )

    def make_sample(n):
        order_seed, sample_seed = _seeds(seed, n)
        index = example_index(n, dataset.num_examples["train"], order_seed)
        image, label_map = _load(dataset, "train", index, load_size)
        crop_seed, flip_seed = tf.unstack(
            tf.random.split(sample_seed, 2), axis=0
        )
        image, label_map = random_crop(image, label_map, image_size, crop_seed)
        if config.flip:
            image, label_map = random_flip(image, label_map, flip_seed)
        return _features(image, label_map, n)

    first = first_step * global_batch_size
    return (
        tf.data.Dataset.range(first, np.iinfo(np.int64).max)
        .map(make_sample, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(global_batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def validation_batches(
    dataset, image_size, batch_size, indices=None, split="validation"
):
    """Returns examples of a split once, in order, without augmentation.

    Args:
        dataset: `Dataset`.
        image_size: (height, width) to resize to, in pixels.
        batch_size: B; the last batch may be smaller.
        indices: which examples, ints; None for all.
        split: "validation" or "train".

    Returns:
        `tf.data.Dataset` of dicts as of `train_batches`; `sample_number` is
        the example's index.
    """
    if indices is None:
        indices = range(dataset.num_examples[split])

    def make_sample(n):
        image, label_map = _load(dataset, split, n, image_size)
        return _features(image, label_map, n)

    return (
        tf.data.Dataset.from_tensor_slices(np.asarray(indices, np.int64))
        .map(make_sample, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def example_index(n, num_examples, seed):
    """Returns which example is sample n of a run.

    Every epoch goes through all examples in an order of its own.

    Args:
        n: scalar, int64.
        num_examples: int, N.
        seed: `[2]`, int64.

    Returns:
        Scalar, int64: 0..N-1.
    """
    epoch = n // num_examples
    return tf.random.experimental.index_shuffle(
        n % num_examples,
        seed=tf.random.fold_in(seed, epoch),
        max_index=tf.cast(num_examples - 1, tf.int64),
    )


def resize_image(image, size):
    """Brings an image to a size, without keeping its aspect.

    Args:
        image: `[h, w, 3]`, uint8.
        size: (height, width).

    Returns:
        `[H, W, 3]`, uint8, by antialiased bicubic interpolation.
    """
    image = tf.image.resize(image, size, "bicubic", antialias=True)
    return tf.saturate_cast(tf.round(image), tf.uint8)


def resize_label_map(label_map, size):
    """Brings a label map to a size, without keeping its aspect.

    Args:
        label_map: `[h, w, 1]`, an integer dtype.
        size: (height, width).

    Returns:
        `[H, W, 1]`, int32, by the nearest neighbour.
    """
    return tf.cast(tf.image.resize(label_map, size, "nearest"), tf.int32)


def random_crop(image, label_map, size, seed):
    """Cuts the same part out of an image and its label map.

    Args:
        image: `[h, w, 3]`.
        label_map: `[h, w, 1]`.
        size: (height, width), at most (h, w).
        seed: `[2]`, an integer dtype.

    Returns:
        `[H, W, 3]` and `[H, W, 1]`.
    """
    room = tf.shape(image)[:2] - size
    share = tf.random.stateless_uniform([2], seed)  # In [0, 1).
    offset = tf.cast(share * tf.cast(room + 1, tf.float32), tf.int32)
    begin = tf.concat([offset, [0]], axis=0)
    return (
        tf.slice(image, begin, [*size, 3]),
        tf.slice(label_map, begin, [*size, 1]),
    )


def random_flip(image, label_map, seed):
    """Mirrors an image and its label map left to right, or neither.

    Args:
        image: `[H, W, 3]`.
        label_map: `[H, W, 1]`.
        seed: `[2]`, an integer dtype.

    Returns:
        The same shapes.
    """
    is_flipped = tf.random.stateless_uniform([], seed) < 0.5
    return (
        tf.where(is_flipped, image[:, ::-1], image),
        tf.where(is_flipped, label_map[:, ::-1], label_map),
    )


def _seeds(seed, n):
    """Returns a seed for the order of the examples and one for sample n."""
    order_seed, samples_seed = tf.unstack(
        tf.random.split(tf.constant([seed, 0], tf.int64), 2), axis=0
    )
    return order_seed, tf.random.fold_in(samples_seed, n)


def _load(dataset, split, index, size):
    """Returns an example's image and label map, resized."""
    serialized = tf.numpy_function(
        lambda i: dataset.read(split, [i])[0], [index], tf.string
    )
    serialized.set_shape([])
    example = dataset.decode(serialized)
    return (
        resize_image(example["image"], size),
        resize_label_map(example["label_map"], size),
    )


def _features(image, label_map, n):
    return {"image": image, "label_map": label_map[..., 0], "sample_number": n}
