"""Many clients at a time, while versions come and go.

Every picture is compared with the one that the local generator draws for its
label map and seed: none is another client's.
"""

import itertools
import os
import shutil
import threading

import numpy as np
import pytest

from oasis_tf.inference.generator import load_generator
from oasis_tf.serving import Client
from oasis_tf.serving.batching import Parameters
from oasis_tf.serving.model_config import Model
from oasis_tf.serving.versions import Settings
from tests import tiny
from tests import trained
from tests.serving import running

NUM_CLIENTS = 6
SIZES = [(16, 16), (16, 24), (32, 16)]
SEEDS = range(4)
SETTINGS = Settings(poll_seconds=0.1, max_retries=0, allow_labels=True)
BATCHING = Parameters(
    is_joining=True,
    max_batch_size=8,
    batch_timeout_micros=2000,
    max_enqueued_batches=100,
    allowed_batch_sizes=(1, 4, 8),
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return trained.make_workdir(tmp_path_factory.mktemp("load") / "run")


@pytest.fixture(scope="module")
def expected(workdir):
    """{(size, seed): (label map, picture)}."""
    generator = load_generator(workdir)
    maps = {
        size: np.array(tiny.batch(size=1, image_size=size)["label_map"][0])
        for size in SIZES
    }
    return {
        (size, seed): (maps[size], generator.generate(maps[size], seed))
        for size, seed in itertools.product(SIZES, SEEDS)
    }


class Clients:
    """Threads that ask and compare until they are told to stop.

    Attributes:
        num_right: pictures that were right.
        mistakes: what was not: texts.
    """

    def __init__(self, server, expected):
        self.num_right = 0
        self.mistakes = []
        self._expected = expected
        self._is_over = threading.Event()
        addresses = [
            f"grpc://{running.HOST}:{server.port}",
            f"http://{running.HOST}:{server.rest_port}",
        ]
        self._threads = [
            threading.Thread(target=self._ask, args=[addresses[i % 2], i])
            for i in range(NUM_CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address, number):
        rng = np.random.default_rng(number)
        keys = list(self._expected)
        with Client(address, retries=0) as client:
            while not self._is_over.is_set():
                size, seed = keys[rng.integers(len(keys))]
                label_map, picture = self._expected[size, seed]
                try:
                    image = client.generate(label_map, seed)
                except Exception as error:
                    self.mistakes.append(f"{address}: {error!r}")
                    continue
                if np.array_equal(image, picture):
                    self.num_right += 1
                else:
                    self.mistakes.append(f"{address}: {size} {seed}")

    def wait_for(self, num_more):
        start = self.num_right
        running.wait_until(
            lambda: self.mistakes or self.num_right >= start + num_more
        )


@pytest.mark.slow
@pytest.mark.parametrize("batching", [Parameters(), BATCHING])
def test_each_client_gets_its_own_picture_while_versions_change(
    workdir, expected, batching, tmp_path
):
    base = tmp_path / "generator"
    shutil.copytree(workdir / "export/generator/6", base / "6")

    def add(version, is_whole=True):
        folder = base / f"{version}.tmp"
        shutil.copytree(base / "6", folder)
        if not is_whole:
            data = folder / "variables/variables.data-00000-of-00001"
            os.truncate(data, data.stat().st_size // 2)
        folder.rename(base / str(version))

    with running.running(
        [Model("generator", str(base))], settings=SETTINGS, batching=batching
    ) as server:

        def states():
            answer = running.ask(server, "GET", "/v1/models/generator")
            return {
                int(status["version"]): status["state"]
                for status in answer.json["model_version_status"]
            }

        with Clients(server, expected) as clients:
            clients.wait_for(50)
            add(7)
            running.wait_until(lambda: states() == {6: "END", 7: "AVAILABLE"})
            clients.wait_for(50)
            add(8, is_whole=False)
            running.wait_until(lambda: states().get(8) == "END")
            clients.wait_for(50)
            assert states() == {6: "END", 7: "AVAILABLE", 8: "END"}
    assert not clients.mistakes, clients.mistakes[:5]
