"""The averaged generator and the segmenter as SavedModels, for TF Serving."""

import json
import os
import pathlib
import tempfile

import tensorflow as tf

from oasis_tf import config as config_lib
from oasis_tf.exporters import warmup
from oasis_tf.exporters.served_generator import ServedGenerator
from oasis_tf.exporters.served_segmenter import ServedSegmenter


def export_generator(
    generator, config, info, directory, version, step=None, **options
):
    """Writes a SavedModel of a generator.

    Args:
        generator: `Generator`, with the statistics to infer with.
        config: `Config` of its training.
        info: `DatasetInfo`.
        directory: of the versions.
        version: int, 1 or more.
        step: of its training, int; None where it is not known.
        **options: of `ServedGenerator`: weights, max_pixels, image_format,
            form, convolutions.

    Returns:
        The version's folder, `pathlib.Path`. One that is there is kept.

    Raises:
        ValueError: if an option is none of its choices, or `convolutions` do
            not go with `weights`.
    """
    served = ServedGenerator(
        generator, info, config.generator.noise, config.image_size, **options
    )
    return _write(served, "synthesize", config, directory, version, step)


def export_segmenter(
    discriminator, config, info, directory, version, step=None, **options
):
    """Writes a SavedModel of a discriminator.

    Args:
        discriminator: `Discriminator`.
        config, info, directory, version, step: as for `export_generator`.
        **options: of `ServedSegmenter`: weights, max_pixels, convolutions.

    Returns:
        The version's folder, `pathlib.Path`. One that is there is kept.

    Raises:
        ValueError: if an option is none of its choices, or `convolutions` do
            not go with `weights`.
    """
    served = ServedSegmenter(discriminator, info, config.image_size, **options)
    return _write(served, "segment", config, directory, version, step)


def _write(served, default, config, directory, version, step):
    """Writes a version, whose folder appears when it is complete.

    A server that watches the directory sees a whole model or none. Beside the
    model, in `assets.extra`: config.json, training.json, dataset_info.json,
    signatures.json, model.json and warm-up requests.
    """
    directory = pathlib.Path(directory)
    target = directory / str(version)
    if target.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    functions = served.compile()
    with tempfile.TemporaryDirectory(prefix=".", dir=directory) as temporary:
        model = os.path.join(temporary, str(version))
        tf.saved_model.save(
            served,
            model,
            signatures={"serving_default": functions[default]} | functions,
        )
        extra = pathlib.Path(model, "assets.extra")
        extra.mkdir()
        (extra / "config.json").write_text(config_lib.to_json(config))
        (extra / "training.json").write_text(json.dumps({"step": step}))
        for name, text in served.texts().items():
            (extra / f"{name}.json").write_text(text)
        warmup.write(
            extra / "tf_serving_warmup_requests",
            served.signatures,
            config.image_size,
            served.info,
        )
        try:
            os.rename(model, target)
        except OSError:
            if not target.exists():
                raise
            # Another process was first.
    return target
