"""Settings of all tests: two logical CPU devices stand in for two GPUs."""

import os
import tempfile

import keras
import pytest
import tensorflow as tf

# Data are prepared here and not in the user's cache, also by subprocesses.
_CACHE = tempfile.TemporaryDirectory(prefix="oasis_tf_tests_")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

# TensorFlow takes them only before it first computes something, which a test
# module may do as it is imported.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


def pytest_addoption(parser):
    parser.addoption(
        "--optimize",
        action="store_true",
        help="Let TensorFlow optimize all graphs, not those of modules marked "
        "`optimized` alone.",
    )


@pytest.fixture(scope="module", autouse=True)
def without_graph_optimizer(request):
    """Has graphs run as they were traced, which saves a third of the time.

    Optimizing a graph takes longer than a test runs it. Commands that have a
    process of their own, modules marked `optimized` and `make test-all` do it.
    """
    if (
        request.config.getoption("optimize")
        or request.node.get_closest_marker("optimized") is not None
    ):
        yield
        return
    name = "disable_meta_optimizer"
    tf.config.optimizer.set_experimental_options({name: True})
    yield
    tf.config.optimizer.set_experimental_options({name: False})


@pytest.fixture(autouse=True)
def own_seed():
    """Keeps tests from each other's random numbers.

    Keras makes its generator of them where it is first asked for one, and that
    one made under a strategy works under no other.
    """
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def own_collective_keys():
    """Keeps the strategies of different tests apart.

    Strategies number their all-reduces from 1 each, and TensorFlow refuses a
    number that another tensor had before in the same process. There is this
    attribute for it, which counts where a strategy is made.
    """
    tf.distribute.MirroredStrategy._collective_key_base += 100
    yield
    tf.distribute.MirroredStrategy._collective_key_base += 100
