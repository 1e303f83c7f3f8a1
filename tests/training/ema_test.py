"""The averaged generator, and batch statistics estimated for it."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.label_map import one_hot
from oasis_tf.models.generator import build_generator
from oasis_tf.training import ema
from tests import replicas
from tests import tiny

SIZE = (16, 16)


def generator(seed):
    """Returns a generator whose every variable is random."""
    model = build_generator(tiny.CONFIG.generator, tiny.SEMANTIC_CHANNELS)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()]
    )
    return model


def draw_noise(sample_number):
    """Noise that differs by sample, without any randomness."""
    channels = tiny.CONFIG.generator.noise_channels
    factors = tf.range(1.0, 1.0 + channels)
    z = tf.sin(tf.cast(sample_number[:, None], tf.float32) * factors)
    return tf.tile(z[:, None, None, :], [1, *SIZE, 1])


class UpdateAverageTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("one", tf.distribute.get_strategy), ("two", replicas.two_replicas)
    )
    def test_every_variable_moves_by_one_minus_decay(self, make_strategy):
        strategy = make_strategy()
        with strategy.scope():
            average, model = generator(1), generator(2)
        before, current = average.get_weights(), model.get_weights()

        @tf.function(autograph=False)
        def update():
            ema.update_average(average, model, 0.75, strategy)

        update()
        update()
        # average + (1 - decay) * (model - average), twice.
        share = 0.75**2
        for variable, old, new in zip(average.variables, before, current):
            for copy in strategy.experimental_local_results(variable.value):
                self.assertAllClose(
                    copy,
                    share * old + (1 - share) * new,
                    msg=variable.path,
                )

    def test_kernels_statistics_and_power_iterations_are_among_them(self):
        average, model = generator(1), generator(2)
        before = {v.path: v.numpy() for v in average.variables}
        ema.update_average(average, model, 0.5, tf.distribute.get_strategy())
        moved = {
            v.path.rpartition("/")[2]
            for v in average.variables
            if not np.allclose(before[v.path], v.numpy())
        }
        self.assertEqual(
            moved,
            {"kernel", "bias", "moving_mean", "moving_variance", "u", "v"},
        )

    def test_the_model_stays(self):
        average, model = generator(1), generator(2)
        current = model.get_weights()
        ema.update_average(average, model, 0.5, tf.distribute.get_strategy())
        for value, old in zip(model.get_weights(), current):
            self.assertAllEqual(value, old)


class StatisticsEstimatorTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.model = generator(1)
        self.estimator = ema.StatisticsEstimator(
            self.model, draw_noise, tf.distribute.get_strategy()
        )
        self.batches = [
            tf.nest.map_structure(tf.constant, tiny.batch(first))
            for first in (0, 4, 8)
        ]

    def batch_statistics(self):
        """Returns each batch's own statistics, from the moving averages.

        From 0, momentum 0.9 leads to a tenth of the batch's.
        """
        copy = generator(1)
        moving = copy.statistics[: 2 * len(self.norms(copy))]
        for batch in self.batches:
            for variable in moving:
                variable.assign(tf.zeros_like(variable))
            copy(
                draw_noise(batch["sample_number"]),
                one_hot(batch["label_map"], tiny.SEMANTIC_CHANNELS),
                training=True,
            )
            yield [10 * variable.numpy() for variable in moving]

    def norms(self, model):
        return [n for block in model.blocks for n in block.batch_norms]

    def test_inside_are_the_means_of_the_batches_statistics(self):
        expected = [
            np.mean(values, axis=0) for values in zip(*self.batch_statistics())
        ]
        with self.estimator.using(
            self.estimator.estimate(self.batches)
        ) as model:
            moving = [
                variable.numpy()
                for norm in self.norms(model)
                for variable in (norm.moving_mean, norm.moving_variance)
            ]
        self.assertLen(moving, 2 * 5)  # Two blocks, one with a shortcut.
        for actual, value in zip(moving, expected, strict=True):
            self.assertAllClose(actual, value, rtol=1e-4)

    def test_outside_all_variables_are_back_bit_for_bit(self):
        before = self.model.get_weights()
        with self.estimator.using(self.estimator.estimate(self.batches)):
            inside = self.model.get_weights()
        for old, new in zip(before, self.model.get_weights()):
            self.assertAllEqual(old, new)
        changed = [not np.array_equal(a, b) for a, b in zip(before, inside)]
        self.assertIn(True, changed)

    def test_statistics_are_back_after_an_error_inside(self):
        before = self.model.get_weights()
        with self.assertRaises(KeyError):
            with self.estimator.using(self.estimator.estimate(self.batches)):
                raise KeyError
        for old, new in zip(before, self.model.get_weights()):
            self.assertAllEqual(old, new)

    def test_momentum_of_training_stays(self):
        with self.estimator.using(self.estimator.estimate(self.batches)):
            pass
        self.assertEqual({n.momentum for n in self.norms(self.model)}, {0.9})


if __name__ == "__main__":
    tf.test.main()
