"""The way to a model server over gRPC."""

import pathlib

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from oasis_tf.serving.transports import Transport
from oasis_tf.serving.transports import VersionStatus

_TENSOR_BYTES = 64  # Name, dtype, shape and lengths.
_State = get_model_status_pb2.ModelVersionStatus.State


class GrpcTransport(Transport):
    """See `Transport`."""

    def __init__(self, address, max_message_bytes, certificates):
        super().__init__(address, max_message_bytes, certificates)
        target = f"dns:///{address.host_and_port}"
        options = [
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # All servers behind a name share the calls.
            ("grpc.lb_policy_name", "round_robin"),
            # After its own second a retry would not try to connect.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if address.has_tls:
            self._channel = grpc.secure_channel(
                target, _credentials(certificates), options
            )
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, model, signature, rows, seconds):
        request = predict_pb2.PredictRequest(model_spec=_spec(model))
        request.model_spec.signature_name = signature
        for name in rows[0]:
            batch = [row[name] for row in rows]
            if not isinstance(batch[0], bytes):
                batch = np.stack(batch)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
        response = self._ask(self._predictions.Predict, request, seconds)
        try:
            [output] = response.outputs.values()
            return list(tf.make_ndarray(output))
        except (ValueError, TypeError):
            raise self.unknown_answer(response) from None

    def status(self, model, seconds):
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=_spec(model)
        )
        response = self._ask(self._models.GetModelStatus, request, seconds)
        return [
            VersionStatus(
                version.version,
                _State.Name(version.state),
                error_codes_pb2.Code.Name(version.status.error_code),
                version.status.error_message,
            )
            for version in response.model_version_status
        ]

    def row_bytes(self, row):
        return sum(
            _TENSOR_BYTES
            + (len(v) if isinstance(v, bytes) else np.asarray(v).nbytes)
            for v in row.values()
        )

    def answer_bytes(self, num_values):
        return _TENSOR_BYTES + 2 * num_values

    def close(self):
        self._channel.close()

    def _ask(self, method, request, seconds):
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise self.error(error.code().name, error.details()) from error


def _credentials(certificates):
    certificates.context()  # gRPC does not tell what is wrong with a file.
    paths = certificates.root, certificates.key, certificates.client
    return grpc.ssl_channel_credentials(
        *(path and pathlib.Path(path).read_bytes() for path in paths)
    )


def _spec(model):
    spec = model_pb2.ModelSpec(name=model.name)
    if model.version is not None:
        spec.version.value = model.version
    elif model.label is not None:
        spec.version_label = model.label
    return spec
