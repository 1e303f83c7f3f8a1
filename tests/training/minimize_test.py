"""`minimize`: parts of a batch, clipping, and overflow on one replica."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.training import train_step
from tests import replicas


class OverflowTest(tf.test.TestCase):
    def test_infinity_on_one_replica_skips_the_update_on_all(self):
        strategy = replicas.two_replicas()
        with strategy.scope():
            variable = keras.Variable(tf.zeros([2]))
            optimizer = keras.optimizers.LossScaleOptimizer(
                keras.optimizers.SGD(1.0), initial_scale=4.0
            )
            optimizer.build([variable])

        def step(factor):
            # Its gradient is `factor`, on the second replica infinite.
            train_step.minimize(
                lambda part: {"loss": tf.reduce_sum(variable * part["x"])},
                {"x": factor},
                [variable],
                optimizer,
            )
            return variable.value + 0.0

        bad = tf.constant([[1.0, 1.0], [np.inf, 1.0]])
        first, second = replicas.run_on_halves(strategy, step, bad)
        self.assertAllEqual(first, [0.0, 0.0])
        self.assertAllEqual(second, [0.0, 0.0])
        # The mean of the replicas' gradients: (1 + 3) / 2.
        good = tf.constant([[1.0, 1.0], [3.0, 3.0]])
        first, second = replicas.run_on_halves(strategy, step, good)
        self.assertAllClose(first, [-2.0, -2.0])
        self.assertAllClose(second, [-2.0, -2.0])


class AccumulationTest(tf.test.TestCase):
    def test_parts_give_what_the_whole_batch_gives(self):
        inputs = np.random.default_rng(0).normal(size=[6, 3])
        batch = {"x": tf.constant(inputs, tf.float32)}

        def step(num_parts):
            variable = keras.Variable(tf.ones([3]))
            optimizer = keras.optimizers.SGD(0.5)
            optimizer.build([variable])
            metrics = train_step.minimize(
                lambda part: {
                    "square": tf.reduce_mean(
                        tf.linalg.matvec(part["x"], variable.value) ** 2
                    )
                },
                batch,
                [variable],
                optimizer,
                num_parts,
            )
            return variable.numpy(), float(metrics["square"])

        # mean((x w)^2) has the gradient 2 mean(x (x w)), at w = 1.
        products = inputs.sum(axis=1)
        gradient = 2 * (inputs * products[:, None]).mean(axis=0)
        for num_parts in (1, 2, 3, 6):
            weights, loss = step(num_parts)
            self.assertAllClose(weights, 1 - 0.5 * gradient)
            self.assertAllClose(loss, (products**2).mean())


class ClippingTest(tf.test.TestCase, parameterized.TestCase):
    GRADIENT = np.array([3.0, -4.0])  # Of norm 5.

    def update(self, clip_norm, shares=(1.0, 1.0), replicated=False, **scaled):
        """Returns how far a step of rate 1 moves two weights."""
        strategy = (
            replicas.two_replicas()
            if replicated
            else tf.distribute.get_strategy()
        )
        with strategy.scope():
            weights = [keras.Variable(0.0), keras.Variable(0.0)]
            optimizer = keras.optimizers.SGD(1.0)
            if scaled:
                optimizer = keras.optimizers.LossScaleOptimizer(
                    optimizer, **scaled
                )
            optimizer.build(weights)

        def step(x):
            train_step.minimize(
                lambda part: {
                    "loss": tf.reduce_mean(part["x"])
                    * tf.add_n(
                        [w.value * g for w, g in zip(weights, self.GRADIENT)]
                    )
                },
                {"x": x},
                weights,
                optimizer,
                clip_norm=clip_norm,
            )
            return tf.stack([-w.value for w in weights])

        shares = tf.constant(shares)
        if not replicated:
            return step(shares)
        first, second = replicas.run_on_halves(strategy, step, shares)
        self.assertAllEqual(first, second)
        return first

    def test_long_gradient_is_cut_to_the_norm(self):
        self.assertAllClose(self.update(2.0), self.GRADIENT * 2 / 5)

    def test_short_gradient_stays(self):
        self.assertAllClose(self.update(6.0), self.GRADIENT)

    def test_0_does_not_clip(self):
        self.assertAllClose(self.update(0.0), self.GRADIENT)

    @parameterized.parameters((0.0, 2.0), (1.0, 1.0), (2.0, 4.0))
    def test_replicas_clip_the_mean_of_their_gradients(self, *shares):
        update = self.update(4.0, shares, replicated=True)
        mean = np.mean(shares)  # Norm 5, 5, 15.
        scale = min(1.0, 4 / (5 * mean))
        self.assertAllClose(update, self.GRADIENT * mean * scale)

    def test_scaled_losses_are_clipped_as_unscaled_ones(self):
        update = self.update(2.0, initial_scale=1024.0)
        self.assertAllClose(update, self.GRADIENT * 2 / 5)


if __name__ == "__main__":
    tf.test.main()
