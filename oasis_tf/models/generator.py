"""The generator: from noise and a semantic map to an image."""

import keras
import tensorflow as tf

from oasis_tf.models.blocks import SPADEResBlock
from oasis_tf.models.blocks import leaky_relu
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.resampling import upsample
from oasis_tf.models.spectral_norm import INITIAL_GAIN
from oasis_tf.models.spectral_norm import kernel_initializer


@keras.saving.register_keras_serializable("oasis_tf")
class Generator(keras.Model):
    """SPADE residual blocks from 1/32 of the size up to the image.

    Every block is conditioned on the 3D noise and the label map, brought to
    the block's size by taking the top-left pixel of each cell.

    Args:
        semantic_channels: S.
        channels: of the first feature map, then of each block's output. The
            size doubles between blocks: n blocks work in multiples of
            2^(n-1) pixels.
        noise_channels: Z; 0 for a generator without noise.
        spade_channels: hidden channels of SPADE.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        noise: `[B, H, W, Z]`. 3D noise, standard normal.
        semantic_map: `[B, H, W, S]`. One-hot labels.
        training: batch statistics and power iterations.

    Returns:
        `[B, H, W, 3]`, float32, in [-1, 1].

    Raises:
        ValueError: if H or W is not a multiple of `size_multiple`, or the
            number of channels differs.

    Source: OASIS (arXiv:2012.04781), Section 3.3.
    """

    def __init__(
        self,
        semantic_channels,
        channels=(1024, 1024, 1024, 512, 256, 128, 64),
        noise_channels=64,
        spade_channels=128,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.semantic_channels = semantic_channels
        self.channels = tuple(channels)
        self.initial_gain = initial_gain
        self.noise_channels = noise_channels
        self.spade_channels = spade_channels

        self.conv_in = keras.layers.Conv2D(
            self.channels[0],
            3,
            padding="same",
            kernel_initializer=kernel_initializer(initial_gain),
            dtype=self.dtype_policy,
            name="conv_in",
        )
        self.blocks = [
            SPADEResBlock(
                filters,
                spade_channels,
                initial_gain,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i, filters in enumerate(self.channels[1:])
        ]
        self.conv_out = keras.layers.Conv2D(
            3,
            3,
            padding="same",
            kernel_initializer=kernel_initializer(initial_gain),
            dtype="float32",
            name="conv_out",
        )

    @property
    def size_multiple(self):
        """Height and width must be multiples of this."""
        return 2 ** (len(self.blocks) - 1)

    @property
    def residual_blocks(self):
        """The layers that hold spectral normalization."""
        return self.blocks

    @property
    def statistics(self):
        """The variables that a forward pass in training changes."""
        batch = [
            variable
            for block in self.blocks
            for norm in block.batch_norms
            for variable in (norm.moving_mean, norm.moving_variance)
        ]
        spectral = [
            variable
            for block in self.blocks
            for conv in block.spectral_convs
            for variable in (conv.u, conv.v)
        ]
        return batch + spectral

    def build(self, noise_shape=None, semantic_map_shape=None):
        size = self.size_multiple
        conditioning = self.noise_channels + self.semantic_channels
        self.conv_in.build((None, size, size, conditioning))
        for block, channels in zip(self.blocks, self.channels, strict=False):
            block.build(
                (None, size, size, channels), (None, size, size, conditioning)
            )
        self.conv_out.build((None, size, size, self.channels[-1]))
        self.built = True

    def call(self, noise, semantic_map, training=False):
        self._check(noise, semantic_map)
        conditioning = tf.concat([noise, semantic_map], axis=-1)

        def at(stride):
            return conditioning[:, ::stride, ::stride]

        return self._draw(at(self.size_multiple), at, training)

    def draw_pieces(self, pieces, training=False):
        """Does as `call`, for conditioning that is constant in pieces.

        The first block is dense: it has few pixels, most of them at a border.

        Args:
            pieces: `Pieces`, of height and width as `call` takes them.
            training: as in `call`.

        Returns:
            `[B, H, W, 3]`, float32, in [-1, 1].
        """
        return self._draw(
            pieces.at(self.size_multiple).dense(),
            lambda stride: Neighbourhoods(pieces.at(stride)),
            training,
        )

    @property
    def strides(self):
        """Of the pixels of the second and later blocks in the image's."""
        return [2**i for i in reversed(range(len(self.blocks) - 1))]

    def _draw(self, coarsest, conditioning_at, training):
        """Returns the image.

        Args:
            coarsest: `[B, h, w, Z + S]`. The conditioning of the first block.
            conditioning_at: function of a stride that returns a later block's.
            training: as in `call`.
        """
        x = self.conv_in(coarsest)
        x = self.blocks[0](x, conditioning=coarsest, training=training)
        for block, stride in zip(self.blocks[1:], self.strides):
            x = block(
                upsample(x),
                conditioning=conditioning_at(stride),
                training=training,
            )
        return tf.tanh(self.conv_out(leaky_relu(x, training)))

    def _check(self, noise, semantic_map):
        for name, tensor, channels in (
            ("noise", noise, self.noise_channels),
            ("semantic_map", semantic_map, self.semantic_channels),
        ):
            if tensor.shape.rank != 4 or tensor.shape[-1] != channels:
                raise ValueError(
                    f"`{name}` must have shape [B, H, W, {channels}]. "
                    f"Received: {name}.shape={tuple(tensor.shape)}."
                )
            check_size(name, tensor.shape[1:3], self.size_multiple)

    def get_config(self):
        return super().get_config() | {
            "semantic_channels": self.semantic_channels,
            "channels": self.channels,
            "initial_gain": self.initial_gain,
            "noise_channels": self.noise_channels,
            "spade_channels": self.spade_channels,
        }


def check_size(name, size, multiple):
    """Raises ValueError unless (height, width), where known, are multiples.

    Args:
        name: of the argument, for the message.
        size: `(height, width)` in pixels; None where unknown.
        multiple: int.
    """
    if any(n is not None and (n < 1 or n % multiple) for n in size):
        near = tuple(
            None if n is None else max(multiple, round(n / multiple) * multiple)
            for n in size
        )
        raise ValueError(
            f"Height and width of `{name}` must be multiples of {multiple}; "
            f"{near} would do. Received: (height, width)={tuple(size)}."
        )


def build_generator(config, semantic_channels, precision="float32"):
    """Makes a generator with its variables.

    Args:
        config: `GeneratorConfig`.
        semantic_channels: S.
        precision: dtype policy: "float32", "mixed_bfloat16", "mixed_float16".

    Returns:
        `Generator`.
    """
    generator = Generator(
        semantic_channels,
        channels=config.channels,
        noise_channels=0 if config.noise == "none" else config.noise_channels,
        spade_channels=config.spade_channels,
        initial_gain=config.initial_gain,
        dtype=precision,
        name="generator",
    )
    generator.build()
    return generator
