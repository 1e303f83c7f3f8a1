"""The gRPC API: `PredictionService` and `ModelService` of TF Serving."""

import asyncio
import contextlib
import time

import grpc
from absl import logging
from google.protobuf import message
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_service_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from oasis_tf.serving import metrics as metrics_lib
from oasis_tf.serving import model_config
from oasis_tf.serving import tensor_protos
from oasis_tf.serving.pools import run_in
from oasis_tf.serving.servable import DEFAULT_SIGNATURE
from oasis_tf.serving.status import StatusError

# From their files, which clients ask for by these names.
SERVICE_NAMES = tuple(
    service.full_name
    for module in (prediction_service_pb2, model_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
_MAX_DETAILS = 1024
_TRUNCATED = "...TRUNCATED"
_METADATA_FIELD = "signature_def"
_State = get_model_status_pb2.ModelVersionStatus.State


class _Answering:
    """Turns errors into gRPC's."""

    async def _answer(self, context, work):
        try:
            return await work
        except StatusError as error:
            await _abort(context, error)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            logging.exception("A request failed.")
            await _abort(context, StatusError("INTERNAL", "Internal error."))


class BrokenRequests(grpc.aio.ServerInterceptor):
    """Answers bytes that are no request with INTERNAL, as C++ servers do.

    Python's would say UNKNOWN.
    """

    async def intercept_service(self, continuation, handler_call_details):
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def deserialize(data):
            try:
                return handler.request_deserializer(data)
            except message.DecodeError:
                return None

        async def answer(request, context):
            if request is None:
                error = StatusError("INTERNAL", "The request is broken.")
                await _abort(context, error)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, deserialize, handler.response_serializer
        )


async def _abort(context, error):
    details = error.message.encode(errors="replace")
    if len(details) > _MAX_DETAILS:
        details = details[: _MAX_DETAILS - len(_TRUNCATED)]
        details += _TRUNCATED.encode()
    await context.abort(error.grpc_code, details.decode(errors="ignore"))


class PredictionService(
    _Answering, prediction_service_pb2_grpc.PredictionServiceServicer
):
    """Predict and GetModelMetadata.

    Args:
        manager: `ModelManager`.
        scheduler: `Scheduler`.
        metrics: `Metrics`.
        pool: `concurrent.futures.Executor` for what takes a processor's time.
        admission: `Admission`.
    """

    def __init__(self, manager, scheduler, metrics, pool, admission):
        self._manager = manager
        self._scheduler = scheduler
        self._metrics = metrics
        self._pool = pool
        self._admission = admission

    async def Predict(self, request, context):
        return await self._answer(context, self._predict(request, context))

    async def GetModelMetadata(self, request, context):
        return await self._answer(context, self._metadata(request))

    async def Classify(self, request, context):
        await _refuse(context, "Classify")

    async def Regress(self, request, context):
        await _refuse(context, "Regress")

    async def MultiInference(self, request, context):
        await _refuse(context, "MultiInference")

    async def _predict(self, request, context):
        start, code = time.monotonic(), "INTERNAL"
        name = request.model_spec.name
        seconds = context.time_remaining()
        deadline = None if seconds is None else start + seconds
        # Counted until the answer is sent: a client that does not read would
        # leave it in memory.
        holding = contextlib.ExitStack()
        context.add_done_callback(lambda _: holding.close())
        try:
            num_bytes = tensor_protos.bytes_in_memory(request.inputs)
            held = holding.enter_context(self._admission.holding(num_bytes))
            future, response = await run_in(
                self._pool,
                self._submit,
                request,
                deadline,
                drop=lambda result: result[0].cancel(),
            )
            outputs = await asyncio.wrap_future(future)
            await run_in(self._pool, _write_outputs, outputs, response)
            held.become(response.ByteSize())
            code = "OK"
            self._metrics.observe(
                metrics_lib.REQUEST_LATENCY,
                1e6 * (time.monotonic() - start),
                model_name=name,
                API="Predict",
                entrypoint="GRPC",
            )
            return response
        except StatusError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            is_late = deadline is not None and time.monotonic() >= deadline
            code = "DEADLINE_EXCEEDED" if is_late else "CANCELLED"
            raise
        finally:
            # Names that clients make up would fill the memory.
            known = name if name in self._manager.names() else ""
            self._metrics.count(
                metrics_lib.REQUEST_COUNT, model_name=known, status=code
            )

    def _submit(self, request, deadline):
        """Puts a request into the queue.

        Returns:
            The future of the outputs, and the response without them.
        """
        servable = _acquire(self._manager, request)
        try:
            signature_name = (
                request.model_spec.signature_name or DEFAULT_SIGNATURE
            )
            signature = servable.signature(signature_name)
            if signature is None:
                raise StatusError(
                    "FAILED_PRECONDITION",
                    f'Serving signature key "{signature_name}" not found.',
                )
            _check_inputs(request, signature)
            inputs = tensor_protos.read_all(request.inputs)
            _check_outputs(request, signature)
        except BaseException:
            servable.release()
            raise
        response = predict_pb2.PredictResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.model_spec.signature_name = signature_name
        future = self._scheduler.submit(
            servable,
            signature_name,
            inputs,
            list(request.output_filter) or None,
            deadline,
        )
        return future, response

    async def _metadata(self, request):
        if not request.HasField("model_spec"):
            raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise StatusError(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one "
                "metadata_field",
            )
        for field in request.metadata_field:
            if field != _METADATA_FIELD:
                raise StatusError(
                    "INVALID_ARGUMENT",
                    f"Metadata field {field} is not supported",
                )
        servable = _acquire(self._manager, request)
        try:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signature_defs.items():
                signatures.signature_def[name].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            response.metadata[_METADATA_FIELD].Pack(signatures)
            return response
        finally:
            servable.release()


async def _refuse(context, method):
    await _abort(
        context,
        StatusError("UNIMPLEMENTED", f"{method} is left out: use Predict."),
    )


def _acquire(manager, request):
    if not request.HasField("model_spec"):
        raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise StatusError(
            "INVALID_ARGUMENT", "ModelSpec has no name specified."
        )
    choice = spec.WhichOneof("version_choice")
    return manager.acquire(
        spec.name,
        spec.version.value if choice == "version" else None,
        # An empty label is none.
        (spec.version_label or None) if choice == "version_label" else None,
    )


def _check_inputs(request, signature):
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) != len(wanted):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_braces(sent)}) != len({_braces(wanted)}). Sent extra: "
            f"{_braces(sent - wanted)}. Missing but required: "
            f"{_braces(wanted - sent)}.",
        )
    for name in sorted(wanted - sent):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Signature input alias: {name}(feed name: "
            f"{signature.inputs[name].name}) not found in request and no "
            "default value provided. Inputs expected to be in the request "
            f"{_braces(sent)}, or default input alias set: ",
        )


def _check_outputs(request, signature):
    seen = set()
    for name in request.output_filter:
        if name not in signature.outputs:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} Outputs "
                f"expected to be in the set {_braces(signature.outputs)}.",
            )
        if name in seen:
            raise StatusError(
                "INVALID_ARGUMENT", f"duplicate output tensor alias: {name}"
            )
        seen.add(name)


def _braces(names):
    return "{" + ",".join(sorted(names)) + "}"


def _write_outputs(outputs, response):
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensor_protos.write(array))


class ModelService(_Answering, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        manager: `ModelManager`.
        pool: `concurrent.futures.Executor` for what may take long.
    """

    def __init__(self, manager, pool):
        self._manager = manager
        self._pool = pool

    async def GetModelStatus(self, request, context):
        return await self._answer(context, self._status(request))

    async def HandleReloadConfigRequest(self, request, context):
        return await self._answer(context, self._reload(request))

    async def _status(self, request):
        if not request.HasField("model_spec"):
            raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")
        spec = request.model_spec
        has_version = spec.WhichOneof("version_choice") == "version"
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state, error in self._manager.status(
            spec.name, spec.version.value if has_version else None
        ):
            status = response.model_version_status.add(
                version=version, state=_State.Value(state)
            )
            # A status without an error is there all the same.
            status.status.error_code = error.grpc_code.value[0] if error else 0
            status.status.error_message = error.message if error else ""
        return response

    async def _reload(self, request):
        models = model_config.read(request.config)
        await run_in(self._pool, self._manager.reload, models)
        return model_management_pb2.ReloadConfigResponse()
