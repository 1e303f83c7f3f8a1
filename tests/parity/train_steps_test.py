"""Three training iterations against the authors' numbers."""

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.config import Config
from oasis_tf.config import TrainConfig
from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise
from oasis_tf.training import ema
from oasis_tf.training import train_step
from tests.parity import golden_files

pytestmark = pytest.mark.optimized

CONFIG = Config(
    dataset="golden",
    image_size=(64, 64),
    generator=golden_files.GENERATOR,
    discriminator=golden_files.DISCRIMINATOR,
    train=TrainConfig(num_steps=3, global_batch_size=2, ema_decay=0.9),
)
# Our names of the losses' parts and the golden file's.
PARTS = {
    "generator/adversarial": "loss_g",
    "discriminator/fake": "loss_d_fake",
    "discriminator/real": "loss_d_real",
    "discriminator/labelmix": "loss_labelmix",
}


class TrainStepsTest(tf.test.TestCase, parameterized.TestCase):
    @staticmethod
    def noise(z):
        """Returns the noise as the step takes it, here for pieces."""
        return z

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.golden = golden_files.load("train_steps")
        cls.state = train_step.create_state(
            CONFIG, golden_files.SEMANTIC_CHANNELS
        )
        for model, network in (
            (cls.state.generator, "generator"),
            (cls.state.discriminator, "discriminator"),
            (cls.state.ema_generator, "generator"),
        ):
            golden_files.set_weights(model, network)
        names = [
            "image",
            "label_map",
            "z_generator_step",
            "z_discriminator_step",
            "labelmix_class_bits",
        ]
        step = tf.function(cls.step, autograph=False)
        cls.metrics = [
            step(*(tf.constant(cls.golden[name][i]) for name in names))
            for i in range(3)
        ]

    @classmethod
    def step(cls, image, label_map, generator_z, discriminator_z, class_bits):
        """Runs an iteration; returns its losses."""
        metrics = train_step.train_step(
            cls.state,
            {"image": image, "label_map": label_map},
            train_step.Draws(
                cls.noise(generator_z), cls.noise(discriminator_z), class_bits
            ),
            CONFIG.train,
            has_dont_care=True,
        )
        ema.update_average(
            cls.state.ema_generator,
            cls.state.generator,
            CONFIG.train.ema_decay,
            tf.distribute.get_strategy(),
        )
        return metrics

    @parameterized.named_parameters(
        ("first", 0, 1e-5), ("second", 1, 1e-4), ("third", 2, 2e-3)
    )
    def test_parts_of_the_losses(self, i, tolerance):
        self.assertEqual(set(self.metrics[i]), set(PARTS))
        for ours, theirs in PARTS.items():
            with self.subTest(ours):
                self.assertAllClose(
                    self.metrics[i][ours],
                    self.golden[theirs][i],
                    rtol=tolerance,
                    atol=0,
                )
        discriminator_loss = sum(
            value
            for name, value in self.metrics[i].items()
            if name.startswith("discriminator/")
        )
        self.assertAllClose(
            discriminator_loss, self.golden["loss_d"][i], rtol=tolerance, atol=0
        )

    def difference(self, generator, name):
        """Returns |image - golden image| of a generator after the steps."""
        image = generator(
            noise.global_noise(self.golden["probe_z"], CONFIG.image_size),
            one_hot(
                self.golden["probe_label_map"], golden_files.SEMANTIC_CHANNELS
            ),
        )
        return np.abs(image - self.golden[name])

    def test_generator_after_three_updates(self):
        # Rounding is magnified here. A bias in front of a batch norm has no
        # influence: its gradient is rounding noise around 0, which Adam with
        # beta_1 = 0 turns into steps of the full learning rate. Multiplying
        # the real images by 1 + 1e-6 already moves this picture by 0.8e-3,
        # and we are 1 to 2e-3 away. Wrong updates would be far more: see the
        # last test.
        difference = self.difference(self.state.generator, "probe_generated")
        self.assertLess(difference.max(), 5e-3)
        self.assertLess(difference.mean(), 5e-4)

    def test_averaged_generator_after_three_updates(self):
        # It has taken over a tenth of each update, and its rounding.
        difference = self.difference(
            self.state.ema_generator, "probe_generated_ema"
        )
        self.assertLess(difference.max(), 1e-3)

    def test_bounds_are_small_beside_what_three_updates_change(self):
        change = self.difference(self.state.ema_generator, "probe_generated")
        self.assertGreater(change.max(), 10 * 5e-3)
        self.assertGreater(change.mean(), 10 * 5e-4)


@pytest.mark.slow
class DenseTest(TrainStepsTest):
    """The same with the noise of every pixel."""

    @staticmethod
    def noise(z):
        return noise.global_noise(z, CONFIG.image_size)


if __name__ == "__main__":
    tf.test.main()
