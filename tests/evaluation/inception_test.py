"""Inception against PyTorch-FID's and torch-fidelity's, by golden/."""

import json
import sys
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from oasis_tf import state_dict
from oasis_tf.evaluation import inception
from tests import stand_in_torch
from tests.evaluation.golden import make_inception_golden as golden


@pytest.fixture(scope="module")
def expected():
    with np.load(golden.PATH) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def shapes(expected):
    """{name: shape} of a published file."""
    lists = map(json.loads, expected["shapes"].tolist())
    return dict(zip(expected["names"].tolist(), map(tuple, lists)))


@pytest.fixture(scope="module")
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
def pth(torch, shapes, tmp_path_factory):
    """A file as the published one, with the golden weights."""
    path = tmp_path_factory.mktemp("inception") / inception.PUBLISHED_FILE
    tensors = golden.weights(shapes)
    # Newer versions of PyTorch count; nobody reads it.
    tensors["Mixed_7c.branch_pool.bn.num_batches_tracked"] = np.array(7)
    torch.save({n: torch.from_numpy(t) for n, t in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def loaded(pth):
    return inception.load_inception(pth)


@pytest.fixture
def built(loaded, monkeypatch):
    """The network that is "built" next: building it takes seconds."""
    monkeypatch.setattr(inception, "build_inception", lambda: loaded.network)
    return loaded.network


def distance(features, expected):
    """Returns the largest difference in the size of the features."""
    assert features.shape == expected.shape
    return np.abs(features - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("protocol", inception.PROTOCOLS)
def test_features_are_the_other_implementations(loaded, expected, protocol):
    judge = loaded
    if protocol != loaded.protocol:
        judge = inception.Inception(loaded.network, protocol)
    features = [judge.features(image) for image in golden.images()]
    assert features[0].dtype == tf.float32
    assert distance(np.concatenate(features), expected[protocol]) < 1e-5
    # The golden images are not one and the same to it.
    assert distance(expected[protocol][:1], expected[protocol][1:2]) > 1e-2


@pytest.mark.parametrize("protocol", inception.PROTOCOLS)
def test_resizes_as_the_other_implementations(expected, protocol):
    crops = [
        np.asarray(inception.preprocess(image, protocol))[golden.CROP]
        for image in golden.images()
    ]
    crops = np.concatenate(crops)
    np.testing.assert_allclose(
        crops, expected[f"crops_{protocol}"], rtol=0, atol=1e-6
    )


def test_the_two_ways_to_resize_worked_out_by_hand():
    # Two pixels become 299 wide: 0 and 255, as columns.
    image = np.zeros([1, 1, 2, 3], np.uint8)
    image[:, :, 1] = 255
    columns = np.arange(299)
    for protocol, position, low, high in (
        ("pytorch_fid", (columns + 0.5) * 2 / 299 - 0.5, -1, 1),
        ("tensorflow_1", columns * 2 / 299, -1, 127 / 128),
    ):
        share = np.clip(position, 0, 1)
        row = np.asarray(inception.preprocess(image, protocol))[0, 150, :, 0]
        np.testing.assert_allclose(row, low + (high - low) * share, atol=1e-5)


def test_images_of_its_size_are_scaled_alone():
    image = golden.images()[2]
    np.testing.assert_allclose(
        inception.preprocess(image), image / 127.5 - 1, atol=1e-6
    )


def test_images_of_a_batch_do_not_mix(loaded, expected):
    image = golden.images()[0]
    features = loaded.features(np.concatenate([255 - image, image]))
    assert distance(features[1:], expected["pytorch_fid"][:1]) < 1e-5
    assert distance(features[:1], expected["pytorch_fid"][:1]) > 1e-3
    assert loaded.features(image[:0]).shape == (0, 2048)


def test_layers_bear_the_published_names(loaded, shapes):
    names = {inception.published_name(v) for v in loaded.network.variables}
    assert names == set(shapes) - {"fc.weight", "fc.bias"}
    assert not loaded.network.trainable_variables


def test_keras_file_made_from_it_holds_the_same(built, tmp_path):
    path = tmp_path / "inception.weights.h5"
    built.save_weights(path)
    kept = [variable.numpy() for variable in built.variables]
    for variable in built.variables:
        variable.assign(variable * 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        judge = inception.load_inception(str(path))
    assert judge.is_published is None  # A hash of it says nothing.
    for variable, value in zip(built.variables, kept):
        np.testing.assert_array_equal(variable, value)


def test_other_weights_are_told_from_the_published(
    loaded, built, pth, monkeypatch
):
    assert not loaded.is_published
    monkeypatch.setattr(inception, "_SHA256", state_dict.sha256(pth)[:8])
    assert inception.load_inception(pth).is_published


def test_keras_file_with_numbers_that_are_not_finite(built, tmp_path):
    path = tmp_path / "inception.weights.h5"
    path.write_bytes(b"")
    gamma = built.get_layer("Mixed_7a.branch3x3_1.bn").gamma
    kept = gamma.numpy()

    def load_weights(model, _):
        gamma.assign(kept * np.nan)

    with mock.patch.object(keras.Model, "load_weights", load_weights):
        with pytest.raises(ValueError, match="_1.bn/gamma: expected finite"):
            inception.load_inception(path)
    gamma.assign(kept)


def test_every_tensor_that_does_not_fit_is_named(shapes, built, tmp_path):
    tensors = {n: np.broadcast_to(np.float32(0), s) for n, s in shapes.items()}
    del tensors["Mixed_5b.branch1x1.conv.weight"]
    tensors["AuxLogits.fc.weight"] = np.zeros([1000, 768])
    tensors["fc.bias"] = np.zeros([1000])
    # PyTorch's order of axes tells 1 x 7 from 7 x 1.
    tensors["Mixed_6b.branch7x7_2.conv.weight"] = np.zeros([128, 128, 7, 1])
    tensors["Conv2d_1a_3x3.bn.bias"] = np.full([32], np.nan)
    path = tmp_path / "other.pth"
    path.write_bytes(b"")
    with mock.patch.object(state_dict, "read", lambda _: tensors):
        with pytest.raises(ValueError) as error:
            inception.load_inception(path)
    message = str(error.value)
    for part in (
        str(path),
        inception.PUBLISHED_FILE,
        "github.com/mseitzer/pytorch-fid/releases/download/fid_weights",
        "Mixed_5b.branch1x1.conv.weight: expected shape (64, 192, 1, 1), found "
        "none",
        "AuxLogits.fc.weight: expected none, found shape (1000, 768)",
        "fc.bias: expected shape (1008,), found (1000,)",
        "Mixed_6b.branch7x7_2.conv.weight: expected shape (128, 128, 1, 7), "
        "found (128, 128, 7, 1)",
        "Conv2d_1a_3x3.bn.bias: expected finite numbers",
    ):
        assert part in message
    assert message.count("\n") == 5


def test_another_networks_keras_file_is_refused(built, tmp_path):
    path = tmp_path / "x.weights.h5"
    other = keras.Sequential([keras.Input([5]), keras.layers.Dense(2)])
    other.save_weights(path)
    with pytest.raises(ValueError, match=f"{path} must hold .*Received"):
        inception.load_inception(path)


def test_missing_files_and_other_kinds_are_refused(tmp_path):
    expected = inception.PUBLISHED_FILE
    with pytest.raises(ValueError, match=f"{expected}.*no.pth', which is not"):
        inception.load_inception(tmp_path / "no.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(ValueError, match=f"{expected}.*which is a folder"):
        inception.load_inception(tmp_path / "folder.pth")
    for path in ("", tmp_path / "inception.h5"):
        with pytest.raises(ValueError, match=f"{expected}.*Received: '{path}'"):
            inception.load_inception(path)


def test_without_pytorch_says_what_to_install(built, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(ValueError, match="pip install torch"):
            inception.load_inception(tmp_path / "a.pth")


def test_what_is_no_image_is_refused():
    judge = inception.Inception(None)
    for images in (
        np.zeros([1, 8, 8, 3], np.float32),
        np.zeros([8, 8, 3], np.uint8),
        np.zeros([1, 8, 8, 1], np.uint8),
        np.zeros([1, 0, 8, 3], np.uint8),
    ):
        with pytest.raises(ValueError, match=r"uint8 \[B, H, W, 3\].*Received"):
            judge.features(images)
    with pytest.raises(ValueError, match="protocol='tf'"):
        inception.Inception(None, "tf")
