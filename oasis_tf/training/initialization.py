"""Starts a run with another run's networks, or with imported ones."""

from absl import logging

from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf.training.checkpoint import restore_models


def take_networks(model, state, config, info):
    """Sets a state's networks to those of a work directory.

    A network that the directory lacks keeps what it has; optimizers and the
    step always do.

    Args:
        model: path of the work directory.
        state: `TrainState`.
        config: `Config` of the new run.
        info: `DatasetInfo` of the new run's data.

    Raises:
        ValueError: if its networks or classes are not the new run's.
        CheckpointError: if none of its checkpoints can be read.
    """
    _, saved_info, checkpoints = model_files.find_checkpoints(model)
    check_networks(model, config)
    if saved_info.class_names != info.class_names:
        raise ValueError(
            f"The classes of {model} must be this run's. Received: "
            f"{_shorten(saved_info.class_names)} there, "
            f"{_shorten(info.class_names)} here."
        )
    names = model_files.networks_in(model)
    path = restore_models(
        checkpoints, **{name: getattr(state, name) for name in names}
    )
    logging.info("Starts with the %s of %s.", ", ".join(names), path)
    if "discriminator" not in names:
        logging.warning(
            "%s has no discriminator: a random one will teach the generator "
            "at first, and may spoil it.",
            model,
        )


def check_networks(model, config):
    """Raises a ValueError unless a work directory's networks are a run's.

    Args:
        model: path of the work directory.
        config: `Config` of the run.
    """
    saved_config, _, _ = model_files.find_checkpoints(model)
    names = model_files.networks_in(model)
    differences = config_lib.differences(
        config, config_lib.to_json(saved_config)
    )
    lines = [
        f"  {setting}: there {there!r}, here {here!r}"
        for setting, (there, here) in differences.items()
        if setting.partition(".")[0] in names
        and not setting.endswith(".initial_gain")
    ]
    if lines:
        raise ValueError(
            f"The networks of {model} must be this run's. Received:\n"
            + "\n".join(lines)
        )


def _shorten(names):
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} ({shown})"
