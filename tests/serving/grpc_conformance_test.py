"""The gRPC API, held against the contract of TF Serving."""

import contextlib
import dataclasses
import shutil
import subprocess

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import regression_pb2

from oasis_tf.serving import messages
from oasis_tf.serving import tensor_protos
from oasis_tf.serving.batching import Parameters
from oasis_tf.serving.model_config import Model
from oasis_tf.serving.versions import Settings
from tests.serving import running
from tests.serving import toy_models

F32 = np.float32
ONE = np.ones([1], F32)
LABEL_MAP = np.arange(32 * 32, dtype=np.int32).reshape(1, 32, 32) % 6
SEED = np.array([7])
ENDLESS = np.array([10**12])
LABELS = Settings(allow_labels=True)
NO_NAME = "ModelSpec has no name specified."
NO_SPEC = "Missing ModelSpec"
IN = "INVALID_ARGUMENT"


@pytest.fixture(scope="module")
def server():
    with running.running(
        toy_models.models(), settings=LABELS, rest_port=0
    ) as options:
        yield options


@pytest.fixture(scope="module")
def stubs(server):
    with running.stubs(server) as stubs:
        yield stubs


def half(x=ONE, **spec):
    """Returns a request for `half_plus_two`."""
    return running.predict_request("half_plus_two", {"x": x}, **spec)


def oasis(signature, output_filter=(), **inputs):
    """Returns a request for a signature of `oasis`."""
    return running.predict_request(
        "oasis", inputs, output_filter, signature_name=signature
    )


def proto(dtype=types_pb2.DT_FLOAT, shape=(), **values):
    """Returns a `TensorProto`."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def arrays(response):
    return {k: tensor_protos.read(v) for k, v in response.outputs.items()}


class TestPredict:
    @pytest.mark.parametrize(
        ("x", "y"),
        [
            (proto(shape=[2], float_val=[1, 3]), [2.5, 3.5]),
            (
                proto(shape=[2], tensor_content=F32([1, 3]).tobytes()),
                [2.5, 3.5],
            ),
            (proto(shape=[3], float_val=[1]), [2.5, 2.5, 2.5]),
            (proto(shape=[3], float_val=[1, 3]), [2.5, 3.5, 3.5]),
            (proto(shape=[2]), [2, 2]),
            (proto(shape=[0]), []),
            (proto(shape=[1], float_val=[1, 3]), [2.5]),
            (proto(shape=[2], float_val=[np.inf, -np.inf]), [np.inf, -np.inf]),
        ],
    )
    def test_takes_both_encodings(self, stubs, x, y):
        [found] = arrays(stubs.predict(half(x))).values()
        assert found.tolist() == y

    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            ({}, 124),
            ({"version": 123}, 123),
            ({"version": 124}, 124),
            ({"version_label": "stable"}, 123),
            ({"version_label": "canary"}, 124),
            ({"version_label": ""}, 124),
            ({"signature_name": "serving_default"}, 124),
        ],
    )
    def test_version_and_label_choose(self, stubs, spec, version):
        response = stubs.predict(half(**spec))
        assert response.model_spec.name == "half_plus_two"
        assert response.model_spec.version.value == version
        assert response.model_spec.signature_name == "serving_default"
        assert response.model_spec.WhichOneof("version_choice") == "version"

    def test_draws(self, stubs):
        request = oasis("synthesize", label_map=LABEL_MAP, seed=SEED)
        image = arrays(stubs.predict(request))["image"]
        assert image.dtype == np.uint8
        assert image.shape == (1, 32, 32, 3)
        assert len(np.unique(image[0, 0], axis=0)) == toy_models.CLASSES

    def test_draws_files(self, stubs):
        file = tf.io.encode_png(LABEL_MAP[0, ..., None].astype(np.uint8))
        files = np.array([file.numpy()] * 2, object)
        request = oasis("synthesize_png", label_map_bytes=files)
        response = stubs.predict(request)
        drawn = response.outputs["image_bytes"].string_val
        request = oasis("multi", ["image"], label_map=LABEL_MAP)
        [image] = arrays(stubs.predict(request))["image"]
        for png in drawn:
            np.testing.assert_array_equal(tf.io.decode_png(png), image)

    @pytest.mark.parametrize(
        "names", [["mean"], ["half", "image"], ["half", "image", "mean"], []]
    )
    def test_filter_chooses_outputs(self, stubs, names):
        request = oasis("multi", names, label_map=LABEL_MAP)
        response = stubs.predict(request)
        assert sorted(response.outputs) == names or ["half", "image", "mean"]

    def test_takes_scalars(self, stubs):
        request = oasis("scalar_in", x=F32([1, 2]), scale=F32(3))
        found = arrays(stubs.predict(request))
        assert found["y"].tolist() == [3, 6]
        assert found["total"].shape == ()
        assert found["total"] == 3

    @pytest.mark.parametrize("as_content", [False, True])
    def test_every_dtype_comes_back_in_its_typed_field(self, stubs, as_content):
        inputs = {
            name: np.array([[1], [0]]).astype(getattr(tf, name).as_numpy_dtype)
            for name in toy_models.DTYPES
        }
        inputs["string"] = np.array([[b"\xff"], [b""]], object)
        sent = {
            name: tf.make_tensor_proto(array)
            if as_content and name != "string"
            else array
            for name, array in inputs.items()
        }
        response = stubs.predict(oasis("every_dtype", **sent))
        fields = dict.fromkeys(toy_models.DTYPES, "int_val")
        fields |= {"float16": "half_val", "bfloat16": "half_val"}
        fields |= {"float32": "float_val", "float64": "double_val"}
        for name in ("int64", "uint32", "uint64", "bool", "string"):
            fields[name] = f"{name}_val"
        for name, array in inputs.items():
            output = response.outputs[f"{name}_out"]
            assert output.dtype == getattr(tf, name).as_datatype_enum
            set_fields = [field.name for field, _ in output.ListFields()]
            assert set_fields == ["dtype", "tensor_shape", fields[name]]
            assert len(getattr(output, fields[name])) == 2
            np.testing.assert_array_equal(tf.make_ndarray(output), array)

    def test_takes_packed_messages(self, stubs):
        response = stubs.predict(half(), compression=grpc.Compression.Gzip)
        assert arrays(response)["y"] == [2.5]

    def test_answer_over_4_mib_needs_a_larger_limit(self, server, stubs):
        # Numbers over 127 take two bytes.
        label_map = np.zeros([1, 1024, 1024], np.int32)
        request = oasis("synthesize", label_map=label_map, seed=SEED)
        response = stubs.predict(request)
        assert arrays(response)["image"].shape == (1, 1024, 1024, 3)
        with running.stubs(server, max_receive_message_length=2**22) as others:
            code, details = running.refusal(others.predict, request)
        assert code == "RESOURCE_EXHAUSTED"
        assert f"larger than max ({response.ByteSize()} vs. 4194304)" in details


XY = {"label_map": LABEL_MAP, "seed": SEED}
FILTERED = "output tensor alias not found in signature: {} Outputs expected "

PREDICT_ERRORS = [
    ("no spec", predict_pb2.PredictRequest(), IN, NO_SPEC),
    ("no name", running.predict_request("", {"x": ONE}), IN, NO_NAME),
    (
        "unknown model",
        running.predict_request("nope", {"x": ONE}),
        "NOT_FOUND",
        "Servable not found for request: Latest(nope)",
    ),
    (
        "unknown version",
        half(version=7),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 7)",
    ),
    (
        "version 0",
        half(version=0),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 0)",
    ),
    (
        "version -1",
        half(version=-1),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, -1)",
    ),
    (
        "unknown label",
        half(version_label="nope"),
        IN,
        "Unrecognized servable version label: nope",
    ),
    (
        "unknown signature",
        half(signature_name="nope"),
        "FAILED_PRECONDITION",
        'Serving signature key "nope" not found.',
    ),
    (
        "initialization is no signature",
        half(signature_name="__saved_model_init_op"),
        "FAILED_PRECONDITION",
        'Serving signature key "__saved_model_init_op" not found.',
    ),
    (
        "too few inputs",
        oasis("synthesize", seed=SEED),
        IN,
        "input size does not match signature: 1!=2 len({seed}) != "
        "len({label_map,seed}). Sent extra: {}. Missing but required: "
        "{label_map}.",
    ),
    (
        "no inputs",
        oasis("fixed"),
        IN,
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent "
        "extra: {}. Missing but required: {x}.",
    ),
    (
        "too many inputs",
        oasis("synthesize", x=ONE, **XY),
        IN,
        "input size does not match signature: 3!=2 len({label_map,seed,x}) != "
        "len({label_map,seed}). Sent extra: {x}. Missing but required: {}.",
    ),
    (
        "other input",
        oasis("fixed", y=ONE),
        IN,
        "Signature input alias: x(feed name: fixed_x:0) not found in request "
        "and no default value provided. Inputs expected to be in the request "
        "{y}, or default input alias set: ",
    ),
    (
        "wrong dtype",
        oasis("synthesize", label_map=LABEL_MAP / 1.0, seed=SEED),
        IN,
        "Expects arg[0] to be int32 but double is provided",
    ),
    (
        "wrong dtype of the second",
        oasis("synthesize", label_map=LABEL_MAP, seed=SEED.astype(np.int32)),
        IN,
        "Expects arg[1] to be int64 but int32 is provided",
    ),
    (
        "text for numbers",
        half(np.array([b"1"], object)),
        IN,
        "Expects arg[0] to be float but string is provided",
    ),
    *(
        (name, half(tensor), IN, "tensor parsing error: x")
        for name, tensor in {
            "no tensor": tensor_pb2.TensorProto(),
            "no dtype": proto(0, [1], float_val=[1]),
            "dtype that is none": proto(999, [1]),
            "negative size": proto(shape=[-1], float_val=[1]),
            "no shape": tensor_pb2.TensorProto(
                dtype=1, tensor_shape={"unknown_rank": True}
            ),
            "short content": proto(shape=[2], tensor_content=b"\0" * 4),
            "long content": proto(shape=[1], tensor_content=b"\0" * 8),
            "torn content": proto(shape=[1], tensor_content=b"\0" * 3),
            "too many dimensions": proto(shape=[1] * 300, float_val=[1]),
            "too large": proto(shape=[2**40], float_val=[1]),
            "larger than any integer": proto(shape=[2**62] * 9),
            "a resource": proto(types_pb2.DT_RESOURCE, [1]),
            "a reference": proto(types_pb2.DT_FLOAT_REF, [1], float_val=[1]),
            "text that is too long": proto(
                types_pb2.DT_STRING, [1], tensor_content=b"\xff\xff\x03a"
            ),
            "text without an end": proto(
                types_pb2.DT_STRING, [2], tensor_content=b"\x01\xff"
            ),
        }.items()
    ),
    ("wrong shape", oasis("fixed", x=ONE), IN, "In[0] ndims must be >= 2"),
    (
        "wrong size",
        oasis("fixed", x=np.ones([1, 3], F32)),
        IN,
        "Matrix size-incompatible: In[0]: [1,3], In[1]: [2,1]",
    ),
    (
        "assertion",
        oasis("synthesize", label_map=LABEL_MAP + 5, seed=SEED),
        IN,
        "assertion failed: [label_map: ids must be in [0,] [6] [), got min] "
        "[5] [max] [10]",
    ),
    (
        "no file",
        oasis("synthesize_png", label_map_bytes=np.array([b"x"], object)),
        IN,
        "Unknown image file format.",
    ),
    (
        "unknown output",
        oasis("multi", ["mean", "nope"], label_map=LABEL_MAP),
        IN,
        "output tensor alias not found in signature: nope Outputs expected to "
        "be in the set {half,image,mean}.",
    ),
    (
        "output twice",
        oasis("multi", ["mean", "mean"], label_map=LABEL_MAP),
        IN,
        "duplicate output tensor alias: mean",
    ),
    ("compiled", oasis("jit", x=ONE), "INTERNAL", "XLA compilation disabled"),
]


def named(rows):
    """Returns `pytest.param`s of rows that begin with their names."""
    return [pytest.param(*row, id=name) for name, *row in rows]


class TestErrors:
    @pytest.mark.parametrize(
        ("request_", "code", "details"), named(PREDICT_ERRORS)
    )
    def test_predict(self, stubs, request_, code, details):
        found = running.refusal(stubs.predict, request_)
        assert found[0] == code
        assert running.kernel_message(found[1]).startswith(details)
        assert stubs.predict(half()).outputs

    @pytest.mark.parametrize(
        ("request_", "code", "details"),
        named(
            [
                (
                    "no spec",
                    get_model_metadata_pb2.GetModelMetadataRequest(
                        metadata_field=["signature_def"]
                    ),
                    IN,
                    NO_SPEC,
                ),
                (
                    "no name",
                    running.metadata_request("", "signature_def"),
                    IN,
                    NO_NAME,
                ),
                (
                    "no field",
                    running.metadata_request("oasis"),
                    IN,
                    "GetModelMetadataRequest must specify at least one "
                    "metadata_field",
                ),
                (
                    "other field",
                    running.metadata_request("oasis", "signature_def", "graph"),
                    IN,
                    "Metadata field graph is not supported",
                ),
                (
                    "unknown model",
                    running.metadata_request("nope", "signature_def"),
                    "NOT_FOUND",
                    "Servable not found for request: Latest(nope)",
                ),
                (
                    "unknown version",
                    running.metadata_request(
                        "oasis", "signature_def", version=0
                    ),
                    "NOT_FOUND",
                    "Servable not found for request: Specific(oasis, 0)",
                ),
                (
                    "unknown label",
                    running.metadata_request(
                        "oasis", "signature_def", version_label="nope"
                    ),
                    IN,
                    "Unrecognized servable version label: nope",
                ),
            ]
        ),
    )
    def test_metadata(self, stubs, request_, code, details):
        assert running.refusal(stubs.metadata, request_) == (code, details)

    @pytest.mark.parametrize(
        ("request_", "code", "details"),
        named(
            [
                (
                    "no spec",
                    get_model_status_pb2.GetModelStatusRequest(),
                    IN,
                    NO_SPEC,
                ),
                (
                    "no name",
                    running.status_request(""),
                    "NOT_FOUND",
                    "Could not find any versions of model ",
                ),
                (
                    "unknown model",
                    running.status_request("nope"),
                    "NOT_FOUND",
                    "Could not find any versions of model nope",
                ),
                (
                    "unknown version",
                    running.status_request("half_plus_two", version=0),
                    "NOT_FOUND",
                    "Could not find version 0 of model half_plus_two",
                ),
            ]
        ),
    )
    def test_status(self, stubs, request_, code, details):
        assert running.refusal(stubs.status, request_) == (code, details)

    def test_deadline_is_also_the_run_s_limit(self):
        with (
            running.running(
                toy_models.models()[:1],
                rest_port=0,
                batching=Parameters(num_batch_threads=1),
            ) as options,
            running.stubs(options) as stubs,
        ):
            request = oasis("slow", x=ONE, num_steps=ENDLESS)
            with pytest.raises(grpc.RpcError) as caught:
                stubs.predict(request, timeout=0.3)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            # The only thread is free again.
            request = oasis("slow", x=ONE, num_steps=np.array([1]))
            response = stubs.predict(request, timeout=running.PATIENCE)
            assert arrays(response)["y"] == [2]

    @pytest.mark.parametrize(
        ("method", "request_"),
        [
            ("classify", classification_pb2.ClassificationRequest()),
            ("regress", regression_pb2.RegressionRequest()),
            ("multi_inference", inference_pb2.MultiInferenceRequest()),
        ],
    )
    def test_what_is_left_out_is_unimplemented(self, stubs, method, request_):
        code, details = running.refusal(getattr(stubs, method), request_)
        assert code == "UNIMPLEMENTED"
        assert "use Predict" in details

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("PredictionService/Predict", "INTERNAL"),
            ("PredictionService/GetModelMetadata", "INTERNAL"),
            ("ModelService/GetModelStatus", "INTERNAL"),
            ("ModelService/HandleReloadConfigRequest", "INTERNAL"),
            ("PredictionService/Nope", "UNIMPLEMENTED"),
            ("Nope/Predict", "UNIMPLEMENTED"),
        ],
    )
    def test_bytes_that_are_no_request(self, stubs, path, code):
        call = stubs.channel.unary_unary(f"/tensorflow.serving.{path}")
        assert running.refusal(call, b"\xff" * 20)[0] == code

    @pytest.mark.parametrize(
        ("label", "is_cut"),
        [("a" * 987, False), ("a" * 988, True), ("é" * 2000, True)],
    )
    def test_details_are_cut_at_1024_bytes(self, stubs, label, is_cut):
        full = f"Unrecognized servable version label: {label}"
        assert is_cut == (len(full.encode()) > 1024)
        code, details = running.refusal(
            stubs.predict, half(version_label=label)
        )
        assert code == IN
        if is_cut:
            start = details.removesuffix("...TRUNCATED")
            assert start != details
            assert full.startswith(start)
            # No half of a letter is left.
            assert len(details.encode()) in (1023, 1024)
        else:
            assert details == full

    def test_calls_beyond_the_limit_are_refused(self):
        with (
            running.running(
                toy_models.models()[:1],
                rest_port=0,
                max_requests=1,
                drain_seconds=0.1,
            ) as options,
            running.stubs(options) as stubs,
        ):
            request = oasis("slow", x=ONE, num_steps=ENDLESS)
            calls = [stubs.predict.future(request) for _ in range(3)]
            running.wait_until(lambda: sum(c.done() for c in calls) == 2)
            [call] = [call for call in calls if not call.done()]
            call.cancel()
            calls.remove(call)
            for call in calls:
                assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    def test_message_beyond_the_limit_is_refused(self):
        with (
            running.running(
                toy_models.models()[1:],
                settings=LABELS,
                rest_port=0,
                max_bytes=1000,
            ) as options,
            running.stubs(options) as stubs,
        ):
            code, _ = running.refusal(stubs.predict, half(np.ones(1000, F32)))
            assert code == "RESOURCE_EXHAUSTED"
            assert stubs.predict(half()).outputs


class TestMetadata:
    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            ({}, 124),
            ({"version": 123}, 123),
            ({"version_label": "stable"}, 123),
        ],
    )
    def test_tells_the_signatures(self, stubs, spec, version):
        request = running.metadata_request(
            "half_plus_two", "signature_def", **spec
        )
        response = stubs.metadata(request)
        assert response.model_spec.name == "half_plus_two"
        assert response.model_spec.version.value == version
        assert list(response.metadata) == ["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert signature.inputs["x"].dtype == types_pb2.DT_FLOAT
        assert signature.inputs["x"].tensor_shape.dim[0].size == -1
        assert "__saved_model_init_op" in signatures.signature_def


class TestStatus:
    @pytest.mark.parametrize(
        ("spec", "versions"),
        [
            ({}, [124, 123]),
            ({"version": 123}, [123]),
            ({"version_label": "stable"}, [124, 123]),
            ({"version_label": "nope"}, [124, 123]),
        ],
    )
    def test_tells_the_versions(self, stubs, spec, versions):
        response = stubs.status(running.status_request("half_plus_two", **spec))
        statuses = response.model_version_status
        assert [status.version for status in statuses] == versions
        for status in statuses:
            assert status.state == status.AVAILABLE
            assert status.HasField("status")
            assert status.status.error_code == 0
            assert status.status.error_message == ""


def test_version_0_is_a_version(tmp_path):
    for version in ("0", "1"):
        shutil.copytree(
            toy_models.base() / "half_plus_two/123", tmp_path / version
        )
    model = Model("half_plus_two", str(tmp_path), num_latest=0)
    with (
        running.running([model]) as options,
        running.stubs(options) as stubs,
    ):
        for spec, version in (({"version": 0}, 0), ({}, 1)):
            response = stubs.predict(half(**spec))
            assert response.model_spec.version.value == version
        path = "half_plus_two/versions/0"
        answer = running.predict(options, {"instances": [1]}, path)
        assert answer.json == {"predictions": [2.5]}


@pytest.fixture
def reloadable():
    """The stubs of a server that a test may change."""
    with (
        running.running(
            toy_models.models(),
            settings=dataclasses.replace(LABELS, max_retries=0),
            rest_port=0,
        ) as options,
        running.stubs(options) as stubs,
    ):
        yield stubs


def reload_request(*models, **more):
    """Returns a `ReloadConfigRequest`.

    Args:
        *models: dicts of the fields of `ModelConfig`.
        **more: fields of `ModelServerConfig`.
    """
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for model in models:
        model = {"model_platform": "tensorflow"} | model
        request.config.model_config_list.config.add(**model)
    return request


def config_of(model, **more):
    """Returns the fields of one of the toy models, under its own name."""
    return {"name": model, "base_path": str(toy_models.base() / model)} | more


def state_of(stubs, name):
    """Returns {version: state} of a model."""
    response = stubs.status(running.status_request(name))
    return {
        status.version: status.State.Name(status.state)
        for status in response.model_version_status
    }


class TestReload:
    def test_adds_and_removes_models(self, reloadable):
        new = config_of("half_plus_two", name="new")
        response = reloadable.reload(reload_request(new, config_of("oasis")))
        assert response.status.error_code == 0
        assert response.status.error_message == ""
        assert arrays(
            reloadable.predict(running.predict_request("new", {"x": ONE}))
        )["y"] == [2.5]
        assert state_of(reloadable, "oasis") == {1: "AVAILABLE"}
        running.wait_until(
            lambda: (
                state_of(reloadable, "half_plus_two")
                == {123: "END", 124: "END"}
            )
        )
        assert running.refusal(reloadable.predict, half()) == (
            "NOT_FOUND",
            "Servable not found for request: Latest(half_plus_two)",
        )

    def test_models_that_were_removed_come_back(self, reloadable):
        reloadable.reload(reload_request(config_of("oasis")))
        running.wait_until(
            lambda: (
                "AVAILABLE"
                not in state_of(reloadable, "half_plus_two").values()
            )
        )
        reloadable.reload(
            reload_request(config_of("oasis"), config_of("half_plus_two"))
        )
        assert reloadable.predict(half()).model_spec.version.value == 124
        # Of the default policy: the latest alone.
        assert state_of(reloadable, "half_plus_two") == {
            123: "END",
            124: "AVAILABLE",
        }

    def test_list_of_no_models_removes_all(self, reloadable):
        reloadable.reload(reload_request())
        code, _ = running.refusal(reloadable.predict, half())
        assert code == "NOT_FOUND"

    def test_moves_labels(self, reloadable):
        config = config_of(
            "half_plus_two",
            version_labels={"stable": 124, "new": 123},
            model_version_policy={"all": {}},
        )
        reloadable.reload(reload_request(config, config_of("oasis")))
        for label, version in (("stable", 124), ("new", 123)):
            response = reloadable.predict(half(version_label=label))
            assert response.model_spec.version.value == version
        code, details = running.refusal(
            reloadable.predict, half(version_label="canary")
        )
        assert details == "Unrecognized servable version label: canary"

    @pytest.mark.parametrize(
        ("request_", "code", "details"),
        named(
            [
                (
                    "nothing",
                    model_management_pb2.ReloadConfigRequest(),
                    IN,
                    "ServerModelConfig type not supported by "
                    "HandleReloadConfigRequest. Only ModelConfigList is "
                    "currently supported",
                ),
                (
                    "custom",
                    model_management_pb2.ReloadConfigRequest(
                        config={"custom_model_config": {}}
                    ),
                    IN,
                    "ServerModelConfig type not supported by "
                    "HandleReloadConfigRequest. Only ModelConfigList is "
                    "currently supported",
                ),
                (
                    "a name twice",
                    reload_request(
                        {"name": "a", "base_path": "/a"},
                        {"name": "a", "base_path": "/b"},
                    ),
                    IN,
                    "Illegal to list model a multiple times in config list",
                ),
                (
                    "relative path",
                    reload_request({"name": "a", "base_path": "b/c"}),
                    IN,
                    "Expected model a to have an absolute path or URI; got "
                    "base_path()=b/c",
                ),
                (
                    "no path",
                    reload_request({"name": "a"}),
                    IN,
                    "Expected model a to have an absolute path or URI; got "
                    "base_path()=",
                ),
                (
                    "platform",
                    reload_request(
                        {
                            "name": "a",
                            "base_path": "/a",
                            "model_platform": "caffe",
                        }
                    ),
                    IN,
                    "Model a requests unsupported platform caffe",
                ),
                (
                    "logging",
                    reload_request(
                        {
                            "name": "a",
                            "base_path": "/a",
                            "logging_config": {"sampling_config": {}},
                        }
                    ),
                    IN,
                    "No request-logger-creator provided.",
                ),
                (
                    "label that moves to what is not loaded",
                    reload_request(
                        {
                            "name": "half_plus_two",
                            "base_path": "/a",
                            "version_labels": {"stable": 125},
                        }
                    ),
                    "FAILED_PRECONDITION",
                    "Request to assign label to version 125 of model "
                    "half_plus_two, which is not currently available for "
                    "inference",
                ),
            ]
        ),
    )
    def test_refusal_leaves_everything(
        self, reloadable, request_, code, details
    ):
        before = state_of(reloadable, "half_plus_two")
        assert running.refusal(reloadable.reload, request_) == (code, details)
        assert state_of(reloadable, "half_plus_two") == before
        for label, version in (("stable", 123), ("canary", 124)):
            response = reloadable.predict(half(version_label=label))
            assert response.model_spec.version.value == version
        assert state_of(reloadable, "oasis") == {1: "AVAILABLE"}
        code, _ = running.refusal(
            reloadable.status, running.status_request("a")
        )
        assert code == "NOT_FOUND"

    def test_new_model_that_cannot_be_loaded_is_told(
        self, reloadable, tmp_path
    ):
        (tmp_path / "1").mkdir()
        broken = {"name": "broken", "base_path": str(tmp_path)}
        code, details = running.refusal(
            reloadable.reload,
            reload_request(broken, config_of("half_plus_two")),
        )
        assert code == "UNKNOWN"
        assert details.startswith(
            "1 servable(s) did not become available: {{{name: broken version: "
            "1} due to error: NOT_FOUND: "
        )
        assert reloadable.predict(half()).outputs
        assert state_of(reloadable, "broken") == {1: "END"}


class TestHealth:
    def check(self, stubs, service):
        stub = health_pb2_grpc.HealthStub(stubs.channel)
        return stub.Check(
            health_pb2.HealthCheckRequest(service=service),
            timeout=running.PATIENCE,
        )

    def test_answers_where_asked_for(self):
        with (
            running.running(
                toy_models.models(),
                settings=LABELS,
                rest_port=0,
                has_health=True,
            ) as options,
            running.stubs(options) as stubs,
        ):
            for service in ("", "ModelService", "PredictionService"):
                response = self.check(stubs, service)
                assert response.status == response.SERVING
            for service in ("tensorflow.serving.PredictionService", "Nope"):
                with pytest.raises(grpc.RpcError) as caught:
                    self.check(stubs, service)
                assert caught.value.code() == grpc.StatusCode.NOT_FOUND

    def test_is_left_out_otherwise(self, stubs):
        with pytest.raises(grpc.RpcError) as caught:
            self.check(stubs, "")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_services_can_be_listed(stubs):
    # Which TF Serving cannot; its contract allows it.
    database = (
        proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(
            stubs.channel
        )
    )
    name = "tensorflow.serving.PredictionService"
    assert {name, "tensorflow.serving.ModelService"} < {
        *database.get_services()
    }
    file = database.FindFileContainingSymbol(name)
    [service] = [s for s in file.service if name.endswith(s.name)]
    assert "Predict" in [method.name for method in service.method]


def test_listens_on_a_socket_as_well(tmp_path):
    path = tmp_path / "grpc.sock"
    with running.running(
        toy_models.models(),
        settings=LABELS,
        rest_port=0,
        socket_path=str(path),
    ) as options:
        for address in (f"unix:{path}", options):
            with running.stubs(address) as stubs:
                assert stubs.predict(half()).outputs


def test_socket_may_be_the_only_address(tmp_path):
    address = f"unix:{tmp_path / 'grpc.sock'}"
    with (
        running.running(
            toy_models.models(),
            settings=LABELS,
            port=0,
            rest_port=0,
            socket_path=address.removeprefix("unix:"),
        ),
        running.stubs(address) as stubs,
    ):
        assert stubs.predict(half()).outputs


class Certificates:
    """Keys and certificates: an authority's, and two that it signed.

    Args:
        folder: `pathlib.Path`, to write to.
    """

    def __init__(self, folder):
        self._folder = folder
        self._make("ca", "-subj", "/CN=Test authority")
        for name in ("localhost", "client"):
            self._make(
                name,
                *("-subj", f"/CN={name}"),
                *("-addext", f"subjectAltName=DNS:{name}"),
                *("-CA", "ca.crt", "-CAkey", "ca.key"),
            )

    def _make(self, name, *arguments):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-keyout", f"{name}.key", "-out", f"{name}.crt"),
                *arguments,
            ],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )

    def __getitem__(self, name):
        return (self._folder / name).read_text()

    def client(self, ca="ca.crt", name=None):
        """Returns gRPC's credentials of a client."""
        return grpc.ssl_channel_credentials(
            self[ca].encode(),
            self[f"{name}.key"].encode() if name else None,
            self[f"{name}.crt"].encode() if name else None,
        )

    def server(self, **more):
        """Returns a server's `SSLConfig`."""
        return messages.SSLConfig(
            server_key=self["localhost.key"],
            server_cert=self["localhost.crt"],
            **more,
        )


class TestTls:
    @pytest.fixture(scope="class")
    def certificates(self, tmp_path_factory):
        if not shutil.which("openssl"):
            pytest.skip("Needs openssl.")
        return Certificates(tmp_path_factory.mktemp("certificates"))

    @contextlib.contextmanager
    def running(self, ssl):
        with running.running(
            toy_models.models(), settings=LABELS, rest_port=0, ssl=ssl
        ) as options:
            yield f"localhost:{options.port}"

    def is_served(self, address, credentials):
        with running.stubs(address, credentials) as stubs:
            try:
                return bool(stubs.predict(half(), timeout=running.PATIENCE))
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE
                return False

    def test_server_shows_its_certificate(self, certificates):
        with self.running(certificates.server()) as address:
            assert self.is_served(address, certificates.client())
            assert self.is_served(address, certificates.client(name="client"))
            # Of another authority, and without TLS.
            other = certificates.client("client.crt")
            assert not self.is_served(address, other)
            assert not self.is_served(address, None)

    @pytest.mark.parametrize("client_verify", [False, True])
    def test_client_must_show_one_where_asked_for(
        self, certificates, client_verify
    ):
        ssl = certificates.server(
            custom_ca=certificates["ca.crt"], client_verify=client_verify
        )
        with self.running(ssl) as address:
            assert self.is_served(address, certificates.client(name="client"))
            is_served = self.is_served(address, certificates.client())
            assert is_served != client_verify

    @pytest.mark.parametrize(
        ("ssl", "error"),
        [
            ({"server_key": "x"}, "PEM key.*server_key.*server_cert"),
            ({"server_cert": "y"}, "PEM key.*server_key.*server_cert"),
            ({"custom_ca": "z"}, "PEM certificates as custom_ca"),
            ({"client_verify": True}, "client_verify must have a custom_ca"),
        ],
    )
    def test_unusable_configuration_is_told(self, certificates, ssl, error):
        message = certificates.server()
        for field, value in ssl.items():
            setattr(message, field, value)
        with pytest.raises(ValueError, match=error):
            with self.running(message):
                pass

    def test_key_of_another_certificate_is_told(self, certificates):
        message = certificates.server()
        message.server_key = certificates["client.key"]
        with pytest.raises(ValueError, match="(?i)mismatch"):
            with self.running(message):
                pass
