"""What all TFDS builders share: problems, skipping, order."""

import time

import pytest
import tensorflow_datasets as tfds

from oasis_tf.data import builder
from oasis_tf.data import pairs
from oasis_tf.data.dataset import DatasetInfo
from tests.data import raw_files


class TwoClasses(builder.SegmentationBuilder, skip_registration=True):
    """Folders `train`, `train_labels`, `val` and `val_labels`."""

    name = "two_classes"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Make it."
    INFO = DatasetInfo(
        name="two_classes",
        class_names=("nothing", "one"),
        colors=((0, 0, 0), (255, 0, 0)),
        label_of_id={0: 0, 1: 1},
        has_dont_care=True,
    )

    def list_pairs(self, raw_dirs):
        (raw_dir,) = raw_dirs
        return {
            split: pairs.pair_folders(raw_dir / folder, raw_dir / f"{folder}_l")
            for split, folder in (("train", "train"), ("validation", "val"))
        }


@pytest.fixture
def raw_dir(tmp_path):
    raw_dir = tmp_path / "raw"
    for folder, names in (("train", "abc"), ("val", "xy")):
        for name in names:
            raw_files.write_image(raw_dir / folder / f"{name}.png")
            raw_files.write_label(raw_dir / f"{folder}_l" / f"{name}.png", [0])
    return raw_dir


def prepare(raw_dir, **kwargs):
    data_dir = raw_dir.parent / "prepared"
    prepared = TwoClasses(data_dir=data_dir, **kwargs)
    config = tfds.download.DownloadConfig(manual_dir=raw_dir)
    prepared.download_and_prepare(download_config=config)
    return prepared.as_dataset()


def spoil(raw_dir):
    raw_files.write_label(raw_dir / "train_l/b.png", [9])
    (raw_dir / "val/x.png").write_bytes(b"")


def test_prepares_images_label_maps_and_names(raw_dir):
    splits = prepare(raw_dir)
    assert raw_files.sizes(splits) == {"train": 3, "validation": 2}
    assert raw_files.first_labels(splits["train"], 2) == {
        name: [0, 1] for name in "abc"
    }
    (example, *_) = tfds.as_numpy(splits["train"])
    assert example["image"].shape == (6, 8, 3)
    assert example["image"][0, 0].tolist() == [0, 1, 2]


def test_refuses_problems_of_all_splits_at_once(raw_dir):
    spoil(raw_dir)
    with pytest.raises(pairs.DataError) as error:
        prepare(raw_dir)
    message = str(error.value)
    assert "Received: 2 with a problem" in message
    assert f"inspect_data --dataset=two_classes --data_dir={raw_dir}" in message
    assert f"{raw_dir}/train_l/b.png: expected ids among 0..1" in message
    assert f"{raw_dir}/val/x.png: expected an image" in message


def test_leaves_nothing_behind_when_it_refuses(raw_dir):
    spoil(raw_dir)
    with pytest.raises(pairs.DataError):
        prepare(raw_dir)
    assert not list((raw_dir.parent / "prepared/two_classes").iterdir())


def test_skips_problems_when_told_to(raw_dir):
    spoil(raw_dir)
    splits = prepare(raw_dir, on_problem="skip")
    assert raw_files.sizes(splits) == {"train": 2, "validation": 1}


def test_refuses_a_split_without_a_good_pair(raw_dir):
    for name in "xy":
        (raw_dir / f"val/{name}.png").write_bytes(b"")
    with pytest.raises(pairs.DataError, match="one good pair for validation"):
        prepare(raw_dir, on_problem="skip")


def test_refuses_other_values_of_on_problem(tmp_path):
    with pytest.raises(ValueError, match="Received: 'warn'"):
        TwoClasses(data_dir=tmp_path, on_problem="warn")


def test_says_how_to_get_data_that_is_not_there(tmp_path):
    with pytest.raises(AssertionError, match="Make it."):
        prepare(tmp_path / "nowhere")


def test_threads_keep_the_order():
    def sleep(k):
        time.sleep(0.002 * (k % 3))
        return k

    results = builder.map_in_order(sleep, range(100), num_threads=4)
    assert list(results) == list(range(100))
