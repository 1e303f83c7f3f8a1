"""MS-SSIM against NumPy and SciPy in double precision, and scikit-image."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from scipy import signal
from skimage.metrics import structural_similarity

from oasis_tf.evaluation import ms_ssim as ms_ssim_lib
from oasis_tf.evaluation.ms_ssim import ms_ssim
from oasis_tf.evaluation.ms_ssim import num_scales_for


def pictures(height, width, seed=0, noise=20):
    """Returns two uint8 pictures [H, W, 3]: waves, and these with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / a + c) + np.cos(y / b)
        for a, b, c in rng.random((3, 3)) * 9 + 2
    ]
    first = 128 + 50 * np.stack(waves, -1)
    second = 20 + 0.8 * first + noise * rng.standard_normal(first.shape)
    return tuple(np.uint8(np.clip(a, 0, 255)) for a in (first, second))


def terms(x, y):
    """Returns the means of SSIM and of cs for one channel in 0..255."""
    distance = np.arange(11) - 5
    window = np.exp(-(distance**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def local(values):
        return signal.correlate2d(values, window, mode="valid")

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    cov = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    cs = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * cs).mean(), cs.mean()


def half(x):
    x = np.pad(x, [(0, n % 2) for n in x.shape], mode="edge")
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def expected(first, second, num_scales):
    """Returns MS-SSIM by its formula, in float64."""
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:num_scales]
    weights /= weights.sum()
    values = []
    for channel in range(3):
        x = np.float64(first[..., channel])
        y = np.float64(second[..., channel])
        value = 1
        for scale, weight in enumerate(weights):
            ssim, cs = terms(x, y)
            is_last = scale == num_scales - 1
            value *= max(0, ssim if is_last else cs) ** weight
            x, y = half(x), half(y)
        values.append(value)
    return np.mean(values)


class NumScalesTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        # The smaller side at each scale is 161, 81, 41, 21, 11 at least.
        (256, 256, 5),
        (161, 400, 5),
        (160, 400, 4),
        (81, 81, 4),
        (80, 80, 3),
        (64, 64, 3),
        (64, 40, 2),
        (20, 64, 1),
        (11, 11, 1),
    )
    def test_is_how_many_windows_fit(self, height, width, num_scales):
        self.assertEqual(num_scales_for(height, width), num_scales)

    def test_rejects_what_is_smaller_than_the_window(self):
        with self.assertRaisesRegex(ValueError, r"Received: .*\(10, 64\)"):
            num_scales_for(10, 64)

    def test_weights_sum_up_to_1(self):
        self.assertAllClose(sum(ms_ssim_lib.WEIGHTS), 1, atol=1e-4)


class MSSSIMTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        (176, 176, None, 5),
        (161, 203, None, 5),  # Odd at each scale.
        (64, 64, None, 3),
        (65, 47, None, 3),
        (64, 64, 1, 1),
        (64, 64, 2, 2),
    )
    def test_is_the_formula(self, height, width, num_scales, expected_scales):
        first, second = pictures(height, width)
        value = ms_ssim(first[None], second[None], num_scales)
        answer = expected(first, second, expected_scales)
        self.assertBetween(answer, 0.3, 0.97)
        self.assertAllClose(value, [answer], rtol=0, atol=2e-5)

    def test_one_scale_is_scikit_images_ssim(self):
        first, second = pictures(64, 80)
        # Borders are cropped, as no window reaches over them here.
        answer = structural_similarity(
            first,
            second,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        value = ms_ssim(first[None], second[None], num_scales=1)
        self.assertAllClose(value, [answer], rtol=0, atol=2e-5)

    def test_each_pair_has_its_own_value(self):
        pairs = [pictures(48, 64, seed, noise=9 * seed) for seed in range(3)]
        first, second = map(np.stack, zip(*pairs))
        values = ms_ssim(first, second)
        self.assertEqual(values.dtype, tf.float32)
        self.assertAllClose(
            values, [expected(*pair, 3) for pair in pairs], rtol=0, atol=2e-5
        )

    def test_equal_pictures_have_1(self):
        # Flat ones too, where both variances are 0.
        first = np.stack([pictures(64, 64)[0], np.full([64, 64, 3], 255)])
        first = np.uint8(first)
        self.assertAllClose(ms_ssim(first, first), [1, 1], rtol=0, atol=1e-6)

    def test_order_does_not_matter(self):
        first, second = pictures(64, 64)
        self.assertAllClose(
            ms_ssim(first[None], second[None]),
            ms_ssim(second[None], first[None]),
        )

    def test_flat_pictures_differ_in_luminance_alone(self):
        first = np.full([1, 64, 64, 3], 30, np.uint8)
        second = np.full([1, 64, 64, 3], 60, np.uint8)
        c1 = (0.01 * 255) ** 2
        luminance = (2 * 30 * 60 + c1) / (30**2 + 60**2 + c1)
        # The third of three scales has it, with its share of the weights.
        weight = 0.3001 / (0.0448 + 0.2856 + 0.3001)
        self.assertAllClose(
            ms_ssim(first, second), [luminance**weight], atol=2e-5
        )

    def test_floats_are_in_minus_1_to_1(self):
        first, second = (picture[None] for picture in pictures(64, 64))
        value = ms_ssim(
            tf.cast(first, tf.float32) / 127.5 - 1,
            tf.cast(second, tf.float32) / 127.5 - 1,
        )
        self.assertAllClose(value, ms_ssim(first, second), rtol=0, atol=1e-5)

    def test_white_pictures_are_right_but_for_rounding(self):
        first, second = (np.full([64, 64, 3], n, np.uint8) for n in (255, 250))
        self.assertAllClose(
            ms_ssim(first[None], second[None]),
            [expected(first, second, 3)],
            rtol=0,
            atol=2e-3,
        )

    def test_a_negative_term_counts_as_0(self):
        first, _ = pictures(64, 64)
        negative = 255 - first
        self.assertLess(terms(*np.float64([first, negative])[..., 0])[1], 0)
        self.assertAllEqual(ms_ssim(first[None], negative[None]), [0])

    def test_works_in_a_graph(self):
        first, second = (picture[None] for picture in pictures(64, 64))
        self.assertAllClose(
            tf.function(ms_ssim)(first, second), ms_ssim(first, second)
        )

    @parameterized.parameters(0, 4, 2.5)
    def test_rejects_numbers_of_scales_that_do_not_fit(self, num_scales):
        images = tf.zeros([1, 64, 64, 3])
        with self.assertRaisesRegex(ValueError, "1..3 .*64 x 64"):
            ms_ssim(images, images, num_scales)

    @parameterized.parameters(
        ([1, 64, 64, 3], [2, 64, 64, 3], tf.uint8, tf.uint8),
        ([1, 64, 64, 3], [1, 64, 64, 3], tf.uint8, tf.float32),
        ([1, 64, 64, 3], [1, 64, 64, 3], tf.int32, tf.int32),
        ([64, 64, 3], [64, 64, 3], tf.uint8, tf.uint8),
        ([1, 64, 64, 1], [1, 64, 64, 1], tf.uint8, tf.uint8),
    )
    def test_rejects_other_pictures(self, first, second, dtype, other_dtype):
        with self.assertRaisesRegex(ValueError, "Received: .* and "):
            ms_ssim(tf.zeros(first, dtype), tf.zeros(second, other_dtype))


if __name__ == "__main__":
    tf.test.main()
