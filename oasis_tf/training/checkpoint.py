"""Checkpoints: from which a run goes on."""

import pathlib
import re

import keras
import numpy as np
import tensorflow as tf
from absl import logging


class CheckpointError(RuntimeError):
    """No checkpoint of a run can be read."""


class NonFiniteError(RuntimeError):
    """A loss or a weight is not a finite number any more."""


class Checkpoints:
    """The checkpoints `step-<n>` in a folder.

    Args:
        state: `TrainState`, or another dataclass of `step` and networks,
            optimizers and variables.
        directory: of the checkpoints; made when the first is written.
        keep: how many of the newest are kept.
    """

    def __init__(self, state, directory, keep):
        self._state = state
        self._directory = pathlib.Path(directory)
        self._checkpoint = tf.train.Checkpoint(
            **{name: _tracked(part) for name, part in vars(state).items()}
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(directory),
            max_to_keep=keep,
            checkpoint_name="step",
        )

    def save(self):
        """Writes a checkpoint of the state, unless it has a broken weight.

        Returns:
            The checkpoint's path, without the endings of its files.

        Raises:
            NonFiniteError: if a variable is not finite; nothing is written.
        """
        check_finite(self._state)
        return self._manager.save(
            checkpoint_number=int(self._state.step.numpy())
        )

    def restore(self):
        """Reads the newest checkpoint, or the newest that can be read.

        Returns:
            The checkpoint's path, or None where there is none.

        Raises:
            CheckpointError: if there are checkpoints but none can be read.
        """
        return _read_newest(self._checkpoint, self._directory)


def has_checkpoints(directory):
    """Tells whether a directory holds checkpoints of a run."""
    return any(_find(directory))


def restore_models(directory, **models):
    """Sets networks from the newest checkpoint of a run that can be read.

    Args:
        directory: of the checkpoints.
        **models: built networks by their names in `TrainState`.

    Returns:
        The checkpoint's path, or None where there is none.

    Raises:
        CheckpointError: if there are checkpoints but none can be read.
    """
    checkpoint = tf.train.Checkpoint(
        **{name: _tracked(model) for name, model in models.items()}
    )
    return _read_newest(checkpoint, pathlib.Path(directory))


def save_models(directory, step=0, **models):
    """Writes networks alone as a checkpoint, for `restore_models`.

    Args:
        directory: of the checkpoint `step-<step>`; made. Those of other steps
            are removed from it.
        step: int.
        **models: built networks by their names in `TrainState`; one may occur
            under several names.
    """
    # Copies: what occurs twice is saved once, and read back into one network.
    checkpoint = tf.train.Checkpoint(
        **{
            name: {v.path: tf.Variable(v.value) for v in model.variables}
            for name, model in models.items()
        }
    )
    checkpoint.write(str(pathlib.Path(directory, f"step-{step}")))
    for path in pathlib.Path(directory).glob("step-*"):
        if path.name.partition(".")[0] != f"step-{step}":
            path.unlink()


def _find(directory):
    return pathlib.Path(directory).glob("step-*.index")


def _read_newest(checkpoint, directory):
    # The folder tells, not the manager's own list, which may be lost.
    paths = sorted(_find(directory), key=_step)
    for index in reversed(paths):
        path = str(index.with_suffix(""))
        try:
            status = checkpoint.read(path)
            # Partial: the manager's own counter is not read, and not all of
            # the state is always asked for.
            status.assert_existing_objects_matched().expect_partial()
        except (
            tf.errors.OpError,
            IndexError,  # From TensorFlow: a file ends too early.
            ValueError,
            AssertionError,
        ) as error:
            first_line = str(error).strip().partition("\n")[0]
            logging.error(
                "%s: expected a whole checkpoint of these networks, found "
                "one that cannot be read (%s). The one before is next, if "
                "there is one.",
                path,
                first_line,
            )
            continue
        return path
    if paths:
        raise CheckpointError(
            f"{directory}: expected a checkpoint that can be read, "
            f"found {len(paths)}, none of which can. A run in "
            "another work directory starts anew."
        )
    return None


def _tracked(part):
    """Returns a part of the state as a checkpoint takes it.

    Models and optimizers by their variables' names: of a Keras object itself,
    TensorFlow saves no layers that are kept in a list.
    """
    if _is_keras(part):
        return {variable.path: variable.value for variable in part.variables}
    return part


def _is_keras(part):
    return isinstance(part, (keras.Model, keras.optimizers.Optimizer))


def _step(path):
    return int(re.fullmatch(r"step-(\d+)\.index", path.name)[1])


def check_finite(state):
    """Raises NonFiniteError, naming the variable, unless all are finite.

    The optimizers' variables too: a moment that has become infinite stops its
    weight, and makes it NaN at the next step.

    Args:
        state: as of `Checkpoints`.
    """
    for model in filter(_is_keras, vars(state).values()):
        for variable in model.variables:
            if not np.isfinite(variable.numpy()).all():
                raise NonFiniteError(
                    f"Step {int(state.step.numpy())}: {variable.path} of the "
                    f"{model.name} is not finite."
                )
