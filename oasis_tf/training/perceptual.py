"""The VGG perceptual loss, an option."""

import pathlib

import keras
import tensorflow as tf

# The first activation of each of VGG19's five groups, and its weight.
_LAYERS = {
    "block1_conv1": 1 / 32,
    "block2_conv1": 1 / 16,
    "block3_conv1": 1 / 8,
    "block4_conv1": 1 / 4,
    "block5_conv1": 1.0,
}


class PerceptualLoss:
    """Distance of two images in the features of VGG19.

        L = sum_i w_i mean |F_i(fake) - F_i(real)|

    with the activations after the first convolution of each group and the
    weights 1/32, 1/16, 1/8, 1/4 and 1. OASIS does without; baselines use it.

    Args:
        weights: file of VGG19 weights trained on ImageNet, in Keras's form
            for `keras.applications.VGG19(include_top=False)`.

    Raises:
        ValueError: if there is no such file, or it holds something else.

    Source: Wang et al., pix2pixHD (arXiv:1711.11585), Section 3.2.
    """

    def __init__(self, weights):
        if not pathlib.Path(weights).is_file():
            raise ValueError(
                "`train.lambda_vgg` needs `train.vgg_weights`, a file of VGG19 "
                f"weights. Received: train.vgg_weights={str(weights)!r}."
            )
        vgg = keras.applications.VGG19(include_top=False, weights=None)
        try:
            vgg.load_weights(weights)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{weights}: expected VGG19 weights without the top, found "
                f"something else ({error})."
            ) from error
        vgg.trainable = False
        self._features = keras.Model(
            vgg.input, [vgg.get_layer(name).output for name in _LAYERS]
        )

    def __call__(self, fake, real):
        """Returns the distance.

        Args:
            fake, real: `[B, H, W, 3]`, in [-1, 1].

        Returns:
            Scalar, float32.
        """
        distances = [
            weight * tf.reduce_mean(tf.abs(a - tf.stop_gradient(b)))
            for weight, a, b in zip(
                _LAYERS.values(),
                self._features(_to_vgg(fake)),
                self._features(_to_vgg(real)),
                strict=True,
            )
        ]
        return tf.add_n(distances)


def _to_vgg(image):
    """Returns images as VGG19 takes them: 0..255, BGR, mean subtracted."""
    return keras.applications.vgg19.preprocess_input((image + 1) * 127.5)
