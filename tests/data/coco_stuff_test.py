"""COCO-Stuff: its facts, and both layouts prepared by TFDS."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from oasis_tf.data import coco_stuff
from oasis_tf.data import label_map
from oasis_tf.data import pairs
from oasis_tf.data.coco_stuff import builder
from tests import shared_data
from tests.data import raw_files

INFO = coco_stuff.Builder.INFO
IDS = [0, 90, 91, 181, 255]
LABELS = [1, 91, 92, 182, 0]
TRAIN_NAMES = ("000000000009", "000000000025")
VALIDATION_NAMES = ("000000000139",)


def write_official(raw_dir, images="", maps="stuffthingmaps_trainval2017"):
    for folder, names in (
        ("train2017", TRAIN_NAMES),
        ("val2017", VALIDATION_NAMES),
    ):
        for name in names:
            raw_files.write_image(raw_dir / images / folder / f"{name}.jpg")
            raw_files.write_label(raw_dir / maps / folder / f"{name}.png", IDS)


def write_like_spade(raw_dir):
    for folder, names in (("train", TRAIN_NAMES), ("val", VALIDATION_NAMES)):
        for name in names:
            raw_files.write_image(raw_dir / f"{folder}_img/{name}.jpg")
            raw_files.write_label(raw_dir / f"{folder}_label/{name}.png", IDS)
            raw_files.write_label(raw_dir / f"{folder}_inst/{name}.png", [])


def check(splits):
    assert raw_files.sizes(splits) == {"train": 2, "validation": 1}
    assert raw_files.first_labels(splits["train"], 5) == {
        name: LABELS for name in TRAIN_NAMES
    }
    assert raw_files.first_labels(splits["validation"], 5) == {
        name: LABELS for name in VALIDATION_NAMES
    }


def test_info():
    assert INFO.semantic_channels == 183
    assert INFO.num_classes == 182
    assert INFO.has_dont_care
    assert INFO.class_names[0] == "unlabeled"
    assert INFO.class_names[1] == "person"
    assert INFO.class_names[182] == "wood"
    assert len(set(INFO.class_names)) == 183
    assert len(set(INFO.colors)) == 183


def test_ids_come_back():
    ids = np.array([[*range(182), 255]])
    labels = label_map.remap(ids, INFO)
    np.testing.assert_array_equal(labels, [[*range(1, 183), 0]])
    np.testing.assert_array_equal(label_map.restore(labels, INFO), ids)


@pytest.mark.parametrize(
    "images, maps",
    [
        ("", "stuffthingmaps_trainval2017"),
        ("images", "stuffthingmaps"),
        ("", ""),  # Everything extracted into one place.
    ],
)
def test_official_layout(tmp_path, images, maps):
    write_official(tmp_path / "raw", images, maps)
    check(raw_files.prepare("coco_stuff", tmp_path / "tfds", tmp_path / "raw"))


def test_layout_of_spade(tmp_path):
    write_like_spade(tmp_path / "raw")
    check(raw_files.prepare("coco_stuff", tmp_path / "tfds", tmp_path / "raw"))


def test_download(tmp_path, monkeypatch):
    write_official(tmp_path / "raw", maps="maps")
    raw_dir, zips = tmp_path / "raw", tmp_path / "zips"
    for name in ("train2017", "val2017"):
        shutil.make_archive(zips / name, "zip", raw_dir, name)
    shutil.make_archive(
        zips / "stuffthingmaps_trainval2017", "zip", raw_dir / "maps"
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with raw_files.served(zips) as address:
        for key, url in builder.URLS.items():
            name = url.rsplit("/", 1)[1]
            monkeypatch.setitem(builder.URLS, key, f"{address}/{name}")
        check(raw_files.prepare("coco_stuff", tmp_path / "tfds"))


def test_missing_label_maps(tmp_path):
    write_official(tmp_path)
    shutil.rmtree(tmp_path / "stuffthingmaps_trainval2017")
    with pytest.raises(
        pairs.DataError,
        match=r"train label maps of coco_stuff must be one of train_label/"
        r"\*\.png, stuffthingmaps_trainval2017/train2017/\*\.png, .*"
        r"Received: .*, which holds train2017/, val2017/\.",
    ):
        list_pairs(tmp_path)


def test_missing_images(tmp_path):
    write_like_spade(tmp_path)
    shutil.rmtree(tmp_path / "val_img")
    with pytest.raises(
        pairs.DataError, match=r"validation images .* val_img/\*\.jpg, "
    ):
        list_pairs(tmp_path)


def test_missing_partner(tmp_path):
    write_official(tmp_path)
    label = tmp_path / "stuffthingmaps_trainval2017/train2017/000000000025.png"
    label.unlink()
    listing = list_pairs(tmp_path)["train"]
    assert [pair.name for pair in listing.pairs] == ["000000000009"]
    (problem,) = listing.problems
    assert problem.path == tmp_path / "train2017/000000000025.jpg"
    assert str(label.parent) in problem.expected


def test_shared_sample(tmp_path):
    raw_dir = shared_data.folder("coco_stuff")
    splits = raw_files.prepare("coco_stuff", tmp_path, raw_dir)
    assert raw_files.sizes(splits) == {"train": 13, "validation": 25}
    labels = np.unique(
        np.concatenate(
            [e["label_map"].ravel() for e in tfds.as_numpy(splits["train"])]
        )
    )
    assert len(labels) == 58  # As counted in the sample's README.


def list_pairs(raw_dir):
    with_tfds_folder = coco_stuff.Builder(data_dir=raw_dir / "tfds")
    return with_tfds_folder.list_pairs([raw_dir])
