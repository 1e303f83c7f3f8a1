"""The REST API, held against recorded answers of TF Serving and its contract.

`golden/README.md` says how the answers were recorded.
"""

import base64
import contextlib
import dataclasses
import gzip
import io
import json
import pathlib
import re
import shutil
import socket

import numpy as np
import pytest
from PIL import Image

from oasis_tf.serving.model_config import Model
from oasis_tf.serving.versions import Settings
from tests.serving import running
from tests.serving import toy_models

CASES = json.loads(
    pathlib.Path(__file__)
    .with_name("golden")
    .joinpath("rest_cases.json")
    .read_text()
)["cases"]
METRICS_PATH = "/monitoring/prometheus/metrics"
ODD_NAME = "half & two é"
HALF = "/v1/models/half_plus_two"
OASIS = "/v1/models/oasis"
ONE = {"instances": [1.0]}
ENDLESS = {
    "signature_name": "slow",
    "instances": [{"x": 1.0, "num_steps": 10**12}],
}
TIMED_OUT = "Timed out waiting for notification"
EMPTY = "JSON Parse error: The document is empty"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server as it was when the answers were recorded, and a model more."""
    [*models, half] = toy_models.models()
    folder = tmp_path_factory.mktemp("odd") / "model"
    shutil.copytree(half.base_path, folder)
    odd = dataclasses.replace(
        half, name=ODD_NAME, base_path=str(folder), labels={"a b": 123}
    )
    with running.running(
        [*models, half, odd],
        settings=Settings(allow_labels=True),
        metrics_path=METRICS_PATH,
        port=0,
    ) as options:
        yield options


@pytest.fixture(scope="module")
def strict_server():
    """One for other sites' pages, that takes little."""
    with running.running(
        toy_models.models(),
        settings=Settings(allow_labels=True),
        has_cors=True,
        max_bytes=1000,
        metrics_path=METRICS_PATH,
    ) as options:
        yield options


@pytest.fixture(scope="module")
def impatient_server():
    with running.running(
        toy_models.models(),
        settings=Settings(allow_labels=True),
        rest_timeout=0.5,
        drain_seconds=0.1,
    ) as options:
        yield options


class TestRecorded:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
    def test_answers_as_recorded(self, server, case):
        answer = running.ask(
            server,
            case["method"],
            case["path"],
            _body(case),
            case["headers"],
        )
        if case["name"] == "outside v1":
            # The local server has a page there, which its contract allows.
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/html")
            return
        assert answer.status == case["status"]
        for name, value in case["response_headers"].items():
            assert answer.headers[name] == value
        _COMPARISONS.get(case["name"], _compare)(answer, case)

    def test_all_cases_are_there(self):
        assert len(CASES) == 76
        assert sum(case["truncated"] for case in CASES) == 5


def _body(case):
    if "body_note" in case:
        return b'{"instances": ' + b"[" * 3000 + b"]" * 3000 + b"}"
    if case["body_base64"] is None:
        return None
    return base64.b64decode(case["body_base64"])


def _compare(answer, case):
    recorded = case["response_start"].encode()
    if not recorded or answer.headers["Content-Type"] != "application/json":
        assert answer.body == recorded
        return
    expected = running.parse(recorded)
    if "error" in expected:
        assert running.kernel_message(answer.error) == running.kernel_message(
            expected["error"]
        )
    elif b'"b64"' in recorded:
        np.testing.assert_allclose(
            _pictures(answer.json), _pictures(expected), atol=1
        )
    else:
        # The record has U+FFFD for bytes that are not UTF-8.
        found = running.parse(answer.body.decode(errors="replace").encode())
        # By their texts, as NaN is not NaN.
        assert json.dumps(found) == json.dumps(expected)


def _pictures(answer):
    """Returns the pixels of `{key: [{"b64": PNG}, ...]}`."""
    [files] = answer.values()
    files = [base64.b64decode(file["b64"]) for file in files]
    return np.stack([Image.open(io.BytesIO(file)) for file in files]) / 1.0


def _compare_image(answer, case):
    """Compares pixels to where the record ends."""
    [image] = _whole_part(case["response_start"])["outputs"]
    _compare_pixels(answer.json["outputs"], [image])


def _compare_image_and_mean(answer, case):
    [expected] = _whole_part(case["response_start"])["predictions"]
    [prediction] = answer.json["predictions"]
    assert prediction.keys() == expected.keys() == {"image", "mean"}
    # Of pixels that may differ by 1.
    assert prediction["mean"] == pytest.approx(expected["mean"], abs=1)
    _compare_pixels([prediction["image"]], [expected["image"]])


def _compare_pixels(image, start):
    assert np.shape(image) == (1, 32, 32, 3)
    start = _flat(start)
    assert len(start) > 50
    np.testing.assert_allclose(
        np.ravel(image)[: len(start)] / 1.0, start, atol=1
    )


def _flat(lists):
    if not isinstance(lists, list):
        return [lists]
    return [value for item in lists for value in _flat(item)]


def _compare_metadata(answer, case):
    """Compares the signatures to where the record ends.

    Not the names of tensors: they number what stands in the graph, which has
    other signatures as well.
    """
    expected = _whole_part(case["response_start"])
    assert answer.json["model_spec"] == expected["model_spec"]
    signatures = _signatures(answer.json)
    recorded = _signatures(expected)
    assert recorded.keys() == {"jit", "serving_default", "u8"}
    for name in ("jit", "serving_default"):
        assert _unnamed(signatures[name]) == _unnamed(recorded[name])
    [(name, tensor)] = recorded["u8"]["inputs"].items()
    ours = signatures["u8"]["inputs"][name]
    assert ours["dtype"] == tensor["dtype"]
    assert "__saved_model_init_op" in signatures


def _compare_metadata_keys(answer, case):
    """Compares what does not depend on the model, which was another one."""
    expected = _whole_part(case["response_start"])
    assert answer.json["model_spec"] == expected["model_spec"]
    ours = _signatures(answer.json)["serving_default"]
    recorded = _signatures(expected)["regress_x_to_y2"]
    assert ours.keys() == recorded.keys()
    [tensor] = ours["inputs"].values()
    [other] = recorded["inputs"].values()
    assert tensor.keys() == other.keys()
    assert tensor["tensor_shape"].keys() == other["tensor_shape"].keys()


def _signatures(metadata):
    return metadata["metadata"]["signature_def"]["signature_def"]


def _unnamed(signature):
    return {
        key: {
            name: {k: v for k, v in tensor.items() if k != "name"}
            for name, tensor in value.items()
        }
        if key in ("inputs", "outputs")
        else value
        for key, value in signature.items()
    }


def _compare_metrics(answer, case):
    """Compares metrics of both servers; TF's libraries count much more."""
    # The last line is torn.
    recorded = case["response_start"].splitlines()[:-1]
    lines = answer.body.decode().splitlines()
    kinds = dict(line.split()[2:] for line in lines if line[0] == "#")
    expected = dict(line.split()[2:] for line in recorded if line[0] == "#")
    loads = ":tensorflow:cc:saved_model:load_attempt_count"
    assert expected.keys() & kinds.keys() == {loads}
    assert kinds[loads] == expected[loads]
    recorded = [line for line in recorded if line.startswith(loads)]
    assert len(recorded) == 3
    for line in recorded:
        assert line.replace("/models", str(toy_models.base())) in lines


_COMPARISONS = {
    "metadata": _compare_metadata,
    "metadata label": _compare_metadata_keys,
    "predict columnar default": _compare_image,
    "multi-output row": _compare_image_and_mean,
    "metrics": _compare_metrics,
}


def _whole_part(text):
    """Returns the value of JSON whose end was cut off, as far as it is whole.

    Args:
        text: str, that has no bracket in a string.
    """
    open_ones, cut, ends = [], 0, ""
    for match in re.finditer(r"[][{},]", text):
        sign = match[0]
        if sign in "[{":
            open_ones.append("]" if sign == "[" else "}")
        elif sign in "]}":
            open_ones.pop()
        if sign in "]},":
            cut = match.start() if sign == "," else match.end()
            ends = "".join(reversed(open_ones))
    return json.loads(text[:cut] + ends)


def test_whole_part_leaves_out_what_is_torn():
    assert _whole_part('{"a": [[1, 2], [3, 4') == {"a": [[1, 2], [3]]}
    assert _whole_part('{"a": {"b": 1}, "c": "x') == {"a": {"b": 1}}


class TestAddresses:
    @pytest.mark.parametrize(
        ("method", "path", "error"),
        [
            ("GET", "/v1/models", "Missing model name in request."),
            ("PUT", OASIS, None),
            ("PATCH", f"{OASIS}:predict", None),
            ("HEAD", f"{OASIS}:predict", None),
            ("POST", f"{OASIS}:classify", None),
            ("POST", f"{OASIS}:predict/", None),
            ("POST", f"{OASIS}:predict?x=1", None),
            ("POST", "/v1/models/:predict", None),
            ("POST", "/v1/models/a/b:predict", None),
            ("POST", f"{HALF}/versions/-1:predict", None),
            ("POST", f"{HALF}/versions/:predict", None),
            ("POST", f"{HALF}/labels/:predict", None),
            ("GET", f"{HALF}/labels/a/b", None),
            ("GET", "/v1/", None),
        ],
    )
    def test_malformed_requests_are_told(self, server, method, path, error):
        answer = running.ask(server, method, path, b"{}")
        assert answer.status == 400
        if method == "HEAD":
            assert answer.body == b""
        else:
            told = f"Malformed request: {method} {path}"
            assert answer.error == (error or told)

    @pytest.mark.parametrize(
        "path",
        [
            "/V1/Models/half_plus_two",
            "/v1/MODELS/half_plus_two/VERSIONS/123",
            f"{HALF}/Labels/nolabel",
            f"{HALF}/versions/000123",
            "/v1/models/h%61lf_plus_two",
            "/v1/models/half%20%26%20two%20%C3%A9",
            "/v1/models/half%20%26%20two%20%c3%a9/labels/x%20y",
        ],
    )
    def test_paths_are_decoded_and_of_any_case(self, server, path):
        answer = running.ask(server, "GET", path)
        assert answer.status == 200
        states = [v["state"] for v in answer.json["model_version_status"]]
        assert set(states) == {"AVAILABLE"}

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("n%6Fpe", "nope"),
            ("a%2Fb", "a/b"),
            ("a%3Ab", "a:b"),
            ("half_plus_two?x=1", "half_plus_two?x=1"),
            ("HALF_PLUS_TWO", "HALF_PLUS_TWO"),
            ("%C3%A9", "é"),
            ("%", "%"),
            ("%zz", "%zz"),
        ],
    )
    def test_names_are_told_decoded(self, server, path, name):
        answer = running.ask(server, "GET", f"/v1/models/{path}")
        assert answer.status == 404
        assert answer.error == f"Could not find any versions of model {name}"

    def test_predicts_by_encoded_name_and_label(self, server):
        name = "half%20%26%20two%20%C3%A9"
        for path in (name, f"{name}/labels/a%20b", f"{name}/Versions/124"):
            answer = running.predict(server, ONE, path)
            assert (answer.status, answer.json) == (200, {"predictions": [2.5]})

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/versions/123",
            "/versions/124",
            "/versions/0000124",
            "/labels/stable",
            "/labels/canary",
        ],
    )
    def test_predicts_by_version_and_label(self, server, path):
        answer = running.predict(server, ONE, f"half_plus_two{path}")
        assert (answer.status, answer.json) == (200, {"predictions": [2.5]})

    @pytest.mark.parametrize(
        ("path", "version"),
        [
            ("", "124"),
            ("/versions/123", "123"),
            ("/labels/stable", "123"),
            ("/labels/canary", "124"),
        ],
    )
    def test_version_and_label_choose(self, server, path, version):
        answer = running.ask(server, "GET", f"{HALF}{path}/metadata")
        assert answer.json["model_spec"]["version"] == version

    @pytest.mark.parametrize(
        ("path", "request_"),
        [
            ("half_plus_two/versions/7", "Specific(half_plus_two, 7)"),
            ("half_plus_two/versions/0", "Specific(half_plus_two, 0)"),
            ("nope/versions/1", "Specific(nope, 1)"),
            (
                f"half_plus_two/versions/{2**63 - 1}",
                f"Specific(half_plus_two, {2**63 - 1})",
            ),
        ],
    )
    def test_unknown_versions_are_told(self, server, path, request_):
        for method, end in (("POST", ":predict"), ("GET", "/metadata")):
            answer = running.ask(
                server, method, f"/v1/models/{path}{end}", b'{"instances": [1]}'
            )
            assert answer.status == 404
            error = f"Servable not found for request: {request_}"
            assert answer.error == error

    @pytest.mark.parametrize("end", [":predict", "", "/metadata"])
    @pytest.mark.parametrize("version", [2**63, "9" * 5000])
    def test_version_beyond_int64_has_an_empty_answer(
        self, server, end, version
    ):
        method = "POST" if end == ":predict" else "GET"
        answer = running.ask(server, method, f"{HALF}/versions/{version}{end}")
        assert (answer.status, answer.body) == (400, b"")
        assert answer.headers["Content-Type"] == "application/json"

    def test_label_of_an_unknown_model_is_unknown(self, server):
        answer = running.predict(server, ONE, "nope/labels/stable")
        assert answer.status == 400
        assert answer.error == "Unrecognized servable version label: stable"

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
    def test_metrics_are_told_by_any_method(self, server, method):
        answer = running.ask(server, method, METRICS_PATH)
        assert answer.status == 200
        assert answer.body.startswith(b"# TYPE :tensorflow:")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/"),
            ("GET", "/v1"),
            ("GET", "/v2/models/oasis"),
            ("GET", "/v1x/models/oasis"),
            ("GET", f"{METRICS_PATH}?x=1"),
        ],
    )
    def test_others_are_not_found_and_end_the_connection(
        self, server, method, path
    ):
        answer = running.ask(server, method, path)
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.headers["Connection"] == "close"


class TestPredict:
    @pytest.mark.parametrize(
        ("inputs", "outputs"),
        [
            ({"x": [1, 2], "scale": 3}, {"y": [3.0, 6.0], "total": 3.0}),
            ({"x": [], "scale": 3, "z": []}, {"y": [], "total": 0.0}),
        ],
    )
    def test_columns_may_be_scalars(self, server, inputs, outputs):
        body = {"signature_name": "scalar_in", "inputs": inputs}
        answer = running.predict(server, body, "oasis")
        assert answer.json == {"outputs": outputs}

    def test_text_goes_through_byte_by_byte(self, server):
        text = b"\xff\xfe\x00 \xc3\xa9"
        body = {
            "signature_name": "text",
            "inputs": [{"b64": base64.b64encode(text).decode()}, "é"],
        }
        answer = running.predict(server, body, "oasis")
        assert answer.status == 200
        raw = text.replace(b"\0", b"\\u0000")
        assert answer.body == b'{"outputs":["' + raw + b'","\xc3\xa9"]}'

    @pytest.mark.parametrize(
        ("signature", "inputs", "status", "error"),
        [
            (
                "nope",
                {"x": [1.0]},
                400,
                'Serving signature name: "nope" not found in signature def',
            ),
            ("jit", {"x": [1.0]}, 500, "XLA compilation disabled"),
            (
                "every_dtype",
                dict.fromkeys(toy_models.DTYPES, 1) | {"float16": 1.5},
                501,
                "Conversion of JSON Value: 1 to type: bfloat16",
            ),
            (
                "scalar_in",
                {"x": [1.0], "scale": "2"},
                400,
                'JSON Value: "2" Type: String is not of expected type: float',
            ),
            (
                "text",
                {"t": {"b64": "?"}},
                400,
                "Unable to base64 decode",
            ),
            (
                "synthesize_png",
                {"label_map_bytes": [{"b64": "iVBORw0KGgo="}]},
                400,
                "Invalid PNG. Failed to initialize decoder.",
            ),
        ],
    )
    def test_errors_are_told(self, server, signature, inputs, status, error):
        body = {"signature_name": signature, "inputs": inputs}
        answer = running.predict(server, body, "oasis")
        assert answer.status == status
        assert answer.error.startswith(error)

    def test_answers_are_json_with_date_and_length(self, server):
        answer = running.predict(server, ONE)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert re.fullmatch(r"\w{3}, \d\d .* GMT", answer.headers["Date"])


class TestHttp:
    def test_connection_is_kept_after_answers_and_errors(self, server):
        with running.connect(server) as connection:
            answers, ports = [], set()
            for body in (ONE, b"{", ONE, {"instances": []}, ONE):
                answers.append(
                    running.send(connection, "POST", f"{HALF}:predict", body)
                )
                ports.add(connection.sock.getsockname())
            running.send(connection, "GET", "/nothing")
            assert connection.sock is None  # Closed by the server.
        assert [a.status for a in answers] == [200, 400, 200, 400, 200]
        assert len(ports) == 1

    @pytest.mark.parametrize("packed", [False, True])
    def test_bodies_may_come_in_chunks(self, server, packed):
        body = json.dumps({"instances": [1.0] * 1000}).encode()
        headers = {"Transfer-Encoding": "chunked"}
        if packed:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        with running.connect(server) as connection:
            connection.request(
                "POST",
                f"{HALF}:predict",
                (body[i : i + 7] for i in range(0, len(body), 7)),
                headers,
                encode_chunked=True,
            )
            answer = running.receive(connection)
        assert answer.json == {"predictions": [2.5] * 1000}

    def test_body_is_sent_when_the_server_says_continue(self, server):
        body = json.dumps(ONE).encode()
        with _socket(server) as client:
            client.sendall(
                _head("POST", f"{HALF}:predict", len(body))
                + b"Expect: 100-continue\r\n\r\n"
            )
            file = client.makefile("rb")
            assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert file.readline() == b"\r\n"
            client.sendall(body)
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip, identity"])
    def test_packed_bodies_are_inflated(self, server, encoding):
        answer = running.predict(
            server,
            gzip.compress(json.dumps(ONE).encode()),
            headers={"Content-Encoding": encoding},
        )
        assert answer.json == {"predictions": [2.5]}
        assert "Content-Encoding" not in answer.headers

    @pytest.mark.parametrize(
        ("more", "status"), [(0, 200), (1, 400), (2**29, 400)]
    )
    def test_packed_bodies_are_inflated_to_100_mib(self, server, more, status):
        body = json.dumps(ONE).encode()
        num_spaces = 100 * 2**20 - len(body) + more
        # In parts, as the test has memory for one of these at most.
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
            spaces = b" " * 2**20
            while num_spaces:
                num_spaces -= file.write(spaces[:num_spaces])
            file.write(body)
        answer = running.predict(
            server, packed.getvalue(), headers={"Content-Encoding": "gzip"}
        )
        assert answer.status == status
        if status == 400:
            assert answer.error == EMPTY

    @pytest.mark.parametrize(
        "packed",
        [
            gzip.compress(b'{"instances": [1.0]}')[:-9],
            gzip.compress(b'{"instances": [1.0]}')[:5],
            b"\x1f\x8b" + b"\0" * 30,
            b"",
        ],
        # Not the bytes, which hold the time: both processes need one name.
        ids=["tail", "head", "zeros", "nothing"],
    )
    def test_torn_packed_bodies_are_empty_documents(self, server, packed):
        answer = running.predict(
            server, packed, headers={"Content-Encoding": "gzip"}
        )
        assert (answer.status, answer.error) == (400, EMPTY)

    def test_options_need_the_origin_of_a_page(self, server):
        for origin, status in (
            ("http://a.b", 200),
            ("https://a.b:8", 200),
            ("file://", 400),
            ("null", 400),
            (None, 400),
        ):
            headers = {} if origin is None else {"Origin": origin}
            answer = running.ask(
                server, "OPTIONS", f"{OASIS}:predict", headers=headers
            )
            assert (answer.status, answer.body) == (status, b"")

    @pytest.mark.parametrize(
        "text",
        [
            b"\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /v1/models/oasis HTTP/9.9\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS.
        ],
    )
    def test_what_is_no_http_is_refused(self, server, text):
        with _socket(server) as client:
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            # It may end the connection before it has read all.
            with contextlib.suppress(ConnectionResetError):
                answer = client.makefile("rb").read()
                assert not answer or re.match(rb"HTTP/1.[01] 4\d\d ", answer)
                assert b"Traceback" not in answer
        assert running.predict(server, ONE).status == 200


@contextlib.contextmanager
def _socket(options):
    address = running.HOST, options.rest_port
    with socket.create_connection(address, running.PATIENCE) as client:
        yield client


def _head(method, path, length):
    return (
        f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"
    ).encode()


class TestCors:
    HEADERS = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST, GET",
        "Access-Control-Allow-Headers": "Content-Type",
    }

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", f"{HALF}:predict", 200),
            ("GET", HALF, 200),
            ("GET", f"{HALF}/metadata", 200),
            ("GET", "/v1/models/nope", 404),
            ("PUT", HALF, 400),
            ("GET", f"{HALF}/versions/{2**63}", 400),
            ("OPTIONS", f"{HALF}:predict", 200),
            ("POST", "/v1/models/nope:predict", 404),
        ],
    )
    def test_answers_have_the_headers(
        self, strict_server, method, path, status
    ):
        body = ONE if method == "POST" else None
        headers = {"Origin": "http://a.b"}
        answer = running.ask(strict_server, method, path, body, headers)
        assert answer.status == status
        for name, value in self.HEADERS.items():
            assert answer.headers.get_all(name) == [value]

    def test_answers_beside_the_api_have_none(self, strict_server):
        for path in ("/", "/nothing", METRICS_PATH):
            answer = running.ask(strict_server, "GET", path)
            assert not self.HEADERS.keys() & set(answer.headers)

    def test_answers_have_none_unless_asked_for(self, server):
        answer = running.predict(server, ONE, headers={"Origin": "http://a.b"})
        assert not self.HEADERS.keys() & set(answer.headers)


class TestLimits:
    def test_body_that_is_told_to_be_too_long_is_not_awaited(
        self, strict_server
    ):
        with _socket(strict_server) as client:
            client.sendall(_head("POST", f"{HALF}:predict", 1001) + b"\r\n")
            file = client.makefile("rb")
            assert file.readline().startswith(b"HTTP/1.1 413 ")

    def test_chunks_that_become_too_long_are_refused(self, strict_server):
        with running.connect(strict_server) as connection:
            connection.request(
                "POST",
                f"{HALF}:predict",
                (b" " * 100 for _ in range(11)),
                encode_chunked=True,
                headers={"Transfer-Encoding": "chunked"},
            )
            answer = running.receive(connection)
        assert answer.status == 413
        assert answer.error == "The body is larger than 1000 bytes."
        assert answer.headers["Access-Control-Allow-Origin"] == "*"

    def test_body_of_the_largest_size_is_taken(self, strict_server):
        body = json.dumps(ONE).encode().ljust(1000)
        assert running.predict(strict_server, body).status == 200

    def test_run_over_the_time_limit_is_ended(self, impatient_server):
        answer = running.predict(impatient_server, ENDLESS, "oasis")
        assert (answer.status, answer.error) == (504, TIMED_OUT)

    def test_time_limit_holds_while_other_calls_run(self, impatient_server):
        inputs = {
            "x": np.ones([1], np.float32),
            "num_steps": np.array([10**12]),
        }
        request = running.predict_request(
            "oasis", inputs, signature_name="slow"
        )
        with running.stubs(impatient_server) as stubs:
            threads = impatient_server.batching.num_batch_threads
            calls = [
                stubs.predict.future(request, timeout=5) for _ in range(threads)
            ]
            answer = running.predict(impatient_server, ENDLESS, "oasis")
            assert (answer.status, answer.error) == (504, TIMED_OUT)
            for call in calls:
                call.cancel()

    def test_long_parsing_is_ended(self, impatient_server):
        # As slow to read as a body may be; how long, the machine says.
        body = b'{"instances": [' + b"[1], " * 200_000 + b'"\\ud800"]}'
        answer = running.predict(impatient_server, body)
        assert answer.status in (400, 504)

    def test_body_that_does_not_come_is_not_awaited_for_ever(
        self, impatient_server
    ):
        with _socket(impatient_server) as client:
            client.sendall(_head("POST", f"{HALF}:predict", 100) + b"\r\n{")
            file = client.makefile("rb")
            assert file.readline().startswith(b"HTTP/1.1 504 ")


def test_status_tells_versions_that_failed(tmp_path):
    model = Model("broken", str(tmp_path), num_latest=0)
    toy_models.save_half_plus_two(tmp_path / "2")
    with running.running(
        [model], settings=Settings(max_retries=0, poll_seconds=0.05), port=0
    ) as options:
        (tmp_path / "7").mkdir()

        def status():
            answer = running.ask(options, "GET", "/v1/models/broken")
            assert answer.status == 200
            return answer.json["model_version_status"]

        running.wait_until(lambda: status()[0]["state"] == "END")
        newest, oldest = status()
        assert oldest["state"] == "AVAILABLE"
        assert newest["version"] == "7"
        assert newest["status"]["error_code"] == "NOT_FOUND"
        assert str(tmp_path / "7") in newest["status"]["error_message"]
        answer = running.ask(options, "GET", "/v1/models/broken/versions/7")
        assert answer.json == {"model_version_status": [newest]}
