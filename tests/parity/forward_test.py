"""Forward passes of both networks against the authors' numbers."""

import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from tests.parity import golden_files

FILES = [("square", "forward_square"), ("wide", "forward_wide")]


class ForwardTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.generator = build_generator(
            golden_files.GENERATOR, golden_files.SEMANTIC_CHANNELS
        )
        cls.discriminator = build_discriminator(
            golden_files.DISCRIMINATOR, golden_files.SEMANTIC_CHANNELS
        )
        golden_files.set_weights(cls.discriminator, "discriminator")

    def setUp(self):
        super().setUp()
        # A pass in training changes the statistics.
        golden_files.set_weights(self.generator, "generator")

    def generate(self, golden, pixel_noise, training=False):
        semantic_map = one_hot(
            golden["label_map"], golden_files.SEMANTIC_CHANNELS
        )
        return self.generator(pixel_noise, semantic_map, training=training)

    def global_noise(self, golden, name="z"):
        return noise.global_noise(golden[name], golden["label_map"].shape[1:])

    @parameterized.named_parameters(FILES)
    def test_generator_draws_the_published_image(self, file):
        golden = golden_files.load(file)
        image = self.generate(golden, self.global_noise(golden))
        self.assertAllClose(image, golden["generated"], rtol=0, atol=1e-4)

    @parameterized.named_parameters(FILES)
    def test_generator_follows_noise_that_differs_by_pixel(self, file):
        golden = golden_files.load(file)
        pixel_noise = tf.where(
            golden["noise_mask"][..., None] == 1,
            self.global_noise(golden, "z_local"),
            self.global_noise(golden),
        )
        image = self.generate(golden, pixel_noise)
        self.assertAllClose(image, golden["generated_local"], rtol=0, atol=1e-4)

    @parameterized.named_parameters(FILES)
    def test_generator_in_training_draws_the_published_image(self, file):
        golden = golden_files.load(file)
        image = self.generate(golden, self.global_noise(golden), training=True)
        expected = golden["generated_train_mode"]
        self.assertAllClose(image, expected, rtol=0, atol=1e-4)
        # The two modes must be told apart by more than the tolerance.
        self.assertNotAllClose(golden["generated"], expected, rtol=0, atol=1e-2)

    @parameterized.named_parameters(FILES)
    def test_discriminator_gives_the_published_logits(self, file):
        golden = golden_files.load(file)
        logits = self.discriminator(golden["image"])
        self.assertAllClose(logits, golden["logits"], rtol=0, atol=2e-4)


if __name__ == "__main__":
    tf.test.main()
