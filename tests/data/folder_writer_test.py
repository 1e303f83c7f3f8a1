"""Pairs written, and read again as a user's folder."""

import dataclasses

import numpy as np
import pytest

from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.folder_writer import FolderWriter
from oasis_tf.data.toy_scenes import Builder


@pytest.mark.parametrize("has_dont_care", [False, True])
def test_is_read_as_it_was_written(tmp_path, has_dont_care):
    names = Builder.INFO.class_names
    if has_dont_care:
        names = ("unlabeled", *names[1:])
    info = dataclasses.replace(
        Builder.INFO, class_names=names, has_dont_care=has_dont_care
    )
    folder = tmp_path / "pairs"
    folder.mkdir()
    writer = FolderWriter(folder, info)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, [6, 8, 3], np.uint8)
    labels = rng.integers(0, 11, [6, 8], np.int32)
    for split in ("train", "validation"):
        assert not writer.has(split, "a")
        writer.write(split, "a", image, labels)
        assert writer.has(split, "a")
    ignored = 255 if has_dont_care else -1
    assert writer.settings == [f"data.ignore_id={ignored}"]
    settings = config_lib.DataConfig(
        prepared_dir=str(tmp_path / "prepared"),
        ignore_id=(255,) if has_dont_care else (),
    )
    dataset = data.load("folder", folder, settings, (6, 8))
    (serialized,) = dataset.read("train", [0])
    example = dataset.decode(serialized)
    assert (example["image"].numpy() == image).all()
    assert (example["label_map"][..., 0].numpy() == labels).all()
    assert dataset.info.class_names == info.class_names
    assert dataset.info.colors == info.colors


def test_many_classes_take_two_bytes(tmp_path):
    names = [f"class {i}" for i in range(300)]
    info = DatasetInfo("many", names, [(0, 0, 0)] * 300, {}, True)
    assert FolderWriter(tmp_path, info).settings == ["data.ignore_id=65535"]


def test_class_names_that_are_there_stay(tmp_path):
    """Else the folder would be prepared anew."""
    path = tmp_path / "classes.txt"
    FolderWriter(tmp_path, Builder.INFO)
    before = path.stat().st_mtime_ns, path.read_text()
    FolderWriter(tmp_path, Builder.INFO)
    assert (path.stat().st_mtime_ns, path.read_text()) == before
    path.write_text("0 other 0 0 0\n")
    FolderWriter(tmp_path, Builder.INFO)
    assert path.read_text() == before[1]
