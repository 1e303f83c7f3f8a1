"""LPIPS against the authors' package; `golden/make_lpips_golden.py` tells how.

Published weights are not needed: those of the golden numbers follow a rule.
"""

import dataclasses
import hashlib
import pathlib
import sys
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.evaluation import lpips as lpips_lib
from oasis_tf.evaluation.lpips import LPIPS
from tests import stand_in_torch
from tests.evaluation.golden import make_lpips_golden as golden_rule

GOLDEN = pathlib.Path(__file__).parent / "golden" / "lpips.npz"
NETS = ["alex", "vgg"]


@pytest.fixture(scope="module", autouse=True)
def torch():
    """PyTorch, or what stands in for it."""
    try:
        import torch
    except ImportError:
        torch = stand_in_torch
    # Not `patch.dict`, which would take out what is imported meanwhile.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        yield torch


@pytest.fixture(scope="module")
def save(torch, tmp_path_factory):
    """A function that writes a state dict of arrays to a new file."""

    def save(tensors, name="some.pth"):
        path = tmp_path_factory.mktemp("pth") / name
        tensors = {n: torch.from_numpy(t) for n, t in tensors.items()}
        torch.save(tensors, path)
        return path

    return save


@pytest.fixture(scope="module")
def files(save):
    """{net: (path of the backbone, path of the linear layers)}"""
    return {
        net: (save(golden_rule.backbone(net)), save(golden_rule.linear(net)))
        for net in NETS
    }


@pytest.fixture(scope="module")
def golden_lpips(files):
    """{net: `LPIPS` with the golden weights}"""
    return {
        net: LPIPS.load(backbone=backbone, linear=linear, net=net)
        for net, (backbone, linear) in files.items()
    }


@pytest.fixture(scope="module")
def alex(golden_lpips):
    return golden_lpips["alex"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def pair(golden, name="alex_0"):
    return golden[f"{name}_a"], golden[f"{name}_b"]


@pytest.mark.parametrize("name", ["alex_0", "alex_1", "vgg_0", "vgg_1"])
def test_has_the_packages_numbers(name, golden, golden_lpips):
    lpips = golden_lpips[name.partition("_")[0]]
    first, second = pair(golden, name)
    distance = lpips.distance(first, second)
    assert distance.dtype == tf.float32
    np.testing.assert_allclose(distance, golden[f"{name}_distance"], rtol=1e-5)
    np.testing.assert_allclose(
        lpips.distance_map(first[:1], second[:1])[0],
        golden[f"{name}_map"],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("net", NETS)
def test_embedding_has_the_distances(net, golden, golden_lpips):
    lpips = golden_lpips[net]
    first, second = pair(golden, f"{net}_0")
    a, b = lpips.embed(first).numpy(), lpips.embed(second).numpy()
    assert a.shape == (2, lpips.embedding_size(*first.shape[1:3]))
    np.testing.assert_allclose(
        ((a - b) ** 2).sum(axis=1), golden[f"{net}_0_distance"], rtol=1e-5
    )


def test_single_place_by_hand():
    # Where 31 x 31 pixels leave 1 x 1 of the last layer. Made so that each
    # layer passes on its input's mean, in channel 0 for one picture and in
    # channel 1 for the other.
    lpips = LPIPS.random("alex")
    network = lpips._network
    for i, index in enumerate([0, 3, 6, 8, 10]):
        kernel = np.zeros(network.get_layer(f"features_{index}").kernel.shape)
        middle = kernel.shape[0] // 2
        if i == 0:
            kernel[middle, middle, :, 0] = 1
            kernel[middle, middle, :, 1] = -1
        else:
            kernel[middle, middle, 0, 0] = kernel[middle, middle, 1, 1] = 1
        network.get_layer(f"features_{index}").kernel.assign(kernel)
        linear = np.zeros(kernel.shape[-1])
        linear[:2] = [10.0**i, 2 * 10.0**i]
        network.get_layer(f"linear_{i}").linear.assign(linear)
    white, black = np.ones([1, 31, 31, 3]), -np.ones([1, 31, 31, 3])
    # Unit vectors of channel 0 and channel 1: a difference of 1 in both.
    np.testing.assert_allclose(lpips.distance(white, black), [33333], rtol=1e-6)
    # Nothing but length differs: no distance.
    np.testing.assert_allclose(lpips.distance(white, white / 2), [0], atol=1e-6)


def test_places_without_features_have_no_direction(golden):
    lpips = LPIPS.random("alex")  # Without biases: 0 stays 0.
    gray = np.zeros([1, 64, 64, 3]) + [-0.030, -0.088, -0.188]
    np.testing.assert_array_equal(lpips.distance(gray, gray), [0])
    # From a vector of length 1 in each of five layers.
    first, _ = pair(golden)
    np.testing.assert_allclose(
        lpips.distance(gray, first[:1] / 127.5 - 1), [5], rtol=1e-5
    )


def test_small_features_have_length_1_too():
    lpips = LPIPS.random("alex")
    gray = np.zeros([1, 64, 64, 3]) + [-0.030, -0.088, -0.188]
    np.testing.assert_allclose(
        lpips.distance(gray, gray + 2e-7), [5], rtol=1e-2
    )


def test_equal_pictures_have_distance_0(alex, golden):
    first, _ = pair(golden)
    np.testing.assert_allclose(alex.distance(first, first), [0, 0], atol=1e-9)
    np.testing.assert_allclose(alex.distance_map(first, first), 0, atol=1e-9)


def test_order_does_not_matter(alex, golden):
    first, second = pair(golden)
    np.testing.assert_allclose(
        alex.distance(first, second), alex.distance(second, first), rtol=1e-6
    )


def test_floats_are_in_minus_1_to_1(alex, golden):
    first, second = pair(golden)
    np.testing.assert_allclose(
        alex.distance(first / 127.5 - 1, np.float32(second) / 127.5 - 1),
        alex.distance(first, second),
        rtol=1e-4,
    )


def test_works_in_a_graph_of_unknown_size(alex, golden):
    first, second = pair(golden)
    images = tf.TensorSpec([None, None, None, 3], tf.uint8)
    distance = tf.function(alex.distance, input_signature=[images, images])
    np.testing.assert_allclose(
        distance(first, second), golden["alex_0_distance"], rtol=1e-5
    )


def test_precision_is_not_the_global_one(golden, files):
    backbone, linear = files["alex"]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        lpips = LPIPS.load(backbone=backbone, linear=linear)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(
        lpips.distance(*pair(golden)), golden["alex_0_distance"], rtol=1e-5
    )


@pytest.mark.parametrize("net, size", [("alex", 31), ("vgg", 16)])
def test_rejects_pictures_that_leave_nothing(net, size, golden_lpips):
    lpips = golden_lpips[net]
    enough = np.zeros([1, size, size, 3], np.uint8)
    assert lpips.distance(enough, enough).shape == [1]
    with pytest.raises(ValueError, match=f"at least {size} pixels .*Received"):
        lpips.distance(enough[:, 1:], enough[:, 1:])


@pytest.mark.parametrize(
    "first, second",
    [
        (np.zeros([1, 64, 64, 3]), np.zeros([1, 64, 65, 3])),
        (np.zeros([1, 64, 64, 1]), np.zeros([1, 64, 64, 1])),
        (np.zeros([64, 64, 3]), np.zeros([64, 64, 3])),
        (np.zeros([1, 64, 64, 3], int), np.zeros([1, 64, 64, 3], int)),
    ],
)
def test_rejects_other_pictures(first, second, alex):
    with pytest.raises(ValueError, match="must have .*Received"):
        alex.distance(first, second)


def test_random_is_fixed_and_not_comparable(golden):
    first, second = pair(golden)
    distances = [
        LPIPS.random("alex", seed).distance(first, second).numpy()
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(distances[0], distances[1])
    assert (distances[0] != distances[2]).all()
    assert (distances[0] > 0).all()
    # The second pair is nearly equal.
    assert distances[0][1] < distances[0][0]
    assert not LPIPS.random("alex").is_comparable


@pytest.mark.parametrize("net", NETS)
def test_saved_weights_come_back(net, golden, golden_lpips, tmp_path):
    path = tmp_path / "lpips.weights.h5"
    golden_lpips[net].save(path)
    lpips = LPIPS.load(path, net=net)
    assert not lpips.is_comparable
    np.testing.assert_allclose(
        lpips.distance(*pair(golden, f"{net}_0")),
        golden[f"{net}_0_distance"],
        rtol=1e-5,
    )


def test_published_files_are_known_by_their_sums(files, tmp_path):
    backbone, linear = files["alex"]
    sums = [
        hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        for path in (backbone, linear)
    ]
    for changes, is_comparable in [
        ({"sha256": sums[0], "linear_sha256": sums[1]}, True),
        ({"sha256": sums[0]}, False),
        ({"linear_sha256": sums[1]}, False),
    ]:
        facts = dataclasses.replace(lpips_lib.NETS["alex"], **changes)
        with mock.patch.dict(lpips_lib.NETS, {"alex": facts}):
            lpips = LPIPS.load(backbone=backbone, linear=linear)
        assert lpips.is_comparable == is_comparable
        lpips.save(tmp_path / "lpips.weights.h5")
        again = LPIPS.load(tmp_path / "lpips.weights.h5")
        assert again.is_comparable == is_comparable


@pytest.mark.parametrize(
    "arguments",
    [{}, {"backbone": "a"}, {"linear": "a"}, {"weights": "a", "linear": "b"}],
)
def test_rejects_anything_but_one_file_or_two(arguments):
    with pytest.raises(ValueError, match="either `weights`, or both"):
        LPIPS.load(**arguments)


def test_rejects_unknown_nets():
    with pytest.raises(ValueError, match="alex, vgg. Received: 'squeeze'"):
        LPIPS.random("squeeze")


def test_errors_tell_what_is_published_where(files, save, tmp_path):
    backbone, linear = files["alex"]
    missing = tmp_path / "missing.pth"
    with pytest.raises(
        ValueError,
        match="`backbone` .*AlexNet.*download.pytorch.org.*alexnet-owt-7be5be79"
        ".*Received: .*missing.pth.*not there",
    ):
        LPIPS.load(backbone=missing, linear=linear)
    with pytest.raises(
        ValueError,
        match=r"`linear` .*alex.pth in https://github.com.*Received: .*missing",
    ):
        LPIPS.load(backbone=backbone, linear=missing)
    with pytest.raises(ValueError, match="VGG16.*vgg16-397923af.*features.0"):
        LPIPS.load(backbone=backbone, linear=linear, net="vgg")
    with pytest.raises(ValueError, match="`linear`.*no 'lin0.model.1.weight'"):
        LPIPS.load(backbone=backbone, linear=backbone)
    negative = golden_rule.linear("alex")
    negative["lin2.model.1.weight"][0, 5] = -0.1
    with pytest.raises(ValueError, match="'lin2.* not at least 0"):
        LPIPS.load(backbone=backbone, linear=save(negative))


def test_rejects_other_keras_files(alex, tmp_path):
    with pytest.raises(ValueError, match="must end in .weights.h5"):
        alex.save(tmp_path / "lpips.h5")
    with pytest.raises(ValueError, match="`weights` must end in .weights.h5"):
        LPIPS.load(tmp_path / "lpips.pth")
    with pytest.raises(
        ValueError, match="`LPIPS.save` .*Received: .*no.weights"
    ):
        LPIPS.load(tmp_path / "no.weights.h5")
    alex.save(tmp_path / "alex.weights.h5")
    with pytest.raises(ValueError, match="net='vgg'.*written for net='alex'"):
        LPIPS.load(tmp_path / "alex.weights.h5", net="vgg")
    other = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="written for net=None"):
        LPIPS.load(tmp_path / "other.weights.h5")
    (tmp_path / "text.weights.h5").write_text("none")
    with pytest.raises(ValueError, match="`LPIPS.save` .*Received: .*text"):
        LPIPS.load(tmp_path / "text.weights.h5")
