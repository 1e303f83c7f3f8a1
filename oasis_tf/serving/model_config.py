"""`ModelServerConfig`: which models to serve, from a file or a request."""

import dataclasses
import os
import pathlib

from oasis_tf.serving.status import StatusError

_LARGEST_VERSION = 2**63 - 1  # That a request can name.


@dataclasses.dataclass(frozen=True)
class Model:
    """What the configuration says of a model.

    Args:
        name: in requests.
        base_path: absolute folder of its versions.
        num_latest: how many of the newest versions are served; 0 for all.
        specific: versions to serve instead, or None.
        labels: dict of label -> version.
    """

    name: str
    base_path: str
    num_latest: int = 1
    specific: tuple | None = None
    labels: dict = dataclasses.field(default_factory=dict)

    def wanted(self):
        """Returns the folders of the versions to serve: dict by version."""
        try:
            found = {
                int(folder.name): folder
                for folder in pathlib.Path(self.base_path).iterdir()
                if folder.name.isascii()
                and folder.name.isdigit()
                and int(folder.name) <= _LARGEST_VERSION
                and folder.is_dir()
            }
        except OSError:
            found = {}
        if self.specific is not None:
            return {v: found[v] for v in self.specific if v in found}
        newest = sorted(found, reverse=True)
        newest = newest[: self.num_latest] if self.num_latest else newest
        return {v: found[v] for v in newest}

    def what_is_there(self):
        """Returns what the base path has instead of a version, in words."""
        base = pathlib.Path(self.base_path)
        try:
            folders = sorted(path.name for path in base.glob("*/"))
            if not base.is_dir():
                return "a file" if base.exists() else "nothing"
        except OSError as error:
            return error.strerror
        if (base / "saved_model.pb").is_file():
            return f"a version itself; give its parent, {base.parent}"
        for name in folders:
            if any(path.name.isdigit() for path in (base / name).glob("*/")):
                return f"models; give one of them, such as {base / name}"
        return f"the folders {', '.join(folders)}" if folders else "no folders"


def read(message):
    """Returns the models of a `ModelServerConfig`.

    Args:
        message: `ModelServerConfig`.

    Returns:
        List of `Model`.

    Raises:
        StatusError: if TF Serving would refuse it.
    """
    if message.WhichOneof("config") != "model_config_list":
        raise _refused(
            "ServerModelConfig type not supported by "
            "HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    models = [_read_model(m) for m in message.model_config_list.config]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise _refused(
                f"Illegal to list model {name} multiple times in config list"
            )
    return models


def _read_model(config):
    if not os.path.isabs(config.base_path):
        raise _refused(
            f"Expected model {config.name} to have an absolute path or URI; "
            f"got base_path()={config.base_path}"
        )
    if config.model_platform != "tensorflow":
        raise _refused(
            f"Model {config.name} requests unsupported platform "
            f"{config.model_platform}"
        )
    if config.HasField("logging_config"):
        raise _refused("No request-logger-creator provided.")
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    num_latest, specific = 1, None
    if kind == "all":
        num_latest = 0
    elif kind == "latest":
        num_latest = policy.latest.num_versions or 1
    elif kind == "specific":
        specific = tuple(policy.specific.versions)
        if not specific:
            raise _refused(
                f"Model {config.name}: at least one specific version is needed"
            )
    return Model(
        config.name,
        config.base_path,
        num_latest,
        specific,
        # In an order of their own: the first that is refused is told.
        dict(sorted(config.version_labels.items())),
    )


def _refused(message):
    return StatusError("INVALID_ARGUMENT", message)
