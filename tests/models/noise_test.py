"""3D noise and the seeds that it follows from."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import noise

SEED = tf.constant([3, 4], tf.int32)


def numbers(*values):
    return tf.constant(values, tf.int64)


def sample_z(seed, sample_numbers):
    return noise.sample_z(seed, sample_numbers, 5)


def sample_pixel_noise(seed, sample_numbers):
    return noise.sample_pixel_noise(seed, sample_numbers, (2, 3), 5)


SAMPLERS = [("image", sample_z), ("pixel", sample_pixel_noise)]


class FoldTest(tf.test.TestCase):
    def test_folds_numbers_in_one_after_the_other(self):
        self.assertAllEqual(
            noise.fold(SEED, 1, 2), noise.fold(noise.fold(SEED, 1), 2)
        )
        self.assertAllEqual(noise.fold(SEED), SEED)

    def test_every_number_of_the_path_counts(self):
        seeds = [noise.fold(SEED, *path) for path in [(1, 2), (2, 1), (1, 3)]]
        seeds.append(noise.fold(tf.constant([3, 5]), 1, 2))
        distinct = {tuple(seed.numpy()) for seed in seeds}
        self.assertLen(distinct, 4)

    def test_numbers_may_go_beyond_32_bits(self):
        low = noise.fold(SEED, *numbers(1))
        high = noise.fold(SEED, *numbers(1 + 2**32))
        self.assertNotAllEqual(low, high)


class SampleTest(tf.test.TestCase, parameterized.TestCase):
    def test_shapes(self):
        sample_numbers = numbers(0, 1, 2)
        self.assertEqual(sample_z(SEED, sample_numbers).shape, [3, 5])
        self.assertEqual(
            sample_pixel_noise(SEED, sample_numbers).shape, [3, 2, 3, 5]
        )

    @parameterized.named_parameters(SAMPLERS)
    def test_a_sample_does_not_depend_on_its_batch(self, sample):
        batch = sample(SEED, numbers(8, 9, 10))
        self.assertAllEqual(sample(SEED, numbers(10, 9)), batch[:0:-1])
        self.assertAllEqual(sample(SEED, numbers(8))[0], batch[0])

    @parameterized.named_parameters(SAMPLERS)
    def test_another_seed_or_number_gives_another_sample(self, sample):
        first = sample(SEED, numbers(8, 9))
        self.assertNotAllClose(first[0], first[1])
        self.assertNotAllClose(first, sample(SEED + 1, numbers(8, 9)))

    @parameterized.named_parameters(SAMPLERS)
    def test_xla_draws_the_same(self, sample):
        compiled = tf.function(sample, jit_compile=True)
        self.assertAllClose(
            compiled(SEED, numbers(8, 9)),
            sample(SEED, numbers(8, 9)),
            atol=1e-5,
        )

    def test_numbers_are_standard_normal(self):
        z = noise.sample_z(SEED, numbers(0, 1), 50_000).numpy().ravel()
        # Bounds of five standard errors, n = 100_000.
        n = z.size
        self.assertAllClose(z.mean(), 0, atol=5 / math.sqrt(n))
        self.assertAllClose(z.std(), 1, atol=5 / math.sqrt(2 * n))
        for bound in (0.5, 1.0, 2.0, 3.0):
            share = math.erf(bound / math.sqrt(2))
            error = math.sqrt(share * (1 - share) / n)
            self.assertAllClose(
                np.mean(np.abs(z) < bound), share, atol=5 * error
            )

    def test_channels_and_pixels_are_drawn_independently(self):
        pixel_noise = noise.sample_pixel_noise(
            SEED, numbers(*range(4)), (25, 20), 4
        ).numpy()
        # 2000 draws of two neighbouring channels, rows and columns.
        for first, second in (
            (pixel_noise[..., :-1], pixel_noise[..., 1:]),
            (pixel_noise[:, :-1], pixel_noise[:, 1:]),
            (pixel_noise[:, :, :-1], pixel_noise[:, :, 1:]),
        ):
            correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
            self.assertLess(abs(correlation), 5 / math.sqrt(first.size))

    def test_no_channels_give_no_noise(self):
        self.assertEqual(noise.sample_z(SEED, numbers(1, 2), 0).shape, [2, 0])


class GlobalNoiseTest(tf.test.TestCase):
    def test_every_pixel_has_the_samples_vector(self):
        z = tf.constant([[1.0, 2.0], [3.0, 4.0]])
        noise_3d = noise.global_noise(z, (2, 3))
        self.assertEqual(noise_3d.shape, [2, 2, 3, 2])
        for row in range(2):
            for column in range(3):
                self.assertAllEqual(noise_3d[:, row, column], z)


LABEL_MAP = np.array([[0, 0, 1, 0], [2, 0, 1, 0], [2, 2, 1, 1]])
# The two parts of label 0 do not touch.
REGIONS = [[0, 0, 1, 2], [3, 0, 1, 2], [3, 3, 1, 1]]


def draw(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=shape), tf.float32)


class PlacedNoiseTest(tf.test.TestCase):
    def test_every_pixel_has_the_vector_of_its_label(self):
        z = draw(2, 3, 5)
        label_map = np.stack([LABEL_MAP, LABEL_MAP[::-1]])
        placed = noise.placed_noise(z, label_map)
        self.assertEqual(placed.shape, [2, 3, 4, 5])
        for b, y, x in np.ndindex(2, 3, 4):
            self.assertAllEqual(placed[b, y, x], z[b, label_map[b, y, x]])

    def test_regions_of_one_label_that_do_not_touch_are_told_apart(self):
        self.assertAllEqual(noise.connected_regions(LABEL_MAP), REGIONS)

    def test_a_corner_does_not_connect(self):
        regions = noise.connected_regions(np.array([[1, 0], [0, 1]]))
        self.assertAllEqual(regions, [[0, 1], [2, 3]])


class ResampleTest(tf.test.TestCase):
    def test_outside_of_the_mask_every_bit_stays(self):
        old, new = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        mask = LABEL_MAP == 1
        result = noise.resample_mask(old, new, mask).numpy()
        self.assertAllEqual(result[:, mask], new.numpy()[:, mask])
        self.assertAllEqual(
            result[:, ~mask].view(np.int32),
            old.numpy()[:, ~mask].view(np.int32),
        )

    def test_a_mask_for_each_sample(self):
        old, new = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        mask = np.stack([LABEL_MAP == 1, LABEL_MAP == 0])
        result = noise.resample_mask(old, new, mask)
        self.assertAllEqual(result[0][mask[0]], new[0][mask[0]])
        self.assertAllEqual(result[1][~mask[1]], old[1][~mask[1]])

    def test_only_the_named_channels_change(self):
        old, new = draw(1, 3, 4, 5), draw(1, 3, 4, 5, seed=1)
        result = noise.resample_channels(old, new, [0, 3])
        self.assertAllEqual(result[..., 0], new[..., 0])
        self.assertAllEqual(result[..., 3], new[..., 3])
        for channel in (1, 2, 4):
            self.assertAllEqual(result[..., channel], old[..., channel])

    def test_refuses_channels_that_there_are_not(self):
        with self.assertRaisesRegex(ValueError, r"among 0\.\.4.*\[5, -1\]"):
            noise.resample_channels(draw(1, 5), draw(1, 5), [5, 0, -1])


class FeatherTest(tf.test.TestCase):
    def test_rises_from_the_border_inwards(self):
        mask = np.array([[0, 1, 1, 1, 1, 1]], bool)
        self.assertAllClose(
            noise.feather(mask, 3), [[0, 0.25, 0.5, 0.75, 1, 1]]
        )

    def test_width_0_is_the_mask(self):
        mask = LABEL_MAP == LABEL_MAP[0, 0]
        self.assertAllEqual(noise.feather(mask, 0), np.float32(mask))

    def test_edges_of_the_image_are_no_border(self):
        mask = np.ones([5, 4], bool)
        self.assertAllEqual(noise.feather(mask, 3), np.ones([5, 4]))

    def test_refuses_a_negative_width(self):
        with self.assertRaisesRegex(ValueError, "0 or more. Received: -1"):
            noise.feather(np.ones([2, 2], bool), -1)


class InterpolateTest(tf.test.TestCase, parameterized.TestCase):
    WAYS = [
        ("straight", noise.interpolate),
        ("arc", noise.interpolate_spherically),
    ]

    @parameterized.named_parameters(WAYS)
    def test_goes_from_one_to_the_other(self, go):
        a, b = draw(2, 3, 5), draw(2, 3, 5, seed=1)
        self.assertAllClose(go(a, b, 0.0), a)
        self.assertAllClose(go(a, b, 1.0), b)

    def test_half_way_straight_is_the_mean(self):
        a, b = tf.constant([[2.0, 0.0]]), tf.constant([[0.0, 4.0]])
        self.assertAllClose(noise.interpolate(a, b, 0.5), [[1.0, 2.0]])

    def test_arc_keeps_the_length(self):
        # A quarter of a circle of radius 2; a third of it is 30 degrees.
        a, b = tf.constant([[2.0, 0.0]]), tf.constant([[0.0, 2.0]])
        third = noise.interpolate_spherically(a, b, 1 / 3)
        self.assertAllClose(third, [[math.sqrt(3), 1.0]])

    def test_arc_between_independent_draws_keeps_the_variance(self):
        a, b = draw(20_000), draw(20_000, seed=1)
        half = noise.interpolate_spherically(a[None], b[None], 0.5)
        self.assertAllClose(np.std(half), 1, atol=0.03)
        straight = noise.interpolate(a, b, 0.5)
        self.assertAllClose(np.std(straight), math.sqrt(0.5), atol=0.03)

    @parameterized.parameters(1.0, -1.0, 0.0)
    def test_without_an_arc_it_goes_straight(self, factor):
        a = draw(4, 5)
        result = noise.interpolate_spherically(a, factor * a, 0.25)
        self.assertAllClose(result, (0.75 + 0.25 * factor) * a)


if __name__ == "__main__":
    tf.test.main()
