"""Change of pixels by distance from a mask."""

import numpy as np
import tensorflow as tf

from oasis_tf.inference import change


class ByDistanceTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.mask = np.zeros([50, 40], bool)
        self.mask[:2] = True
        self.before = np.full([50, 40, 3], 100, np.uint8)

    def test_counts_the_pixels_of_each_ring(self):
        after = self.before.copy()
        after[0, :, 1] = 0  # Half of the mask.
        after[5, :10, 2] = 140  # 4 away, a quarter of one row of four.
        after[49, 0, 0] = 99  # 48 away: rows 34 to 49.
        rings = change.by_distance(self.before, after, self.mask)
        self.assertEqual(
            [(r.nearest, r.farthest, r.mean, r.largest) for r in rings],
            [
                (0, 0, 50.0, 100),
                (0, 4, 40 / 16, 40),
                (4, 8, 0.0, 0),
                (8, 16, 0.0, 0),
                (16, 32, 0.0, 0),
                (32, np.inf, 1 / (16 * 40), 1),
            ],
        )

    def test_several_edits_count_together(self):
        edits = np.stack([self.before, self.before - 10])
        inside, *_ = change.by_distance(self.before, edits, self.mask)
        self.assertEqual((inside.mean, inside.largest), (5.0, 10))

    def test_rings_without_pixels_are_left_out(self):
        rings = change.by_distance(
            self.before[:5], self.before[:5], self.mask[:5]
        )
        self.assertEqual([r.farthest for r in rings], [0, 4])
        everything = np.ones([50, 40], bool)
        (ring,) = change.by_distance(self.before, self.before, everything)
        self.assertEqual(str(ring), "inside the mask: mean 0.0, largest 0")


class PixelChangeTest(tf.test.TestCase):
    def test_is_that_of_the_channel_which_changes_most(self):
        before = np.uint8([[[0, 200, 9]]])
        after = np.uint8([[[255, 0, 9]]])
        self.assertAllEqual(change.pixel_change(before, after), [[255]])


if __name__ == "__main__":
    tf.test.main()
