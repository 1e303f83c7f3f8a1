"""Parameter-free, synchronized batch normalization."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models.batch_norm import BatchNorm
from tests import replicas

# One channel of four pixels: mean 2.5; variance 1.25, unbiased 5 / 3.
X = np.array([1, 2, 3, 4], np.float32).reshape(2, 1, 2, 1)


def built(channels=1, **kwargs):
    layer = BatchNorm(**kwargs)
    layer.build((None, 1, 2, channels))
    return layer


class BatchNormTest(tf.test.TestCase, parameterized.TestCase):
    def test_training_normalizes_by_the_batch(self):
        y = built()(X, training=True)
        self.assertAllClose(y, (X - 2.5) / np.sqrt(1.25 + 1e-5))

    def test_training_collects_the_unbiased_variance(self):
        layer = built()
        layer(X, training=True)
        self.assertAllClose(layer.moving_mean, [0.9 * 0 + 0.1 * 2.5])
        self.assertAllClose(layer.moving_variance, [0.9 * 1 + 0.1 * 5 / 3])
        layer(X, training=True)
        self.assertAllClose(layer.moving_mean, [0.9 * 0.25 + 0.1 * 2.5])

    def test_momentum_is_the_share_that_stays(self):
        layer = built(momentum=0.25)
        layer(X, training=True)
        self.assertAllClose(layer.moving_mean, [0.75 * 2.5])
        self.assertAllClose(layer.moving_variance, [0.25 + 0.75 * 5 / 3])

    def test_inference_uses_the_moving_statistics_and_leaves_them(self):
        layer = built(epsilon=0.5)
        layer.moving_mean.assign([1.0])
        layer.moving_variance.assign([3.5])
        self.assertAllClose(layer(X), (X - 1) / np.sqrt(3.5 + 0.5))
        self.assertAllEqual(layer.moving_mean, [1.0])
        self.assertAllEqual(layer.moving_variance, [3.5])

    def test_channels_are_normalized_apart(self):
        x = np.concatenate([X, 10 * X - 7], axis=-1)
        y = built(channels=2, epsilon=1e-9)(x, training=True)
        self.assertAllClose(y[..., 0], y[..., 1])

    def test_gradient_flows_through_the_statistics(self):
        layer = built(epsilon=1e-3)
        x = tf.constant(X)
        factors = np.array([1, -2, 0, 5], np.float32).reshape(X.shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(factors * y)
        gradient = tape.gradient(loss, x)
        # The formula of Ioffe and Szegedy, Section 3, put together.
        centered = factors - factors.mean() - y * np.mean(factors * y)
        self.assertAllClose(gradient, centered / np.sqrt(1.25 + 1e-3))

    def test_has_no_trainable_variables(self):
        layer = built()
        self.assertEmpty(layer.trainable_variables)
        self.assertLen(layer.variables, 2)

    @parameterized.parameters(["mixed_bfloat16", "mixed_float16"])
    def test_statistics_are_float32_under_mixed_precision(self, precision):
        layer = built(dtype=precision)
        # In 16 bits, 1 + 1/4096 would be 1.
        x = tf.ones([1, 64, 64, 1])
        layer.moving_mean.assign([1 + 2**-12])
        layer.momentum = 1.0
        y = layer(x, training=True)
        self.assertEqual(y.dtype, layer.compute_dtype)
        self.assertAllEqual(layer.moving_mean, [1 + 2**-12])


class TwoReplicasTest(tf.test.TestCase, parameterized.TestCase):
    """What two replicas compute on halves, one computes on the whole."""

    def setUp(self):
        super().setUp()
        # Each half has a mean and a variance of its own.
        random = np.random.RandomState(0)
        x = random.randn(4, 2, 3, 2)
        x[2:] = 5 + 3 * x[2:]
        self.x = x.astype(np.float32)
        self.strategy = replicas.two_replicas()
        with self.strategy.scope():
            self.layer = built(channels=2)

    def test_outputs_and_statistics(self):
        single = built(channels=2)
        expected = single(self.x, training=True)
        halves = replicas.run_on_halves(
            self.strategy, lambda x: self.layer(x, training=True), self.x
        )
        self.assertAllClose(tf.concat(halves, 0), expected, atol=1e-5)
        for mine, other in zip(self.layer.variables, single.variables):
            copies = self.strategy.experimental_local_results(mine.value)
            self.assertLen(copies, 2)
            for copy in copies:
                self.assertAllClose(copy, other)

    def test_gradients(self):
        factors = np.random.RandomState(1).randn(*self.x.shape)
        factors = factors.astype(np.float32)

        def gradient(layer, x, factors):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(factors * layer(x, training=True))
            return tape.gradient(loss, x)

        expected = gradient(
            built(channels=2), tf.constant(self.x), tf.constant(factors)
        )
        halves = replicas.run_on_halves(
            self.strategy,
            lambda x, factors: gradient(self.layer, x, factors),
            self.x,
            factors,
        )
        self.assertAllClose(tf.concat(halves, 0), expected, atol=1e-5)

    def test_digits_survive_beside_a_large_mean(self):
        x = 1000 + self.x / 16
        x64 = x.astype(np.float64)
        expected = (x64 - x64.mean((0, 1, 2))) / np.sqrt(
            x64.var((0, 1, 2)) + 1e-5
        )
        halves = replicas.run_on_halves(
            self.strategy, lambda x: self.layer(x, training=True), x
        )
        self.assertAllClose(tf.concat(halves, 0), expected, atol=2e-3)
        single = built(channels=2)(x, training=True)
        self.assertAllClose(single, expected, atol=2e-3)


if __name__ == "__main__":
    tf.test.main()
