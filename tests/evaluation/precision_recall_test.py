"""Precision and recall by hand, by loops and by golden numbers."""

import tracemalloc

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.evaluation.precision_recall import precision_recall
from tests.evaluation.golden import make_inception_golden as golden


def by_loops(real, fake, k):
    """The definition, word by word."""

    def share(points, manifold):
        radii = [
            sorted(
                np.linalg.norm(a - b) for j, b in enumerate(manifold) if j != i
            )[k - 1]
            for i, a in enumerate(manifold)
        ]
        return np.mean(
            [
                any(np.linalg.norm(p - m) <= r for m, r in zip(manifold, radii))
                for p in points
            ]
        )

    return share(fake, real), share(real, fake)


class PrecisionRecallTest(tf.test.TestCase, parameterized.TestCase):
    def test_points_on_a_line_by_hand(self):
        real = np.array([[0.0], [1.0], [2.0], [10.0]])
        fake = np.array([[-2.0], [-1.0], [13.0], [14.0]])
        precision, recall = precision_recall(real, fake, num_neighbors=1)
        # Balls of the reals: [-1, 1], [0, 2], [1, 3] and [2, 18]. -2 lies in
        # none, -1 on an edge, which counts.
        self.assertEqual(precision, 3 / 4)
        # Balls of the fakes: [-3, -1], [-2, 0], [12, 14] and [13, 15]. 0 lies
        # on an edge, the others in none.
        self.assertEqual(recall, 1 / 4)

    @parameterized.parameters(1, 3, 5)
    def test_loops_agree(self, k):
        random = np.random.RandomState(k)
        real = random.standard_normal([40, 3])
        fake = 0.7 * random.standard_normal([25, 3]) + 0.3
        expected = by_loops(real, fake, k)
        for block_size in (1, 7, 25, 40, 2000):
            self.assertEqual(
                precision_recall(real, fake, k, block_size), expected
            )
        self.assertBetween(min(expected), 0.1, 0.99)

    def test_torch_fidelity_agrees(self):
        with np.load(golden.PATH) as arrays:
            expected = arrays["precision_recall"]
        # Shares of 500, which theirs rounds to float32.
        self.assertAllClose(
            precision_recall(*golden.feature_sets(500)), expected, 1e-7, 0
        )

    def test_equal_sets_have_1(self):
        real, _ = golden.feature_sets(60)
        self.assertEqual(precision_recall(real, real), (1, 1))

    def test_sets_far_apart_have_0(self):
        real, fake = golden.feature_sets(60)
        self.assertEqual(precision_recall(real, fake + 100), (0, 0))

    def test_one_image_over_and_over_covers_itself_alone(self):
        real, _ = golden.feature_sets(60)
        fake = np.repeat(real[:1], 30, axis=0)
        # Radii of 0, to which rounding adds nothing.
        for block_size in (7, 2000):
            self.assertEqual(
                precision_recall(real, fake, block_size=block_size),
                (1, 1 / 60),
            )

    def test_large_mean_changes_nothing(self):
        real, fake = map(np.float64, golden.feature_sets(60))
        self.assertEqual(
            precision_recall(real + 1e5, fake + 1e5),
            precision_recall(real, fake),
        )

    def test_memory_is_that_of_blocks(self):
        random = np.random.RandomState(0)
        real, fake = random.standard_normal([2, 3000, 4]).astype(np.float32)
        tracemalloc.start()
        precision_recall(real, fake, block_size=250)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # All distances would be 72 MB; a block of them is 0.5 MB.
        self.assertLess(peak, 5e6)

    def test_arguments_of_other_kinds_are_refused(self):
        real, fake = golden.feature_sets(10)
        for arguments, message in (
            ((real, fake[:, :3]), r"Received: shapes \(10, 64\) and \(10, 3\)"),
            ((real, fake[:3]), r"N >= 4\. Received"),
            ((real * np.nan, fake), "`real` must be finite"),
            ((real, fake, 0), "num_neighbors=0"),
            ((real, fake, 3, 0), "block_size=0"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                precision_recall(*arguments)


if __name__ == "__main__":
    tf.test.main()
