"""The perceptual loss, mostly on a stand-in for VGG19 with few weights."""

import pathlib
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.training.perceptual import PerceptualLoss

LAYERS = [f"block{i}_conv1" for i in range(1, 6)]
# Mean of each layer's distance in the loss.
LAYER_WEIGHTS = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]


def small_vgg(include_top, weights):
    """A chain of 1 x 1 convolutions with the names of VGG19's."""
    assert not include_top and weights is None
    x = image = keras.Input([None, None, 3])
    for name in LAYERS:
        x = keras.layers.Conv2D(3, 1, name=name)(x)
    return keras.Model(image, x)


class PerceptualLossTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.enterContext(
            mock.patch.object(keras.applications, "VGG19", small_vgg)
        )
        self.path = pathlib.Path(self.get_temp_dir()) / "vgg.weights.h5"

    def make(self, kernels=(1, 1, 1, 1, 1)):
        """Returns a loss whose layers multiply by some factors."""
        vgg = small_vgg(False, None)
        for name, factor in zip(LAYERS, kernels):
            layer = vgg.get_layer(name)
            layer.kernel.assign(factor * np.eye(3)[None, None])
        vgg.save_weights(self.path)
        return PerceptualLoss(self.path)

    def test_sums_the_layers_mean_distances_by_their_weights(self):
        fake = tf.fill([2, 4, 4, 3], 0.5)
        real = tf.fill([2, 4, 4, 3], 0.1)
        distance = 0.4 * 127.5  # In the pixels of 0..255 that VGG19 takes.
        self.assertAllClose(
            self.make()(fake, real), distance * sum(LAYER_WEIGHTS)
        )

    def test_features_are_those_of_the_weights_in_the_file(self):
        fake, real = tf.fill([1, 4, 4, 3], 0.5), tf.fill([1, 4, 4, 3], 0.1)
        distance = 0.4 * 127.5
        # Each layer multiplies what the one before returned.
        expected = distance * (2 / 32 + 2 / 16 + 2 / 8 + 6 / 4 + 30)
        loss = self.make(kernels=(2, 1, 1, 3, 5))
        self.assertAllClose(loss(fake, real), expected)

    def test_equal_images_have_distance_0(self):
        image = tf.random.stateless_uniform([2, 4, 4, 3], [0, 1], -1, 1)
        self.assertAllEqual(self.make()(image, image), 0)

    def test_gradient_flows_to_the_fake_alone(self):
        fake, real = tf.zeros([1, 4, 4, 3]), tf.ones([1, 4, 4, 3])
        loss_fn = self.make()
        with tf.GradientTape() as tape:
            tape.watch([fake, real])
            loss = loss_fn(fake, real)
        to_fake, to_real = tape.gradient(loss, [fake, real])
        # d|a - b| / da = -1 at each of the 48 numbers.
        self.assertAllClose(
            to_fake, tf.fill([1, 4, 4, 3], -127.5 * sum(LAYER_WEIGHTS) / 48)
        )
        self.assertTrue(to_real is None or not np.any(to_real))

    def test_missing_file_is_named(self):
        for path in ("", self.path / "nowhere.h5"):
            with self.assertRaisesRegex(ValueError, "train.vgg_weights.*Rec"):
                PerceptualLoss(path)

    def test_other_weights_are_refused(self):
        other = keras.Sequential([keras.Input([5]), keras.layers.Dense(2)])
        other.save_weights(self.path)
        with self.assertRaisesRegex(ValueError, f"{self.path}: expected VGG19"):
            PerceptualLoss(self.path)

    def test_file_that_holds_no_weights_is_refused(self):
        self.path.write_text("not weights")
        with self.assertRaisesRegex(ValueError, f"{self.path}: expected VGG19"):
            PerceptualLoss(self.path)


@pytest.mark.slow
class VGG19Test(tf.test.TestCase):
    def test_works_with_vgg19_itself(self):
        path = pathlib.Path(self.get_temp_dir()) / "vgg19.weights.h5"
        vgg = keras.applications.VGG19(include_top=False, weights=None)
        vgg.save_weights(path)
        loss_fn = PerceptualLoss(path)
        fake, real = tf.zeros([1, 32, 32, 3]), tf.ones([1, 32, 32, 3])
        first = vgg.get_layer("block1_conv1").kernel.numpy()
        self.assertGreater(float(loss_fn(fake, real)), 0.0)
        self.assertAllEqual(loss_fn(fake, fake), 0)
        self.assertEqual(first.shape, (3, 3, 3, 64))


if __name__ == "__main__":
    tf.test.main()
