"""The generator in the few operations that light runtimes have."""

import numpy as np
import tensorflow as tf

from oasis_tf.exporters.plain_network import PlainNetwork
from oasis_tf.exporters.signatures import Argument
from oasis_tf.exporters.signatures import Signature
from oasis_tf.models import noise as noise_lib
from oasis_tf.models.generator import check_size
from oasis_tf.models.inference_form import inference_form

_IMAGE = Argument("uint8", (1, "H", "W", 3), "The picture, RGB.")
_MASK = Argument(
    "float32", (1, "H", "W"), "The local noise where it is above 0.5."
)
_PLACE_MAP = Argument(
    "int32", (1, "H", "W"), "Which of the P latent vectors a pixel has."
)


class LightGenerator(PlainNetwork):
    """A generator behind the signatures of TFLite and TF.js, for one picture.

    It checks no label: in a model without assertions one that is out of range
    is an error of the runtime, or draws nonsense. What calls it checks.

    Args:
        generator: `Generator`.
        noise: "image", "pixel" or "none", as the generator was trained.
        size: (height, width) of the pictures, or None for any that the
            generator works in.

    Raises:
        ValueError: if the generator does not work in that size.
    """

    def __init__(self, generator, noise, size=None):
        super().__init__(inference_form(generator, has_fused_norm=False))
        if size is not None:
            check_size("size", size, generator.size_multiple)
        self._height, self._width = ("H", "W") if size is None else size
        self._noise = noise
        self._channels = generator.noise_channels
        self._semantic_channels = generator.semantic_channels
        self._size_multiple = generator.size_multiple

    @property
    def signatures(self):
        maps = {
            "label_map": Argument(
                "int32",
                (1, "H", "W"),
                f"Labels, 0..{self._semantic_channels - 1}: places in "
                "`class_names`, not the ids of the data set's files. H and W "
                f"are multiples of {self._size_multiple}.",
            )
        }
        z = Argument("float32", (1, self._channels), "Standard normal.")
        if self._noise == "pixel":
            z = Argument(
                "float32",
                (1, "H", "W", self._channels),
                "3D noise, standard normal.",
            )
        has_noise = self._channels > 0
        image = {"image": _IMAGE}
        signatures = {
            "synthesize": Signature(
                "Draws a label map.",
                maps | ({"z": z} if has_noise else {}),
                image,
            )
        }
        if has_noise:
            signatures["resample"] = Signature(
                "Draws a label map, with other noise inside a mask.",
                maps | {"z": z, "z_local": z, "noise_mask": _MASK},
                image,
            )
            places = Argument(
                "float32", (1, "P", self._channels), "A vector for each place."
            )
            signatures["synthesize_places"] = Signature(
                "Draws a label map, with noise of its own in every place.",
                maps | {"z": places, "place_map": _PLACE_MAP},
                image,
            )
        return {
            name: self._of_this_size(signature)
            for name, signature in signatures.items()
        }

    def _of_this_size(self, signature):
        sizes = {"H": self._height, "W": self._width}

        def sized(arguments):
            return {
                name: Argument(
                    argument.dtype,
                    tuple(sizes.get(n, n) for n in argument.shape),
                    argument.doc,
                )
                for name, argument in arguments.items()
            }

        return Signature(
            signature.doc, sized(signature.inputs), sized(signature.outputs)
        )

    # Each method is the signature of its name.

    def synthesize(self, label_map, z=None):
        if z is None:
            z = tf.zeros([1, 0])
        return {"image": self._draw(label_map, self._everywhere(z, label_map))}

    def resample(self, label_map, z, z_local, noise_mask):
        noise, local_noise = (
            self._everywhere(vector, label_map) for vector in (z, z_local)
        )
        # One more axis by `expand_dims`: indexing by None is a strided slice
        # with a new axis, which TFLite's converter refuses.
        mask = tf.expand_dims(noise_mask, -1) > 0.5
        noise = tf.where(mask, local_noise, noise)
        return {"image": self._draw(label_map, noise)}

    def synthesize_places(self, label_map, z, place_map):
        noise = noise_lib.placed_noise(z, place_map)
        return {"image": self._draw(label_map, noise)}

    def _everywhere(self, z, label_map):
        """Returns 3D noise of a latent vector, or as it came."""
        if z.shape.rank == 4:
            return z
        shape = tf.shape(label_map)
        size = [label_map.shape[i] or shape[i] for i in (1, 2)]
        return noise_lib.global_noise(z, size)

    def _draw(self, label_map, noise):
        # Looked up: TFLite's one-hot in 8 bits is all zeros.
        one_hot = np.eye(self._semantic_channels, dtype=np.float32)
        image = self._call(noise, tf.gather(tf.constant(one_hot), label_map))
        # `to_uint8` in another order, which 8 bits bear: adding 1 to numbers of
        # -1 to 1 first would cost half of their steps.
        values = tf.clip_by_value(tf.round(image * 127.5 + 127.5), 0, 255)
        return tf.cast(values, tf.uint8)
