"""Label maps, images and masks from users."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from oasis_tf.config import DataConfig
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.inference import inputs
from tests import tiny

INFO = DatasetInfo(
    name="garden",
    class_names=("void", "sky", "road"),
    colors=((0, 0, 0), (0, 0, 255), (90, 90, 90)),
    label_of_id={255: 0, 0: 1, 7: 2},
    has_dont_care=True,
)
IDS = np.array([[0, 7, 255], [7, 7, 0]], np.uint8)
LABELS = [[1, 2, 0], [2, 2, 1]]


def save(path, array):
    Image.fromarray(array).save(path)
    return str(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_arrays_hold_the_data_sets_own_ids(dtype):
    labels = inputs.read_label_map(IDS.astype(dtype), INFO, tiny.CONFIG)
    assert labels.tolist() == LABELS


def test_files_hold_ids_or_the_classes_colours(tmp_path):
    colors = np.array(INFO.colors, np.uint8)[np.array(LABELS)]
    for array in (IDS, colors):
        path = save(tmp_path / "a.png", array)
        labels = inputs.read_label_map(path, INFO, tiny.CONFIG)
        assert labels.dtype == np.int32
        assert labels.tolist() == LABELS


def save_palette_file(path):
    """Writes `LABELS` in the classes' colours, the palette's order another."""
    order = [2, 0, 1]
    label = Image.fromarray(np.uint8(order)[np.array(LABELS)], "P")
    colors = [None] * 3
    for s, number in enumerate(order):
        colors[number] = INFO.colors[s]
    label.putpalette([channel for color in colors for channel in color])
    label.save(path)
    return str(path)


def test_palette_files_hold_what_they_held_in_training(tmp_path):
    path = save_palette_file(tmp_path / "a.png")
    config = dataclasses.replace(
        tiny.CONFIG, dataset="folder", data=DataConfig(palette="colors.txt")
    )
    assert inputs.read_label_map(path, INFO, config).tolist() == LABELS
    # Else their numbers are ids, of which 1 and 2 are none.
    with pytest.raises(ValueError, match="found ids 1..2"):
        inputs.read_label_map(path, INFO, tiny.CONFIG)


def test_a_colour_of_two_classes_names_neither(tmp_path):
    info = dataclasses.replace(INFO, colors=((0, 0, 0), *[(9, 9, 9)] * 2))
    path = save(tmp_path / "a.png", np.full([2, 2, 3], 9, np.uint8))
    with pytest.raises(ValueError, match=r"found \(9 9 9\)"):
        inputs.read_label_map(path, info, tiny.CONFIG)


def test_other_ids_are_refused_by_name(tmp_path):
    wrong = np.full([2, 2], 9, np.uint8)
    with pytest.raises(ValueError, match=r"ids among 0, 7, 255.*Received: 9"):
        inputs.read_label_map(wrong, INFO, tiny.CONFIG)
    path = save(tmp_path / "a.png", wrong)
    with pytest.raises(ValueError, match=r"a\.png: expected ids among.*id 9"):
        inputs.read_label_map(path, INFO, tiny.CONFIG)


@pytest.mark.parametrize(
    "array", [IDS.astype(float), np.zeros([2, 2, 3], np.uint8)]
)
def test_other_arrays_are_no_label_maps(array):
    with pytest.raises(ValueError, match=r"integer array of shape \[H, W\]"):
        inputs.read_label_map(array, INFO, tiny.CONFIG)


def test_photos_are_turned_upright(tmp_path):
    pixels = np.zeros([2, 3, 3], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by a quarter.
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    assert inputs.read_image(path).shape == (3, 2, 3)


def test_a_file_that_is_no_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("hello")
    with pytest.raises(ValueError, match="a.png: expected an image"):
        inputs.read_image(path)
    with pytest.raises(ValueError, match=r"uint8 array of shape \[H, W, 3\]"):
        inputs.read_image(np.zeros([2, 2, 3]))


def masks():
    mask = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)
    white_first = Image.fromarray(1 - mask, "P")
    white_first.putpalette([255, 255, 255, 0, 0, 0] + [0] * 762)
    numbers = Image.fromarray(mask, "P")  # Without a colour for each.
    numbers.putpalette([0, 0, 0] * 256)
    strokes = np.zeros([2, 3, 4], np.uint8)  # Black, on nothing.
    strokes[..., 3] = 255 * mask
    layer = np.zeros([2, 3, 4], np.uint8)
    layer[..., :3] = 255
    layer[..., 3] = 255 * mask
    return {
        "0 and 1": Image.fromarray(mask),
        "0 and 255": Image.fromarray(255 * mask),
        "bilevel": Image.fromarray(mask.astype(bool)),
        "white first": white_first,
        "numbers": numbers,
        "strokes": Image.fromarray(strokes, "RGBA"),
        "16 bits": Image.fromarray(np.uint16(300 + 65000 * mask.astype(int))),
        "transparent": Image.fromarray(layer, "RGBA"),
    }


@pytest.mark.parametrize("kind", list(masks()))
def test_masks_of_many_kinds_mark_the_same(tmp_path, kind):
    path = tmp_path / "m.png"
    masks()[kind].save(path)
    mask = inputs.read_mask(str(path), (2, 3))
    assert mask.tolist() == [[False, True, False], [True, True, False]]


def test_mask_of_another_size_is_refused(tmp_path):
    path = save(tmp_path / "m.png", np.eye(2, dtype=np.uint8) * 255)
    with pytest.raises(ValueError, match=r"m\.png must .*\(4, 4\).*\(2, 2\)"):
        inputs.read_mask(path, (4, 4))


def test_mask_that_marks_nothing_is_refused(tmp_path):
    path = save(tmp_path / "m.png", np.zeros([2, 2], np.uint8))
    with pytest.raises(ValueError, match="found only black"):
        inputs.read_mask(path, (2, 2))


def test_sizes(caplog):
    assert inputs.target_size("a", (64, 96), 32, False, (64, 64)) == (64, 96)
    assert inputs.target_size("a", (70, 10), 32, True, (64, 64)) == (64, 32)
    assert inputs.target_size("a", (70, 10), 32, (96, 96), (64, 64)) == (96, 96)
    with pytest.raises(ValueError, match=r"\(64, 32\) would do.*\(70, 10\)"):
        inputs.target_size("a", (70, 10), 32, False, (64, 64))
    with pytest.raises(ValueError, match="`size` must be multiples of 32"):
        inputs.target_size("a", (70, 10), 32, (33, 64), (64, 64))
    assert "far from the (64, 64)" not in caplog.text
    inputs.target_size("a", (256, 64), 32, False, (64, 64))
    assert "far from the (64, 64)" in caplog.text
    for wrong in (64, (64,), 1):
        with pytest.raises(ValueError, match="True, False or"):
            inputs.target_size("a", (70, 10), 32, wrong, (64, 64))


def test_resizing_takes_the_nearest_label():
    labels = np.array([[1, 2], [3, 4]], np.int32)
    resized = inputs.resize_label_map(labels, (4, 4))
    assert resized.tolist() == np.kron(labels, np.ones([2, 2])).tolist()
    assert inputs.resize_label_map(labels, (2, 2)) is labels
