"""Batches: sizes, order, reproducibility, augmentation."""

import copy

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from oasis_tf import data
from oasis_tf.config import DataConfig
from oasis_tf.data import pipeline

NUM_EXAMPLES = 7
SIZE = (8, 12)
LOAD_SIZE = (10, 16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Images whose red is 20 times the label, and whose green tells which."""
    raw_dir = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    for folder in ("train_img", "train_label", "val_img", "val_label"):
        (raw_dir / folder).mkdir()
    for k in range(NUM_EXAMPLES + 3):
        label_map = rng.integers(0, 10, LOAD_SIZE).astype(np.uint8)
        image = np.stack(
            [20 * label_map, np.full(LOAD_SIZE, k), label_map], -1
        ).astype(np.uint8)
        split = "train" if k < NUM_EXAMPLES else "val"
        Image.fromarray(image).save(raw_dir / f"{split}_img/{k}.png")
        Image.fromarray(label_map).save(raw_dir / f"{split}_label/{k}.png")
    config = DataConfig(prepared_dir=str(tmp_path_factory.mktemp("prepared")))
    return data.load("folder", raw_dir, config, SIZE)


def batches(dataset, count, first_step=0, seed=5, batch_size=4, **settings):
    config = DataConfig(**{"load_size": LOAD_SIZE} | settings)
    endless = pipeline.train_batches(
        dataset, SIZE, batch_size, config, seed, first_step
    )
    return list(endless.take(count).as_numpy_iterator())


def which(batch):
    return batch["image"][:, 0, 0, 1].tolist()


def test_shapes_are_static(dataset):
    config = DataConfig(load_size=LOAD_SIZE)
    spec = pipeline.train_batches(dataset, SIZE, 4, config, seed=0).element_spec
    assert spec == {
        "image": tf.TensorSpec([4, 8, 12, 3], tf.uint8),
        "label_map": tf.TensorSpec([4, 8, 12], tf.int32),
        "sample_number": tf.TensorSpec([4], tf.int64),
    }


def test_samples_are_numbered_over_the_whole_run(dataset):
    numbers = [b["sample_number"].tolist() for b in batches(dataset, 3)]
    assert numbers == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_every_epoch_has_every_example_in_another_order(dataset):
    seen = np.concatenate([which(b) for b in batches(dataset, 7)])
    epochs = seen.reshape(4, NUM_EXAMPLES).tolist()
    for epoch in epochs:
        assert sorted(epoch) == list(range(NUM_EXAMPLES))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_resumed_run_sees_what_it_would_have_seen(dataset):
    whole = batches(dataset, 6)
    resumed = batches(dataset, 3, first_step=3)
    for expected, batch in zip(whole[3:], resumed):
        tf.nest.map_structure(np.testing.assert_array_equal, expected, batch)


def test_samples_do_not_depend_on_the_batch_size(dataset):
    small = batches(dataset, 8, batch_size=2)
    large = batches(dataset, 2, batch_size=8)
    for key in small[0]:
        np.testing.assert_array_equal(
            np.concatenate([b[key] for b in small]),
            np.concatenate([b[key] for b in large]),
        )


def test_another_seed_gives_other_batches(dataset):
    first, second = (batches(dataset, 1, seed=seed)[0] for seed in (5, 6))
    assert (first["image"] != second["image"]).any()


def test_image_and_label_map_are_cropped_and_flipped_together(dataset):
    for batch in batches(dataset, 10):
        np.testing.assert_array_equal(
            batch["image"][..., 0], 20 * batch["label_map"]
        )


def test_crops_and_flips_vary(dataset):
    crops = {
        b["label_map"][k].tobytes()
        for b in batches(dataset, 40)
        for k in range(4)
        if b["image"][k, 0, 0, 1] == 0
    }
    assert len(crops) > 10  # Of 3 * 5 places, flipped or not.


def test_flip_can_be_turned_off(dataset):
    plain = batches(dataset, 10, load_size=None, flip=False, batch_size=7)
    label_maps = {b["label_map"][k].tobytes() for b in plain for k in range(7)}
    assert len(label_maps) == NUM_EXAMPLES
    flipped = batches(dataset, 10, load_size=None, batch_size=7)
    label_maps = {
        b["label_map"][k].tobytes() for b in flipped for k in range(7)
    }
    assert len(label_maps) == 2 * NUM_EXAMPLES


def test_validation_is_in_order_and_not_augmented(dataset):
    batches_ = list(pipeline.validation_batches(dataset, LOAD_SIZE, 2))
    assert [len(b["image"]) for b in batches_] == [2, 1]
    for batch in batches_:
        np.testing.assert_array_equal(
            batch["image"][..., 0], 20 * batch["label_map"]
        )
    numbers = np.concatenate([b["sample_number"] for b in batches_])
    assert numbers.tolist() == [0, 1, 2]
    again = list(
        pipeline.validation_batches(dataset, LOAD_SIZE, 2, indices=[0])
    )
    assert len(again) == 1
    np.testing.assert_array_equal(again[0]["image"][0], batches_[0]["image"][0])


def test_a_split_without_examples_has_no_batches(dataset):
    without = copy.copy(dataset)
    without.num_examples = {"train": NUM_EXAMPLES, "validation": 0}
    assert not list(pipeline.validation_batches(without, SIZE, 2))


@pytest.mark.parametrize("size", [(4, 4), (10, 16), (33, 40)])
def test_resizes_down_and_up(size):
    label_map = tf.constant(np.tile([[3, 250]], (10, 8))[..., None], tf.uint16)
    image = tf.fill([10, 16, 3], tf.constant(77, tf.uint8))
    for wrap in (lambda function: function, tf.function):
        small = wrap(pipeline.resize_image)(image, size)
        labels = wrap(pipeline.resize_label_map)(label_map, size)
        assert small.shape == (*size, 3) and small.dtype == tf.uint8
        assert labels.shape == (*size, 1) and labels.dtype == tf.int32
        assert set(np.unique(labels)) <= {3, 250}
        assert np.unique(small).tolist() == [77]


def test_labels_are_taken_from_the_pixels_that_tensorflow_takes():
    lengths = [(old, new) for old in range(1, 24) for new in range(1, 24)]
    for old, new in [*lengths, (427, 286), (640, 286), (2048, 512)]:
        row = tf.range(old)[None, :, None]
        expected = tf.image.resize(row, (1, new), "nearest")
        resized = pipeline.resize_label_map(row, (1, new))
        np.testing.assert_array_equal(resized, expected, f"{old} to {new}")


def test_a_part_is_cut_out_of_what_is_resized():
    rng = np.random.default_rng(0)
    for resize, channels in (
        (pipeline.resize_image, 3),
        (pipeline.resize_label_map, 1),
    ):
        picture = rng.integers(0, 256, [17, 23, channels]).astype(np.uint8)
        whole = resize(picture, (11, 13))
        part = resize(picture, (11, 13), tf.constant([3, 1]), (8, 9))
        np.testing.assert_array_equal(part, whole[3:11, 1:10])


def test_offsets_are_all_that_there_is_room_for():
    seeds = [tf.constant([0, k]) for k in range(60)]
    offsets = [pipeline.random_offset((5, 4), (3, 4), seed) for seed in seeds]
    assert {tuple(o.numpy()) for o in offsets} == {(0, 0), (1, 0), (2, 0)}


def test_flips_image_and_label_map_or_neither():
    image = tf.reshape(tf.range(2 * 3 * 3), [2, 3, 3])
    label_map = image[..., :1]
    seen = set()
    for k in range(12):
        pair = pipeline.random_flip(image, label_map, tf.constant([0, k]))
        is_flipped = bool((pair[0][0, 0] != image[0, 0]).numpy().any())
        seen.add(is_flipped)
        step = -1 if is_flipped else 1
        np.testing.assert_array_equal(pair[0], image[:, ::step])
        np.testing.assert_array_equal(pair[1], label_map[:, ::step])
    assert seen == {False, True}


def test_bicubic_overshoot_is_clipped():
    image = tf.constant(np.repeat([0, 255], 4)[None, :, None] * [1, 1, 1])
    image = tf.cast(tf.tile(image, [8, 1, 1]), tf.uint8)
    large = pipeline.resize_image(image, (8, 32))
    row = large[0, :, 0].numpy().astype(int)
    assert (np.diff(row) >= 0).all()  # Without clipping values would wrap.
    assert (row[0], row[-1]) == (0, 255)


def test_one_example_fills_every_sample():
    indices = [
        int(pipeline.example_index(tf.constant(n, tf.int64), 1, [3, 4]))
        for n in range(3)
    ]
    assert indices == [0, 0, 0]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"load_size": (8, 11)}, r"load_size=\(8, 11\), image_size=\(8, 12\)"),
        ({"batch_size": 0}, "Received: 0 and 0"),
        ({"first_step": -1}, "Received: 4 and -1"),
    ],
)
def test_refuses_sizes_that_do_not_fit(dataset, settings, message):
    with pytest.raises(ValueError, match=message):
        batches(dataset, 1, **settings)


@pytest.mark.parametrize(
    "num_examples, num, expected",
    [
        (10, 4, [0, 3, 6, 9]),
        (3, 9, [0, 1, 2]),
        (5, 1, [0]),
        (200, 3, [0, 99, 199]),
    ],
)
def test_spread_goes_from_the_first_to_the_last(num_examples, num, expected):
    assert pipeline.spread(num_examples, num).tolist() == expected
