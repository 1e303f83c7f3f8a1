"""A network that is traced once."""

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data.label_map import one_hot
from oasis_tf.training.traced_once import traced_once
from tests import tiny
from tests import trained

pytestmark = pytest.mark.optimized


class TracedOnceTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        label_map = tiny.batch(size=2)["label_map"]
        channels = tiny.CONFIG.generator.noise_channels
        self.semantic_map = one_hot(label_map, tiny.SEMANTIC_CHANNELS)
        self.noises = [
            np.float32(rng.normal(size=[*label_map.shape, channels]))
            for _ in range(2)
        ]
        self.num_traces = 0

    def found(self, is_traced_once):
        """Returns pictures, gradients and statistics, and the graph's size."""
        generator, _ = trained.networks()

        def forward(noise, semantic_map):
            self.num_traces += 1
            return generator(noise, semantic_map, training=True)

        draw = traced_once(generator, forward) if is_traced_once else forward

        @tf.function(autograph=False)
        def run(*noises):
            with tf.GradientTape() as tape:
                images = [draw(noise, self.semantic_map) for noise in noises]
                # The second one's statistics follow from the first one's.
                loss = sum(tf.reduce_sum(image**2) for image in images)
            return images, tape.gradient(loss, generator.trainable_variables)

        images, gradients = run(*self.noises)
        num_operations = len(
            run.get_concrete_function(*self.noises).graph.get_operations()
        )
        statistics = [variable.numpy() for variable in generator.statistics]
        return (images, gradients, statistics), num_operations

    def test_is_what_the_network_computes(self):
        expected, _ = self.found(is_traced_once=False)
        found, _ = self.found(is_traced_once=True)
        for part, other in zip(found, expected):
            self.assertAllClose(part, other, rtol=1e-5, atol=1e-6)

    def test_each_call_collects_statistics(self):
        (_, _, statistics), _ = self.found(is_traced_once=True)
        self.noises.pop()
        (_, _, of_one_call), _ = self.found(is_traced_once=True)
        for array, other in zip(statistics, of_one_call, strict=True):
            self.assertNotAllClose(array, other)

    def test_is_traced_once_and_called_twice(self):
        _, num_direct = self.found(is_traced_once=False)
        self.assertEqual(self.num_traces, 2)
        self.num_traces = 0
        _, num_operations = self.found(is_traced_once=True)
        self.assertEqual(self.num_traces, 1)
        self.assertLess(num_operations, num_direct / 2)


if __name__ == "__main__":
    tf.test.main()
