"""The configuration messages, and files of them."""

import importlib.util

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from oasis_tf.serving import messages

BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 16 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 1
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""
MONITORING = """
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""
SSL = r"""
server_key: "a\nkey\n" server_cert: "a\ncertificate\n" custom_ca: "a CA"
client_verify: true
"""


def parse(tmp_path, text, message_class):
    path = tmp_path / "file.config"
    path.write_text(text)
    return messages.parse_file(path, message_class)


def error_of(tmp_path, text, message_class):
    with pytest.raises(ValueError) as caught:
        parse(tmp_path, text, message_class)
    message = str(caught.value)
    path = tmp_path / "file.config"
    assert message.startswith(f"Invalid protobuf file: '{path}'. ")
    return message


def test_batching_parameters_are_wrapped_numbers(tmp_path):
    message = parse(tmp_path, BATCHING, messages.BatchingParameters)
    assert message.max_batch_size.value == 8
    assert message.batch_timeout_micros.value == 5000
    assert message.max_enqueued_batches.value == 16
    assert message.num_batch_threads.value == 2
    assert list(message.allowed_batch_sizes) == [1, 4, 8]
    assert not message.HasField("enable_large_batch_splitting")


def test_monitoring_holds_the_path_of_prometheus(tmp_path):
    message = parse(tmp_path, MONITORING, messages.MonitoringConfig)
    assert message.prometheus_config == messages.PrometheusConfig(
        enable=True, path="/monitoring/prometheus/metrics"
    )


def test_ssl_holds_texts(tmp_path):
    message = parse(tmp_path, SSL, messages.SSLConfig)
    assert message.server_key == "a\nkey\n"
    assert message.server_cert == "a\ncertificate\n"
    assert message.custom_ca == "a CA"
    assert message.client_verify


@pytest.mark.parametrize(
    ("text", "message_class"),
    [
        (BATCHING, messages.BatchingParameters),
        (MONITORING, messages.MonitoringConfig),
        (SSL, messages.SSLConfig),
    ],
)
def test_text_and_bytes_come_back(tmp_path, text, message_class):
    message = parse(tmp_path, text, message_class)
    again = text_format.MessageToString(message)
    assert parse(tmp_path, again, message_class) == message
    assert message_class.FromString(message.SerializeToString()) == message


def test_on_the_wire_the_numbers_are_tf_servings():
    # A field's key is 8 * its number, and 2 where a length follows.
    monitoring = messages.MonitoringConfig()
    monitoring.prometheus_config.path = "a"
    assert monitoring.SerializeToString() == b"\x0a\x03\x12\x01a"
    batching = messages.BatchingParameters(allowed_batch_sizes=[8])
    batching.max_execution_batch_size.value = 4
    assert batching.SerializeToString() == b"\x32\x01\x08\x4a\x02\x08\x04"
    ssl = messages.SSLConfig(custom_ca="a", client_verify=True)
    assert ssl.SerializeToString() == b"\x1a\x01a\x20\x01"


def test_messages_of_the_package_are_read_too(tmp_path):
    text = 'model_config_list { config { name: "a" } }  # A comment.'
    config = model_server_config_pb2.ModelServerConfig
    message = parse(tmp_path, text, config)
    assert message.model_config_list.config[0].name == "a"


def test_an_unknown_field_is_named(tmp_path):
    error = error_of(tmp_path, "max_batch: 8", messages.BatchingParameters)
    assert "must be a BatchingParameters" in error
    assert 'no field named "max_batch"' in error


@pytest.mark.parametrize(
    ("text", "message_class"),
    [
        ("max_batch_size: 8", messages.BatchingParameters),
        ("allowed_batch_sizes: big", messages.BatchingParameters),
        ("prometheus_config { enable: 7 }", messages.MonitoringConfig),
        ("server_key: 7", messages.SSLConfig),
        (MONITORING, messages.SSLConfig),
        ("client_verify: true }", messages.SSLConfig),
    ],
)
def test_a_wrong_type_is_refused(tmp_path, text, message_class):
    assert "Received: 1:" in error_of(
        tmp_path, text.strip(), message_class
    ).replace("\n", " ")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ValueError, match="No such file or directory"):
        messages.parse_file(tmp_path / "none", messages.SSLConfig)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="Invalid protobuf file: .*utf-8"):
        messages.parse_file(tmp_path / "file", messages.SSLConfig)


def test_importing_twice_is_harmless():
    spec = importlib.util.spec_from_file_location("again", messages.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.SSLConfig.DESCRIPTOR is messages.SSLConfig.DESCRIPTOR
