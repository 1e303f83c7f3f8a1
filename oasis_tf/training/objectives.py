"""What the two networks are trained for: OASIS's losses, and a baseline's."""

import tensorflow as tf

from oasis_tf.baselines import patch_discriminator
from oasis_tf.data.label_map import one_hot
from oasis_tf.training import losses
from oasis_tf.training.labelmix import labelmix_loss
from oasis_tf.training.labelmix import mix
from oasis_tf.training.labelmix import mix_mask


class SegmentationObjective:
    """OASIS's: the discriminator segments real images, and finds fakes.

    Args:
        class_weights: `[S]`, float32.
        class_bits: `[S]`, int32. LabelMix's.
        lambda_labelmix: weight of LabelMix; 0 turns it off.

    Source: OASIS (arXiv:2012.04781), Sections 3.2 and 3.3.
    """

    def __init__(self, class_weights, class_bits, lambda_labelmix):
        self._class_weights = class_weights
        self._class_bits = class_bits
        self._lambda_labelmix = lambda_labelmix

    def generator(self, discriminate, fake, label_map):
        """Returns the generator's losses, {name: scalar}.

        Args:
            discriminate: function of images that returns the logits.
            fake: `[B, H, W, 3]`, in [-1, 1].
            label_map: `[B, H, W]`, int32.
        """
        logits = discriminate(fake)
        loss = losses.real_loss(logits, label_map, self._class_weights)
        return {"generator/adversarial": loss}

    def discriminator(self, discriminate, fake, real, label_map):
        """Returns the discriminator's losses, {name: scalar}.

        Args:
            discriminate, fake, label_map: as for `generator`.
            real: `[B, H, W, 3]`, in [-1, 1].
        """
        fake_logits = discriminate(fake)
        real_logits = discriminate(real)
        parts = {
            "discriminator/fake": losses.fake_loss(fake_logits),
            "discriminator/real": losses.real_loss(
                real_logits, label_map, self._class_weights
            ),
        }
        if self._lambda_labelmix > 0:
            mask = mix_mask(label_map, self._class_bits)
            mixed_logits = discriminate(mix(real, fake, mask))
            loss = labelmix_loss(mixed_logits, real_logits, fake_logits, mask)
            parts["discriminator/labelmix"] = self._lambda_labelmix * loss
        return parts


class PatchObjective:
    """SPADE's, without its perceptual and its feature matching loss.

    The discriminator tells real from fake patches, with the label map beside.
    Methods are those of `SegmentationObjective`.

    Args:
        semantic_channels: S.
    """

    def __init__(self, semantic_channels):
        self._semantic_channels = semantic_channels

    def generator(self, discriminate, fake, label_map):
        logits = discriminate(fake, self._semantic_map(label_map))
        loss = patch_discriminator.hinge_generator_loss(logits)
        return {"generator/adversarial": loss}

    def discriminator(self, discriminate, fake, real, label_map):
        semantic_map = self._semantic_map(label_map)
        return {
            "discriminator/fake": patch_discriminator.hinge_fake_loss(
                discriminate(fake, semantic_map)
            ),
            "discriminator/real": patch_discriminator.hinge_real_loss(
                discriminate(real, semantic_map)
            ),
        }

    def _semantic_map(self, label_map):
        return tf.cast(one_hot(label_map, self._semantic_channels), tf.float32)
