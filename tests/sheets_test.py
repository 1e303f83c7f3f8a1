"""Contact sheets: where the pictures lie."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf import sheets


def picture(color, size=(2, 3)):
    return np.full([*size, 3], color, np.uint8)


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


class DrawSheetTest(tf.test.TestCase, parameterized.TestCase):
    def test_pictures_lie_in_their_rows_and_columns(self):
        sheet = sheets.draw_sheet(
            [
                [picture(RED, (200, 300)), picture(GREEN, (200, 300))],
                [picture(BLUE, (200, 300)), picture(RED, (200, 300))],
            ],
            ["", ""],
        )
        for color, count in ((RED, 2), (GREEN, 1), (BLUE, 1)):
            places = (sheet == color).all(axis=-1)
            self.assertEqual(places.sum(), count * 200 * 300)
        first, second = sheet[100], sheet[-100]  # In the rows' middles.
        self.assertAllEqual(first[150], RED)
        self.assertAllEqual(first[-150], GREEN)
        self.assertAllEqual(second[150], BLUE)
        self.assertAllEqual(second[-150], RED)

    @parameterized.parameters(
        ((2, 3), 64), ((64, 96), 2), ((100, 300), 2), ((128, 128), 1)
    )
    def test_small_pictures_are_enlarged_without_blurring(self, size, zoom):
        pixels = np.zeros([*size, 3], np.uint8)
        pixels[0, 0] = RED
        sheet = sheets.draw_sheet([[pixels]], [""])
        places = np.argwhere((sheet == RED).all(axis=-1))
        self.assertLen(places, zoom * zoom)
        self.assertAllEqual(np.ptp(places, axis=0), [zoom - 1, zoom - 1])

    def test_headings_stand_above_their_columns(self):
        white = picture(255, (128, 128))
        blank = sheets.draw_sheet([[white, white]], ["", ""])
        sheet = sheets.draw_sheet([[white, white]], ["", "noise"])
        y, x = np.argwhere((sheet != blank).any(axis=-1)).T
        self.assertBetween(x.min(), 134, x.max())
        self.assertLess(y.max(), len(sheet) - 128)

    def test_rows_need_a_picture_for_each_heading(self):
        row = [picture(RED), picture(RED)]
        with self.assertRaisesRegex(ValueError, r"\[2, 1\] pictures, 2 head"):
            sheets.draw_sheet([row, row[:1]], ["a", "b"])


if __name__ == "__main__":
    tf.test.main()
