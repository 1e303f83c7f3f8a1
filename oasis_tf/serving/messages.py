"""TF Serving's configuration messages that its Python package leaves out."""

import pathlib

from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import message_factory
from google.protobuf import text_format
from google.protobuf import wrappers_pb2

_PACKAGE = "tensorflow.serving"

# {message: {field: type}}, fields numbered from 1 as in TF Serving. A type in
# capitals is a scalar, any other a message; "*" marks a repeated field.
_MESSAGES = {
    "PrometheusConfig": {"enable": "BOOL", "path": "STRING"},
    "MonitoringConfig": {"prometheus_config": f"{_PACKAGE}.PrometheusConfig"},
    "SSLConfig": {
        "server_key": "STRING",
        "server_cert": "STRING",
        "custom_ca": "STRING",
        "client_verify": "BOOL",
    },
    "BatchingParameters": {
        "max_batch_size": "google.protobuf.Int64Value",
        "batch_timeout_micros": "google.protobuf.Int64Value",
        "max_enqueued_batches": "google.protobuf.Int64Value",
        "num_batch_threads": "google.protobuf.Int64Value",
        "thread_pool_name": "google.protobuf.StringValue",
        "allowed_batch_sizes": "*INT64",
        "pad_variable_length_inputs": "BOOL",
        "enable_large_batch_splitting": "google.protobuf.BoolValue",
        "max_execution_batch_size": "google.protobuf.Int64Value",
    },
}


def parse_file(path, message_class):
    """Reads a message from a file of protobuf's text format.

    Args:
        path: of the file.
        message_class: `SSLConfig` or another.

    Returns:
        The message.

    Raises:
        ValueError: if there is no such file, or it is not such a message.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        return text_format.Parse(text, message_class())
    except OSError as error:
        reason = error.strerror
    except (UnicodeDecodeError, text_format.ParseError) as error:
        reason = str(error).rstrip(".")
    raise ValueError(
        f"Invalid protobuf file: '{path}'. It must be a "
        f"{message_class.DESCRIPTOR.name} in text format. Received: {reason}."
    )


def _message_class(name):
    pool = descriptor_pool.Default()
    try:
        descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    except KeyError:
        pool.AddSerializedFile(_file().SerializeToString())
        descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


def _file():
    file = descriptor_pb2.FileDescriptorProto(
        name="oasis_tf/serving/messages.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, type_) in enumerate(fields.items(), start=1):
            _add_field(message, field, number, type_)
    return file


def _add_field(message, name, number, type_):
    kinds = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=number)
    field.label = kinds.LABEL_OPTIONAL
    if type_.startswith("*"):
        field.label = kinds.LABEL_REPEATED
        type_ = type_.removeprefix("*")
    if type_.isupper():
        field.type = kinds.Type.Value(f"TYPE_{type_}")
    else:
        field.type = kinds.TYPE_MESSAGE
        field.type_name = f".{type_}"


PrometheusConfig = _message_class("PrometheusConfig")
MonitoringConfig = _message_class("MonitoringConfig")
SSLConfig = _message_class("SSLConfig")
BatchingParameters = _message_class("BatchingParameters")
