"""Diversity: pairs, means against loops and numbers by hand."""

import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.evaluation import diversity
from oasis_tf.evaluation.lpips import LPIPS
from oasis_tf.evaluation.ms_ssim import ms_ssim


class BrightnessDistance:
    """Stands in for LPIPS: the squared difference of the mean brightness."""

    def __init__(self):
        self.num_seen = 0
        self.largest_batch = 0

    def embed(self, images):
        self.num_seen += len(images)
        self.largest_batch = max(self.largest_batch, len(images))
        return tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2))[:, :1]

    def embedding_size(self, height, width):
        return 1


def flat(values):
    """Returns pictures of one brightness each, 16 x 12 pixels."""
    values = np.array(values, np.uint8)[:, None, None, None]
    return np.broadcast_to(values, [len(values), 16, 12, 3])


def noisy(n, size=32, seed=0):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, [size, size, 3])
    images = base + rng.normal(0, 40, [n, size, size, 3])
    return np.uint8(np.clip(images, 0, 255))


class PairsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(2, 3, 7)
    def test_are_all_combinations(self, n):
        self.assertAllEqual(
            diversity.pairs(n), list(itertools.combinations(range(n), 2))
        )

    def test_twenty_pictures_have_190(self):
        self.assertLen(diversity.pairs(diversity.NUM_IMAGES), 190)

    @parameterized.parameters(0, 1)
    def test_rejects_what_has_no_pair(self, n):
        with self.assertRaisesRegex(ValueError, f"Received: {n}"):
            diversity.pairs(n)


class MeanDistancesTest(tf.test.TestCase, parameterized.TestCase):
    def test_is_the_mean_over_pairs(self):
        images = noisy(4)
        lpips = LPIPS.random("alex")
        both = list(itertools.combinations(images, 2))
        distances = [lpips.distance(a[None], b[None])[0] for a, b in both]
        similarities = [ms_ssim(a[None], b[None])[0] for a, b in both]
        found = diversity.mean_distances(images, lpips, batch_size=4)
        self.assertAllClose(found["lpips"], np.mean(distances), rtol=1e-5)
        self.assertAllClose(found["ms_ssim"], np.mean(similarities), rtol=1e-5)
        self.assertEqual(found["num_pairs"], 6)
        self.assertGreater(np.std(distances), 0)

    @parameterized.product(
        block_bytes=[1, 8, 12, 16, 100], batch_size=[1, 2, 8]
    )
    def test_memory_does_not_change_the_numbers(self, block_bytes, batch_size):
        # The pairs' differences: 1, 3, 7, 2, 6, 4.
        lpips = BrightnessDistance()
        found = diversity.mean_distances(
            flat([10, 11, 13, 17]),
            lpips,
            batch_size=batch_size,
            block_bytes=block_bytes,
        )
        squares = [1, 9, 49, 4, 36, 16]
        self.assertAllClose(found["lpips"], np.mean(squares))
        # A vector has 4 bytes; blocks are of so many pictures at most.
        limit = min(batch_size, max(1, block_bytes // 4))
        self.assertLessEqual(lpips.largest_batch, limit)
        if block_bytes >= 16:
            self.assertEqual(lpips.num_seen, 4)

    def test_equal_pictures_have_no_diversity(self):
        images = np.repeat(noisy(1), 3, axis=0)
        found = diversity.mean_distances(images, LPIPS.random("alex"))
        self.assertAllClose(found["ms_ssim"], 1)
        self.assertAllClose(found["lpips"], 0)

    def test_more_change_is_more_diverse(self):
        images = noisy(3)
        middle = images.mean(axis=0)
        nearer = np.uint8(middle + 0.2 * (images - middle))
        lpips = LPIPS.random("alex")
        more, less = (
            diversity.mean_distances(i, lpips) for i in (images, nearer)
        )
        self.assertGreater(more["lpips"], less["lpips"])
        self.assertLess(more["ms_ssim"], less["ms_ssim"])

    def test_scales_of_ms_ssim_can_be_chosen(self):
        images = noisy(2, size=48)
        for num_scales in (1, 2, 3):
            self.assertAllClose(
                diversity.mean_distances(images, num_scales=num_scales),
                {
                    "ms_ssim": ms_ssim(images[:1], images[1:], num_scales)[0],
                    "num_pairs": 1,
                },
            )

    @parameterized.parameters(
        ([2, 32, 32, 3], np.float32),
        ([32, 32, 3], np.uint8),
        ([2, 32, 32, 1], np.uint8),
    )
    def test_rejects_other_pictures(self, shape, dtype):
        with self.assertRaisesRegex(ValueError, r"uint8 \[n, H, W, 3\]"):
            diversity.mean_distances(np.zeros(shape, dtype))

    def test_rejects_a_single_picture(self):
        with self.assertRaisesRegex(ValueError, "at least 2"):
            diversity.mean_distances(noisy(1))


class SummarizeTest(tf.test.TestCase):
    def test_is_mean_and_deviation_over_maps(self):
        found = diversity.summarize(
            [
                {"ms_ssim": 0.2, "lpips": 0.5, "num_pairs": 190},
                {"ms_ssim": 0.4, "lpips": 0.5, "num_pairs": 190},
                {"ms_ssim": 0.9, "lpips": 0.5, "num_pairs": 190},
            ]
        )
        # (0.3^2 + 0.1^2 + 0.4^2) / 3
        std = {"ms_ssim": (0.26 / 3) ** 0.5, "lpips": 0}
        self.assertAllClose(found["mean"], {"ms_ssim": 0.5, "lpips": 0.5})
        self.assertAllClose(found["std"], std)
        self.assertEqual(found["num_maps"], 3)
        self.assertEqual(found["pairs_per_map"], 190)

    def test_takes_an_iterator_and_leaves_its_maps_alone(self):
        one = {"ms_ssim": 0.25, "num_pairs": 1}
        found = diversity.summarize(iter([one]))
        self.assertEqual(found["mean"], {"ms_ssim": 0.25})
        self.assertEqual(found["std"], {"ms_ssim": 0})
        self.assertEqual(one, {"ms_ssim": 0.25, "num_pairs": 1})

    def test_rejects_maps_of_different_kinds(self):
        one = {"ms_ssim": 0.2, "num_pairs": 1}
        for maps in (
            [],
            [one, {**one, "num_pairs": 3}],
            [one, {**one, "lpips": 0.3}],
        ):
            with self.assertRaisesRegex(ValueError, f"Received: {len(maps)}"):
                diversity.summarize(maps)


if __name__ == "__main__":
    tf.test.main()
