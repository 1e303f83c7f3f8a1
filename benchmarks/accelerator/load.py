"""Brings what `run.py` trained into a work directory of oasis_tf.

    python -m benchmarks.accelerator.load --run=RUN --workdir=W

`python -m oasis_tf.train --workdir=W`, with the settings of the run, then goes
on from there, or where the run is complete writes the models to export.
"""

import csv
import json
import pathlib
import types
import zipfile

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.accelerator import program as program_lib
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.training import workdir as workdir_lib
from oasis_tf.training.checkpoint import CheckpointError
from oasis_tf.training.checkpoint import Checkpoints
from oasis_tf.training.checkpoint import NonFiniteError
from oasis_tf.training.history import History
from oasis_tf.training.train_step import create_state

_RUN = flags.DEFINE_string(
    "run", None, "Folder that run.py wrote.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Work directory: a new one, or the run's own earlier one.",
    required=True,
)


def main():
    try:
        path = load(_RUN.value, _WORKDIR.value)
    except (CheckpointError, NonFiniteError) as error:
        return command_line.fail(error, 1)
    print(f"Checkpoint: {path}")


def load(run, workdir):
    """Writes the variables of a run as a checkpoint, with its losses.

    Args:
        run: folder that `run.py` wrote.
        workdir: path of the work directory.

    Returns:
        The checkpoint's path, without the endings of its files.

    Raises:
        ValueError: if a file is missing or broken, or the work directory is
            another run's or further on.
        NonFiniteError: if a variable is not finite.
    """
    run, workdir = pathlib.Path(run), pathlib.Path(workdir)
    try:
        manifest = json.loads((run / "manifest.json").read_text())
        with np.load(run / "variables.npz") as arrays:
            values = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{run} must hold manifest.json and variables.npz as run.py "
            f"writes them. Received: {error}."
        ) from error
    if manifest["program"] != "train_step":
        raise ValueError(
            f"{run} must be the run of a training step. Received: "
            f"{manifest['program']}."
        )
    config = config_lib.from_json(json.dumps(manifest["config"]))
    facts = manifest["dataset"]
    info = DatasetInfo.from_json(json.dumps(facts["info"]))
    state = create_state(config, info.semantic_channels)
    variables = program_lib.state_variables(state)
    _check_fit(run / "variables.npz", variables, values)
    for name, variable in variables.items():
        variable.assign(tf.constant(values[name], variable.dtype))

    _check_is_newest(workdir / "checkpoints", int(state.step.numpy()))
    lock = workdir_lib.claim(
        workdir,
        config,
        types.SimpleNamespace(
            num_examples=facts.get("num_examples"),
            num_bytes=facts.get("num_bytes"),
            info=info,
        ),
    )
    with lock:
        checkpoints = Checkpoints(
            state, workdir / "checkpoints", config.log.keep_checkpoints
        )
        path = checkpoints.save()
        _take_losses(run / "losses.csv", workdir / "losses.csv")
    return path


def _check_fit(path, variables, values):
    wrong = [
        f"{name}: {expected}, in the file {found}"
        for name, expected, found in (
            (name, _form(variables.get(name)), _form(values.get(name)))
            for name in sorted(variables.keys() | values.keys())
        )
        if expected != found
    ]
    if wrong:
        raise ValueError(
            f"{path} must hold the variables of the manifest's networks. "
            f"Received {len(wrong)} others: {'; '.join(wrong[:3])}."
        )


def _form(array):
    if array is None:
        return "none"
    return f"{array.dtype.name} {tuple(array.shape)}"


def _check_is_newest(checkpoints, step):
    steps = [
        int(path.stem.removeprefix("step-"))
        for path in checkpoints.glob("step-*.index")
    ]
    if max(steps, default=0) > step:
        raise ValueError(
            "`--workdir` must not be further on than the run. Received: "
            f"{checkpoints} with step {max(steps)}, a run of {step} steps."
        )


def _take_losses(source, target):
    """Puts a run's losses after those that the work directory has."""
    if not source.is_file():
        return
    with open(source, newline="") as file:
        rows = [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    if rows:
        history = History(target, rows[0]["step"] - 1)
        for row in rows:
            history.add(row.pop("step"), row)


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
