"""Cityscapes: its facts, its layout, and TFDS's data set of the same name."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from oasis_tf.data import cityscapes
from oasis_tf.data import label_map
from oasis_tf.data import pairs
from tests.data import raw_files

INFO = cityscapes.Builder.INFO
IDS = [0, 7, 26, 33]
FRAMES = {
    "train": ("aachen/aachen_000000_000019", "bochum/bochum_000000_000313"),
    "val": ("munster/munster_000000_000019",),
}


def write(raw_dir):
    for folder, names in FRAMES.items():
        for name in names:
            raw_files.write_image(
                raw_dir / f"leftImg8bit/{folder}/{name}_leftImg8bit.png"
            )
            start = f"{raw_dir}/gtFine/{folder}/{name}_gtFine_"
            labels = raw_dir / f"gtFine/{folder}/{name}_gtFine_labelIds.png"
            raw_files.write_label(labels, IDS)
            for sibling in ("color", "instanceIds", "labelTrainIds"):
                raw_files.write_image(
                    labels.with_name(f"{name[-6:]}_gtFine_{sibling}.png")
                )
            with open(f"{start}polygons.json", "w") as polygons:
                polygons.write("{}")


def list_pairs(raw_dir):
    data_dir = raw_dir / "tfds"
    return cityscapes.Builder(data_dir=data_dir).list_pairs([raw_dir])


def test_info():
    assert INFO.name == "cityscapes"
    assert INFO.semantic_channels == 35
    assert INFO.num_classes == 34
    assert INFO.has_dont_care
    assert INFO.class_names[0] == "unlabeled"
    assert INFO.class_names[7] == "road"
    assert INFO.colors[7] == (128, 64, 128)
    assert INFO.class_names[33] == "bicycle"
    assert [INFO.class_names[label] for label in INFO.scored] == [
        *("road", "sidewalk", "building", "wall", "fence", "pole"),
        *("traffic light", "traffic sign", "vegetation", "terrain", "sky"),
        *("person", "rider", "car", "truck", "bus", "train"),
        *("motorcycle", "bicycle"),
    ]
    assert INFO.class_names[34] == "license plate"
    assert len(set(INFO.class_names)) == 35


def test_ids_are_labels():
    ids = np.arange(34)[None]
    np.testing.assert_array_equal(label_map.remap(ids, INFO), ids)
    np.testing.assert_array_equal(label_map.restore(ids, INFO), ids)


def test_license_plate_has_no_id_in_files():
    assert INFO.native_id(34) is None
    with pytest.raises(ValueError, match=r"Received: \[34\]"):
        label_map.restore([[7, 34]], INFO)


def test_layout(tmp_path):
    write(tmp_path / "raw")
    splits = raw_files.prepare(
        "cityscapes", tmp_path / "tfds", tmp_path / "raw"
    )
    assert raw_files.sizes(splits) == {"train": 2, "validation": 1}
    for split, folder in (("train", "train"), ("validation", "val")):
        assert raw_files.first_labels(splits[split], 4) == {
            name: IDS for name in FRAMES[folder]
        }


def test_missing_annotations(tmp_path):
    write(tmp_path)
    shutil.rmtree(tmp_path / "gtFine")
    with pytest.raises(
        pairs.DataError,
        match=r"train label maps must be one of gtFine/train, .* "
        r"which holds leftImg8bit/",
    ):
        list_pairs(tmp_path)


def test_missing_label_ids(tmp_path):
    write(tmp_path)
    (name,) = FRAMES["val"]
    (tmp_path / f"gtFine/val/{name}_gtFine_labelIds.png").unlink()
    listing = list_pairs(tmp_path)["validation"]
    assert not listing.pairs
    (problem,) = listing.problems
    assert problem.path.name == "munster_000000_000019_leftImg8bit.png"


def test_says_how_to_download(tmp_path):
    with pytest.raises(AssertionError, match="leftImg8bit_trainvaltest.zip"):
        raw_files.prepare("cityscapes", tmp_path, tmp_path / "nowhere")


_IMPORTS = {
    "ours": "import oasis_tf.data.cityscapes as ours",
    "theirs": (
        "from tensorflow_datasets.datasets.cityscapes import "
        "cityscapes_dataset_builder as theirs"
    ),
}


@pytest.mark.parametrize(
    "first, second", [("ours", "theirs"), ("theirs", "ours")]
)
def test_lives_with_the_one_of_tfds(first, second):
    """Whichever is imported first, `tfds.load` means ours."""
    lines = [
        _IMPORTS[first],
        _IMPORTS[second],
        "import tensorflow_datasets as tfds",
        "assert theirs.Builder is not ours.Builder",
        "assert tfds.builder_cls('cityscapes') is ours.Builder",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
