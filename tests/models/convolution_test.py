"""Convolutions as gradients: those of TensorFlow are the reference."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import convolution
from oasis_tf.models.spectral_norm import SpectralConv2D

RNG = np.random.default_rng(0)


def normal(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def gradients(convolve, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(tf.sin(convolve(*inputs)))
    return tape.gradient(loss, inputs)


class Conv2DTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        size=[(1, 1), (1, 6), (5, 4)], kernel_size=[1, 3, 5], batch=[1, 3]
    )
    def test_is_the_convolution_and_so_are_its_gradients(
        self, size, kernel_size, batch
    ):
        inputs = (
            normal(batch, *size, 3),
            normal(kernel_size, kernel_size, 3, 4),
        )

        def reference(x, kernel):
            return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")

        self.assertAllClose(convolution.conv2d(*inputs), reference(*inputs))
        self.assertAllClose(
            gradients(convolution.conv2d, *inputs),
            gradients(reference, *inputs),
            rtol=1e-5,
            atol=1e-4,
        )

    def test_spectral_convolution_has_the_same_gradients(self):
        layer = SpectralConv2D(4, initial_gain=1.0)
        layer.build((None, 5, 6, 3))
        x = normal(2, 5, 6, 3)
        found = []
        for is_for_cpu in (False, True):
            if is_for_cpu:
                layer.differentiate_for_cpu()
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(layer(x)))
            found.append(tape.gradient(loss, layer.trainable_variables))
        self.assertAllClose(*found, rtol=1e-5, atol=1e-4)


if __name__ == "__main__":
    tf.test.main()
