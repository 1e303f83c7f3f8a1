"""The generated landscapes as a data set."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from oasis_tf import data
from oasis_tf.config import DataConfig
from oasis_tf.data.toy_scenes import builder
from oasis_tf.data.toy_scenes import scenes


def make_builder(tmp_path, **settings):
    return builder.Builder(
        config=builder.ToyScenesConfig(**settings), data_dir=tmp_path
    )


def test_labels_are_the_scenes_classes():
    info = builder.Builder.INFO
    assert info.class_names == tuple(scenes.CLASS_NAMES)
    assert not info.has_dont_care
    assert info.native_id(3) == 3


def test_loads_at_the_runs_size(tmp_path):
    config = DataConfig(
        prepared_dir=str(tmp_path), num_train_scenes=5, num_validation_scenes=2
    )
    dataset = data.load("toy_scenes", "", config, (32, 48))
    assert dataset.num_examples == {"train": 5, "validation": 2}
    example = dataset.decode(dataset.read("train", [0])[0])
    number = int(example["name"].numpy().decode().removeprefix("train-"))
    image, label_map = scenes.draw_scene(0, number, 32, 48)
    np.testing.assert_array_equal(example["image"], image)
    np.testing.assert_array_equal(example["label_map"][..., 0], label_map)


def test_tfds_loads_it(tmp_path):
    config = builder.ToyScenesConfig(
        num_train_scenes=3, num_validation_scenes=1
    )
    splits = tfds.load(
        "toy_scenes", data_dir=tmp_path, builder_kwargs={"config": config}
    )
    (example,) = splits["validation"]
    assert example["image"].shape == (64, 64, 3)
    assert len(splits["train"]) == 3


def test_defaults_are_those_of_the_settings(tmp_path):
    listings = builder.Builder(data_dir=tmp_path).list_pairs([])
    assert len(listings["train"].pairs) == DataConfig().num_train_scenes
    assert (
        len(listings["validation"].pairs) == DataConfig().num_validation_scenes
    )


def test_validation_scenes_are_not_training_scenes(tmp_path):
    listings = make_builder(tmp_path, num_train_scenes=100).list_pairs([])
    train, validation = (
        {scene.index for scene in listings[split].pairs}
        for split in ("train", "validation")
    )
    assert not train & validation


def test_more_scenes_leave_the_first_ones_as_they_are(tmp_path):
    few, many = (
        make_builder(tmp_path, num_train_scenes=count).list_pairs([])["train"]
        for count in (3, 5)
    )
    assert many.pairs[:3] == few.pairs


def test_another_seed_draws_other_scenes(tmp_path):
    images = []
    for seed in (0, 1):
        toy = make_builder(tmp_path, seed=seed, height=32, width=32)
        example = toy.read(toy.list_pairs([])["train"].pairs[0])
        images.append(np.asarray(Image.open(io.BytesIO(example.image))))
    assert (images[0] != images[1]).any()


def test_no_validation_scenes_make_no_validation_split(tmp_path):
    toy = make_builder(tmp_path, num_validation_scenes=0)
    assert list(toy.list_pairs([])) == ["train"]


@pytest.mark.parametrize("counts", [(0, 1), (1, -1)])
def test_refuses_counts_below_the_least(counts):
    with pytest.raises(ValueError, match="at least 1"):
        builder.ToyScenesConfig(
            num_train_scenes=counts[0], num_validation_scenes=counts[1]
        )
