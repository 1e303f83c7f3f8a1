"""ADE20K: its facts, and its layout prepared by TFDS."""

import shutil

import numpy as np
import pytest

from oasis_tf.data import ade20k
from oasis_tf.data import label_map
from oasis_tf.data import pairs
from oasis_tf.data.ade20k import builder
from tests import shared_data
from tests.data import raw_files

INFO = ade20k.Builder.INFO
IDS = [0, 1, 2, 150]
NAMES = {
    "training": ("ADE_train_00000001", "ADE_train_00000002"),
    "validation": ("ADE_val_00000001",),
}


def write(raw_dir):
    top = raw_dir / "ADEChallengeData2016"
    for folder, names in NAMES.items():
        for name in names:
            raw_files.write_image(top / f"images/{folder}/{name}.jpg")
            raw_files.write_label(top / f"annotations/{folder}/{name}.png", IDS)
    (top / "objectInfo150.txt").write_text("")
    return top


def check(splits):
    assert raw_files.sizes(splits) == {"train": 2, "validation": 1}
    for split, folder in (("train", "training"), ("validation", "validation")):
        assert raw_files.first_labels(splits[split], 4) == {
            name: IDS for name in NAMES[folder]
        }


def test_info():
    assert INFO.semantic_channels == 151
    assert INFO.num_classes == 150
    assert INFO.has_dont_care
    assert INFO.class_names[:3] == ("unlabeled", "wall", "building")
    assert INFO.class_names[150] == "flag"
    assert len(set(INFO.class_names)) == 151
    assert len(set(INFO.colors)) == 151


def test_ids_are_labels():
    ids = np.arange(151)[None]
    np.testing.assert_array_equal(label_map.remap(ids, INFO), ids)
    np.testing.assert_array_equal(label_map.restore(ids, INFO), ids)


@pytest.mark.parametrize("folder", [".", "ADEChallengeData2016"])
def test_layout(tmp_path, folder):
    write(tmp_path / "raw")
    raw_dir = tmp_path / "raw" / folder
    check(raw_files.prepare("ade20k", tmp_path / "tfds", raw_dir))


def test_download(tmp_path, monkeypatch):
    top = write(tmp_path / "raw")
    shutil.make_archive(
        tmp_path / "zips" / top.name, "zip", top.parent, top.name
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with raw_files.served(tmp_path / "zips") as address:
        monkeypatch.setattr(builder, "URL", f"{address}/{top.name}.zip")
        check(raw_files.prepare("ade20k", tmp_path / "tfds"))


def test_missing_folder(tmp_path):
    top = write(tmp_path)
    shutil.rmtree(top / "annotations/validation")
    with pytest.raises(
        pairs.DataError,
        match=r"validation label maps must be one of annotations/validation, "
        r"ADEChallengeData2016/annotations/validation\. Received: ",
    ):
        ade20k.Builder(data_dir=tmp_path / "tfds").list_pairs([tmp_path])


def test_missing_partner(tmp_path):
    top = write(tmp_path)
    (top / "images/training/ADE_train_00000002.jpg").unlink()
    listings = ade20k.Builder(data_dir=tmp_path / "tfds").list_pairs([top])
    (problem,) = listings["train"].problems
    assert problem.path.name == "ADE_train_00000002.png"


def test_shared_sample(tmp_path):
    raw_dir = shared_data.folder("ade20k")
    splits = raw_files.prepare("ade20k", tmp_path, raw_dir)
    assert raw_files.sizes(splits) == {"train": 1, "validation": 17}
