"""A trained discriminator in use: label maps of pictures."""

import numpy as np
import tensorflow as tf

from oasis_tf import model_files
from oasis_tf.data.image import to_float
from oasis_tf.data.label_map import restore
from oasis_tf.evaluation import miou
from oasis_tf.inference import inputs
from oasis_tf.inference import networks


def load_segmenter(model):
    """Loads a trained discriminator, as the segmentation network that it is.

        segmenter = oasis_tf.load_segmenter("runs/demo")
        label_map = segmenter.segment("photo.jpg")

    Args:
        model: path of a work directory of `oasis_tf.train` or
            `oasis_tf.import_published`; its newest checkpoint is taken.

    Returns:
        `Segmenter`.

    Raises:
        ValueError: if there is no checkpoint, or none that can be read.
    """
    config, info, _ = model_files.find_checkpoints(model)
    discriminator, step = networks.discriminator(model)
    return Segmenter(discriminator, config, info, step)


class Segmenter:
    """Finds label maps of pictures. Made by `load_segmenter`.

    Attributes:
        config: `Config` of the training.
        info: `DatasetInfo`: the classes and their ids.
        discriminator: `Discriminator`.
        step: finished updates of the checkpoint.
        size_multiple: height and width of a picture must be multiples of it.
    """

    def __init__(self, discriminator, config, info, step=0):
        self.discriminator = discriminator
        self.step = step
        self.config = config
        self.info = info
        self.size_multiple = discriminator.size_multiple
        self._logits = tf.function(
            discriminator,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
            autograph=False,
        )

    def segment(self, image, resize=False):
        """Finds the class of every pixel; never "fake", never don't-care.

            label_map = segmenter.segment("photo.jpg")  # [H, W]

        Args:
            image: `[H, W, 3]` uint8 array, or the path of an image file.
            resize: True to segment at the nearest size that the discriminator
                works in, (height, width) to segment at that size; the label
                map still has the image's.

        Returns:
            `[H, W]`, uint8 or uint16, in the data set's own ids.

        Raises:
            ValueError: if it is no image, or of a size that the discriminator
                does not work in.
        """
        labels = self.segment_to_labels(image, resize)
        return restore(labels, self.info)

    def segment_to_labels(self, image, resize=False):
        """Does the same as `segment`; returns labels, 0..S-1, int32."""
        pixels = inputs.read_image(image)
        size = inputs.target_size(
            "image" if isinstance(image, np.ndarray) else str(image),
            pixels.shape[:2],
            self.size_multiple,
            resize,
            self.config.image_size,
        )
        resized = inputs.resize_image(pixels, size)
        labels = self.segment_batch(resized[np.newaxis])[0]
        return inputs.resize_label_map(labels, pixels.shape[:2])

    def segment_batch(self, images):
        """Finds the class of every pixel of images.

        Args:
            images: `[B, H, W, 3]`, uint8; H and W are multiples of
                `size_multiple`.

        Returns:
            `[B, H, W]`, int32 array. Labels, 0..S-1.
        """
        logits = self._logits(to_float(tf.constant(images)))
        logits = miou.without_missing(logits, self.info)
        return miou.segment(logits, self.info.has_dont_care).numpy()
