"""The client, against the local server and against servers of the tests."""

import base64
import concurrent.futures
import contextlib
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

import grpc
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

import oasis_tf
from oasis_tf import serving
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.exporters import saved_model
from oasis_tf.serving import calls
from oasis_tf.serving.status import StatusError
from tests import tiny
from tests import trained
from tests.serving.running import HOST
from tests.serving.running import PATIENCE
from tests.serving.running import free_port

LABEL_MAP = scenes.draw_scene(0, 5, 16, 16)[1]
SKY = scenes.CLASS_NAMES.index("sky")
BOTH = parameterized.parameters("grpc", "http")
NEVER = threading.Event()


@contextlib.contextmanager
def served(workdir):
    """Context with a process of `oasis_tf.serve`.

    Yields:
        dict of scheme -> address.
    """
    ports = {"grpc": free_port(), "http": free_port()}
    flags = {
        "engine": "local",
        "workdir": workdir,
        "port": ports["grpc"],
        "rest_api_port": ports["http"],
    }
    command = [sys.executable, "-m", "oasis_tf.serve"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, cwd=trained.ROOT, stdout=-1, stderr=log, text=True
        ) as process,
    ):
        try:
            if not any(line.startswith("Serving.") for line in process.stdout):
                log.seek(0)
                raise AssertionError(log.read())
            yield {
                scheme: f"{scheme}://{HOST}:{port}"
                for scheme, port in ports.items()
            }
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            process.wait(PATIENCE)


def make_workdir(folder):
    """Writes a work directory with a generator and a segmenter."""
    workdir = trained.make_workdir(folder)
    _, discriminator = trained.networks()
    saved_model.export_segmenter(
        discriminator,
        tiny.CONFIG,
        Builder.INFO,
        workdir / "export" / "segmenter",
        6,
    )
    return workdir


def setUpModule():
    global STACK, WORKDIR, GENERATOR, SEGMENTER, ADDRESSES, PHOTO, FILE
    STACK = contextlib.ExitStack()
    folder = STACK.enter_context(tempfile.TemporaryDirectory())
    WORKDIR = make_workdir(pathlib.Path(folder) / "run")
    PHOTO, FILE = trained.save_scene(folder)
    GENERATOR = oasis_tf.load_generator(WORKDIR)
    SEGMENTER = oasis_tf.load_segmenter(WORKDIR)
    ADDRESSES = STACK.enter_context(served(WORKDIR))


def tearDownModule():
    NEVER.set()
    STACK.close()


class TestCase(tf.test.TestCase, parameterized.TestCase):
    def client(self, address, **options):
        return self.enterContext(
            serving.Client(ADDRESSES.get(address, address), **options)
        )

    @contextlib.contextmanager
    def assert_error(self, code, message=""):
        with self.assertRaisesRegex(serving.ServingError, message) as caught:
            yield
        self.assertEqual(caught.exception.code, code)
        self.assertStartsWith(str(caught.exception), f"{code}: ")


class GenerateTest(TestCase):
    @BOTH
    def test_draws_what_the_local_generator_draws(self, scheme):
        client = self.client(scheme)
        for label_map in (FILE, str(FILE), LABEL_MAP):
            image = client.generate(label_map, seed=3)
            self.assertAllEqual(image, GENERATOR.generate(LABEL_MAP, seed=3))
        self.assertEqual(image.dtype, np.uint8)
        self.assertGreater(np.ptp(image), 50)

    @BOTH
    def test_draws_several_seeds_in_their_order(self, scheme):
        client = self.client(scheme)
        seeds = [4, 2**40, 0, 2**63 - 1, *range(9, 15)]
        self.assertAllEqual(
            client.generate(LABEL_MAP, np.array(seeds)),
            GENERATOR.generate(LABEL_MAP, seeds),
        )
        self.assertEqual(client.generate(LABEL_MAP, [1]).shape, (1, 16, 16, 3))

    @BOTH
    def test_draws_several_label_maps(self, scheme):
        client = self.client(scheme)
        label_maps = [LABEL_MAP, LABEL_MAP[::-1], LABEL_MAP.T]
        labels = [client.read(label_map) for label_map in label_maps]
        expected = [
            GENERATOR.generate(label_map, seed)
            for seed, label_map in enumerate(label_maps)
        ]
        self.assertAllClose(client.draw(labels, range(3)), expected, atol=1)

    @parameterized.product(scheme=["grpc", "http"], resize=[True, (8, 12)])
    def test_resizes_as_the_local_generator(self, scheme, resize):
        label_map = np.pad(LABEL_MAP, [(0, 3), (0, 0)])
        client = self.client(scheme)
        self.assertAllEqual(
            client.read(label_map, resize), GENERATOR.read(label_map, resize)
        )
        self.assertAllEqual(
            client.generate(label_map, 1, resize),
            GENERATOR.generate(label_map, 1, resize=resize),
        )

    @BOTH
    def test_knows_the_model(self, scheme):
        client = self.client(scheme)
        self.assertEqual(client.info, Builder.INFO)
        self.assertEqual(client.size_multiple, 2)

    @BOTH
    def test_tells_the_state_of_models(self, scheme):
        client = self.client(scheme)
        for model in (None, "segmenter"):
            [version] = client.status(model)
            self.assertEqual(
                (version.version, version.state, version.error_code),
                (6, "AVAILABLE", "OK"),
            )
        with self.assert_error("NOT_FOUND", "no.such model"):
            client.status("no/such model")

    @BOTH
    def test_asks_the_version_that_is_wanted(self, scheme):
        image = self.client(scheme, version=6).generate(LABEL_MAP)
        self.assertAllEqual(image, GENERATOR.generate(LABEL_MAP))
        with self.assert_error("NOT_FOUND", "Specific.generator, 7"):
            self.client(scheme, version=7).generate(LABEL_MAP)
        with self.assert_error("INVALID_ARGUMENT", "version label: a/b"):
            self.client(scheme, label="a/b").generate(LABEL_MAP)

    @BOTH
    def test_what_is_wrong_is_told_as_by_the_local_generator(self, scheme):
        client = self.client(scheme)
        for arguments, message in (
            ([LABEL_MAP[:15]], "multiples of 2.*15, 16.*"),
            ([LABEL_MAP + 90], "must hold ids among 0..10. Received: 9"),
            ([LABEL_MAP / 2], "must be an integer array"),
            ([PHOTO], "colours of the classes"),
            ([FILE.parent / "no.png"], "no.png.*no file"),
            ([LABEL_MAP, -1], "`seed` must be a whole number"),
            ([LABEL_MAP, 2**63], "`seed` must be a whole number"),
            ([LABEL_MAP, []], "must be one or more"),
            ([LABEL_MAP, 0, 7], "`resize` must be True, False"),
            ([np.zeros([1024, 1026], int)], "at most 1048576"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                client.generate(*arguments)
            with self.assertRaises(ValueError):
                seed, resize = [*arguments[1:], 0, False][:2]
                GENERATOR.generate(arguments[0], seed, resize=resize)

    def test_draw_needs_a_seed_for_each_label_map(self):
        client = self.client("grpc")
        labels = client.read(LABEL_MAP)
        for label_maps, seeds in (
            ([labels], [1, 2]),
            ([], []),
            ([labels, labels[:8]], [1, 2]),
            ([labels / 1.0], [1]),
        ):
            with self.assertRaisesRegex(ValueError, "`label_maps` must be"):
                client.draw(label_maps, seeds)

    def test_another_kind_of_model_is_told(self):
        client = self.client("grpc", generator="segmenter")
        with self.assertRaisesRegex(ValueError, "'segmenter', which is a seg"):
            client.generate(LABEL_MAP)

    @BOTH
    def test_several_threads_may_use_it(self, scheme):
        client = self.client(scheme)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            images = list(
                pool.map(lambda s: client.generate(LABEL_MAP, s), range(12))
            )
        for seed, image in enumerate(images):
            expected = GENERATOR.generate(LABEL_MAP, seed)
            self.assertAllEqual(image, expected)


class ResampleTest(TestCase):
    def local(self, mask, feather=0, label_map=LABEL_MAP, resize=False):
        noise = GENERATOR.noise(label_map, 3, resize=resize)
        noise = noise.resample_mask(mask, 4, feather)
        return GENERATOR.generate(label_map, noise=noise, resize=resize)

    def parts(self):
        """Returns pairs of arguments, and the mask that they stand for."""
        mask = np.zeros([16, 16], bool)
        mask[2:9, 3:12] = True
        file = pathlib.Path(
            tempfile.mkdtemp(dir=self.get_temp_dir()), "mask.png"
        )
        Image.fromarray(np.uint8(mask) * 9).save(file)
        y, x = np.argwhere(LABEL_MAP == SKY)[0]
        noise = GENERATOR.noise(LABEL_MAP, 3)
        region = noise.resample_region(x, y, 4).values != noise.values
        return [
            ({"mask": mask}, mask),
            ({"mask": mask * 7.0}, mask),
            ({"mask": file}, mask),
            ({"class_name": "Sky"}, LABEL_MAP == SKY),
            ({"region": (x, y)}, region.any(axis=-1)),
        ]

    @BOTH
    def test_draws_what_the_local_noise_draws(self, scheme):
        client = self.client(scheme)
        base = client.generate(LABEL_MAP, 3)
        for arguments, mask in self.parts():
            image = client.resample(LABEL_MAP, 3, 4, **arguments)
            self.assertAllClose(image, self.local(mask), atol=1)
            self.assertNotAllClose(image, base, atol=10)

    @BOTH
    def test_feathers_as_the_local_noise(self, scheme):
        client = self.client(scheme)
        (arguments, mask), *_ = self.parts()
        image = client.resample(LABEL_MAP, 3, 4, **arguments, feather=3)
        self.assertEqual(image.dtype, np.uint8)
        self.assertAllClose(image, self.local(mask, 3), atol=1)
        self.assertNotAllClose(image, self.local(mask), atol=10)

    @parameterized.product(scheme=["grpc", "http"], feather=[0, 2])
    def test_draws_several_local_seeds(self, scheme, feather):
        client = self.client(scheme)
        part = {"class_name": "sky", "feather": feather}
        images = client.resample(LABEL_MAP, 3, range(4, 7), **part)
        self.assertEqual(images.shape, (3, 16, 16, 3))
        for seed, image in zip(range(4, 7), images):
            self.assertAllClose(
                image, client.resample(LABEL_MAP, 3, seed, **part), atol=1
            )

    def test_masks_and_pixels_are_those_before_resizing(self):
        client = self.client("grpc")
        large = LABEL_MAP.repeat(3, axis=0).repeat(3, axis=1)
        mask = np.zeros([48, 48], bool)
        mask[6:30, 9:36] = True
        image = client.resample(large, 3, 4, mask=mask, resize=(16, 16))
        self.assertAllClose(
            image, self.local(mask[1::3, 1::3], 0, large, (16, 16)), atol=1
        )
        y, x = np.argwhere(large == SKY)[-1]
        image = client.resample(large, 3, 4, region=(x, y), resize=(16, 16))
        self.assertEqual(image.shape, (16, 16, 3))

    def test_what_is_wrong_is_told(self):
        client = self.client("grpc")
        mask = np.ones([16, 16])
        for arguments, message in (
            ({}, "One of .* Received: none"),
            ({"mask": mask, "region": (1, 2)}, "Received: mask, region"),
            ({"mask": mask[:8]}, "`mask` must have the label map's"),
            ({"mask": mask * 0}, "must have pixels at"),
            ({"mask": PHOTO.parent / "no.png"}, "no file"),
            ({"class_name": "skies"}, "like 'sky'"),
            ({"region": (16, 0)}, "The pixel must be in x 0..15"),
            ({"region": 5}, "`region` must be two whole numbers"),
            ({"region": (1.5, 2)}, "`region` must be two whole numbers"),
            ({"mask": mask, "feather": -1}, "`feather` must be 0 or more"),
            ({"mask": mask, "local_seed": "a"}, "`seed` must be a whole"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                client.resample(
                    LABEL_MAP, **{"seed": 3, "local_seed": 4} | arguments
                )


class SegmentTest(TestCase):
    @BOTH
    def test_segments_as_the_local_segmenter(self, scheme):
        client = self.client(scheme)
        pixels = np.array(Image.open(PHOTO))
        for image in (PHOTO, pixels):
            label_map = client.segment(image)
            self.assertAllEqual(label_map, SEGMENTER.segment(PHOTO))
        self.assertEqual(label_map.dtype, np.uint8)
        self.assertGreater(len(np.unique(label_map)), 2)
        self.assertAllEqual(
            client.segment(pixels[:13], resize=True),
            SEGMENTER.segment(pixels[:13], resize=True),
        )

    def test_what_is_wrong_is_told(self):
        client = self.client("grpc")
        with self.assertRaisesRegex(ValueError, "multiples of 4"):
            client.segment(np.zeros([16, 14, 3], np.uint8))
        with self.assertRaisesRegex(ValueError, "`image` must be a uint8"):
            client.segment(LABEL_MAP)


class ArgumentsTest(TestCase):
    @parameterized.parameters(
        "localhost:8500",
        "ftp://localhost",
        "grpc://",
        "grpc://host:port",
        "grpc://host/path",
        "http://host?query",
        "http://user@host",
        "http://[::1",
        None,
    )
    def test_address_must_be_one(self, address):
        with self.assertRaisesRegex(ValueError, "`address` must be like"):
            serving.Client(address)

    @parameterized.parameters(
        {"generator": ""},
        {"segmenter": 5},
        {"version": -1},
        {"version": "6"},
        {"version": 6, "label": "stable"},
        {"label": ""},
        {"timeout": 0},
        {"timeout": "5"},
        {"retries": -1},
        {"max_batch_size": 0},
        {"max_message_bytes": 0.5},
        {"root_certificates": "ca.crt"},
    )
    def test_wrong_arguments_are_told(self, **options):
        for address in ("grpc://localhost", "http://localhost"):
            with self.assertRaisesRegex(ValueError, "Received: "):
                serving.Client(address, **options)

    @parameterized.parameters("grpcs", "https")
    def test_wrong_certificates_are_told(self, scheme):
        for names in (
            ["root_certificates"],
            ["client_key"],
            ["client_certificate", "client_key"],
        ):
            with self.assertRaisesRegex(ValueError, f"`{names[0]}`.* must "):
                serving.Client(f"{scheme}://host", **{n: FILE for n in names})

    @BOTH
    def test_is_of_no_use_when_closed(self, scheme):
        with serving.Client(ADDRESSES[scheme]) as client:
            client.generate(LABEL_MAP)
        with self.assertRaisesRegex(ValueError, "one that was closed"):
            client.generate(LABEL_MAP)
        client.close()

    def test_the_package_names_what_users_need(self):
        self.assertContainsSubset(["Client", "ServingError"], dir(serving))
        with self.assertRaisesRegex(AttributeError, "no attribute 'Klient'"):
            _ = serving.Klient


class Fake:
    """Models that answer at once, and note what they were asked.

    A generator of pictures that are as bright all over as their seed.

    Attributes:
        refusals: codes to answer with, before it draws.
        batches: number of rows of each request to draw.
        specs: path or `ModelSpec` of each request.
        is_slow: whether it never answers.
        num_more: bytes to end each file with.
    """

    def __init__(self):
        self.refusals = []
        self.batches = []
        self.specs = []
        self.is_slow = False
        self.num_more = 0
        self.facts = {
            "kind": "generator",
            "size_multiple": 1,
            "max_pixels": 2**20,
            "noise_channels": 2,
            "image_size": (16, 16),
        }

    def answer(self, spec, signature, inputs):
        """Returns the outputs for lists of inputs; may raise StatusError."""
        self.specs.append(spec)
        if signature == "describe":
            texts = {
                b"dataset_info": Builder.INFO.to_json(),
                b"model": json.dumps(self.facts),
            }
            return [texts[key].encode() for key in inputs["key"]]
        self.batches.append(len(inputs["seed"]))
        if self.is_slow:
            NEVER.wait(PATIENCE)
        if self.refusals:
            raise StatusError(self.refusals.pop(0), "Not now.")
        size = (16, 16)
        if signature.endswith("_png"):
            file = io.BytesIO(inputs["label_map_bytes"][0])
            size = Image.open(file).size[::-1]
        images = [np.full([*size, 3], seed) for seed in inputs["seed"]]
        images = np.array(images, np.uint8)
        if signature == "resample":
            return images
        files = [io.BytesIO() for _ in images]
        for file, image in zip(files, images):
            Image.fromarray(image).save(file, "PNG")
            file.write(bytes(self.num_more))
        return [file.getvalue() for file in files]


class GrpcFake(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, fake):
        self._fake = fake

    def Predict(self, request, context):
        inputs = {
            name: tf.make_ndarray(tensor).tolist()
            for name, tensor in request.inputs.items()
        }
        spec = request.model_spec
        try:
            outputs = self._fake.answer(spec, spec.signature_name, inputs)
        except StatusError as error:
            context.abort(error.grpc_code, error.message)
        response = predict_pb2.PredictResponse()
        response.outputs["output"].CopyFrom(tf.make_tensor_proto(outputs))
        return response


class RestFake(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None  # Set by a subclass.
    addresses = None

    def do_POST(self):
        self.addresses.append(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        document = json.loads(body, object_hook=self.read_bytes)
        rows = document["instances"]
        inputs = {name: [row[name] for row in rows] for name in rows[0]}
        try:
            outputs = self.fake.answer(
                self.path, document["signature_name"], inputs
            )
            values = [self.write(output) for output in outputs]
            self.respond(200, json.dumps({"predictions": values}))
        except StatusError as error:
            self.respond(error.http_status, json.dumps({"error": "Not now."}))

    def respond(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    @staticmethod
    def read_bytes(value):
        return base64.b64decode(value["b64"]) if "b64" in value else value

    @staticmethod
    def write(output):
        if isinstance(output, bytes):
            return {"b64": base64.b64encode(output).decode()}
        return output.tolist()

    def log_message(self, *unused):
        pass


@contextlib.contextmanager
def grpc_server(fake, credentials=None):
    """Context with a fake behind gRPC; yields "host:port"."""
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = grpc.server(pool)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        GrpcFake(fake), server
    )
    if credentials:
        port = server.add_secure_port(f"{HOST}:0", credentials)
    else:
        port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        NEVER.set()
        server.stop(None).wait()
        NEVER.clear()


@contextlib.contextmanager
def rest_server(handler, context=None):
    """Context with a handler of HTTP; yields "host:port"."""
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"{HOST}:{server.server_port}"
    finally:
        NEVER.set()
        server.shutdown()
        server.server_close()
        thread.join()
        NEVER.clear()


def rest_handler(fake):
    return type("Handler", (RestFake,), {"fake": fake, "addresses": []})


class FakeTest(TestCase):
    def setUp(self):
        super().setUp()
        self.fake = Fake()
        self.pauses = []
        patch = mock.patch.object(calls.time, "sleep", self.pauses.append)
        self.enterContext(patch)

    def start(self, scheme, **options):
        """Returns a client of the fake."""
        if scheme == "grpc":
            server = grpc_server(self.fake)
        else:
            self.handler = rest_handler(self.fake)
            server = rest_server(self.handler)
        address = self.enterContext(server)
        return self.client(f"{scheme}://{address}", **options)

    def assert_draws(self, client, seeds=(7, 8)):
        images = client.generate(LABEL_MAP, seeds)
        self.assertAllEqual(images[:, 0, 0, 0], seeds)
        self.assertEqual(images.shape[1:], (16, 16, 3))


class RetryTest(FakeTest):
    @BOTH
    def test_asks_again_where_the_server_is_unavailable(self, scheme):
        client = self.start(scheme)
        self.fake.refusals = ["UNAVAILABLE"] * 3
        self.assert_draws(client)
        self.assertLen(self.fake.batches, 4)
        for pause, longest in zip(self.pauses, (0.25, 0.5, 1), strict=True):
            self.assertBetween(pause, longest / 2, longest)

    @BOTH
    def test_gives_up_after_so_many_retries(self, scheme):
        client = self.start(scheme, retries=2)
        self.fake.refusals = ["UNAVAILABLE"] * 9
        with self.assert_error("UNAVAILABLE", rf"{scheme}://{HOST}.*Not now"):
            client.generate(LABEL_MAP)
        self.assertLen(self.fake.batches, 3)

    @parameterized.product(
        scheme=["grpc", "http"],
        code=[
            "DEADLINE_EXCEEDED",
            "INTERNAL",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "RESOURCE_EXHAUSTED",
            "UNIMPLEMENTED",
        ],
    )
    def test_other_errors_are_told_at_once(self, scheme, code):
        client = self.start(scheme)
        self.fake.refusals = [code]
        with self.assert_error(code, "Not now"):
            client.generate(LABEL_MAP)
        self.assertLen(self.fake.batches, 1)
        self.assert_draws(client)

    @BOTH
    def test_does_not_wait_beyond_the_deadline(self, scheme):
        client = self.start(scheme, timeout=0.12)
        self.client_knows_the_model(client)
        self.fake.refusals = ["UNAVAILABLE"] * 9
        with self.assert_error("UNAVAILABLE"):
            client.generate(LABEL_MAP)
        self.assertEmpty(self.pauses)

    def client_knows_the_model(self, client):
        with mock.patch.object(calls, "_REQUEST_BYTES", 0):
            for _ in range(20):
                with contextlib.suppress(serving.ServingError):
                    return client.info

    @BOTH
    def test_the_deadline_is_for_a_whole_call(self, scheme):
        client = self.start(scheme, timeout=0.5, max_batch_size=1)
        self.client_knows_the_model(client)
        start = time.monotonic()
        self.fake.is_slow = True
        with self.assert_error("DEADLINE_EXCEEDED", f"{scheme}://{HOST}"):
            client.generate(LABEL_MAP, range(5))
        self.assertBetween(time.monotonic() - start, 0.49, 5)
        self.assertLen(self.fake.batches, 1)
        self.fake.is_slow = False
        clock = iter([0, 0.1, 0.2, 0.6])
        with (
            mock.patch.object(calls, "time") as fake_time,
            self.assert_error("DEADLINE_EXCEEDED"),
        ):
            fake_time.monotonic = lambda: next(clock)
            client.generate(LABEL_MAP, range(5))
        self.assertLen(self.fake.batches, 3)

    @BOTH
    def test_no_server_is_unavailable(self, scheme):
        address = f"{scheme}://{HOST}:{free_port()}"
        client = self.client(address, retries=1)
        with self.assert_error("UNAVAILABLE", f"{address}: .*refused"):
            client.generate(LABEL_MAP)
        self.assertLen(self.pauses, 1)

    @BOTH
    def test_time_may_be_unlimited(self, scheme):
        self.assert_draws(self.start(scheme, timeout=None))


class SplitTest(FakeTest):
    @BOTH
    def test_asks_for_so_many_pictures_at_a_time(self, scheme):
        client = self.start(scheme, max_batch_size=3)
        self.assert_draws(client, range(8))
        self.assertEqual(self.fake.batches, [3, 3, 2])

    @BOTH
    def test_draws_label_maps_in_batches(self, scheme):
        client = self.start(scheme, max_batch_size=2)
        images = client.draw([LABEL_MAP] * 5, range(5))
        self.assertAllEqual(images[:, 0, 0, 0], range(5))
        self.assertEqual(self.fake.batches, [2, 2, 1])

    @BOTH
    def test_asks_for_fewer_large_pictures(self, scheme):
        client = self.start(scheme)
        client.generate(np.zeros([512, 256], int), range(6))
        self.assertEqual(self.fake.batches, [4, 2])

    @BOTH
    def test_asks_for_no_more_than_the_model_takes(self, scheme):
        self.fake.facts["max_pixels"] = 600
        client = self.start(scheme)
        part = {"class_name": "sky", "feather": 2}
        images = client.resample(LABEL_MAP, 1, range(5), **part)
        self.assertEqual(images.shape, (5, 16, 16, 3))
        self.assertEqual(self.fake.batches, [2, 2, 1])

    @BOTH
    def test_requests_and_answers_fit_into_messages(self, scheme):
        # Two thirds of a message for an answer of noise of this size.
        client = self.start(scheme, max_message_bytes=12_000)
        noise = np.random.default_rng(0).integers(0, 11, [32, 32])
        images = client.generate(noise, range(5))
        self.assertAllEqual(images[:, 0, 0, 0], range(5))
        self.assertGreater(len(self.fake.batches), 1)
        self.assertEqual(sum(self.fake.batches), 5)

    @BOTH
    def test_a_request_beyond_a_message_is_told(self, scheme):
        client = self.start(scheme, max_message_bytes=4000)
        noise = np.random.default_rng(0).integers(0, 11, [96, 96])
        with self.assertRaisesRegex(ValueError, "`max_message_bytes` must be"):
            client.generate(noise)
        self.assertEmpty(self.fake.batches)

    @BOTH
    def test_an_answer_beyond_a_message_is_told(self, scheme):
        client = self.start(scheme, max_message_bytes=100_000, retries=3)
        self.assert_draws(client)
        self.fake.num_more = 100_000
        with self.assert_error("RESOURCE_EXHAUSTED", "larger than max"):
            client.generate(LABEL_MAP)
        # Not to be had by asking again.
        self.assertEmpty(self.pauses)
        self.fake.num_more = 0
        self.assert_draws(client)

    @BOTH
    def test_says_which_version_it_wants(self, scheme):
        client = self.start(scheme, generator="a b", version=0)
        self.assert_draws(client)
        if scheme == "grpc":
            spec = self.fake.specs[-1]
            self.assertEqual(spec.name, "a b")
            self.assertTrue(spec.HasField("version"))
        else:
            path = "/v1/models/a%20b/versions/0:predict"
            self.assertEqual(self.fake.specs[-1], path)

    @BOTH
    def test_says_which_label_it_wants(self, scheme):
        client = self.start(scheme, label="stable")
        self.assert_draws(client)
        spec = self.fake.specs[-1]
        if scheme == "grpc":
            self.assertEqual(spec.version_label, "stable")
        else:
            path = "/v1/models/generator/labels/stable:predict"
            self.assertEqual(spec, path)

    @BOTH
    def test_a_generator_without_noise_resamples_nothing(self, scheme):
        self.fake.facts["noise_channels"] = 0
        client = self.start(scheme)
        with self.assertRaisesRegex(ValueError, "trained with noise"):
            client.resample(LABEL_MAP, 1, 2, class_name="sky")


class HttpTest(FakeTest):
    def test_keeps_its_connection(self):
        client = self.start("http")
        self.assert_draws(client)
        self.fake.refusals = ["NOT_FOUND"]
        with self.assert_error("NOT_FOUND"):
            client.generate(LABEL_MAP)
        self.assert_draws(client)
        self.assertLen(self.handler.addresses, 4)
        self.assertLen(set(self.handler.addresses), 1)

    def test_connects_anew_where_the_server_has_hung_up(self):
        client = self.start("http", retries=0)
        self.assert_draws(client)
        respond = RestFake.respond

        def hang_up(handler, status, text):
            # Without a word about it in the answer.
            respond(handler, status, text)
            handler.close_connection = True

        self.handler.respond = hang_up
        for _ in range(3):
            self.assert_draws(client)
        self.assertLen(set(self.handler.addresses), 3)

    def test_closes_where_the_server_says_so(self):
        client = self.start("http", retries=0)
        self.handler.protocol_version = "HTTP/1.0"
        self.assert_draws(client)
        self.assertLen(set(self.handler.addresses), 2)

    def test_path_of_a_proxy_comes_first(self):
        self.handler = rest_handler(self.fake)
        address = self.enterContext(rest_server(self.handler))
        self.assert_draws(self.client(f"http://{address}/models/oasis/"))
        path = "/models/oasis/v1/models/generator:predict"
        self.assertEqual(self.fake.specs[-1], path)

    @parameterized.parameters(
        (200, "<html>", "UNKNOWN", "must answer as TF Serving.*<html>"),
        (200, "[1]", "UNKNOWN", "must answer as TF Serving"),
        (200, '{"predictions": 5}', "UNKNOWN", "must answer as TF Serving"),
        (200, '{"predictions": []}', "UNKNOWN", "must answer.* 0 outputs"),
        (404, "<html>", "NOT_FOUND", "HTTP status 404"),
        (302, "", "UNKNOWN", "HTTP status 302"),
        (413, '{"error": "Large."}', "RESOURCE_EXHAUSTED", "Large"),
        (502, "<html>", "UNAVAILABLE", "HTTP status 502"),
    )
    def test_other_answers_are_told(self, status, text, code, message):
        client = self.start("http", retries=0)
        self.handler.respond = lambda handler, *unused: RestFake.respond(
            handler, status, text
        )
        with self.assert_error(code, message):
            client.generate(LABEL_MAP)

    def test_an_answer_cut_off_is_unavailable(self):
        client = self.start("http", retries=0)

        def cut_off(handler, status, text):
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text[:9].encode())
            handler.close_connection = True

        self.handler.respond = cut_off
        with self.assert_error("UNAVAILABLE", "cut off"):
            client.generate(LABEL_MAP)

    def test_a_server_of_another_kind_is_told(self):
        address = self.enterContext(grpc_server(self.fake))
        client = self.client(f"http://{address}", retries=0)
        with self.assertRaisesRegex(serving.ServingError, address):
            client.generate(LABEL_MAP)


@unittest.skipUnless(shutil.which("openssl"), "openssl is not installed.")
class TlsTest(FakeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.key = os.path.join(folder.name, "server.key")
        cls.certificate = os.path.join(folder.name, "server.crt")
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
            f"-nodes -days 2 -subj /CN={HOST} -addext "
            f"subjectAltName=IP:{HOST} -keyout {cls.key} "
            f"-out {cls.certificate}",
            shell=True,
            check=True,
            capture_output=True,
        )

    def own(self):
        return {
            "root_certificates": self.certificate,
            "client_certificate": self.certificate,
            "client_key": self.key,
        }

    def servers(self):
        """Yields addresses of servers that ask for a client's certificate."""
        key, certificate = (
            pathlib.Path(path).read_bytes()
            for path in (self.key, self.certificate)
        )
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], certificate, require_client_auth=True
        )
        address = self.enterContext(grpc_server(self.fake, credentials))
        yield f"grpcs://{address}"
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=self.certificate
        )
        context.load_cert_chain(self.certificate, self.key)
        context.verify_mode = ssl.CERT_REQUIRED
        handler = rest_handler(self.fake)
        address = self.enterContext(rest_server(handler, context))
        yield f"https://{address}"

    def test_draws_over_tls(self):
        for address in self.servers():
            with self.subTest(address):
                self.assert_draws(self.client(address, **self.own()))

    def test_without_certificates_there_is_no_connection(self):
        for address in self.servers():
            for options in ({}, {"root_certificates": self.certificate}):
                with self.subTest(address, **options):
                    client = self.client(address, retries=0, **options)
                    with self.assert_error("UNAVAILABLE", address):
                        client.generate(LABEL_MAP)


if __name__ == "__main__":
    tf.test.main()
