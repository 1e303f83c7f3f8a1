"""The discriminator behind the signatures of a SavedModel, as a segmenter."""

import numpy as np
import tensorflow as tf

from oasis_tf.data.image import to_float
from oasis_tf.evaluation import miou
from oasis_tf.exporters import png
from oasis_tf.exporters.served_network import ServedNetwork
from oasis_tf.exporters.signatures import Argument
from oasis_tf.exporters.signatures import Signature


class ServedSegmenter(ServedNetwork):
    """A discriminator behind the signatures of a SavedModel.

    Args:
        discriminator: `Discriminator`.
        info: `DatasetInfo`.
        image_size: (height, width) of the training images.
        weights: see `ServedNetwork`.
        max_pixels, convolutions: see `ServedNetwork`.
    """

    def __init__(
        self,
        discriminator,
        info,
        image_size,
        weights="float32",
        max_pixels=2**20,
        convolutions=None,
    ):
        super().__init__(discriminator, info, weights, max_pixels, convolutions)
        self._image_size = tuple(image_size)
        self._segment = tf.function(
            self._segment_image,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
            autograph=False,
        )

    @property
    def signatures(self):
        multiple = self._size_multiple
        image = Argument(
            "uint8",
            ("B", "H", "W", 3),
            f"The photo, RGB. H and W are multiples of {multiple}.",
        )
        label_map = Argument(
            "int32",
            ("B", "H", "W"),
            f"Labels, 0..{self.info.semantic_channels - 1}: places in "
            "`class_names`, not the ids of the data set's files.",
        )
        image_bytes = Argument(
            "string",
            ("B",),
            "PNG or JPEG file. Files of one batch may differ in size.",
        )
        label_map_bytes = Argument(
            "string",
            ("B",),
            "PNG file with one channel, in the ids of the data set's files.",
        )
        return {
            "segment": Signature(
                "Finds the class of every pixel.",
                {"image": image},
                {"label_map": label_map},
            ),
            "segment_png": Signature(
                "Finds the class of every pixel of image files.",
                {"image_bytes": image_bytes},
                {"label_map_bytes": label_map_bytes},
            ),
        }

    def facts(self):
        return super().facts() | {
            "kind": "segmenter",
            "image_size": self._image_size,
        }

    # Each method is the signature of its name.

    def segment(self, image):
        size = self._check_size("image", tf.shape(image)[:3])
        with tf.control_dependencies([size]):
            image = tf.identity(image)
        return {"label_map": self._segment(image)}

    def segment_png(self, image_bytes):
        sizes = tf.map_fn(
            lambda file: self._check_file_size(
                "image_bytes", png.read_size(file, "image_bytes")
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )

        def segment(some):
            with tf.control_dependencies([sizes]):
                files = tf.identity(image_bytes[some])
            images = tf.map_fn(
                lambda file: tf.io.decode_png(file, channels=3),
                files,
                fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
            )
            return self._encode(self._segment(images))

        return {"label_map_bytes": self._in_one_batch_or_singly(sizes, segment)}

    def _segment_image(self, image):
        logits = miou.without_missing(self._call(to_float(image)), self.info)
        return miou.segment(logits, self.info.has_dont_care)

    def _encode(self, label_map):
        ids = [self.info.native_id(s) for s in range(len(self.info.colors))]
        # Never found: a label without an id.
        ids = [0 if i is None else max(i, 0) for i in ids]
        dtype = np.uint8 if max(ids) < 256 else np.uint16
        native = tf.gather(np.array(ids, dtype), label_map)
        return tf.map_fn(
            lambda one: tf.io.encode_png(one[..., None]),
            native,
            fn_output_signature=tf.TensorSpec([], tf.string),
        )
