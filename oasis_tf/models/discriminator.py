"""The discriminator: a U-Net that segments an image into N + 1 classes."""

import keras
import tensorflow as tf

from oasis_tf.models.blocks import DiscriminatorBlock
from oasis_tf.models.generator import check_size
from oasis_tf.models.spectral_norm import INITIAL_GAIN
from oasis_tf.models.spectral_norm import kernel_initializer


@keras.saving.register_keras_serializable("oasis_tf")
class Discriminator(keras.Model):
    """Residual U-Net with a logit per class and one for "fake".

    Args:
        semantic_channels: S.
        channels: output channels of the blocks on the way down, each of which
            halves the size: n blocks work in multiples of 2^n pixels. The
            way up mirrors them.
        last_channels: channels in front of the logits.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        image: `[B, H, W, 3]`, in [-1, 1].
        training: power iterations.

    Returns:
        Logits `[B, H, W, S + 1]`, float32. Channel 0 is "fake"; label s is
        channel s + 1. (The paper has "fake" last; the authors' models first.)

    Raises:
        ValueError: if H or W is not a multiple of `size_multiple`.

    Source: OASIS (arXiv:2012.04781), Section 3.2.
    """

    def __init__(
        self,
        semantic_channels,
        channels=(128, 128, 256, 256, 512, 512),
        last_channels=64,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.semantic_channels = semantic_channels
        self.channels = tuple(channels)
        self.initial_gain = initial_gain
        self.last_channels = last_channels

        self.down = [
            self._block(i, filters, "down")
            for i, filters in enumerate(self.channels)
        ]
        self.up_channels = (*self.channels[-2::-1], last_channels)
        self.up = [
            self._block(i, filters, "up")
            for i, filters in enumerate(self.up_channels)
        ]
        self.conv_out = keras.layers.Conv2D(
            semantic_channels + 1,
            1,
            kernel_initializer=kernel_initializer(initial_gain),
            dtype="float32",
            name="conv_out",
        )

    def _block(self, i, filters, sampling):
        return DiscriminatorBlock(
            filters,
            sampling,
            first=sampling == "down" and i == 0,
            initial_gain=self.initial_gain,
            dtype=self.dtype_policy,
            name=f"{sampling}_{i}",
        )

    @property
    def size_multiple(self):
        """Height and width must be multiples of this."""
        return 2 ** len(self.down)

    @property
    def residual_blocks(self):
        """The layers that hold spectral normalization."""
        return [*self.down, *self.up]

    def build(self, image_shape=None):
        size = (None, self.size_multiple, self.size_multiple)
        for block, channels in zip(self.down, (3, *self.channels)):
            block.build((*size, channels))
        # From the second on, a block sees the one below and the skip.
        skips = (0, *self.channels[-2::-1])
        below = (self.channels[-1], *self.up_channels)
        for block, skip, channels in zip(self.up, skips, below):
            block.build((*size, skip + channels))
        self.conv_out.build((*size, self.last_channels))
        self.built = True

    def call(self, image, training=False):
        if image.shape.rank != 4 or image.shape[-1] != 3:
            raise ValueError(
                "`image` must have shape [B, H, W, 3]. Received: "
                f"image.shape={tuple(image.shape)}."
            )
        check_size("image", image.shape[1:3], self.size_multiple)
        x = image
        skips = []
        for block in self.down:
            x = block(x, training=training)
            skips.append(x)
        x = self.up[0](x, training=training)
        for block, skip in zip(self.up[1:], skips[-2::-1]):
            x = block(tf.concat([skip, x], axis=-1), training=training)
        return self.conv_out(x)

    def get_config(self):
        return super().get_config() | {
            "semantic_channels": self.semantic_channels,
            "channels": self.channels,
            "initial_gain": self.initial_gain,
            "last_channels": self.last_channels,
        }


def build_discriminator(config, semantic_channels, precision="float32"):
    """Makes a discriminator with its variables.

    Args:
        config: `DiscriminatorConfig`.
        semantic_channels: S.
        precision: dtype policy: "float32", "mixed_bfloat16", "mixed_float16".

    Returns:
        `Discriminator`.
    """
    discriminator = Discriminator(
        semantic_channels,
        channels=config.channels,
        last_channels=config.last_channels,
        initial_gain=config.initial_gain,
        dtype=precision,
        name="discriminator",
    )
    discriminator.build()
    return discriminator
