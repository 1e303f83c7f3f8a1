"""Counts, sizes, shares and problems of raw files."""

import pytest

from oasis_tf.config import DataConfig
from oasis_tf.data import folder
from oasis_tf.data import inspection
from tests.data import raw_files


@pytest.fixture
def builder(tmp_path):
    (tmp_path / "classes.txt").write_text("sky\nroad\nbus\nship\n")
    for name, ids in (("a", [0]), ("b", [0, 2]), ("c", [7])):
        raw_files.write_image(tmp_path / f"train_img/{name}.png")
        raw_files.write_label(tmp_path / f"train_label/{name}.png", ids)
    raw_files.write_image(tmp_path / "val_img/d.png", 10, 10)
    raw_files.write_label(tmp_path / "val_label/d.png", [], 10, 10)
    raw_files.write_image(tmp_path / "val_img/alone.png")
    return folder.Builder.from_settings(
        DataConfig(), (4, 4), tmp_path, data_dir=tmp_path
    )


def test_counts_images_pixels_and_sizes(builder):
    reports = inspection.inspect(builder, [])
    train = reports["train"]
    assert train.num_images == 2
    assert dict(train.sizes) == {(6, 8): 2}
    assert train.pixels.tolist() == [2, 2 * 48 - 3, 1, 0]
    assert train.images.tolist() == [2, 2, 1, 0]
    assert dict(reports["validation"].sizes) == {(10, 10): 1}


def test_collects_problems(builder):
    reports = inspection.inspect(builder, [])
    (problem,) = reports["train"].problems
    assert problem.path.name == "c.png"
    assert problem.expected == "ids among 0..3"
    assert problem.found.startswith("id 7 in")
    (problem,) = reports["validation"].problems
    assert problem.path.name == "alone.png"


def test_samples_are_spread_over_the_split(builder):
    samples = inspection.inspect(builder, [], num_samples=1)["train"].samples
    assert [sample.name for sample in samples] == ["a"]
    samples = inspection.inspect(builder, [], num_samples=9)["train"].samples
    assert [sample.name for sample in samples] == ["a", "b"]


def test_describes_what_it_counted(builder):
    text = inspection.describe(builder.INFO, inspection.inspect(builder, []))
    lines = text.splitlines()
    assert lines[0] == "folder: 4 semantic channels (4 classes)"
    assert lines[3].split() == "train 2 1 6, 6, 6 8, 8, 8".split()
    assert "Sizes in validation (width x height): 10 x 10: 1" in lines
    rows = [line.split() for line in lines[-4:-1]]
    assert rows[0][:3] == ["1", "1", "road"]
    assert rows[1] == "0 0 sky 2.083 2 0.000 0".split()
    assert lines[-1] == "Not there: 1 of 4: ship"
