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


if __name__ == "__main__":
    tf.test.main()
