"""`ModelServerConfig`: which models to serve, from a file or a request."""

import os

from oasis_tf.serving.status import StatusError
from oasis_tf.serving.versions import Model


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
