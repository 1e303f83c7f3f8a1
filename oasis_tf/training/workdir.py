"""The work directory: one run's settings, held against later ones."""

import fcntl
import json
import pathlib

from absl import logging

from oasis_tf import config as config_lib
from oasis_tf import model_files

# Settings that may change when a run goes on.
_MAY_CHANGE = ("log.", "train.num_steps", "data.prepared_dir")


class ResumeError(ValueError):
    """The work directory belongs to a run with other settings."""


def claim(workdir, config, dataset):
    """Makes a work directory this process's and this run's.

    Writes `config.json` and `dataset.json`, or compares with those there.

    Args:
        workdir: path.
        config: `Config`.
        dataset: `oasis_tf.data.Dataset`.

    Returns:
        An open file: the directory is this process's as long as it lives.

    Raises:
        ResumeError: if another process trains there, or the directory's run
            has other settings or other data; its files stay as they are.
        ValueError: if the directory cannot be written to.
    """
    workdir = pathlib.Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = lock(workdir)
    except OSError as error:
        raise ValueError(
            "`--workdir` must be a folder that can be written to. Received: "
            f"{str(workdir)!r} ({error.strerror})."
        ) from None
    if (workdir / model_files.IMPORTED).is_file():
        file.close()
        raise ResumeError(
            f"{workdir} holds imported networks, which are kept as they are: "
            f"train in another --workdir with --init_from={workdir}."
        )
    facts = {
        "num_examples": dataset.num_examples,
        "num_bytes": dataset.num_bytes,
        "info": json.loads(dataset.info.to_json()),
    }
    config_file, facts_file = workdir / "config.json", workdir / "dataset.json"
    if config_file.is_file():
        _compare_config(workdir, config, config_file.read_text())
        _compare_data(workdir, facts, json.loads(facts_file.read_text()))
    # In this order, for config.json stands for a claimed directory.
    model_files.write(facts_file, json.dumps(facts, indent=1))
    model_files.write(config_file, config_lib.to_json(config))
    return file


def lock(folder):
    """Makes a folder this process's.

    Args:
        folder: `pathlib.Path` that exists.

    Returns:
        An open file, as of `claim`.

    Raises:
        ResumeError: if it is another process's.
        OSError: if it cannot be written to.
    """
    file = open(folder / ".lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ResumeError(
            f"{folder}: another process is training there."
        ) from None
    return file


def _compare_config(workdir, config, saved):
    differences = config_lib.differences(config, saved)
    lines = [
        f"  {name}: was {old!r}, now {new!r}"
        for name, (old, new) in differences.items()
        if not name.startswith(_MAY_CHANGE)
    ]
    if "train.num_steps" in differences and config.train.decay_share > 0:
        logging.warning(
            "`train.num_steps` was %d, now %d: the learning rates fall "
            "towards that.",
            *differences["train.num_steps"],
        )
    if lines:
        raise ResumeError(
            f"{workdir}: this run was started with other settings; take "
            "those, or another --workdir:\n" + "\n".join(lines)
        )


def _compare_data(workdir, facts, saved):
    lines = [
        f"  {name}: was {saved.get(name)!r}, now {facts[name]!r}"
        for name in ("num_examples", "num_bytes")
        if saved.get(name) != facts[name]
    ]
    info, saved_info = facts["info"], saved.get("info", {})
    lines += [
        f"  {name}: was {saved_info.get(name)!r}, now {info[name]!r}"
        for name in info
        # Training takes no notice of what is scored.
        if name != "scored_labels" and saved_info.get(name) != info[name]
    ]
    if lines:
        raise ResumeError(
            f"{workdir}: this run was started on other data; take that, or "
            "another --workdir:\n" + "\n".join(lines)
        )
