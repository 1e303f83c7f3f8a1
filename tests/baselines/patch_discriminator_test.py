"""SPADE's discriminator and its hinge losses."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.baselines import patch_discriminator
from oasis_tf.config import DiscriminatorConfig
from oasis_tf.data.label_map import one_hot
from oasis_tf.training import train_step
from tests import tiny

CONFIG = DiscriminatorConfig(kind="patch", channels=(4, 6, 8), initial_gain=1.0)


def build(precision="float32"):
    return patch_discriminator.build_patch_discriminator(CONFIG, 11, precision)


def examples(size=(16, 24)):
    batch = tiny.batch(size=2, image_size=size)
    image = tf.cast(batch["image"], tf.float32) / 127.5 - 1
    return image, one_hot(batch["label_map"], 11)


class PatchDiscriminatorTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters("float32", "mixed_bfloat16")
    def test_judges_at_two_scales(self, precision):
        first, second = build(precision)(*examples(), training=True)
        # Two of three convolutions halve the size; the second network starts
        # with half of it.
        self.assertEqual(first.shape, (2, 4, 6, 1))
        self.assertEqual(second.shape, (2, 2, 3, 1))
        self.assertEqual(first.dtype, tf.float32)

    def test_sees_the_label_map(self):
        network = build()
        image, semantic_map = examples()
        first, _ = network(image, semantic_map)
        other, _ = network(image, tf.reverse(semantic_map, [0]))
        self.assertNotAllClose(first, other)

    def test_images_of_a_batch_are_judged_apart(self):
        network = build()
        image, semantic_map = examples()
        both = network(image, semantic_map)
        alone = network(image[:1], semantic_map[:1])
        for one, other in zip(both, alone, strict=True):
            self.assertAllClose(one[:1], other, rtol=1e-4, atol=1e-5)

    def test_instance_norm_is_of_each_image_and_channel(self):
        x = np.random.default_rng(0).normal(3, 5, [2, 8, 8, 3])
        y = patch_discriminator._instance_norm(tf.constant(x)).numpy()
        self.assertAllClose(y.mean((1, 2)), np.zeros([2, 3]), atol=1e-5)
        self.assertAllClose(y.std((1, 2)), np.ones([2, 3]), atol=1e-4)


class HingeTest(tf.test.TestCase):
    LOGITS = [
        tf.constant([[2.0, 0.5], [-1.0, -3.0]])[None, ..., None],
        tf.constant([[0.0]])[None, ..., None],
    ]

    def test_real_ones_shall_be_above_one(self):
        # (0 + 0.5 + 2 + 4) / 4 and 1, in the mean.
        loss = patch_discriminator.hinge_real_loss(self.LOGITS)
        self.assertAllClose(loss, (6.5 / 4 + 1) / 2)

    def test_fakes_shall_be_below_minus_one(self):
        # (3 + 1.5 + 0 + 0) / 4 and 1.
        loss = patch_discriminator.hinge_fake_loss(self.LOGITS)
        self.assertAllClose(loss, (4.5 / 4 + 1) / 2)

    def test_the_generator_wants_its_fakes_high(self):
        loss = patch_discriminator.hinge_generator_loss(self.LOGITS)
        self.assertAllClose(loss, -(-1.5 / 4 + 0) / 2)


class TrainingTest(tf.test.TestCase):
    def test_both_networks_learn(self):
        config = tiny.config(discriminator=vars(CONFIG))
        state = train_step.create_state(config, tiny.SEMANTIC_CHANNELS)
        info = tiny.dataset(self.get_temp_dir()).info
        strategy = tf.distribute.get_strategy()
        step = train_step.compile_step(state, config, info, strategy)
        before = [
            [v.numpy() for v in network.trainable_variables]
            for network in (state.generator, state.discriminator)
        ]
        losses = step(tiny.batch())
        self.assertCountEqual(
            losses,
            [
                "generator/adversarial",
                "discriminator/real",
                "discriminator/fake",
            ],
        )
        for network, values in zip(
            (state.generator, state.discriminator), before, strict=True
        ):
            moved = [
                np.abs(v.numpy() - value).max() > 0
                for v, value in zip(
                    network.trainable_variables, values, strict=True
                )
            ]
            # A convolution's bias before instance normalization has no
            # gradient but rounding.
            self.assertGreater(np.mean(moved), 0.8)


if __name__ == "__main__":
    tf.test.main()
