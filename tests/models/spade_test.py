"""Spatially-adaptive normalization."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models.spade import SPADE

X = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
# Two channels of conditioning, of which ReLU keeps what is above 0.
CONDITIONING = np.array(
    [[[[1, 0], [2, -9]], [[-9, 3], [0, 0]]]], dtype=np.float32
)


def built(hidden_channels=2, **kwargs):
    layer = SPADE(hidden_channels, **kwargs)
    layer.build((None, 2, 2, 2), (None, 2, 2, 2))
    return layer


def pointwise(matrix):
    """Returns the 3x3 kernel that multiplies each pixel by a matrix."""
    matrix = np.asarray(matrix, np.float32)
    kernel = np.zeros([3, 3, *matrix.shape], np.float32)
    kernel[1, 1] = matrix
    return kernel


class SPADETest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters([False, True])
    def test_zero_gamma_and_beta_leave_the_norm(self, training):
        layer = built()
        for conv in (layer.gamma, layer.beta):
            conv.kernel.assign(tf.zeros_like(conv.kernel))
        y = layer(X, CONDITIONING, training=training)
        self.assertAllClose(y, layer.norm(X, training=training))

    def test_small_gammas_count_in_half_the_bits(self):
        layer = built(hidden_channels=1, dtype="mixed_bfloat16")
        for conv in (layer.shared, layer.gamma, layer.beta):
            conv.kernel.assign(tf.zeros_like(conv.kernel))
        layer.shared.bias.assign([1])
        # Neither alone is a step of bfloat16 from one; their sum is.
        layer.gamma.kernel.assign(pointwise([[0.003, 0.003]]))
        layer.gamma.bias.assign([0.003, 0.003])
        y = layer(tf.ones([1, 2, 2, 2], tf.bfloat16), CONDITIONING)
        self.assertAllEqual(y, tf.constant(1 + 2**-7, tf.bfloat16, y.shape))

    def test_gamma_is_the_difference_from_one(self):
        layer = built()
        for conv in (layer.gamma, layer.beta):
            conv.kernel.assign(tf.zeros_like(conv.kernel))
        layer.gamma.bias.assign([2.0, -1.0])
        layer.beta.bias.assign([10.0, 20.0])
        normalized = X / np.sqrt(1 + 1e-5)  # Moving mean 0, variance 1.
        y = layer(X, CONDITIONING)
        self.assertAllClose(y[..., 0], normalized[..., 0] * 3 + 10)
        self.assertAllClose(y[..., 1], np.full([1, 2, 2], 20))

    def test_modulation_follows_the_conditioning_of_each_pixel(self):
        layer = built()
        layer.shared.kernel.assign(pointwise([[1, 0], [0, 1]]))
        layer.gamma.kernel.assign(pointwise([[1, 0], [0, 0]]))
        layer.beta.kernel.assign(pointwise([[0, 0], [0, 5]]))
        normalized = X / np.sqrt(1 + 1e-5)
        gamma = [[[[1, 0], [2, 0]], [[0, 0], [0, 0]]]]
        beta = [[[[0, 0], [0, 0]], [[0, 15], [0, 0]]]]
        y = layer(X, CONDITIONING)
        self.assertAllClose(y, normalized * (1 + np.array(gamma)) + beta)

    def test_the_one_convolution_gives_what_gamma_and_beta_give(self):
        layer = built(hidden_channels=5)
        for i, variable in enumerate(layer.trainable_variables):
            variable.assign(tf.random.stateless_normal(variable.shape, [0, i]))
        hidden = tf.nn.relu(layer.shared(CONDITIONING))
        self.assertAllClose(
            layer(X, CONDITIONING),
            layer.norm(X) * (1 + layer.gamma(hidden)) + layer.beta(hidden),
        )

    def test_gradients_reach_all_kernels_and_biases(self):
        layer = built()
        with tf.GradientTape() as tape:
            y = layer(X, np.abs(CONDITIONING), training=True)
            loss = tf.reduce_sum(X * y)
        names = [v.path for v in layer.trainable_variables]
        gradients = tape.gradient(
            loss, [v.value for v in layer.trainable_variables]
        )
        self.assertLen(names, 6)
        for name, gradient in zip(names, gradients):
            self.assertIsNotNone(gradient, name)

    def test_the_norm_has_no_parameters_of_its_own(self):
        self.assertEmpty(built().norm.trainable_variables)


if __name__ == "__main__":
    tf.test.main()
