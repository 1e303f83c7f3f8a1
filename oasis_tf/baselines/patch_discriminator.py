"""SPADE's discriminator: is each patch of the image real, for its label map?"""

import keras
import tensorflow as tf

from oasis_tf.models.blocks import leaky_relu
from oasis_tf.models.spectral_norm import INITIAL_GAIN
from oasis_tf.models.spectral_norm import SpectralConv2D

_KERNEL_SIZE = 4


@keras.saving.register_keras_serializable("oasis_tf")
class PatchDiscriminator(keras.Model):
    """Two networks of convolutions, at the image's size and at half of it.

    Each sees the image with its semantic map beside it, and gives one number
    for each patch: high for real ones.

    Args:
        semantic_channels: S.
        channels: output channels of the convolutions of 4 x 4 pixels, before
            the one that gives the number. All but the last halve the size; all
            but the first are followed by instance normalization.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        image: `[B, H, W, 3]`, in [-1, 1].
        semantic_map: `[B, H, W, S]`. One-hot labels.
        training: power iterations.

    Returns:
        list of two `[B, h, w, 1]`, float32.

    Source: Park et al., SPADE (arXiv:1903.07291), Appendix A; with a padding
        that keeps half of the size at each convolution.
    """

    def __init__(
        self,
        semantic_channels,
        channels=(64, 128, 256, 512),
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.semantic_channels = semantic_channels
        self.channels = tuple(channels)
        self.initial_gain = initial_gain
        self.scales = [self._scale(i) for i in range(2)]

    def _scale(self, scale):
        """Returns the layers of one network, the number's last."""
        last = len(self.channels) - 1
        convs = [
            SpectralConv2D(
                filters,
                _KERNEL_SIZE,
                strides=1 if i == last else 2,
                initial_gain=self.initial_gain,
                dtype=self.dtype_policy,
                name=f"scale_{scale}_conv_{i}",
            )
            for i, filters in enumerate(self.channels)
        ]
        conv_out = keras.layers.Conv2D(
            1,
            _KERNEL_SIZE,
            padding="same",
            kernel_initializer=keras.initializers.GlorotNormal(),
            dtype="float32",
            name=f"scale_{scale}_conv_out",
        )
        return [*convs, conv_out]

    def build(self, image_shape=None, semantic_map_shape=None):
        for layers in self.scales:
            channels = (3 + self.semantic_channels, *self.channels)
            for layer, in_channels in zip(layers, channels, strict=True):
                layer.build((None, None, None, in_channels))
        self.built = True

    def call(self, image, semantic_map, training=False):
        x = tf.concat([image, tf.cast(semantic_map, image.dtype)], axis=-1)
        x = tf.cast(x, self.compute_dtype)
        logits = []
        for scale, layers in enumerate(self.scales):
            if scale > 0:
                x = tf.nn.avg_pool2d(x, ksize=3, strides=2, padding="SAME")
            logits.append(self._judge(layers, x, training))
        return logits

    def _judge(self, layers, x, training):
        *convs, conv_out = layers
        for i, conv in enumerate(convs):
            x = conv(x, training=training)
            if i > 0:
                x = _instance_norm(x)
            x = leaky_relu(x, training)
        return conv_out(x)

    def get_config(self):
        return super().get_config() | {
            "semantic_channels": self.semantic_channels,
            "channels": self.channels,
            "initial_gain": self.initial_gain,
        }


def _instance_norm(x):
    """Brings each channel of each image to mean 0 and variance 1."""
    values = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(values, axes=[1, 2], keepdims=True)
    return tf.cast((values - mean) * tf.math.rsqrt(variance + 1e-5), x.dtype)


def build_patch_discriminator(config, semantic_channels, precision="float32"):
    """Makes a discriminator with its variables.

    Args:
        config: `DiscriminatorConfig` of the kind "patch".
        semantic_channels: S.
        precision: dtype policy: "float32", "mixed_bfloat16", "mixed_float16".

    Returns:
        `PatchDiscriminator`.
    """
    discriminator = PatchDiscriminator(
        semantic_channels,
        channels=config.channels,
        initial_gain=config.initial_gain,
        dtype=precision,
        name="discriminator",
    )
    discriminator.build()
    return discriminator


def hinge_real_loss(logits):
    """Returns the discriminator's loss of real images.

        L = mean_k mean max(0, 1 - D_k)

    Args:
        logits: what `PatchDiscriminator` returns: D_k of its two networks.

    Returns:
        Scalar, float32.

    Source: Park et al., SPADE (arXiv:1903.07291), Section 4; Miyato et al.,
        Spectral Normalization (arXiv:1802.05957), Eq. 16.
    """
    return _mean(tf.nn.relu(1 - one) for one in logits)


def hinge_fake_loss(logits):
    """Returns the discriminator's loss of fakes, mean_k mean max(0, 1 + D_k).

    See `hinge_real_loss`.
    """
    return _mean(tf.nn.relu(1 + one) for one in logits)


def hinge_generator_loss(logits):
    """Returns the generator's loss of its fakes, -mean_k mean D_k.

    See `hinge_real_loss`.
    """
    return -_mean(logits)


def _mean(maps):
    means = [tf.reduce_mean(one) for one in maps]
    return tf.add_n(means) / len(means)
