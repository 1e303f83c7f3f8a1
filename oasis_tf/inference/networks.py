"""The networks of a work directory, with their trained weights."""

import pathlib

from oasis_tf import model_files
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.training.checkpoint import CheckpointError
from oasis_tf.training.checkpoint import restore_models


def averaged_generator(model):
    """Returns the averaged generator, with the statistics to infer with.

    Args:
        model: path of a work directory.

    Returns:
        `Generator`, and the step it is from.

    Raises:
        ValueError: if the run has none yet, or it cannot be read.
    """
    config, info, _ = model_files.find_checkpoints(model)
    folder = model_files.find_averaged(model)
    generator = build_generator(config.generator, info.semantic_channels)
    return generator, _restore(folder, generator=generator)


def discriminator(model):
    """Returns the discriminator of the newest checkpoint.

    Args:
        model: path of a work directory.

    Returns:
        `Discriminator`, and the step it is from.

    Raises:
        ValueError: if there is none, or none that can be read.
    """
    config, info, checkpoints = model_files.find_checkpoints(model)
    if not model_files.has_segmenter(model):
        found = "imported without `--discriminator`"
        if not config.discriminator.is_segmenter:
            found = f"with discriminator.kind={config.discriminator.kind}"
        raise ValueError(
            "The model must hold a discriminator that segments. Received: "
            f"{str(model)!r}, {found}."
        )
    network = build_discriminator(config.discriminator, info.semantic_channels)
    return network, _restore(checkpoints, discriminator=network)


def _restore(folder, **networks):
    try:
        path = restore_models(folder, **networks)
    except CheckpointError as error:
        raise ValueError(str(error)) from error
    return int(pathlib.Path(path).name.removeprefix("step-"))
