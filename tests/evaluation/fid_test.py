"""Moments and the Frechet distance by hand, NumPy and golden numbers."""

import numpy as np
import tensorflow as tf
from scipy import linalg

from oasis_tf.evaluation import fid
from oasis_tf.evaluation.fid import Moments
from tests.evaluation.golden import make_inception_golden as golden


def moments_of(features, batch_size=None):
    """Returns the moments, added up batch by batch."""
    features = np.asarray(features)
    moments = Moments(features.shape[1])
    step = batch_size or len(features)
    for start in range(0, len(features), step):
        moments.update(features[start : start + step])
    return moments


class MomentsTest(tf.test.TestCase):
    FEATURES = np.random.RandomState(0).standard_normal([101, 5]) * [
        1,
        2,
        3,
        4,
        0,
    ]

    def test_two_features_by_hand(self):
        moments = moments_of([[1.0, 4.0], [3.0, 0.0]])
        self.assertEqual(moments.num, 2)
        self.assertAllEqual(moments.mean, [2, 2])
        # Deviations (-1, 2) and (1, -2); divided by 2 - 1.
        self.assertAllEqual(moments.covariance, [[2, -4], [-4, 8]])

    def test_batches_of_any_size_give_numpys_covariance(self):
        for batch_size in (1, 7, 100, 101):
            moments = moments_of(self.FEATURES, batch_size)
            self.assertEqual(moments.num, 101)
            self.assertAllClose(
                moments.mean, self.FEATURES.mean(axis=0), 1e-13, 1e-13
            )
            self.assertAllClose(
                moments.covariance,
                np.cov(self.FEATURES, rowvar=False),
                1e-13,
                1e-13,
            )

    def test_large_mean_costs_few_digits(self):
        # Sums of squares, of 1e16, would leave none.
        moments = moments_of(self.FEATURES + 1e8, 10)
        self.assertAllClose(
            moments.covariance,
            np.cov(self.FEATURES + 1e8, rowvar=False),
            1e-6,
            1e-6,
        )

    def test_float32_features_are_summed_in_float64(self):
        features = np.float32(self.FEATURES)
        self.assertAllClose(
            moments_of(features, 1).mean,
            np.float64(features).mean(axis=0),
            1e-13,
            1e-13,
        )

    def test_what_it_hands_out_is_a_copy(self):
        moments = moments_of(self.FEATURES)
        mean = moments.mean
        moments.mean[:] = 9
        self.assertAllEqual(moments.mean, mean)

    def test_other_features_are_refused(self):
        moments = Moments(3)
        for features in (np.zeros([4, 2]), np.zeros([3])):
            with self.assertRaisesRegex(ValueError, r"\[B, 3\].*Received"):
                moments.update(features)
        with self.assertRaisesRegex(ValueError, "finite. Received"):
            moments.update([[0, np.nan, 0]])
        self.assertEqual(moments.num, 0)

    def test_too_few_features_have_no_moments(self):
        moments = Moments(3)
        moments.update(np.zeros([0, 3]))
        with self.assertRaisesRegex(ValueError, "mean takes 1 .*Received: 0"):
            _ = moments.mean
        moments.update(np.ones([1, 3]))
        self.assertAllEqual(moments.mean, [1, 1, 1])
        with self.assertRaisesRegex(ValueError, "takes 2 .*Received: 1"):
            _ = moments.covariance


class FrechetDistanceTest(tf.test.TestCase):
    def test_diagonal_covariances_by_hand(self):
        # +-a in each axis alone: variance 2 a^2 / 3, no covariance.
        def cross(a, b, center):
            points = [[a, 0], [-a, 0], [0, b], [0, -b]]
            return moments_of(np.array(points, np.float64) + center)

        real, fake = cross(1, 2, (0, 0)), cross(4, 2, (3, 1))
        self.assertAllClose(real.covariance, np.diag([2, 8]) / 3)
        # sum (s_r - s_f)^2: standard deviations differ by 3 sqrt(2 / 3).
        expected = 3**2 + 1**2 + 9 * 2 / 3
        self.assertAllClose(fid.frechet_distance(real, fake), expected)
        self.assertAllClose(fid.frechet_distance(fake, real), expected)

    def test_equal_sets_have_distance_0(self):
        moments = moments_of(golden.feature_sets(500)[0])
        distance = fid.frechet_distance(moments, moments)
        self.assertIsInstance(distance, float)
        self.assertAllClose(distance, 0, atol=1e-9)

    def test_other_implementations_agree(self):
        with np.load(golden.PATH) as arrays:
            expected = dict(arrays)
        # Singular: fewer features than numbers in each. Their square root of
        # the product has the root of its rounding.
        for name, num, rtol in (
            ("fid", 500, 1e-12),
            ("fid_singular", 40, 1e-7),
        ):
            moments = [moments_of(f, 16) for f in golden.feature_sets(num)]
            distance = fid.frechet_distance(*moments)
            for other in ("pytorch_fid", "torch_fidelity"):
                self.assertAllClose(
                    distance, expected[f"{name}_{other}"], rtol, 0
                )

    def test_sets_of_few_large_features_have_their_distance(self):
        """Where the product's square root has large imaginary parts."""
        for seed in range(6):
            rng = np.random.default_rng(seed)
            sets = 100 * rng.gamma(0.5, size=[2, 8, 128])
            distance = fid.frechet_distance(*map(moments_of, sets))
            # In the space that either set spans, of 14 dimensions.
            joined = np.concatenate(sets) - sets[0].mean(axis=0)
            basis = linalg.orth(joined.T)
            real, fake = sets @ basis
            root = linalg.svdvals(
                (real - real.mean(axis=0)) @ (fake - fake.mean(axis=0)).T / 7
            ).sum()
            shift = real.mean(axis=0) - fake.mean(axis=0)
            traces = real.var(axis=0, ddof=1).sum()
            traces += fake.var(axis=0, ddof=1).sum()
            expected = shift @ shift + traces - 2 * root
            self.assertAllClose(distance, expected, 1e-9, 0)

    def test_a_set_without_deviations(self):
        real, fake = moments_of(np.ones([4, 3])), moments_of(np.zeros([4, 3]))
        self.assertAllClose(fid.frechet_distance(real, fake), 3)

    def test_sets_of_other_sizes_are_refused(self):
        with self.assertRaisesRegex(ValueError, "as many.*2 and 3"):
            fid.frechet_distance(Moments(2), Moments(3))
        with self.assertRaisesRegex(ValueError, "takes 2 or more"):
            fid.frechet_distance(Moments(2), Moments(2))


if __name__ == "__main__":
    tf.test.main()
