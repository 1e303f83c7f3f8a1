"""Sheets of images, label maps and both."""

import numpy as np
import pytest

from oasis_tf.data import overlay_sheet
from oasis_tf.data import reading
from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo


def make_info(num_classes):
    return DatasetInfo(
        name="folder",
        class_names=[f"class {k}" for k in range(num_classes)],
        colors=distinct_colors(num_classes),
        label_of_id={k: k for k in range(num_classes)},
        has_dont_care=False,
    )


def make_example(label_map):
    image = np.full((*label_map.shape, 3), 200, np.uint8)
    return reading.Example("a", reading.encode_image(image), label_map)


def test_shows_image_label_map_and_both():
    info = make_info(2)
    label_map = np.ones((24, 32), np.uint8)  # As wide as a cell: no margins.
    sheet = overlay_sheet.draw_sheet([make_example(label_map)], info, "title")
    pixels = np.asarray(sheet)
    red, green, blue = info.colors[1]
    middle = [pixels[72 + 120, 12 + k * 332 + 160].tolist() for k in range(3)]
    assert middle[0] == [200, 200, 200]
    assert middle[1] == [red, green, blue]
    np.testing.assert_allclose(
        middle[2], (np.array(middle[0]) + middle[1]) / 2, atol=1
    )


@pytest.mark.parametrize("num_classes", [1, 100])
def test_makes_room_for_any_number_of_classes(num_classes):
    label_map = np.arange(120, dtype=np.uint8).reshape(10, 12) % num_classes
    sheets = [
        overlay_sheet.draw_sheet(
            [make_example(label_map)] * rows, make_info(num_classes), "title"
        )
        for rows in (1, 6)
    ]
    assert sheets[0].height < sheets[1].height
    assert sheets[0].width >= sheets[1].width


def test_tall_and_wide_images_fit_into_their_cell():
    info = make_info(1)
    examples = [
        make_example(np.zeros(shape, np.uint8))
        for shape in ((1, 500), (500, 1))
    ]
    sheet = overlay_sheet.draw_sheet(examples, info, "title")
    square = [make_example(np.zeros((9, 9), np.uint8))] * 2
    assert sheet.size == overlay_sheet.draw_sheet(square, info, "title").size
