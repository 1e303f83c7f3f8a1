"""ADE20K-outdoors: which scenes it takes, and what it says of missing ones."""

import pathlib
import shutil

import pytest

from oasis_tf.data import ade20k
from oasis_tf.data import ade20k_outdoors
from oasis_tf.data import pairs
from oasis_tf.data.ade20k_outdoors import builder
from tests import shared_data
from tests.data import raw_files

SCENES = {
    "ADE_train_00000001": "airport_terminal",
    "ADE_train_00000002": "beach",
    "ADE_train_00000003": "church_outdoor",
    "ADE_val_00000001": "bedroom",
    "ADE_val_00000002": "street",
    "ADE_val_00000003": "a_category_never_heard_of",
}


def write(raw_dir, scenes=SCENES):
    top = raw_dir / "ADEChallengeData2016"
    for name in SCENES:
        folder = "training" if "train" in name else "validation"
        raw_files.write_image(top / f"images/{folder}/{name}.jpg")
        raw_files.write_label(
            top / f"annotations/{folder}/{name}.png", [0, 150]
        )
    lines = [f"{name} {scene}\n" for name, scene in scenes.items()]
    (top / "sceneCategories.txt").write_text("".join(lines))
    return top


def list_pairs(raw_dir):
    data_dir = raw_dir / "tfds"
    return ade20k_outdoors.Builder(data_dir=data_dir).list_pairs([raw_dir])


def test_info():
    info = ade20k_outdoors.Builder.INFO
    assert info.name == "ade20k_outdoors"
    assert info.class_names == ade20k.Builder.INFO.class_names
    assert info.semantic_channels == 151


def test_outdoor_scenes():
    path = pathlib.Path(builder.__file__).with_name("outdoor_scenes.txt")
    scenes = path.read_text().splitlines()
    assert scenes == sorted(set(scenes))
    assert len(scenes) == 580
    for scene in ("street", "beach", "skyscraper", "exterior", "sand"):
        assert scene in builder.OUTDOOR_SCENES
    for scene in ("bedroom", "kitchen", "church_indoor", "misc"):
        assert scene not in builder.OUTDOOR_SCENES
    assert not [s for s in scenes if s.endswith(("_indoor", "_interior"))]


@pytest.mark.parametrize("folder", [".", "ADEChallengeData2016"])
def test_layout(tmp_path, folder):
    write(tmp_path / "raw")
    splits = raw_files.prepare(
        "ade20k_outdoors", tmp_path / "tfds", tmp_path / "raw" / folder
    )
    assert raw_files.sizes(splits) == {"train": 2, "validation": 1}
    assert raw_files.first_labels(splits["train"], 3) == {
        "ADE_train_00000002": [0, 150, 1],
        "ADE_train_00000003": [0, 150, 1],
    }
    assert raw_files.first_labels(splits["validation"], 3) == {
        "ADE_val_00000002": [0, 150, 1]
    }


def test_missing_scenes_file(tmp_path):
    (write(tmp_path) / "sceneCategories.txt").unlink()
    with pytest.raises(
        pairs.DataError,
        match=r"must be one of sceneCategories\.txt, "
        r"ADEChallengeData2016/sceneCategories\.txt\. Received: ",
    ):
        list_pairs(tmp_path)


def test_unlisted_image(tmp_path):
    unlisted = "ADE_val_00000002"
    top = write(tmp_path, {n: s for n, s in SCENES.items() if n != unlisted})
    listing = list_pairs(tmp_path)["validation"]
    assert not listing.pairs
    (problem,) = listing.problems
    assert problem.path.stem == unlisted
    assert str(top / "sceneCategories.txt") in problem.expected


def test_partner_is_missed_outdoors_only(tmp_path):
    top = write(tmp_path)
    shutil.rmtree(top / "annotations/training")
    (top / "annotations/training").mkdir()
    listing = list_pairs(tmp_path)["train"]
    assert not listing.pairs
    assert [problem.path.stem for problem in listing.problems] == [
        "ADE_train_00000002",
        "ADE_train_00000003",
    ]


def test_bad_line(tmp_path):
    top = write(tmp_path)
    (top / "sceneCategories.txt").write_text("ADE_train_00000001\n")
    with pytest.raises(pairs.DataError, match="Line 1 of .*Received: 'ADE_tr"):
        list_pairs(tmp_path)


def test_shared_sample(tmp_path):
    raw_dir = tmp_path / "raw"
    shutil.copytree(shared_data.folder("ade20k"), raw_dir)
    names = [
        path.stem
        for path in (raw_dir / "ADEChallengeData2016/images").rglob("*.jpg")
    ]
    (raw_dir / "ADEChallengeData2016/sceneCategories.txt").write_text(
        "".join(f"{name} street\n" for name in names)
    )
    splits = raw_files.prepare("ade20k_outdoors", tmp_path / "tfds", raw_dir)
    assert raw_files.sizes(splits) == {"train": 1, "validation": 17}
