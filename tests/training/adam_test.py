"""Adam against its formula, step by step."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.training.adam import Adam
from oasis_tf.training.adam import LinearDecay
from tests import replicas

GRADIENTS = np.array([[0.5, -2.0, 1e-6], [-0.1, 3.0, 2e-6], [0.4, 1.0, -1e-6]])


def weights(size):
    return keras.Variable(tf.zeros([size]))


def published_updates(gradients, lr, beta_1, beta_2, epsilon):
    """Algorithm 1 of Kingma and Ba, in float64, from weights 0."""
    w, m, v = 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        corrected_m, corrected_v = m / (1 - beta_1**t), v / (1 - beta_2**t)
        w -= lr * corrected_m / (np.sqrt(corrected_v) + epsilon)
    return w


class AdamTest(tf.test.TestCase, parameterized.TestCase):
    def train(self, optimizer, gradients=GRADIENTS):
        variable = weights(len(gradients[0]))
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        return variable.numpy()

    def test_nothing_of_a_graph_is_kept(self):
        optimizer, variable = Adam(), keras.Variable([1.0, 2.0])
        optimizer.build([variable])
        tf.function(lambda: optimizer.apply([tf.ones([2])]))()
        kept = tf.nest.flatten(list(vars(optimizer).values()))
        self.assertFalse(any(map(tf.is_symbolic_tensor, kept)))

    def test_first_step_moves_by_the_learning_rate(self):
        # m / sqrt(v) is the gradient's sign after one step.
        trained = self.train(Adam(0.1), [[0.5, -2.0]])
        self.assertAllClose(trained, [-0.1, 0.1])

    def test_epsilon_stands_beside_the_corrected_moment(self):
        # g / (|g| + epsilon) with both 1e-8; `keras.optimizers.Adam` adds
        # epsilon to sqrt(0.001) |g|, and would give 0.03.
        trained = self.train(Adam(1.0), [[1e-8]])
        self.assertAllClose(trained, [-0.5], rtol=1e-4)

    @parameterized.parameters(
        (0.0, 0.999, 1e-8),
        (0.5, 0.9, 1e-3),
        (0.9, 0.99, 1e-8),
        (0.5, 0.0, 1e-3),
    )
    def test_steps_follow_the_paper(self, beta_1, beta_2, epsilon):
        trained = self.train(Adam(0.01, beta_1, beta_2, epsilon))
        expected = published_updates(GRADIENTS, 0.01, beta_1, beta_2, epsilon)
        self.assertAllClose(trained, expected, rtol=1e-3)

    @parameterized.parameters((0.0, 1), (0.5, 2))
    def test_first_moment_is_stored_only_where_it_is_one(self, beta_1, moments):
        optimizer = Adam(beta_1=beta_1)
        optimizer.build([weights(7)])
        sizes = [int(np.prod(v.shape)) for v in optimizer.variables]
        self.assertEqual(sum(sizes), 7 * moments + 2)  # Iterations and rate.

    def test_config_round_trip(self):
        optimizer = Adam(0.3, 0.2, 0.9, 1e-5)
        copy = Adam.from_config(optimizer.get_config())
        for name in ("beta_1", "beta_2", "epsilon"):
            self.assertEqual(getattr(copy, name), getattr(optimizer, name))
        self.assertAllClose(copy.learning_rate, 0.3)

    def test_gradients_are_summed_over_replicas(self):
        strategy = replicas.two_replicas()
        with strategy.scope():
            variable = weights(3)
            optimizer = Adam(0.01)
            optimizer.build([variable])

        def step(gradient):
            optimizer.apply([gradient[0]], [variable])
            return variable.value + 0.0

        for gradient in GRADIENTS:
            shares = tf.constant([gradient / 4, gradient * 3 / 4], tf.float32)
            first, second = replicas.run_on_halves(strategy, step, shares)
        expected = published_updates(GRADIENTS, 0.01, 0.0, 0.999, 1e-8)
        self.assertAllClose(first, expected, rtol=1e-3)
        self.assertAllEqual(first, second)


class LinearDecayTest(tf.test.TestCase):
    def test_rate_is_constant_and_then_falls_to_nothing(self):
        rate = LinearDecay(0.4, num_steps=100, decay_share=0.2)
        # It falls over the last 20 steps: half way after 10 of them.
        for step, expected in ((0, 0.4), (80, 0.4), (90, 0.2), (100, 0.0)):
            self.assertAllClose(rate(step), expected)
        self.assertAllClose(rate(150), 0.0)

    def test_optimizer_takes_the_rate_of_its_step(self):
        variable = weights(1)
        optimizer = Adam(LinearDecay(0.1, num_steps=2, decay_share=1.0))
        moves = []
        for _ in range(3):
            before = variable.numpy()
            optimizer.apply([tf.ones([1])], [variable])
            moves.append(float(before[0] - variable.numpy()[0]))
        # A constant gradient moves a weight by the rate: 0.1, half of it, 0.
        self.assertAllClose(moves, [0.1, 0.05, 0.0], atol=1e-6)

    def test_the_end_may_be_moved(self):
        last_step = tf.Variable(100, dtype=tf.int64)
        rate = LinearDecay(0.4, last_step, decay_share=0.2)
        self.assertAllClose(rate(45), 0.4)
        last_step.assign(50)
        # Now the last 10 steps: half way after 5 of them.
        self.assertAllClose(rate(45), 0.2)
        self.assertEqual(rate.get_config()["num_steps"], 50)

    def test_config_round_trip(self):
        decay = LinearDecay(0.4, 100, 0.2)
        copy = LinearDecay.from_config(decay.get_config())
        self.assertAllClose(copy(90), decay(90))


if __name__ == "__main__":
    tf.test.main()
