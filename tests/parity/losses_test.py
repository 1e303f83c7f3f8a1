"""The losses against the authors' numbers."""

import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.training import labelmix
from oasis_tf.training import losses
from tests.parity import golden_files

FILES = [
    ("dont_care", "losses", True),
    ("no_dont_care", "losses_no_dontcare", False),
]


class LossesTest(tf.test.TestCase, parameterized.TestCase):
    def class_weights(self, golden, has_dont_care):
        counts = losses.count_classes(
            golden["label_map"], golden_files.SEMANTIC_CHANNELS
        )
        return losses.balanced_class_weights(counts, has_dont_care)

    @parameterized.named_parameters(FILES)
    def test_class_weight_of_every_pixel(self, file, has_dont_care):
        golden = golden_files.load(file)
        weights = self.class_weights(golden, has_dont_care)
        weight_map = tf.gather(weights, golden["label_map"])
        self.assertAllClose(weight_map, golden["weight_map"], rtol=1e-5, atol=0)

    @parameterized.named_parameters(FILES)
    def test_real_loss(self, file, has_dont_care):
        golden = golden_files.load(file)
        loss = losses.real_loss(
            golden["logits"],
            golden["label_map"],
            self.class_weights(golden, has_dont_care),
        )
        self.assertAllClose(loss, golden["loss_real"], rtol=1e-5, atol=0)

    @parameterized.named_parameters(FILES)
    def test_fake_loss(self, file, has_dont_care):
        del has_dont_care  # "Fake" weighs the same at every pixel.
        golden = golden_files.load(file)
        loss = losses.fake_loss(golden["logits"])
        self.assertAllClose(loss, golden["loss_fake"], rtol=1e-5, atol=0)

    @parameterized.named_parameters(FILES)
    def test_labelmix_loss(self, file, has_dont_care):
        del has_dont_care  # Don't-care is mixed like any class.
        golden = golden_files.load(file)
        mask = labelmix.mix_mask(golden["label_map"], golden["class_bits"])
        loss = labelmix.labelmix_loss(
            golden["logits_mixed"],
            real_logits=golden["logits"],
            fake_logits=golden["logits_fake"],
            mask=mask,
        )
        self.assertAllClose(loss, golden["loss_labelmix"], rtol=1e-5, atol=0)


if __name__ == "__main__":
    tf.test.main()
