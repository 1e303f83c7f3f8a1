"""From prepared examples to batches of images and label maps."""

import numpy as np
import tensorflow as tf

_READ_AT_ONCE = 16  # Examples; a call of Python takes longer than reading one.


def train_batches(
    dataset,
    image_size,
    global_batch_size,
    config,
    seed,
    first_step=0,
    num_examples=None,
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
        num_examples: so many of the split are used, the first; None: all.

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

    order_seed, samples_seed = tf.unstack(
        tf.random.split(tf.constant([seed, 0], tf.int64), 2), axis=0
    )

    if num_examples is None:
        num_examples = dataset.num_examples["train"]
    elif not 1 <= num_examples <= dataset.num_examples["train"]:
        raise ValueError(
            "`num_examples` must be at least 1 and at most the split's "
            f"{dataset.num_examples['train']}. Received: {num_examples}."
        )

    def find(n):
        return n, example_index(n, num_examples, order_seed)

    def make_sample(n, example):
        crop_seed, flip_seed = tf.unstack(
            tf.random.split(tf.random.fold_in(samples_seed, n), 2), axis=0
        )
        offset = random_offset(load_size, image_size, crop_seed)
        image = resize_image(example["image"], load_size, offset, image_size)
        label_map = resize_label_map(
            example["label_map"], load_size, offset, image_size
        )
        if config.flip:
            image, label_map = random_flip(image, label_map, flip_seed)
        return _features(image, label_map, n)

    first = first_step * global_batch_size
    numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max).map(find)
    return (
        _samples(dataset, "train", numbers, make_sample)
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

    def make_sample(n, example):
        image = resize_image(example["image"], image_size)
        label_map = resize_label_map(example["label_map"], image_size)
        return _features(image, label_map, n)

    indices = np.asarray(indices, np.int64)
    numbers = tf.data.Dataset.from_tensor_slices((indices, indices))
    return (
        _samples(dataset, split, numbers, make_sample)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def spread(num_examples, num):
    """Returns places of examples that are evenly spread over a split.

    Args:
        num_examples: of the split, at least one.
        num: how many are taken, at most.

    Returns:
        `[min(num, num_examples)]`, int array, rising.
    """
    num = min(num, num_examples)
    return np.linspace(0, num_examples - 1, num).astype(int)


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


def resize_image(image, size, offset=(0, 0), part=None):
    """Brings an image to a size, without keeping its aspect; cuts out a part.

    Args:
        image: `[h, w, 3]`, uint8.
        size: (height, width).
        offset: (top, left) of the part, int32.
        part: (H, W), the part's height and width; None for all of it.

    Returns:
        `[H, W, 3]`, uint8, by antialiased bicubic interpolation.
    """
    image = tf.image.resize(image, size, "bicubic", antialias=True)
    # Before rounding, which then has fewer pixels.
    image = tf.slice(image, tf.concat([offset, [0]], 0), [*(part or size), 3])
    return tf.saturate_cast(tf.round(image), tf.uint8)


def resize_label_map(label_map, size, offset=(0, 0), part=None):
    """Brings a label map to a size, without keeping its aspect; cuts a part.

    Args:
        label_map: `[h, w, 1]`, an integer dtype.
        size: (height, width).
        offset, part: as for `resize_image`.

    Returns:
        `[H, W, 1]`, int32, by the nearest neighbour.
    """
    # The same pixels as `tf.image.resize` takes, in a third of its time.
    for axis, length in enumerate(part or size):
        places = _nearest(tf.shape(label_map)[axis], size[axis])
        places = tf.slice(places, [offset[axis]], [length])
        label_map = tf.gather(label_map, places, axis=axis)
    return tf.cast(label_map, tf.int32)


def _nearest(old, new):
    """Returns which of `old` pixels in a row are nearest to `new` ones."""
    scale = tf.cast(old, tf.float32) / new
    places = tf.cast((tf.range(new, dtype=tf.float32) + 0.5) * scale, tf.int32)
    return tf.minimum(places, old - 1)


def random_offset(size, part, seed):
    """Draws where a part is cut out of a picture.

    Args:
        size: (height, width) of the picture.
        part: (height, width) of the part, at most `size`.
        seed: `[2]`, an integer dtype.

    Returns:
        `[2]`, int32: (top, left).
    """
    room = tf.constant([n - m + 1 for n, m in zip(size, part)], tf.float32)
    share = tf.random.stateless_uniform([2], seed)  # In [0, 1).
    return tf.cast(share * room, tf.int32)


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
    return tf.cond(
        is_flipped,
        # Several times faster than `[:, ::-1]`.
        lambda: (tf.reverse(image, [1]), tf.reverse(label_map, [1])),
        lambda: (image, label_map),
    )


def _samples(dataset, split, numbers, make_sample):
    """Reads examples and makes samples of them.

    Args:
        dataset: `Dataset`.
        split: "train" or "validation".
        numbers: `tf.data.Dataset` of pairs of ints: a sample's number, and
            its example's index.
        make_sample: function of a number and a decoded example.

    Returns:
        `tf.data.Dataset` of what `make_sample` returns, in the same order.
    """

    def read(n, indices):
        serialized = tf.numpy_function(
            lambda some: np.array(dataset.read(split, some), object),
            [indices],
            tf.string,
        )
        return n, tf.ensure_shape(serialized, [None])

    def decode(n, serialized):
        return make_sample(n, dataset.decode(serialized))

    return (
        numbers.batch(_READ_AT_ONCE)
        # No more, for files of some data sets are large.
        .map(read, num_parallel_calls=2)
        .unbatch()
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    )


def _features(image, label_map, n):
    return {"image": image, "label_map": label_map[..., 0], "sample_number": n}
