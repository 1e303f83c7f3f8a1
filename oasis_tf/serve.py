r"""Serves exported models with TF Serving's API, over gRPC and REST.

    python -m oasis_tf.serve --workdir=W
    python -m oasis_tf.serve --model_name=generator --rest_api_port=8501 \
        --model_base_path=$PWD/W/export/generator
    python -m oasis_tf.serve --model_config_file=models.config --port=9000

A `--model_config_file` lists models with their folders, as TF Serving takes it:
`serving/models.config` is one for the folders of its container.

The flags are those of `tensorflow_model_server`, which is started instead if it
is on the PATH; `--engine=local` takes the local server anyway. That one listens
on 127.0.0.1, loads new versions as they appear, and answers like TF Serving:
`serving/README.md` says where it differs. `--workdir` stands for the models of
a run's `export/`, with REST on port 8501. Exits with 2 if a flag or a file is
not as it must be, with 255 if a model cannot be loaded.
"""

import importlib.metadata
import os
import pathlib
import shutil
import sys

from absl import flags
from absl import logging

from oasis_tf import command_line
from oasis_tf import model_files

_BINARY = "tensorflow_model_server"
_FAILED = 255
_REST_PORT = 8501  # TF Serving's container has it there, too.

# The local server's own flags.
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Work directory of a run: its exports are served."
)
_ENGINE = flags.DEFINE_enum(
    "engine", "auto", ["auto", _BINARY, "local"], "Which server to start."
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Local server: address to listen on; 0.0.0.0 for all."
)
_MAX_REQUEST_BYTES = flags.DEFINE_integer(
    "max_request_bytes",
    2**26,
    "Local server: most bytes of a request.",
    lower_bound=1,
)
_DRAIN_SECONDS = flags.DEFINE_float(
    "drain_seconds",
    30,
    "Local server: how long calls in flight may take after SIGTERM.",
    lower_bound=0,
)
_OWN = (_WORKDIR, _ENGINE, _HOST, _MAX_REQUEST_BYTES, _DRAIN_SECONDS)

# TF Serving's flags, with its defaults.
_PORT = flags.DEFINE_integer(
    "port", 8500, "Port of gRPC; 0 for none.", lower_bound=0, upper_bound=65535
)
_SOCKET = flags.DEFINE_string(
    "grpc_socket_path",
    "",
    "Path of a UNIX socket that gRPC listens on as well.",
)
_REST_API_PORT = flags.DEFINE_integer(
    "rest_api_port",
    0,
    "Port of REST; 0 for none. 8501 with --workdir.",
    lower_bound=0,
    upper_bound=65535,
)
_REST_TIMEOUT = flags.DEFINE_integer(
    "rest_api_timeout_in_ms", 30000, "Time limit of a REST call.", lower_bound=1
)
_CORS = flags.DEFINE_bool(
    "rest_api_enable_cors_support",
    False,
    "Let pages of other sites ask (CORS).",
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "default", "Name of the model in --model_base_path."
)
_BASE_PATH = flags.DEFINE_string(
    "model_base_path",
    "",
    "Absolute path of the folder that holds a model's versions.",
)
_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file",
    "",
    "Text file with a ModelServerConfig: models, their folders and labels.",
)
_CONFIG_POLL = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds",
    0,
    "Seconds until that file is read again; 0 for never.",
    lower_bound=0,
)
_POLL = flags.DEFINE_integer(
    "file_system_poll_wait_seconds",
    1,
    "Seconds between looks for new versions; 0 for one look, at the start.",
    lower_bound=0,
)
_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries",
    5,
    "How often a load that failed is tried again.",
    lower_bound=0,
)
_RETRY_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros",
    60000000,
    "Microseconds between these attempts.",
    lower_bound=0,
)
_ALLOW_LABELS = flags.DEFINE_bool(
    "allow_version_labels_for_unavailable_models",
    False,
    "Let a new label name a version that is not loaded yet.",
)
_BATCHING = flags.DEFINE_bool(
    "enable_batching", False, "Run concurrent requests of one size together."
)
_BATCHING_FILE = flags.DEFINE_string(
    "batching_parameters_file",
    "",
    "Text file with BatchingParameters, for --enable_batching.",
)
_WARMUP = flags.DEFINE_bool(
    "enable_model_warmup",
    True,
    "Run a model's warm-up requests before it serves.",
)
_WARMUP_ITERATIONS = flags.DEFINE_integer(
    "num_request_iterations_for_warmup",
    0,
    "How often each warm-up request is run; 0 for once.",
    lower_bound=0,
)
_MONITORING_FILE = flags.DEFINE_string(
    "monitoring_config_file",
    "",
    "Text file with a MonitoringConfig, for metrics on the REST port.",
)
_SSL_FILE = flags.DEFINE_string(
    "ssl_config_file", "", "Text file with an SSLConfig, for TLS over gRPC."
)
_HEALTH = flags.DEFINE_bool(
    "enable_grpc_healthcheck_service",
    False,
    "Answer grpc.health.v1.Health, too.",
)
_CHANNEL_ARGUMENTS = flags.DEFINE_string(
    "grpc_channel_arguments", "", "Options of gRPC's core: key=value,key=value."
)
_INTRA_OP = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism",
    0,
    "Threads within an operation; 0 for one per core.",
    lower_bound=0,
)
_INTER_OP = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism",
    0,
    "Operations at a time; 0 for one per core.",
    lower_bound=0,
)
_TAGS = flags.DEFINE_string(
    "saved_model_tags",
    "serve",
    "Tags of the graph to load, with commas between.",
)
_VERSION = flags.DEFINE_bool("version", False, "Print it and exit.")

# Handed to tensorflow_model_server; the local server refuses them by name.
_TF_SERVING_ONLY = [
    flags.DEFINE_string(name, None, "For tensorflow_model_server alone.")
    for name in """
    allow_version_labels enable_cors_support
    enable_per_model_batching_parameters enable_profiler
    enable_serialization_as_tensor_content
    enable_signature_method_name_check flush_filesystem_caches grpc_max_threads
    mixed_precision num_load_threads num_unload_threads
    per_process_gpu_memory_fraction platform_config_file prefer_tflite_model
    remove_unused_fields_from_bundle_metagraph rest_api_num_threads
    skip_initialize_tpu tensorflow_session_config_file
    tensorflow_session_parallelism thread_pool_factory_config_file
    use_tflite_model xla_cpu_compilation_enabled
    """.split()
]


def main():
    others = [f for f in (_BASE_PATH, _CONFIG_FILE) if f.value]
    if _WORKDIR.value and others:
        raise ValueError(
            f"`--workdir` and `--{others[0].name}` exclude each other. "
            "Received: both."
        )
    binary = shutil.which(_BINARY)
    if _ENGINE.value == _BINARY and not binary:
        raise ValueError(
            f"`--engine={_BINARY}` needs it on the PATH. Received: none there."
        )
    if binary and _ENGINE.value != "local":
        return _start_binary(binary)
    if _VERSION.value:
        tensorflow = importlib.metadata.version("tensorflow")
        print(f"oasis_tf.serve, on TensorFlow {tensorflow}")
        return 0
    for flag in _TF_SERVING_ONLY:
        if flag.value is not None:
            raise ValueError(
                f"`--{flag.name}` is for {_BINARY}, the local server does not "
                "support it. Received: "
                f"{flag.value!r}, and "
                + ("`--engine=local`." if binary else f"no {_BINARY}.")
            )
    print("Starting; loading and warming up the models...", flush=True)
    # Imported late, so that --help and mistyped flags answer at once.
    import tensorflow as tf

    from oasis_tf.serving import server
    from oasis_tf.serving.status import StatusError

    tf.get_logger().setLevel("ERROR")  # Not a line for each restored file.
    try:
        # INFO, so that loads and reloads are seen.
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.INFO)
        server.serve(_options(server))
    except StatusError as error:
        hint = ""
        if error.code == "FAILED_PRECONDITION" and not _ALLOW_LABELS.value:
            hint = f". A label may come first with --{_ALLOW_LABELS.name}"
        return command_line.fail(
            f"Failed to start server. Error: {error}{hint}", _FAILED
        )
    return 0


def _options(server):
    """Returns the `Options` that the flags say."""
    import tensorflow as tf

    from oasis_tf.serving import batching
    from oasis_tf.serving import messages
    from oasis_tf.serving import model_config
    from oasis_tf.serving import versions

    if _BATCHING_FILE.value and not _BATCHING.value:
        raise ValueError(
            "`--batching_parameters_file` needs `--enable_batching`. "
            f"Received: {_BATCHING_FILE.value!r} alone."
        )
    if _PORT.value and _PORT.value == _rest_port():
        raise ValueError(
            "`--port` and `--rest_api_port` must differ. Received: "
            f"{_PORT.value} for both."
        )
    parameters = batching.Parameters()
    if _BATCHING.value:
        message = messages.BatchingParameters()
        if _BATCHING_FILE.value:
            message = messages.parse_file(
                _BATCHING_FILE.value, messages.BatchingParameters
            )
        parameters = batching.Parameters.from_message(message)
    metrics_path = ""
    if _MONITORING_FILE.value:
        monitoring = messages.parse_file(
            _MONITORING_FILE.value, messages.MonitoringConfig
        ).prometheus_config
        if monitoring.enable:
            metrics_path = monitoring.path or "/monitoring/prometheus/metrics"
    ssl = None
    if _SSL_FILE.value:
        ssl = messages.parse_file(_SSL_FILE.value, messages.SSLConfig)
    iterations = _WARMUP_ITERATIONS.value or 1
    return server.Options(
        models=_models(server, model_config),
        settings=versions.Settings(
            poll_seconds=_POLL.value,
            max_retries=_RETRIES.value,
            retry_seconds=_RETRY_MICROS.value / 1e6,
            warmup_iterations=iterations if _WARMUP.value else 0,
            allow_labels=_ALLOW_LABELS.value,
            tags=frozenset(_TAGS.value.split(",")),
            session_config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=_INTRA_OP.value,
                inter_op_parallelism_threads=_INTER_OP.value,
            ),
        ),
        batching=parameters,
        host=_HOST.value,
        port=_PORT.value,
        socket_path=_SOCKET.value,
        rest_port=_rest_port(),
        rest_timeout=_REST_TIMEOUT.value / 1000,
        has_cors=_CORS.value,
        has_health=_HEALTH.value,
        metrics_path=metrics_path,
        ssl=ssl,
        channel_arguments=tuple(_channel_arguments()),
        max_bytes=_MAX_REQUEST_BYTES.value,
        max_bytes_held=8 * _MAX_REQUEST_BYTES.value,
        drain_seconds=_DRAIN_SECONDS.value,
        config_file=_CONFIG_FILE.value,
        config_poll_seconds=_CONFIG_POLL.value,
    )


def _rest_port():
    is_given = flags.FLAGS["rest_api_port"].present
    if _WORKDIR.value and not is_given:
        return _REST_PORT
    return _REST_API_PORT.value


def _models(server, model_config):
    if _CONFIG_FILE.value:
        return server.read_models(_CONFIG_FILE.value)
    if _WORKDIR.value:
        return [
            model_config.Model(folder.name, str(folder))
            for folder in _exported(_WORKDIR.value)
        ]
    if not _BASE_PATH.value:
        raise ValueError(
            "`--workdir`, `--model_base_path` or `--model_config_file` is "
            "needed."
        )
    if not os.path.isabs(_BASE_PATH.value):
        raise ValueError(
            "`--model_base_path` must be an absolute path. Received: "
            f"{_BASE_PATH.value!r}."
        )
    return [model_config.Model(_MODEL_NAME.value, _BASE_PATH.value)]


def _exported(workdir):
    """Returns the absolute folders of a run's exported models."""
    model_files.find_export(workdir)  # Says what is wrong if there is none.
    base = pathlib.Path(workdir, model_files.EXPORT).resolve()
    return sorted(
        folder
        for folder in base.iterdir()
        if any(version.name.isdigit() for version in folder.glob("*/"))
    )


def _channel_arguments():
    for pair in filter(None, _CHANNEL_ARGUMENTS.value.split(",")):
        key, found, value = pair.partition("=")
        if not (key and found):
            raise ValueError(
                "`--grpc_channel_arguments` must be key=value,key=value. "
                f"Received: {_CHANNEL_ARGUMENTS.value!r}."
            )
        yield key, int(value) if value.lstrip("-").isdigit() else value


def _start_binary(binary):
    """Becomes TF Serving's own server, with the same flags."""
    own = {flag.name for flag in _OWN}
    arguments = []
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        if not flag.present:
            continue
        if flag.name not in own:
            value = flag.value
            text = str(value).lower() if isinstance(value, bool) else value
            arguments.append(f"--{flag.name}={text}")
        elif flag.name not in (_WORKDIR.name, _ENGINE.name):
            logging.warning(
                "--%s is for the local server; %s does without.",
                flag.name,
                binary,
            )
    if _WORKDIR.value:
        arguments.append(f"--model_config_file={_write_config()}")
        if not flags.FLAGS["rest_api_port"].present:
            arguments.append(f"--rest_api_port={_REST_PORT}")
    logging.warning("%s listens on all addresses, for everybody.", binary)
    print(f"Starting {binary}", *arguments, flush=True)
    os.execv(binary, [binary, *arguments])


def _write_config():
    """Returns the path of a `ModelServerConfig` of a run's exports."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    for folder in _exported(_WORKDIR.value):
        config.model_config_list.config.add(
            name=folder.name, base_path=str(folder), model_platform="tensorflow"
        )
    # In memory that is handed on: no file is left when the server ends.
    file = os.memfd_create("models.config", 0)
    os.write(file, text_format.MessageToString(config).encode())
    return f"/proc/self/fd/{file}"


if __name__ == "__main__":
    command_line.run(main)
