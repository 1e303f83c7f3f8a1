"""The averaged generator as a SavedModel."""

import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

from oasis_tf import config as config_lib
from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise as noise_lib


class ServedGenerator(tf.Module):
    """A generator behind the signatures of a SavedModel.

    Args:
        generator: `Generator`.
        noise: "image", "pixel" or "none", as the generator was trained.
    """

    def __init__(self, generator, noise):
        super().__init__(name="served_generator")
        self._noise = noise
        # Held for its variables, which are saved with the module.
        self.generator = generator

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int32, name="label_map"),
            tf.TensorSpec([None], tf.int64, name="seed"),
        ]
    )
    def synthesize(self, label_map, seed):
        """Draws images of label maps.

        Args:
            label_map: `[B, H, W]`, int32. Labels, 0..S-1.
            seed: `[B]`, int64. Another seed gives another look; the same one
                the same image in any batch.

        Returns:
            {"image": `[B, H, W, 3]`, uint8}.
        """
        channels = self.generator.noise_channels
        self._check_batch(label_map, seed, "seed")
        size = tf.unstack(tf.shape(label_map)[1:])
        base = tf.zeros([2], tf.int32)
        if self._noise == "pixel":
            noise = noise_lib.sample_pixel_noise(base, seed, size, channels)
        else:
            z = noise_lib.sample_z(base, seed, channels)
            noise = noise_lib.global_noise(z, size)
        return {"image": self._generate(noise, label_map)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int32, name="label_map"),
            tf.TensorSpec([None, None], tf.float32, name="z"),
        ]
    )
    def synthesize_from_noise(self, label_map, z):
        """Draws images of label maps from given latent vectors.

        Args:
            label_map: `[B, H, W]`, int32. Labels, 0..S-1.
            z: `[B, Z]`, float32, as drawn from a standard normal.

        Returns:
            {"image": `[B, H, W, 3]`, uint8}.
        """
        z = tf.ensure_shape(z, [None, self.generator.noise_channels])
        self._check_batch(label_map, z, "z")
        size = tf.unstack(tf.shape(label_map)[1:])
        noise = noise_lib.global_noise(z, size)
        return {"image": self._generate(noise, label_map)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int32, name="label_map"),
            tf.TensorSpec([None, None, None, None], tf.float32, name="noise"),
        ]
    )
    def synthesize_from_3d_noise(self, label_map, noise):
        """Draws images of label maps from given 3D noise.

        Args:
            label_map: `[B, H, W]`, int32. Labels, 0..S-1.
            noise: `[B, H, W, Z]`, float32. See `oasis_tf.models.noise`.

        Returns:
            {"image": `[B, H, W, 3]`, uint8}.
        """
        channels = self.generator.noise_channels
        noise = tf.ensure_shape(noise, [None, None, None, channels])
        tf.debugging.assert_equal(
            tf.shape(noise)[:3],
            tf.shape(label_map),
            "`noise` must have the batch, height and width of `label_map`",
        )
        return {"image": self._generate(noise, label_map)}

    def _generate(self, noise, label_map):
        generator = self.generator
        self._check(label_map)
        semantic_map = one_hot(label_map, generator.semantic_channels)
        return to_uint8(generator(noise, semantic_map))

    def _check_batch(self, label_map, tensor, name):
        tf.debugging.assert_equal(
            tf.shape(tensor)[0],
            tf.shape(label_map)[0],
            f"`{name}` must have an entry for each label map.",
        )

    def _check(self, label_map):
        top = self.generator.semantic_channels - 1
        multiple = self.generator.size_multiple
        tf.debugging.assert_non_negative(
            label_map, f"`label_map` must hold labels 0..{top}."
        )
        tf.debugging.assert_less_equal(
            label_map, top, f"`label_map` must hold labels 0..{top}."
        )
        tf.debugging.assert_equal(
            tf.shape(label_map)[1:] % multiple,
            0,
            f"Height and width of `label_map` must be multiples of {multiple}.",
        )


def export(generator, config, info, directory, version):
    """Writes a SavedModel of a generator.

    The version's folder appears when it is complete, not before.

    Args:
        generator: `Generator`, with the statistics to infer with.
        config: `Config` of its training; goes along as
            `assets.extra/config.json`.
        info: `DatasetInfo`; goes along as `assets.extra/dataset_info.json`.
        directory: of the versions.
        version: int, 1 or more.

    Returns:
        The version's folder, `pathlib.Path`. One that is there is kept.
    """
    directory = pathlib.Path(directory)
    target = directory / str(version)
    if target.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    served = ServedGenerator(generator, config.generator.noise)
    with tempfile.TemporaryDirectory(prefix=".", dir=directory) as temporary:
        model = os.path.join(temporary, str(version))
        tf.saved_model.save(
            served,
            model,
            signatures={
                "serving_default": served.synthesize,
                "synthesize": served.synthesize,
                "synthesize_from_noise": served.synthesize_from_noise,
                "synthesize_from_3d_noise": served.synthesize_from_3d_noise,
            },
        )
        extra = pathlib.Path(model, "assets.extra")
        extra.mkdir()
        (extra / "config.json").write_text(config_lib.to_json(config))
        (extra / "dataset_info.json").write_text(info.to_json())
        shutil.move(model, target)
    return target
