"""Label maps of benchmarks: drawn, and read from a folder."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import label_maps

SIZE = (24, 32)


def num_borders(label_map):
    """Returns how many pairs of neighbours differ."""
    return sum(
        np.count_nonzero(np.diff(label_map, axis=axis)) for axis in (0, 1)
    )


def draw(regions, channels=1000):
    rng = np.random.default_rng(0)
    return label_maps.draw(regions, SIZE, channels, rng)


def test_drawn_maps_have_labels_of_the_classes():
    label_map = draw(50, channels=3)
    assert label_map.shape == SIZE
    assert label_map.dtype == np.int32
    assert set(np.unique(label_map)) == {0, 1, 2}


@pytest.mark.parametrize("regions", [1, 2, 9])
def test_there_are_as_many_regions_as_asked_for(regions):
    # With so many classes no two have the same.
    assert len(np.unique(draw(regions))) == regions


def test_the_worst_case_has_a_label_for_each_pixel():
    # Of 1000 classes two neighbours have the same in 1 of 1000 cases.
    pairs = 23 * 32 + 24 * 31
    assert num_borders(draw(0)) > 0.98 * pairs
    assert 0 < num_borders(draw(9)) < 0.2 * pairs


def test_the_same_seed_draws_the_same_map():
    np.testing.assert_array_equal(draw(9), draw(9))


def test_files_are_read_in_order_and_brought_to_the_size(tmp_path):
    (tmp_path / "deeper").mkdir()
    first = np.array([[0, 1], [2, 9]], np.uint8)
    Image.fromarray(first).save(tmp_path / "a.png")
    second = np.full([3, 5], 4, np.uint8)
    Image.fromarray(second).save(tmp_path / "deeper/b.png")
    Image.fromarray(first).save(tmp_path / "deeper/c.png")
    maps = label_maps.read(tmp_path, 2, (4, 2), 7)
    expected = [[0, 1], [0, 1], [2, 2], [2, 2]]  # 9 is label 2 of 7.
    np.testing.assert_array_equal(maps, [expected, np.full([4, 2], 4)])
    assert maps.dtype == np.int32


def test_a_larger_map_gives_the_middles_of_its_cells(tmp_path):
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(
        tmp_path / "a.png"
    )
    maps = label_maps.read(tmp_path, 1, (2, 2), 16)
    np.testing.assert_array_equal(maps, [[[5, 7], [13, 15]]])


def test_a_folder_without_label_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"PNGs. Received: {tmp_path}"):
        label_maps.read(tmp_path, 2, SIZE, 7)
