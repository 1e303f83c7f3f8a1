"""The generator behind the signatures of a SavedModel."""

import numpy as np
import tensorflow as tf

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import lookup
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.label_map import ranges
from oasis_tf.exporters import png
from oasis_tf.exporters.served_network import ServedNetwork
from oasis_tf.exporters.served_network import check_choice
from oasis_tf.exporters.signatures import Argument
from oasis_tf.exporters.signatures import Signature
from oasis_tf.models import noise as noise_lib
from oasis_tf.models.piecewise import Pieces

IMAGE_FORMATS = ("png", "jpeg")
FORMS = ("piecewise", "dense")

_JPEG_QUALITY = 95
_BASE_SEED = (0, 0)
_IMAGE = Argument("uint8", ("B", "H", "W", 3), "The picture, RGB.")
_SEED = Argument(
    "int64",
    ("B",),
    "Of the noise: the same seed is the same look, in any batch.",
)
_LOCAL_SEED = Argument("int64", ("B",), "Of the noise where the mask is 1.")
_MASK = Argument(
    "float32",
    ("B", "H", "W"),
    "1 where the noise is the local one, 0 where it is not; in between it is "
    "on the arc between the two.",
)
_MASK_BYTES = Argument(
    "string",
    ("B",),
    "PNG file of the label map's size: the local noise where it is brighter "
    "than half of its brightest pixel, or drawn on a transparent background.",
)


class ServedGenerator(ServedNetwork):
    """A generator behind the signatures of a SavedModel.

    Args:
        generator: `Generator`.
        info: `DatasetInfo`.
        noise: "image", "pixel" or "none", as the generator was trained.
        image_size: (height, width) of the training images.
        weights: see `ServedNetwork`.
        max_pixels, convolutions: see `ServedNetwork`.
        image_format: "png" or "jpeg": what `image_bytes` holds.
        form: how SPADE computes: "piecewise", at each distinct neighbourhood
            of label map and noise; "dense", at every pixel.
    """

    def __init__(
        self,
        generator,
        info,
        noise,
        image_size,
        weights="float32",
        max_pixels=2**20,
        image_format="png",
        form="piecewise",
        convolutions=None,
    ):
        super().__init__(generator, info, weights, max_pixels, convolutions)
        check_choice("image_format", image_format, IMAGE_FORMATS)
        check_choice("form", form, FORMS)
        self._noise = noise
        self._channels = generator.noise_channels
        self._semantic_channels = generator.semantic_channels
        self._image_size = tuple(image_size)
        self._image_format = image_format
        self._form = form
        # Each is traced once for all signatures.
        label_map = tf.TensorSpec([None, None, None], tf.int32)
        places = [
            tf.TensorSpec([None, None, self._channels], tf.float32),
            tf.TensorSpec([None, None, None], tf.int32),
            label_map,
        ]
        noise = tf.TensorSpec([None, None, None, self._channels], tf.float32)
        draw = {
            "piecewise": self._draw_pieces,
            "dense": self._draw_dense_places,
        }
        self._draw = _traced(draw[form], places)
        self._draw_3d_noise = _traced(self._draw_dense, [noise, label_map])

    @property
    def signatures(self):
        label_map = Argument(
            "int32",
            ("B", "H", "W"),
            f"Labels, 0..{self._semantic_channels - 1}: places in "
            "`class_names`, not the ids of the data set's files. H and W are "
            f"multiples of {self._size_multiple}.",
        )
        label_map_bytes = Argument(
            "string",
            ("B",),
            "PNG file with one channel or a palette, in the ids of the data "
            "set's files. Files of one batch may differ in size.",
        )
        image_bytes = Argument(
            "string", ("B",), f"The picture as a {self._image_format} file."
        )
        z = Argument("float32", ("B", self._channels), "Standard normal.")
        noise = Argument(
            "float32",
            ("B", "H", "W", self._channels),
            "3D noise, standard normal.",
        )
        places = Argument(
            "float32",
            ("B", "P", self._channels),
            "Standard normal: a vector for each place.",
        )
        place_map = Argument(
            "int32", ("B", "H", "W"), "The pixel's place, 0..P-1."
        )
        maps = {"label_map": label_map}
        files = {"label_map_bytes": label_map_bytes}
        image, file = {"image": _IMAGE}, {"image_bytes": image_bytes}
        seeds = {"seed": _SEED, "local_seed": _LOCAL_SEED}
        vectors = {"z": z, "z_local": z}
        mask = {"noise_mask": _MASK}
        mask_file = {"noise_mask_bytes": _MASK_BYTES}
        by_seed = {
            "synthesize": Signature(
                "Draws label maps.", maps | {"seed": _SEED}, image
            ),
            "synthesize_png": Signature(
                "Draws label map files.", files | {"seed": _SEED}, file
            ),
        }
        if self._channels == 0:
            return by_seed
        return by_seed | {
            "synthesize_from_noise": Signature(
                "Draws label maps by given latent vectors.",
                maps | {"z": z},
                image,
            ),
            "synthesize_from_3d_noise": Signature(
                "Draws label maps by given 3D noise.",
                maps | {"noise": noise},
                image,
            ),
            "resample": Signature(
                "Draws label maps, with other noise inside a mask.",
                maps | seeds | mask,
                image,
            ),
            "resample_from_noise": Signature(
                "Draws label maps by two latent vectors, one inside a mask.",
                maps | vectors | mask,
                image,
            ),
            "synthesize_places": Signature(
                "Draws label maps, with a latent vector for each of P places.",
                maps | {"z": places, "place_map": place_map},
                image,
            ),
            "resample_png": Signature(
                "Draws label map files, with other noise inside a mask.",
                files | seeds | mask_file,
                file,
            ),
        }

    def facts(self):
        return super().facts() | {
            "kind": "generator",
            "noise": self._noise,
            "noise_channels": self._channels,
            "image_size": self._image_size,
            "image_format": self._image_format,
            "form": self._form,
        }

    # Each method is the signature of its name.

    def synthesize(self, label_map, seed):
        label_map = self._check_batch(label_map, "label_map", seed=seed)
        size = self._check_size("label_map", tf.shape(label_map))
        with tf.control_dependencies([size]):
            label_map = self._check_labels(label_map)
        return {"image": self._draw_seed(label_map, seed)}

    def synthesize_from_noise(self, label_map, z):
        label_map = self._check_batch(label_map, "label_map", z=z)
        size = self._check_size("label_map", tf.shape(label_map))
        with tf.control_dependencies([size]):
            label_map = self._check_labels(label_map)
        return {"image": self._draw_everywhere(z, label_map)}

    def synthesize_from_3d_noise(self, label_map, noise):
        label_map = self._check_batch(label_map, "label_map", noise=noise)
        size = self._check_size("label_map", tf.shape(label_map))
        noise_size = self._check_same_size(
            "noise", tf.shape(noise)[1:3], "label_map", size
        )
        with tf.control_dependencies([noise_size]):
            label_map = self._check_labels(label_map)
        return {"image": self._draw_3d_noise(noise, label_map)}

    def synthesize_places(self, label_map, z, place_map):
        label_map = self._check_batch(
            label_map, "label_map", z=z, place_map=place_map
        )
        size = self._check_size("label_map", tf.shape(label_map))
        place_size = self._check_same_size(
            "place_map", tf.shape(place_map)[1:], "label_map", size
        )
        with tf.control_dependencies([place_size]):
            label_map = self._check_labels(label_map)
        num_places = tf.shape(z)[1]
        check = tf.debugging.Assert(
            tf.reduce_all((place_map >= 0) & (place_map < num_places)),
            [
                "place_map: must be in 0..P-1 for z of P places,",
                num_places,
                "; got values from",
                tf.reduce_min(place_map),
                "to",
                tf.reduce_max(place_map),
            ],
        )
        with tf.control_dependencies([check]):
            place_map = tf.identity(place_map)
        return {"image": self._draw(z, place_map, label_map)}

    def resample(self, label_map, seed, local_seed, noise_mask):
        label_map = self._check_masked(
            label_map, noise_mask, seed=seed, local_seed=local_seed
        )
        image = self._draw_two_seeds(label_map, seed, local_seed, noise_mask)
        return {"image": image}

    def resample_from_noise(self, label_map, z, z_local, noise_mask):
        label_map = self._check_masked(
            label_map, noise_mask, z=z, z_local=z_local
        )
        return {"image": self._draw_two(label_map, z, z_local, noise_mask)}

    def synthesize_png(self, label_map_bytes, seed):
        files = self._check_batch(label_map_bytes, "label_map_bytes", seed=seed)
        sizes = self._read_sizes(files)

        def draw(some):
            label_map = self._decode(files[some], sizes[some])
            return self._encode(self._draw_seed(label_map, seed[some]))

        return {"image_bytes": self._in_one_batch_or_singly(sizes, draw)}

    def resample_png(self, label_map_bytes, seed, local_seed, noise_mask_bytes):
        files = self._check_batch(
            label_map_bytes,
            "label_map_bytes",
            seed=seed,
            local_seed=local_seed,
            noise_mask_bytes=noise_mask_bytes,
        )
        sizes = self._read_sizes(files)
        sizes = self._check_same_size(
            "noise_mask_bytes",
            _read_png_sizes(noise_mask_bytes, "noise_mask_bytes"),
            "label_map_bytes",
            sizes,
        )

        def draw(some):
            mask = tf.map_fn(
                lambda file: png.decode_mask(file, "noise_mask_bytes"),
                noise_mask_bytes[some],
                fn_output_signature=tf.TensorSpec([None, None], tf.float32),
            )
            label_map = self._decode(files[some], sizes[some])
            return self._encode(
                self._draw_two_seeds(
                    label_map, seed[some], local_seed[some], mask
                )
            )

        return {"image_bytes": self._in_one_batch_or_singly(sizes, draw)}

    def _draw_pieces(self, z, place_map, label_map):
        """Draws with a latent vector for each place: z `[B, P, Z]`."""
        pieces = Pieces.of(z, place_map, label_map, self._semantic_channels)
        return to_uint8(self._call(pieces, method="draw_pieces"))

    def _draw_dense_places(self, z, place_map, label_map):
        noise = noise_lib.placed_noise(z, place_map)
        return self._draw_3d_noise(noise, label_map)

    def _draw_dense(self, noise, label_map):
        """Draws with any 3D noise."""
        semantic_map = one_hot(label_map, self._semantic_channels)
        return to_uint8(self._call(noise, semantic_map))

    def _draw_everywhere(self, z, label_map):
        """Draws with one latent vector: z `[B, Z]`."""
        return self._draw(z[:, None], tf.zeros_like(label_map), label_map)

    def _draw_seed(self, label_map, seed):
        if self._noise == "pixel":
            noise = self._sample_pixel_noise(seed, label_map)
            return self._draw_3d_noise(noise, label_map)
        return self._draw_everywhere(self._sample_z(seed), label_map)

    def _draw_two_seeds(self, label_map, seed, local_seed, mask):
        if self._noise == "pixel":
            noise, local_noise = (
                self._sample_pixel_noise(s, label_map)
                for s in (seed, local_seed)
            )
            noise = _mix(noise, local_noise, mask)
            return self._draw_3d_noise(noise, label_map)
        z, z_local = (self._sample_z(s) for s in (seed, local_seed))
        return self._draw_two(label_map, z, z_local, mask)

    def _draw_two(self, label_map, z, z_local, mask):
        """Draws with z_local where the mask is 1, z where it is 0.

        Pixels of one value of the mask have one vector: they are a place.
        """
        values, places = tf.unique(tf.reshape(mask, [-1]))
        place_map = tf.reshape(places, tf.shape(mask))
        shape = [tf.shape(z)[0], tf.size(values), self._channels]
        z, z_local = (
            tf.broadcast_to(vector[:, None], shape) for vector in (z, z_local)
        )
        values = tf.broadcast_to(values[None], shape[:2])
        return self._draw(_mix(z, z_local, values), place_map, label_map)

    def _sample_z(self, seed):
        return noise_lib.sample_z(_BASE_SEED, seed, self._channels)

    def _sample_pixel_noise(self, seed, label_map):
        size = tf.unstack(tf.shape(label_map)[1:])
        return noise_lib.sample_pixel_noise(
            _BASE_SEED, seed, size, self._channels
        )

    def _check_masked(self, label_map, noise_mask, **others):
        """Returns the checked label map."""
        label_map = self._check_batch(
            label_map, "label_map", noise_mask=noise_mask, **others
        )
        size = self._check_size("label_map", tf.shape(label_map))
        mask_size = self._check_same_size(
            "noise_mask", tf.shape(noise_mask)[1:], "label_map", size
        )
        with tf.control_dependencies([mask_size]):
            check = tf.debugging.Assert(
                tf.reduce_all((noise_mask >= 0) & (noise_mask <= 1)),
                [
                    "noise_mask: must be in 0..1; got values from",
                    tf.reduce_min(noise_mask),
                    "to",
                    tf.reduce_max(noise_mask),
                ],
            )
        with tf.control_dependencies([check]):
            return self._check_labels(label_map)

    def _check_labels(self, label_map):
        top = self._semantic_channels - 1
        check = tf.debugging.Assert(
            tf.reduce_all((label_map >= 0) & (label_map <= top)),
            [
                f"label_map: labels must be in 0..{top}; got values from",
                tf.reduce_min(label_map),
                "to",
                tf.reduce_max(label_map),
            ],
        )
        with tf.control_dependencies([check]):
            return tf.identity(label_map)

    def _read_sizes(self, files):
        """Returns the sizes `[B, 2]` of label map files, checked."""
        return tf.map_fn(
            lambda file: self._check_file_size(
                "label_map_bytes", png.read_png_size(file, "label_map_bytes")
            ),
            files,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )

    def _decode(self, files, sizes):
        """Returns the labels `[B, H, W]` of files of one size."""
        with tf.control_dependencies([sizes]):
            ids = tf.map_fn(
                lambda file: png.decode_ids(file, "label_map_bytes"),
                tf.identity(files),
                fn_output_signature=tf.TensorSpec([None, None], tf.int32),
            )
        # The last entry is for all ids beyond.
        size = max(256, max(self.info.label_of_id) + 1)
        labels = lookup(np.arange(size + 1), self.info)
        label_map = tf.gather(tf.constant(labels), tf.minimum(ids, size))
        is_wrong = label_map < 0
        wrong = tf.reduce_max(tf.where(is_wrong, ids, -1))
        check = tf.debugging.Assert(
            ~tf.reduce_any(is_wrong),
            [
                "label_map_bytes: ids must be among "
                f"{ranges(self.info.label_of_id)}; got",
                wrong,
            ],
        )
        with tf.control_dependencies([check]):
            return tf.identity(label_map)

    def _encode(self, images):
        encode = tf.io.encode_png
        if self._image_format == "jpeg":

            def encode(image):
                return tf.io.encode_jpeg(image, quality=_JPEG_QUALITY)

        return tf.map_fn(
            encode, images, fn_output_signature=tf.TensorSpec([], tf.string)
        )


def _traced(method, input_signature):
    return tf.function(method, input_signature=input_signature, autograph=False)


def _mix(noise, local_noise, mask):
    """Returns local noise where the mask is 1, the other where it is 0.

    Args:
        noise, local_noise: `[..., Z]`.
        mask: `[...]`, float32.
    """
    between = noise_lib.interpolate_spherically(
        noise, local_noise, mask[..., None]
    )
    noise = noise_lib.resample_mask(noise, between, mask > 0)
    return noise_lib.resample_mask(noise, local_noise, mask == 1)


def _read_png_sizes(files, name):
    return tf.map_fn(
        lambda file: png.read_png_size(file, name),
        files,
        fn_output_signature=tf.TensorSpec([2], tf.int32),
    )
