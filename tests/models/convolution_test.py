"""Convolutions without copies: those of TensorFlow are the reference."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import convolution
from oasis_tf.models.spade import SPADE
from oasis_tf.models.spectral_norm import SpectralConv2D

RNG = np.random.default_rng(0)


def normal(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def results(convolve, *inputs):
    """Returns a function's value and its gradients."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = convolve(*inputs)
        loss = tf.reduce_sum(tf.sin(value))
    return value, *tape.gradient(loss, inputs)


def reference(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def kinds_of_operations(function, *inputs):
    graph = tf.function(function).get_concrete_function(*inputs).graph
    return {op.type for op in graph.get_operations()}


class AddBiasTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        precision=["float32", "float16", "bfloat16"], shape=[(2, 5), (3, 4, 5)]
    )
    def test_adds_to_each_pixel(self, precision, shape):
        x = tf.cast(normal(*shape), precision)
        bias = tf.cast(normal(5), precision)
        y = convolution.add_bias(x, bias)
        self.assertEqual(y.dtype, precision)
        self.assertAllEqual(y, x + bias)

    @parameterized.parameters(
        ("float32", 1e-5), ("float16", 2e-3), ("bfloat16", 1e-2)
    )
    def test_gradient_of_many_pixels(self, precision, tolerance):
        x = tf.cast(normal(4, 64, 64, 5) + 0.05, precision)
        bias = tf.zeros(5, precision)
        _, gradient = results(
            lambda b: tf.sin(convolution.add_bias(x, b)), bias
        )
        # Of the sum of sin(sin(x)), from the same rounded pixels.
        exact = tf.cast(x, tf.float64)
        expected = tf.reduce_sum(
            tf.cos(tf.sin(exact)) * tf.cos(exact), [0, 1, 2]
        )
        self.assertAllClose(
            tf.cast(gradient, tf.float64), expected, rtol=tolerance
        )


class Conv2DTest(tf.test.TestCase, parameterized.TestCase):
    # Small and large images, as copies of their pixels are not and are made;
    # narrow and wide kernels, whose gradients are computed in two ways.
    @parameterized.product(
        size=[(1, 1), (5, 4), (70, 64)],
        kernel=[(3, 3, 4), (3, 5, 6), (5, 5, 6), (3, 60, 70), (5, 60, 70)],
        batch=[1, 2],
    )
    def test_is_the_convolution_and_has_its_gradients(
        self, size, kernel, batch
    ):
        kernel_size, channels, filters = kernel
        inputs = (
            normal(batch, *size, channels),
            normal(kernel_size, kernel_size, channels, filters) / 10,
        )
        expected = results(reference, *inputs)
        with convolution.without_copies():
            found = results(convolution.conv2d, *inputs)
        for a, b in zip(found, expected, strict=True):
            scale = np.abs(b).max()
            self.assertAllClose(a, b, rtol=0, atol=1e-5 * scale)

    def test_gradients_come_out_of_a_branch_in_a_function(self):
        x, kernel = normal(1, 64, 64, 4), normal(3, 3, 4, 70)

        @tf.function(autograph=False)
        def convolve(x, kernel):
            return tf.cond(
                tf.reduce_sum(x) < 1e9,
                lambda: convolution.conv2d(x, kernel),
                lambda: tf.zeros([1, 64, 64, 70]),
            )

        expected = results(reference, x, kernel)
        with convolution.without_copies():
            outer = tf.function(lambda *xs: results(convolve, *xs))
            found = outer(x, kernel)
        for a, b in zip(found, expected, strict=True):
            scale = np.abs(b).max()
            self.assertAllClose(a, b, rtol=0, atol=1e-5 * scale)

    def test_large_images_are_convolved_by_the_transposed_operation(self):
        inputs = normal(1, 64, 64, 4), normal(3, 3, 4, 4)
        with convolution.without_copies():
            kinds = kinds_of_operations(convolution.conv2d, *inputs)
        self.assertIn("Conv2DBackpropInput", kinds)
        self.assertNotIn("Conv2D", kinds)

    @parameterized.named_parameters(
        ("elsewhere", "float32", 3, False),
        ("in_16_bits", "bfloat16", 3, True),
        ("of_one_pixel", "float32", 1, True),
    )
    def test_is_tensorflows_own(self, dtype, kernel_size, is_without_copies):
        x = tf.cast(normal(1, 64, 64, 4), dtype)
        kernel = tf.cast(normal(kernel_size, kernel_size, 4, 4), dtype)
        if is_without_copies:
            with convolution.without_copies():
                kinds = kinds_of_operations(convolution.conv2d, x, kernel)
        else:
            kinds = kinds_of_operations(convolution.conv2d, x, kernel)
        self.assertIn("Conv2D", kinds)
        self.assertNotIn("Conv2DBackpropInput", kinds)

    def test_images_of_any_size_are_convolved_by_tensorflows_own(self):
        kernel = normal(3, 3, 4, 4)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 4], tf.float32)]
        )
        def convolve(x):
            return convolution.conv2d(x, kernel)

        x = normal(2, 9, 8, 4)
        with convolution.without_copies():
            self.assertAllClose(convolve(x), reference(x, kernel))

    def test_the_size_stays_known(self):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 70, 4])])
        def convolve(x):
            y = convolution.conv2d(x, normal(3, 3, 4, 5))
            self.assertEqual(y.shape.as_list(), [None, 64, 70, 5])
            return y

        with convolution.without_copies():
            self.assertEqual(convolve(normal(2, 64, 70, 4)).shape[0], 2)

    def test_layers_convolve_by_it(self):
        conv = SpectralConv2D(4)
        conv.build((None, 64, 64, 4))
        spade = SPADE(hidden_channels=4)
        spade.build((None, 64, 64, 4), (None, 64, 64, 5))
        x, conditioning = normal(1, 64, 64, 4), normal(1, 64, 64, 5)
        for function, inputs in ((conv, [x]), (spade, [x, conditioning])):
            with convolution.without_copies():
                kinds = kinds_of_operations(function, *inputs)
            self.assertNotIn("Conv2D", kinds)
            self.assertIn("Conv2D", kinds_of_operations(function, *inputs))


if __name__ == "__main__":
    tf.test.main()
