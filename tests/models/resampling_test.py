"""Up- and downsampling, and the convolution of repeated pixels."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import resampling

RNG = np.random.default_rng(0)


def repeat_2x2(x):
    return np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)


class UpsampleTest(tf.test.TestCase):
    def test_repeats_each_pixel_down_and_right(self):
        x = tf.constant([[1.0, 2.0], [3.0, 4.0]])[None, ..., None]
        self.assertAllEqual(
            resampling.upsample(x)[0, ..., 0],
            [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
        )

    def test_keeps_samples_and_channels_apart(self):
        x = np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4)
        self.assertAllEqual(resampling.upsample(x), repeat_2x2(x))

    def test_size_may_be_unknown_while_tracing(self):
        x = np.arange(2 * 3 * 5 * 4, dtype=np.float32).reshape(2, 3, 5, 4)
        upsample = tf.function(
            resampling.upsample,
            input_signature=[tf.TensorSpec([None, None, None, 4])],
        )
        self.assertAllEqual(upsample(x), repeat_2x2(x))


class DownsampleTest(tf.test.TestCase):
    def test_takes_the_mean_of_each_2x2_pixels(self):
        x = tf.constant([[1.0, 3.0, 10.0, 20.0], [5.0, 7.0, 30.0, 40.0]])
        y = resampling.downsample(x[None, ..., None])
        self.assertAllClose(y, [[[[4.0], [25.0]]]])


class UpsampleConv2DTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("one_pixel", (1, 1)),
        ("row", (1, 5)),
        ("odd", (3, 7)),
        ("even", (4, 6)),
    )
    def test_is_the_convolution_of_repeated_pixels(self, size):
        x = np.float32(RNG.normal(size=[2, *size, 3]))
        kernel = np.float32(RNG.normal(size=[3, 3, 3, 5]))
        self.assertAllClose(
            resampling.upsample_conv2d(x, kernel),
            tf.nn.conv2d(repeat_2x2(x), kernel, 1, "SAME"),
            atol=1e-5,
        )

    def test_gradients_are_the_same(self):
        x = tf.constant(RNG.normal(size=[2, 3, 4, 3]), tf.float32)
        kernel = tf.constant(RNG.normal(size=[3, 3, 3, 5]), tf.float32)
        found = []
        for convolve in (
            resampling.upsample_conv2d,
            lambda x, k: tf.nn.conv2d(resampling.upsample(x), k, 1, "SAME"),
        ):
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                loss = tf.reduce_sum(tf.sin(convolve(x, kernel)))
            found.append(tape.gradient(loss, [x, kernel]))
        self.assertAllClose(*found, rtol=1e-5, atol=1e-4)

    def test_size_may_be_unknown_while_tracing(self):
        kernel = np.float32(RNG.normal(size=[3, 3, 3, 5]))
        x = np.float32(RNG.normal(size=[2, 3, 4, 3]))

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
        def convolve(x):
            y = resampling.upsample_conv2d(x, kernel)
            self.assertEqual(y.shape.as_list(), [None, None, None, 5])
            return y

        self.assertAllClose(convolve(x), resampling.upsample_conv2d(x, kernel))

    def test_weights_are_summed_before_they_are_rounded(self):
        # 256 + 1 is none of bfloat16's numbers, 256 + 1 + 1 is one.
        kernel = tf.ones([3, 3, 1, 1]) * 256 + tf.reshape(
            tf.constant([0.0, 1, 0, 1, 0, 0, 0, 0, 0]), [3, 3, 1, 1]
        )
        y = resampling.upsample_conv2d(
            tf.ones([1, 1, 1, 1], tf.bfloat16), kernel
        )
        self.assertEqual(y.dtype, tf.bfloat16)
        exact = resampling.upsample_conv2d(tf.ones([1, 1, 1, 1]), kernel)
        self.assertAllEqual(y, tf.cast(exact, tf.bfloat16))


if __name__ == "__main__":
    tf.test.main()
