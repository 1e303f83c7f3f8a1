"""Spatially-adaptive normalization."""

import keras
import tensorflow as tf

from oasis_tf.models import piecewise
from oasis_tf.models.batch_norm import BatchNorm
from oasis_tf.models.convolution import add_bias
from oasis_tf.models.convolution import conv2d
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.spectral_norm import INITIAL_GAIN
from oasis_tf.models.spectral_norm import kernel_initializer


@keras.saving.register_keras_serializable("oasis_tf")
class SPADE(keras.layers.Layer):
    """Normalization whose scale and shift are drawn from the conditioning.

        y = norm(x) * (1 + gamma(conditioning)) + beta(conditioning)

    Args:
        hidden_channels: channels between the conditioning and gamma, beta.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        x: `[B, H, W, C]`.
        conditioning: `[B, H, W, Z + S]`. Noise, then the semantic map. Or its
            `Neighbourhoods`: then it is convolved where it differs, only.
        training: whether `norm` uses the batch's statistics.

    Returns:
        `[B, H, W, C]`.

    Source: Park et al., SPADE (arXiv:1903.07291), Eq. 1; with the noise in the
        conditioning as in OASIS (arXiv:2012.04781), Section 3.3.
    """

    def __init__(
        self, hidden_channels=128, initial_gain=INITIAL_GAIN, **kwargs
    ):
        super().__init__(**kwargs)
        self.hidden_channels = hidden_channels
        self.initial_gain = initial_gain

    def build(self, x_shape, conditioning_shape):
        self.norm = BatchNorm(dtype=self.dtype_policy, name="norm")
        self.shared = self._conv(self.hidden_channels, "shared")
        self.gamma = self._conv(x_shape[-1], "gamma")
        self.beta = self._conv(x_shape[-1], "beta")

        hidden_shape = (*conditioning_shape[:-1], self.hidden_channels)
        self.norm.build(x_shape)
        self.shared.build(conditioning_shape)
        self.gamma.build(hidden_shape)
        self.beta.build(hidden_shape)

    def _conv(self, filters, name):
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=kernel_initializer(self.initial_gain),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, x, conditioning, training=False):
        if not isinstance(conditioning, Neighbourhoods):
            gamma, beta = self._modulation(conditioning)
            return self.norm(x, training=training) * (1 + gamma) + beta
        if training:
            # Not within a branch, for it collects statistics.
            x = self.norm(x, training=True)
            gamma, beta = tf.cond(
                conditioning.are_few,
                lambda: self._looked_up_modulation(conditioning),
                lambda: self._modulation(conditioning.pieces.dense()),
            )
            return x * (1 + gamma) + beta
        return tf.cond(
            conditioning.are_few,
            lambda: self._look_up(x, conditioning),
            lambda: self.call(x, conditioning.pieces.dense()),
        )

    def _modulation(self, conditioning):
        """Returns gamma and beta, `[B, H, W, C]`."""
        conditioning = tf.cast(conditioning, self.compute_dtype)
        hidden = conv2d(conditioning, tf.convert_to_tensor(self.shared.kernel))
        hidden = tf.nn.relu(add_bias(hidden, self.shared.bias))
        # Both read the same pixels: together they take less time than apart.
        kernel = tf.concat([self.gamma.kernel, self.beta.kernel], axis=-1)
        bias = tf.concat([self.gamma.bias, self.beta.bias], axis=-1)
        both = add_bias(conv2d(hidden, kernel), bias)
        return tf.split(both, 2, axis=-1)

    def _looked_up_modulation(self, neighbourhoods):
        """Does as `_modulation` by each distinct neighbourhood."""
        places = neighbourhoods.outer.window_map
        gamma, beta = self._modulation_rows(neighbourhoods)
        return [tf.gather(gamma, places), tf.gather(beta, places)]

    def _look_up(self, x, neighbourhoods):
        """Does as `call` by each distinct neighbourhood, not in training.

        Normalization is one more scale and shift, hence part of theirs.
        """
        gamma, beta = self._modulation_rows(neighbourhoods)
        mean, inverse_deviation = self.norm.statistics()
        scale = tf.cast(inverse_deviation, x.dtype) * (1 + gamma)
        shift = beta - tf.cast(mean, x.dtype) * scale
        places = neighbourhoods.outer.window_map
        return x * tf.gather(scale, places) + tf.gather(shift, places)

    def _modulation_rows(self, neighbourhoods):
        """Returns gamma and beta of each neighbourhood, `[K, C]`."""
        palette = tf.cast(neighbourhoods.pieces.palette, self.compute_dtype)
        hidden = tf.nn.relu(
            _convolve(palette, self.shared, neighbourhoods.inner)
        )
        return [
            _convolve(hidden, conv, neighbourhoods.outer)
            for conv in (self.gamma, self.beta)
        ]

    def get_config(self):
        return super().get_config() | {
            "hidden_channels": self.hidden_channels,
            "initial_gain": self.initial_gain,
        }


def _convolve(rows, conv, windows):
    """Returns what a layer makes of a map of rows, in each distinct window."""
    kernel = tf.convert_to_tensor(conv.kernel)
    return add_bias(piecewise.convolve(rows, kernel, windows), conv.bias)
