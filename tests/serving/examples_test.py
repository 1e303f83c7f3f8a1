"""The examples of `serving/examples/` draw what the local generator draws.

Each runs where its program is installed: curl and bash, Node 18.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from oasis_tf.inference.generator import load_generator
from oasis_tf.serving.model_config import Model
from tests import trained
from tests.serving import running

EXAMPLES = trained.ROOT / "serving/examples"
COMMANDS = {
    "curl.sh": ["bash"],
    "fetch.mjs": ["node"],
    "grpc_stubs.py": [sys.executable],
}
NEEDED = {"curl.sh": "curl", "fetch.mjs": "node"}
# Asks no server: `tests/exporters/tflite_test.py` runs it.
WITHOUT_A_SERVER = {"litert.py"}
SEED = 2**53 + 1  # No number of JavaScript's.


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return trained.make_workdir(tmp_path_factory.mktemp("examples") / "run")


@pytest.fixture(scope="module")
def server(workdir):
    model = Model("generator", str(workdir / "export/generator"))
    with running.running([model]) as options:
        yield options


@pytest.fixture(params=sorted(COMMANDS))
def example(request):
    name = request.param
    program = NEEDED.get(name)
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not installed.")
    return name


def run(name, options, *arguments):
    address = (
        f"{running.HOST}:{options.port}"
        if name == "grpc_stubs.py"
        else f"http://{running.HOST}:{options.rest_port}"
    )
    return subprocess.run(
        [*COMMANDS[name], EXAMPLES / name, address, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=running.PATIENCE,
    )


def test_draws_what_the_local_generator_draws(
    example, server, workdir, tmp_path
):
    _, label_map = trained.save_scene(tmp_path, size=(32, 48))
    picture = tmp_path / "picture.png"
    done = run(example, server, label_map, SEED, picture)
    assert done.returncode == 0, done.stderr
    expected = load_generator(workdir).generate(label_map, SEED)
    np.testing.assert_array_equal(Image.open(picture), expected)


def test_tells_what_the_server_refuses(example, server, tmp_path):
    label_map = tmp_path / "map.png"
    Image.fromarray(np.full([16, 16], 77, np.uint8)).save(label_map)
    picture = tmp_path / "picture.png"
    done = run(example, server, label_map, 3, picture)
    assert done.returncode != 0
    assert re.search(r"label_map_bytes.*\b77\b", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not picture.exists()


def test_tells_that_no_server_is_there(example, tmp_path):
    _, label_map = trained.save_scene(tmp_path)
    nobody = running.server.Options(
        [], port=running.free_port(), rest_port=running.free_port()
    )
    picture = tmp_path / "picture.png"
    done = run(example, nobody, label_map, 3, picture)
    assert done.returncode != 0
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert not picture.exists()


def test_tells_how_it_is_used(example):
    options = running.server.Options([])
    done = run(example, options)
    assert done.returncode != 0
    assert "SERVER LABEL_MAP SEED OUTPUT" in done.stderr


def test_each_example_is_known_and_told_of():
    files = {p.name for p in EXAMPLES.iterdir() if p.is_file()}
    files -= {"README.md"}
    assert files == set(COMMANDS) | WITHOUT_A_SERVER
    readme = (EXAMPLES / "README.md").read_text()
    for name in files:
        assert f"| `{name}` |" in readme


def test_shell_script_may_be_run():
    assert os.access(EXAMPLES / "curl.sh", os.X_OK)
