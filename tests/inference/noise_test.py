"""`Noise`: what changes, and what stays as it is."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.inference import noise as noise_lib
from oasis_tf.inference.noise import Noise

INFO = DatasetInfo(
    name="garden",
    class_names=("sky", "oak tree", "fir tree", "road"),
    colors=((0, 0, 255), (0, 255, 0), (0, 128, 0), (90, 90, 90)),
    label_of_id={0: 0, 1: 1, 2: 2, 3: 3},
    has_dont_care=False,
)
# Two oaks that do not touch; no road.
LABEL_MAP = np.array([[0, 0, 0, 0], [1, 0, 1, 2], [1, 0, 1, 2]], np.int32)


def sample(seed=0, kind="image"):
    return Noise.sample(LABEL_MAP, INFO, 5, seed, kind)


def changed(before, after):
    """Returns where any bit of the noise differs, `[H, W]`."""
    bits = [noise.values.view(np.int32) for noise in (before, after)]
    return (bits[0] != bits[1]).any(axis=-1)


def num_vectors(noise):
    return len(np.unique(noise.values.reshape(-1, 5), axis=0))


class SampleTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ("image", 1), ("class", 3), ("region", 4), ("pixel", 12)
    )
    def test_one_vector_for_each(self, kind, count):
        self.assertEqual(num_vectors(sample(kind=kind)), count)

    def test_vectors_follow_classes_and_regions(self):
        by_class = sample(kind="class").values
        self.assertAllEqual(by_class[1, 0], by_class[1, 2])
        by_region = sample(kind="region").values
        self.assertNotAllClose(by_region[1, 0], by_region[1, 2])
        self.assertAllEqual(by_region[1, 0], by_region[2, 0])

    def test_a_class_has_its_vector_in_any_label_map(self):
        other = np.array([[2, 2], [0, 0]], np.int32)
        there = Noise.sample(other, INFO, 5, 3, "class").values
        here = Noise.sample(LABEL_MAP, INFO, 5, 3, "class").values
        self.assertAllEqual(there[0, 0], here[1, 3])

    @parameterized.parameters(*noise_lib.KINDS)
    def test_follows_from_the_seed(self, kind):
        self.assertFalse(changed(sample(7, kind), sample(7, kind)).any())
        self.assertTrue(changed(sample(7, kind), sample(8, kind)).all())

    def test_refuses_what_is_no_kind_or_seed(self):
        with self.assertRaisesRegex(ValueError, "image, class.*'colour'"):
            sample(kind="colour")
        for seed in (-1, 2**63, 0.5, None):
            with self.assertRaisesRegex(ValueError, "at least 0"):
                sample(seed)


class ResampleTest(tf.test.TestCase):
    def test_mask_changes_inside_alone(self):
        mask = np.zeros([3, 4], np.uint8)
        mask[1:, 1:3] = 255
        before = sample()
        after = before.resample_mask(mask, seed=9)
        self.assertAllEqual(changed(before, after), mask > 0)
        # With one vector, that of the seed.
        self.assertAllEqual(after.values[1, 1], sample(9).values[0, 0])

    def test_feather_goes_over_to_the_new_vector_inside_the_mask(self):
        before = Noise.sample(np.zeros([1, 7], np.int32), INFO, 5)
        mask = np.array([[0, 0, 1, 1, 1, 1, 1]])
        after = before.resample_mask(mask, seed=9, feather=2)
        self.assertAllEqual(changed(before, after), mask > 0)
        new = Noise.sample(before.label_map, INFO, 5, 9)
        third = before.interpolate(new, 1 / 3)
        self.assertAllClose(after.values[0, 2], third.values[0, 0])
        self.assertAllClose(after.values[0, 4:], new.values[0, 4:])

    def test_pixel_noise_is_new_in_every_pixel(self):
        before = sample(1, "pixel")
        after = before.resample_mask(LABEL_MAP == 0, 9)
        self.assertEqual(num_vectors(after), LABEL_MAP.size)
        self.assertAllEqual(changed(before, after), LABEL_MAP == 0)

    def test_class_changes_alone(self):
        before = sample()
        after = before.resample_class("oak tree", seed=9)
        self.assertAllEqual(changed(before, after), LABEL_MAP == 1)

    def test_region_changes_alone(self):
        before = sample()
        after = before.resample_region(x=2, y=1, seed=9)
        expected = (LABEL_MAP == 1) & (np.arange(4) == 2)
        self.assertAllEqual(changed(before, after), expected)

    def test_channels_change_everywhere(self):
        before = sample()
        after = before.resample_channels([1, 4], seed=9)
        is_same = before.values == after.values
        self.assertTrue(is_same[..., [0, 2, 3]].all())
        self.assertFalse(is_same[..., [1, 4]].any())

    def test_a_change_leaves_the_noise_that_it_starts_from(self):
        before = sample()
        kept = before.values.copy()
        before.resample_class("sky", seed=9)
        self.assertAllEqual(before.values, kept)

    def test_refuses_a_mask_of_another_size(self):
        with self.assertRaisesRegex(ValueError, r"\(3, 4\).*\(4, 3\)"):
            sample().resample_mask(np.ones([4, 3]), 1)


class InterpolateTest(tf.test.TestCase):
    def test_goes_to_the_other_inside_a_mask_alone(self):
        before, other = sample(1), sample(2)
        mask = LABEL_MAP == 2
        after = before.interpolate(other, 0.5, mask)
        self.assertAllEqual(changed(before, after), mask)
        end = before.interpolate(other, 1.0, mask)
        self.assertAllClose(end.values[mask], other.values[mask])

    def test_masks_may_be_lists_and_must_have_the_size(self):
        before, other = sample(1), sample(2)
        mask = LABEL_MAP == 2
        after = before.interpolate(other, 0.5, mask.astype(int).tolist())
        self.assertAllEqual(changed(before, after), mask)
        for size in ((1, 1), (4,), (3, 4, 1), (6, 8)):
            with self.assertRaisesRegex(ValueError, r"\(3, 4\)"):
                before.interpolate(other, 0.5, np.ones(size))

    def test_straight_or_along_the_arc(self):
        before, other = sample(1), sample(2)
        straight = before.interpolate(other, 0.5, is_spherical=False)
        mean = (before.values + other.values) / 2
        self.assertAllClose(straight.values, mean)
        self.assertNotAllClose(before.interpolate(other, 0.5).values, mean)

    def test_refuses_noise_of_another_size(self):
        other = Noise.sample(LABEL_MAP[:2], INFO, 5)
        with self.assertRaisesRegex(ValueError, r"\(3, 4, 5\).*\(2, 4, 5\)"):
            sample().interpolate(other, 0.5)


class MaskTest(tf.test.TestCase, parameterized.TestCase):
    def test_unknown_class_names_near_ones(self):
        with self.assertRaisesRegex(ValueError, "like 'oak tree', 'fir tree'"):
            noise_lib.class_mask(LABEL_MAP, INFO, "tree")
        with self.assertRaisesRegex(ValueError, "like 'oak tree'"):
            noise_lib.class_mask(LABEL_MAP, INFO, "oaktre")

    def test_absent_class_names_those_that_are_there(self):
        with self.assertRaisesRegex(
            ValueError, "which has sky, oak tree, fir tree.*'road'"
        ):
            noise_lib.class_mask(LABEL_MAP, INFO, "road")

    @parameterized.parameters((4, 0), (0, 3), (-1, 0))
    def test_pixel_must_be_in_the_picture(self, x, y):
        with self.assertRaisesRegex(ValueError, r"x 0\.\.3, y 0\.\.2"):
            noise_lib.region_mask(LABEL_MAP, x, y)


if __name__ == "__main__":
    tf.test.main()
