"""Finds what a trained model consists of on disk."""

import contextlib
import json
import os
import pathlib

from oasis_tf import config as config_lib
from oasis_tf.data.dataset import DatasetInfo

IMPORTED = "published.json"
"""In a work directory of imported networks: where they come from."""

EXPORT = "export"
"""In a work directory: the folder of the SavedModels, one for each model."""

GENERATOR = "generator"
SEGMENTER = "segmenter"
"""Names of the two models in there; below them are their versions."""

AVERAGED = "averaged"
"""In a work directory: the averaged generator with its own statistics."""

_TRAIN = "python -m oasis_tf.train"
_EXPORT = "python -m oasis_tf.export"
_IMPORT = "python -m oasis_tf.import_published"


def find_export(model):
    """Returns the folder of a generator's SavedModel.

    Args:
        model: path of a work directory, of its `export/` or
            `export/generator/`, whose newest version is taken, or of a
            version.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: if there is none; says what is there instead.
    """
    path = _existing(model)
    if (path / "saved_model.pb").is_file():
        return path
    for parent in (path / EXPORT / GENERATOR, path / GENERATOR, path):
        versions = [
            folder
            for folder in parent.glob("*/")
            if folder.name.isdigit() and (folder / "saved_model.pb").is_file()
        ]
        if versions:
            return max(versions, key=lambda folder: int(folder.name))
    reason = (
        f"neither {EXPORT}/{GENERATOR}/<version>/saved_model.pb nor config.json"
    )
    if (path / "config.json").is_file():
        reason = (
            f"a run without an export yet, which `{_TRAIN}` writes at its end, "
            f"and `{_EXPORT}` for a finished one"
        )
    raise ValueError(
        "The model must be the work directory of a finished run, or an export. "
        f"Received: {str(path)!r}, {reason}."
    )


def read_facts(folder):
    """Returns the `Config` and the `DatasetInfo` that an export carries.

    Args:
        folder: of the SavedModel.

    Raises:
        ValueError: if they are missing or broken.
    """
    extra = pathlib.Path(folder, "assets.extra")
    return (
        read(extra / "config.json", config_lib.from_json),
        read(extra / "dataset_info.json", DatasetInfo.from_json),
    )


def read_step(folder):
    """Returns the step of training that an export is of, or None.

    Args:
        folder: of the SavedModel. Older ones do not say it.

    Raises:
        ValueError: if what it says is broken.
    """
    record = pathlib.Path(folder, "assets.extra/training.json")
    return read(record, json.loads)["step"] if record.is_file() else None


def read_model_facts(folder):
    """Returns what an export says of itself: a dict.

    Args:
        folder: of the SavedModel.

    Raises:
        ValueError: if it is missing or broken.
    """
    return read(pathlib.Path(folder, "assets.extra/model.json"), json.loads)


def find_checkpoints(model):
    """Returns what the networks of a work directory are made from.

    Args:
        model: path of a work directory.

    Returns:
        `Config`, `DatasetInfo` and the folder of the checkpoints.

    Raises:
        ValueError: if it is no work directory, or has no checkpoint yet.
    """
    path = _existing(model)
    if not (path / "config.json").is_file():
        raise ValueError(
            "The model must be the work directory of a run or an import: what "
            "was exported alone does not do. Received: "
            f"{str(path)!r}, without config.json."
        )
    config = read(path / "config.json", config_lib.from_json)
    info = read(path / "dataset.json", _parse_info)
    checkpoints = path / "checkpoints"
    if not any(checkpoints.glob("step-*.index")):
        raise ValueError(
            "The model must have a checkpoint. Received: "
            f"{str(path)!r}, without {checkpoints.name}/step-<n>.index."
        )
    return config, info, checkpoints


def find_averaged(model):
    """Returns the averaged generator of a work directory.

    Args:
        model: path of a work directory.

    Returns:
        The folder of its checkpoint.

    Raises:
        ValueError: if the run has not come to its end yet.
    """
    folder = _existing(model) / AVERAGED
    if not any(folder.glob("step-*.index")):
        raise ValueError(
            "The model must be the work directory of a finished run. Received: "
            f"{str(model)!r}, without {AVERAGED}/step-<n>.index, which "
            f"`{_TRAIN}` writes at its end; the same command goes on."
        )
    return folder


def networks_in(model):
    """Returns the names of the networks in a work directory's checkpoints."""
    record = pathlib.Path(model, IMPORTED)
    if not record.is_file():
        return ["generator", "discriminator", "ema_generator"]
    return [*read(record, json.loads)["files"], "ema_generator"]


def has_segmenter(model):
    """Returns whether a work directory's discriminator segments images.

    Not where one was imported without, nor for `discriminator.kind` "patch".

    Args:
        model: path of a work directory.

    Raises:
        ValueError: as `find_checkpoints` does.
    """
    config, _, _ = find_checkpoints(model)
    is_there = "discriminator" in networks_in(model)
    return is_there and config.discriminator.is_segmenter


def _parse_info(text):
    """Returns the `DatasetInfo` in the facts that a work directory keeps."""
    return DatasetInfo.from_json(json.dumps(json.loads(text)["info"]))


def _existing(model):
    path = pathlib.Path(model)
    if not path.is_dir():
        found = "a file" if path.exists() else "which does not exist"
        raise ValueError(
            f"The model must be a folder that `{_TRAIN}` or `{_IMPORT}` wrote. "
            f"Received: {str(model)!r}, {found}."
        )
    return path


def read(path, parse):
    """Returns what `parse` makes of a file's text.

    Raises:
        ValueError: naming the file, if it is missing or broken.
    """
    try:
        return parse(path.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be there, as the run wrote it. Received: {error}."
        ) from error


def write(path, text):
    """Writes a text file whole or not at all.

    Args:
        path: `pathlib.Path`.
        text: what it shall hold.
    """
    with replacing(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def replacing(path):
    """Context that yields the path of a file to write, which becomes `path`.

    At its end, whole: if the process ends before, `path` stays as it was. Two
    processes that write one file do not meet.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def claim(record, settings, what):
    """Writes what a folder's files follow from, or compares with that.

    Args:
        record: `pathlib.Path` of the file for it, in a folder that exists.
        settings: dict, plain enough for JSON.
        what: the files are, for the message: "pictures".

    Raises:
        ValueError: if there are files of other settings, or the record is
            broken.
    """
    settings = json.loads(json.dumps(settings))
    if record.is_file():
        saved = read(record, lambda text: dict(json.loads(text)))
        lines = [
            f"  {name}: was {saved.get(name)!r}, now {settings.get(name)!r}"
            for name in sorted(saved.keys() | settings.keys())
            if saved.get(name) != settings.get(name)
        ]
        if lines:
            raise ValueError(
                f"{record.parent} holds {what} of other settings; take another "
                "folder.\n" + "\n".join(lines)
            )
        return
    write(record, json.dumps(settings, indent=1))
