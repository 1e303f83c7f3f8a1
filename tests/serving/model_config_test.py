"""What a `ModelServerConfig` says, and which of them are refused."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from oasis_tf.serving import model_config
from oasis_tf.serving.model_config import Model
from oasis_tf.serving.status import StatusError


def read(text):
    return model_config.read(
        text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    )


def config(name="m", more="", path="/models/m", platform="tensorflow"):
    return f"""config {{
        name: "{name}" base_path: "{path}" model_platform: "{platform}" {more}
    }}"""


def listed(*configs):
    return f"model_config_list {{ {' '.join(configs)} }}"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", {"num_latest": 1}),
        ("latest { }", {"num_latest": 1}),
        ("latest { num_versions: 2 }", {"num_latest": 2}),
        ("all { }", {"num_latest": 0}),
        ("specific { versions: 7 versions: 3 }", {"specific": (7, 3)}),
    ],
)
def test_policies(policy, expected):
    more = f"model_version_policy {{ {policy} }}"
    assert read(listed(config(more=more))) == [
        Model("m", "/models/m", **expected)
    ]


def test_several_models_with_labels():
    labels = """
        version_labels { key: "stable" value: 1 }
        version_labels { key: "canary" value: 2 }
    """
    assert read(listed(config("a", labels), config("b", path="/b"))) == [
        Model("a", "/models/m", labels={"stable": 1, "canary": 2}),
        Model("b", "/b"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "ServerModelConfig type not supported by "
            "HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported",
        ),
        (
            listed(config("a"), config("b"), config("a")),
            "Illegal to list model a multiple times in config list",
        ),
        (
            listed(config(path="models/m")),
            "Expected model m to have an absolute path or URI; got "
            "base_path()=models/m",
        ),
        (
            listed(config(platform="pytorch")),
            "Model m requests unsupported platform pytorch",
        ),
        (
            listed(config(platform="")),
            "Model m requests unsupported platform ",
        ),
        (
            listed(config(more="logging_config { }")),
            "No request-logger-creator provided.",
        ),
        (
            listed(config(more="model_version_policy { specific { } }")),
            "Model m: at least one specific version is needed",
        ),
    ],
)
def test_others_are_refused(text, message):
    with pytest.raises(StatusError) as raised:
        read(text)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message == message
