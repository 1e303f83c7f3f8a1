"""The kernel distance by hand, by loops and by golden numbers."""

import itertools

import numpy as np
import tensorflow as tf

from oasis_tf.evaluation import kid
from tests.evaluation.golden import make_inception_golden as golden


class SquaredMMDTest(tf.test.TestCase):
    def test_two_numbers_each_by_hand(self):
        # D = 1: k(x, y) = (x y + 1)^3.
        x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
        within_x = (0 * 1 + 1) ** 3
        within_y = (1 * 2 + 1) ** 3
        between = (1 + 1 + (1 + 1) ** 3 + (2 + 1) ** 3) / 4
        self.assertAllClose(
            kid.squared_mmd(x, y), within_x + within_y - 2 * between
        )

    def test_loops_over_the_pairs_agree(self):
        random = np.random.RandomState(0)
        x = random.standard_normal([6, 4])
        y = random.standard_normal([9, 4]) + 0.5

        def kernel(a, b):
            return (sum(i * j for i, j in zip(a, b)) / 4 + 1) ** 3

        within = [
            np.mean([kernel(a, b) for a, b in itertools.permutations(z, 2)])
            for z in (x, y)
        ]
        between = np.mean([kernel(a, b) for a in x for b in y])
        self.assertAllClose(
            kid.squared_mmd(x, y), sum(within) - 2 * between, 1e-12, 1e-12
        )

    def test_it_is_unbiased(self):
        # The mean over all subsets of 2 of 5 is that of the whole sets.
        real = np.random.RandomState(0).standard_normal([5, 3])
        fake = np.random.RandomState(1).standard_normal([5, 3])
        subsets = list(itertools.combinations(range(5), 2))
        distances = [
            kid.squared_mmd(real[list(a)], fake[list(b)])
            for a in subsets
            for b in subsets
        ]
        self.assertAllClose(np.mean(distances), kid.squared_mmd(real, fake))


class KernelDistanceTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.real, self.fake = golden.feature_sets(500)

    def test_torch_fidelity_agrees(self):
        with np.load(golden.PATH) as arrays:
            expected, of_all = arrays["kid"], arrays["kid_all"]
        self.assertAllClose(
            kid.kernel_distance(self.real, self.fake, 20, 100, seed=3),
            expected,
            1e-10,
            0,
        )
        self.assertAllClose(
            kid.kernel_distance(self.real, self.fake, 1, 500),
            of_all,
            1e-10,
            1e-12,
        )

    def test_subsets_are_no_larger_than_the_smaller_set(self):
        mean, deviation = kid.kernel_distance(self.real, self.fake, 3)
        self.assertAllClose(mean, kid.squared_mmd(self.real, self.fake))
        self.assertAllClose(deviation, 0, atol=1e-12)
        self.assertIsInstance(mean, float)
        few = self.fake[:50]
        self.assertAllEqual(
            kid.kernel_distance(self.real, few, 3),
            kid.kernel_distance(self.real, few, 3, subset_size=50),
        )
        self.assertGreater(kid.kernel_distance(self.real, few, 3)[1], 0)

    def test_seed_decides(self):
        first, again, other = (
            kid.kernel_distance(self.real, self.fake, 2, 50, seed=seed)
            for seed in (4, 4, 5)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_arguments_of_other_kinds_are_refused(self):
        for real, fake, message in (
            (self.real, self.fake[:, :5], r"\(500, 64\) and \(500, 5\)"),
            (self.real[:1], self.fake, r"N >= 2.*Received: shapes \(1, 64\)"),
            (self.real[0], self.fake, r"Received: shapes \(64,\)"),
            (self.real, self.fake + np.inf, "`fake` must be finite"),
            (self.real * np.nan, self.fake, "`real` must be finite"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                kid.kernel_distance(real, fake)
        with self.assertRaisesRegex(ValueError, "num_subsets=0"):
            kid.kernel_distance(self.real, self.fake, num_subsets=0)
        with self.assertRaisesRegex(ValueError, "subset_size=1"):
            kid.kernel_distance(self.real, self.fake, subset_size=1)


if __name__ == "__main__":
    tf.test.main()
