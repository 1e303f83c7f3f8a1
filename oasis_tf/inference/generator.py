"""A trained generator in use: pictures of label maps."""

import numpy as np
import tensorflow as tf

from oasis_tf import model_files
from oasis_tf.inference import inputs
from oasis_tf.inference.noise import Noise

_BATCH_SIZE = 8


def load_generator(model):
    """Loads a trained generator.

        generator = oasis_tf.load_generator("runs/demo")
        image = generator.generate("map.png", seed=3)

    Args:
        model: path of a work directory of `oasis_tf.train` or
            `oasis_tf.import_published`, whose newest export is taken, or of an
            export.

    Returns:
        `TrainedGenerator`.

    Raises:
        ValueError: if there is no export, or it cannot be read.
    """
    folder = model_files.find_export(model)
    config, info = model_files.read_facts(folder)
    try:
        saved_model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{folder} must be a whole export. Received: one that cannot be "
            f"read ({first_line})."
        ) from error
    return TrainedGenerator(saved_model, config, info)


class TrainedGenerator:
    """Draws pictures of label maps. Made by `load_generator`.

    Attributes:
        config: `Config` of the training.
        info: `DatasetInfo`: the classes and their ids.
        size_multiple: height and width of a label map must be multiples of it.
        noise_channels: Z; 0 for a generator without noise.
    """

    def __init__(self, saved_model, config, info):
        # Held, for the signatures live as long as it does.
        self._saved_model = saved_model
        self._signatures = saved_model.signatures
        self.config = config
        self.info = info
        self.size_multiple = config.generator.size_multiple
        self.noise_channels = (
            0
            if config.generator.noise == "none"
            else config.generator.noise_channels
        )

    def read(self, label_map, resize=False):
        """Returns a label map as the generator takes it.

        Args:
            label_map: `[H, W]` uint8 or int32 array in the data set's own ids,
                or the path of a label file.
            resize: True to bring it to the nearest size that the generator
                works in, (height, width) to bring it to that size.

        Returns:
            `[H, W]`, int32 array. Labels, 0..S-1.

        Raises:
            ValueError: if it is none of the data set's label maps, or of a
                size that the generator does not work in.
        """
        labels = inputs.read_label_map(label_map, self.info)
        size = inputs.target_size(
            _name(label_map), labels.shape, self.size_multiple, resize
        )
        return inputs.resize_label_map(labels, size)

    def noise(self, label_map, seed=0, kind="image", resize=False):
        """Draws noise for a label map, to change and to generate from.

        Args:
            label_map, resize: as for `read`.
            seed: int, 0..2^63-1.
            kind: what one latent vector is for: the "image", a "class", a
                "region" or a "pixel".

        Returns:
            `Noise`.

        Raises:
            ValueError: as `read` does, or if the generator takes no noise.
        """
        return self.sample_noise(self.read(label_map, resize), seed, kind)

    def sample_noise(self, labels, seed=0, kind="image"):
        """Does as `noise` for a label map as `read` returns it."""
        if self.noise_channels == 0:
            raise ValueError(
                "The model must have been trained with noise. Received: one "
                "trained with generator.noise=none."
            )
        return Noise.sample(labels, self.info, self.noise_channels, seed, kind)

    def generate(self, label_map, seed=0, noise=None, resize=False):
        """Draws pictures of a label map.

            image = generator.generate("map.png", seed=3)        # [H, W, 3]
            images = generator.generate("map.png", range(8))  # [8, H, W, 3]

        Args:
            label_map, resize: as for `read`.
            seed: int, or several of them: each another look. The exported
                signature `synthesize` draws the same for the same seed.
            noise: `Noise`, or several of them, instead of seeds.

        Returns:
            `[H, W, 3]`, uint8; `[n, H, W, 3]` for several seeds or noises.

        Raises:
            ValueError: as `read` does, or if the noise has another size.
        """
        labels = self.read(label_map, resize)
        is_single = isinstance(noise or seed, (int, np.integer, Noise))
        if noise is not None:
            noises = [noise] if is_single else list(noise)
            images = self.draw([labels] * len(noises), noises=noises)
        else:
            seeds = [seed] if is_single else list(seed)
            images = self.draw([labels] * len(seeds), seeds=seeds)
        return images[0] if is_single else images

    def draw(self, label_maps, seeds=None, noises=None):
        """Draws pictures of label maps as `read` returns them, in batches.

        Args:
            label_maps: n `[H, W]` int32 arrays of one size. Labels, 0..S-1.
            seeds: n ints, or None.
            noises: n `Noise`, where `seeds` is None.

        Returns:
            `[n, H, W, 3]`, uint8.

        Raises:
            ValueError: if a noise has another size than its label map.
        """
        for label_map, noise in zip(label_maps, noises or ()):
            expected = (*label_map.shape, self.noise_channels)
            if noise.values.shape != expected:
                raise ValueError(
                    f"`noise` must have the shape {expected}. Received: "
                    f"{noise.values.shape}."
                )
        images = []
        for start in range(0, len(label_maps), _BATCH_SIZE):
            batch = slice(start, start + _BATCH_SIZE)
            label_map = tf.constant(np.stack(label_maps[batch]), tf.int32)
            if noises is None:
                output = self._signatures["synthesize"](
                    label_map=label_map,
                    seed=tf.constant(list(seeds[batch]), tf.int64),
                )
            else:
                output = self._signatures["synthesize_from_3d_noise"](
                    label_map=label_map,
                    noise=np.stack([n.values for n in noises[batch]]),
                )
            images.append(output["image"].numpy())
        return np.concatenate(images)


def _name(label_map):
    is_array = isinstance(label_map, np.ndarray)
    return "label_map" if is_array else str(label_map)
