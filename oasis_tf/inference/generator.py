"""A trained generator in use: pictures of label maps."""

import contextlib
import itertools
import os

import numpy as np
import tensorflow as tf

from oasis_tf import model_files
from oasis_tf.inference import inputs
from oasis_tf.inference.noise import Noise
from oasis_tf.inference.noise import check_seed

_BATCH_SIZE = 8
_BATCH_PIXELS = 8 * 256 * 256  # At most, for larger label maps.


def load_generator(model, strategy=None):
    """Loads a trained generator.

        generator = oasis_tf.load_generator("runs/demo")
        image = generator.generate("map.png", seed=3)

    Args:
        model: path of a work directory of `oasis_tf.train` or
            `oasis_tf.import_published`, whose newest export is taken, or of an
            export.
        strategy: `tf.distribute.MirroredStrategy` whose devices share the
            drawing; None for one device.

    Returns:
        `TrainedGenerator`.

    Raises:
        ValueError: if there is no export, or it cannot be read.
    """
    folder = model_files.find_export(model)
    config, info = model_files.read_facts(folder)
    scope = strategy.scope() if strategy else contextlib.nullcontext()
    try:
        with scope:
            saved_model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{folder} must be a whole export. Received: one that cannot be "
            f"read ({first_line})."
        ) from error
    facts = model_files.read_model_facts(folder)
    return TrainedGenerator(
        saved_model, config, info, facts["max_pixels"], strategy
    )


class TrainedGenerator:
    """Draws pictures of label maps. Made by `load_generator`.

    Attributes:
        config: `Config` of the training.
        info: `DatasetInfo`: the classes and their ids.
        size_multiple: height and width of a label map must be multiples of it.
        noise_channels: Z; 0 for a generator without noise.
        num_replicas: devices that share the drawing.
    """

    def __init__(self, saved_model, config, info, max_pixels, strategy=None):
        self._strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync if strategy else 1
        self._replicated = {}
        self._max_pixels = max_pixels
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
        labels = inputs.read_label_map(label_map, self.info, self.config)
        size = inputs.target_size(
            _name(label_map),
            labels.shape,
            self.size_multiple,
            resize,
            self.config.image_size,
        )
        if size[0] * size[1] > self._max_pixels:
            raise ValueError(
                f"Height times width of `{_name(label_map)}` must be at most "
                f"{self._max_pixels} for this export; `oasis_tf.export "
                f"--max_pixels={size[0] * size[1]}` makes one for it. "
                f"Received: (height, width)={tuple(size)}."
            )
        return inputs.resize_label_map(labels, size)

    def noise(self, label_map, seed=0, kind=None, resize=False):
        """Draws noise for a label map, to change and to generate from.

            noise = generator.noise("map.png", seed=3)
            image = generator.generate("map.png", noise=noise)

        Args:
            label_map, resize: as for `read`.
            seed: int, 0..2^63-1.
            kind: what one latent vector is for: the "image", a "class", a
                "region" or a "pixel"; None for what it was in training, with
                which a seed is the look that `generate` gives it.

        Returns:
            `Noise`.

        Raises:
            ValueError: as `read` does, or if the generator takes no noise.
        """
        return self.sample_noise(self.read(label_map, resize), seed, kind)

    def sample_noise(self, labels, seed=0, kind=None):
        """Does as `noise` for a label map as `read` returns it."""
        if self.noise_channels == 0:
            raise ValueError(
                "The model must have been trained with noise. Received: one "
                "trained with generator.noise=none."
            )
        return Noise.sample(
            labels,
            self.info,
            self.noise_channels,
            seed,
            kind or self.config.generator.noise,
        )

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
        if noise is not None and seed != 0:
            raise ValueError(
                "`seed` and `noise` exclude each other. Received: both."
            )
        labels = self.read(label_map, resize)
        looks = seed if noise is None else noise
        is_single = isinstance(looks, Noise) or np.ndim(looks) == 0
        looks = [looks] if is_single else list(looks)
        kind = "seeds" if noise is None else "noises"
        images = self.draw([labels] * len(looks), **{kind: looks})
        return images[0] if is_single else images

    def draw(self, label_maps, seeds=None, noises=None):
        """Draws pictures of label maps as `read` returns them, in batches.

        Args:
            label_maps: n `[H, W]` int32 arrays of one size, at least one.
                Labels, 0..S-1.
            seeds: n ints, or None.
            noises: n `Noise`, where `seeds` is None. Of an iterator as many
                are held in memory as are drawn at a time.

        Returns:
            `[n, H, W, 3]`, uint8.

        Raises:
            ValueError: if a noise has another size than its label map, a seed
                is none, or the numbers differ.
        """
        if len(label_maps) == 0 or (seeds is None) == (noises is None):
            raise ValueError(
                "`label_maps` must be one or more, with either `seeds` or "
                f"`noises`. Received: {len(label_maps)} label maps, seeds="
                f"{seeds}, noises={'None' if noises is None else 'some'}."
            )
        draw, looks = self._draw_seeds, seeds
        if seeds is None:
            draw, looks = self._draw_noises, noises
        looks = iter(looks)
        height, width = label_maps[0].shape
        batch_size = self.num_replicas * max(
            1, min(_BATCH_SIZE, _BATCH_PIXELS // (height * width))
        )
        images = []
        for start in range(0, len(label_maps), batch_size):
            batch = label_maps[start : start + batch_size]
            batch_looks = list(itertools.islice(looks, len(batch)))
            if len(batch_looks) < len(batch):
                raise ValueError(
                    "There must be a seed or a noise for each label map. "
                    f"Received: {start + len(batch_looks)} for "
                    f"{len(label_maps)}."
                )
            images.append(draw(batch, batch_looks))
        return np.concatenate(images)

    def _draw_seeds(self, label_maps, seeds):
        for seed in seeds:
            check_seed(seed)
        return self._call(
            "synthesize",
            label_map=tf.constant(np.stack(label_maps), tf.int32),
            seed=tf.constant(list(map(int, seeds)), tf.int64),
        )

    def _draw_noises(self, label_maps, noises):
        for label_map, noise in zip(label_maps, noises):
            if not isinstance(noise, Noise):
                raise ValueError(
                    f"`noise` must be of `Noise`. Received: {type(noise)}."
                )
            expected = (*label_map.shape, self.noise_channels)
            if noise.values.shape != expected:
                raise ValueError(
                    f"`noise` must have the shape {expected}. Received: "
                    f"{noise.values.shape}."
                )
        return self._call(
            "synthesize_from_3d_noise",
            label_map=tf.constant(np.stack(label_maps), tf.int32),
            noise=tf.constant(np.stack([noise.values for noise in noises])),
        )

    def _call(self, name, **tensors):
        """Returns a signature's images, drawn by all devices."""
        if self.num_replicas == 1:
            return self._signatures[name](**tensors)["image"].numpy()
        num_images = len(tensors["label_map"])
        share = -(-num_images // self.num_replicas)
        # Where they do not divide evenly the last one is drawn again.
        places = np.arange(share * self.num_replicas)
        places = np.minimum(places, num_images - 1)
        shares = {
            key: self._strategy.experimental_distribute_values_from_function(
                lambda context, value=value: tf.gather(
                    value,
                    places[context.replica_id_in_sync_group * share :][:share],
                )
            )
            for key, value in tensors.items()
        }
        if name not in self._replicated:
            self._replicated[name] = self._replicate(self._signatures[name])
        images = self._replicated[name](shares)
        images = self._strategy.experimental_local_results(images)
        return np.concatenate([one.numpy() for one in images])[:num_images]

    def _replicate(self, signature):
        def draw(tensors):
            return signature(**tensors)["image"]

        return tf.function(
            lambda shares: self._strategy.run(draw, args=(shares,)),
            autograph=False,
        )


def _name(label_map):
    is_path = isinstance(label_map, (str, os.PathLike))
    return str(label_map) if is_path else "label_map"
