"""Residual blocks of the two networks."""

import keras
import tensorflow as tf

from oasis_tf.models.resampling import downsample
from oasis_tf.models.resampling import upsample
from oasis_tf.models.spade import SPADE
from oasis_tf.models.spectral_norm import INITIAL_GAIN
from oasis_tf.models.spectral_norm import SpectralConv2D

LEAKY_SLOPE = 0.2


def leaky_relu(x, training=False):
    """Returns max(x, 0.2 x).

    Args:
        x: of any shape.
        training: whether the gradient is to read the sign from the result,
            which the next convolution keeps anyway: x itself is forgotten.
    """
    return _forgetful(x) if training else tf.nn.leaky_relu(x, LEAKY_SLOPE)


@tf.custom_gradient
def _forgetful(x):
    """Does as `leaky_relu`, whose sign its result has, too."""
    y = tf.nn.leaky_relu(x, LEAKY_SLOPE)

    def gradient(dy):
        return tf.raw_ops.LeakyReluGrad(
            gradients=dy, features=y, alpha=LEAKY_SLOPE
        )

    return y, gradient


@keras.saving.register_keras_serializable("oasis_tf")
class SPADEResBlock(keras.layers.Layer):
    """Residual block of the generator.

        y = shortcut(x) + conv_1(act(spade_1(conv_0(act(spade_0(x))))))

    The shortcut is `conv_s(spade_s(x))` where the number of channels changes,
    x itself elsewhere.

    Args:
        filters: output channels C.
        spade_channels: hidden channels of SPADE.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        x: `[B, H, W, C_in]`.
        conditioning: `[B, H, W, Z + S]`, or its `Neighbourhoods`.
        training: see `SPADE` and `SpectralConv2D`.

    Returns:
        `[B, H, W, C]`.

    Source: Park et al., SPADE (arXiv:1903.07291), Figure 4 and Appendix A.
    """

    def __init__(
        self,
        filters,
        spade_channels=128,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.spade_channels = spade_channels
        self.initial_gain = initial_gain

    def build(self, x_shape, conditioning_shape):
        middle_channels = min(x_shape[-1], self.filters)
        self.has_conv_s = x_shape[-1] != self.filters
        self.spade_0 = self._spade("spade_0")
        self.conv_0 = self._conv(middle_channels, "conv_0")
        self.spade_1 = self._spade("spade_1")
        self.conv_1 = self._conv(self.filters, "conv_1")

        middle_shape = (*x_shape[:-1], middle_channels)
        self.spade_0.build(x_shape, conditioning_shape)
        self.conv_0.build(x_shape)
        self.spade_1.build(middle_shape, conditioning_shape)
        self.conv_1.build(middle_shape)
        if self.has_conv_s:
            self.spade_s = self._spade("spade_s")
            self.conv_s = SpectralConv2D(
                self.filters,
                kernel_size=1,
                use_bias=False,
                initial_gain=self.initial_gain,
                dtype=self.dtype_policy,
                name="conv_s",
            )
            self.spade_s.build(x_shape, conditioning_shape)
            self.conv_s.build(x_shape)

    @property
    def batch_norms(self):
        """The layers that hold batch statistics."""
        spades = [self.spade_0, self.spade_1]
        spades += [self.spade_s] if self.has_conv_s else []
        return [spade.norm for spade in spades]

    @property
    def spectral_convs(self):
        """The layers under spectral normalization."""
        convs = [self.conv_0, self.conv_1]
        return convs + [self.conv_s] if self.has_conv_s else convs

    def _spade(self, name):
        return SPADE(
            self.spade_channels,
            self.initial_gain,
            dtype=self.dtype_policy,
            name=name,
        )

    def _conv(self, filters, name):
        return SpectralConv2D(
            filters,
            initial_gain=self.initial_gain,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, x, conditioning, training=False):
        given = {"conditioning": conditioning, "training": training}
        y = self.spade_0(x, **given)
        y = self.conv_0(leaky_relu(y, training), training=training)
        y = self.spade_1(y, **given)
        y = self.conv_1(leaky_relu(y, training), training=training)
        if self.has_conv_s:
            x = self.spade_s(x, **given)
            x = self.conv_s(x, training=training)
        return x + y

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "spade_channels": self.spade_channels,
            "initial_gain": self.initial_gain,
        }


@keras.saving.register_keras_serializable("oasis_tf")
class DiscriminatorBlock(keras.layers.Layer):
    """Residual block of the discriminator.

        y = shortcut(x) + conv_1(act(conv_0(act(x))))

    Halving ("down") averages both branches at their end; doubling ("up")
    repeats the pixels of both before their first convolution. The shortcut is
    a 1 x 1 convolution where the number of channels changes.

    Args:
        filters: output channels C.
        sampling: "down" or "up".
        first: whether x is an image: then no activation comes before `conv_0`.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        x: `[B, H, W, C_in]`.
        training: see `SpectralConv2D`.

    Returns:
        `[B, H / 2, W / 2, C]` or `[B, 2 H, 2 W, C]`.

    Raises:
        ValueError: if `sampling` is something else.

    Source: OASIS (arXiv:2012.04781), Section 3.2.
    """

    def __init__(
        self,
        filters,
        sampling,
        first=False,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if sampling not in ("down", "up"):
            raise ValueError(
                '`sampling` must be "down" or "up". Received: '
                f"sampling={sampling!r}."
            )
        self.filters = filters
        self.sampling = sampling
        self.first = first
        self.initial_gain = initial_gain

    def build(self, x_shape):
        self.conv_0 = self._conv(3, "conv_0", self.sampling == "up")
        self.conv_1 = self._conv(3, "conv_1")
        self.has_conv_s = x_shape[-1] != self.filters
        self.conv_0.build(x_shape)
        self.conv_1.build((*x_shape[:-1], self.filters))
        if self.has_conv_s:
            self.conv_s = self._conv(1, "conv_s")
            self.conv_s.build(x_shape)

    @property
    def spectral_convs(self):
        """The layers under spectral normalization."""
        convs = [self.conv_0, self.conv_1]
        return convs + [self.conv_s] if self.has_conv_s else convs

    def _conv(self, kernel_size, name, upsample=False):
        return SpectralConv2D(
            self.filters,
            kernel_size,
            upsample=upsample,
            initial_gain=self.initial_gain,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, x, training=False):
        y = x if self.first else leaky_relu(x, training)
        y = self.conv_0(y, training=training)
        y = self.conv_1(leaky_relu(y, training), training=training)
        # A 1 x 1 convolution commutes with repeating and averaging pixels:
        # it is taken where the picture is small.
        if self.sampling == "down":
            x = downsample(x)
        if self.has_conv_s:
            x = self.conv_s(x, training=training)
        return x + downsample(y) if self.sampling == "down" else upsample(x) + y

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "sampling": self.sampling,
            "first": self.first,
            "initial_gain": self.initial_gain,
        }
