"""Conditioning in pieces: the dense layers are the reference."""

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data.label_map import one_hot
from oasis_tf.models import piecewise
from oasis_tf.models.inference_form import inference_form
from oasis_tf.models.noise import placed_noise
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.piecewise import Pieces
from oasis_tf.models.piecewise import Windows
from oasis_tf.models.spade import SPADE
from tests import tiny
from tests import trained

S = tiny.SEMANTIC_CHANNELS
RNG = np.random.default_rng(0)


def regions(height, width, num=4, batch=2, labels=S):
    """Returns label maps `[B, H, W]` of a few convex regions."""
    y, x = np.mgrid[:height, :width]
    maps = []
    for _ in range(batch):
        points = RNG.uniform(0, [height, width], [num, 2])
        nearest = np.argmin([np.hypot(y - p, x - q) for p, q in points], axis=0)
        maps.append(RNG.integers(labels, size=num)[nearest])
    return np.stack(maps).astype(np.int32)


def always_few(monkeypatch, borders=1.0):
    """Lets everything be looked up, few or not."""
    monkeypatch.setattr(piecewise, "MOST_BORDERS", borders)


class TestPieces:
    def test_are_what_they_stand_for(self):
        label_map = regions(8, 12)
        place_map = regions(8, 12, labels=3)
        z = np.float32(RNG.normal(size=[2, 3, 5]))
        pieces = Pieces.of(z, place_map, label_map, S)
        expected = np.concatenate(
            [placed_noise(z, place_map), one_hot(label_map, S)], axis=-1
        )
        np.testing.assert_array_equal(pieces.dense(), expected)
        # Only what occurs, once.
        distinct = np.unique(expected.reshape(-1, 5 + S), axis=0)
        assert len(pieces.palette) == len(distinct)
        np.testing.assert_array_equal(
            pieces.at(4).dense(), expected[:, ::4, ::4]
        )

    def test_without_noise(self):
        label_map = regions(8, 8)
        pieces = Pieces.of(
            np.zeros([2, 1, 0], "f4"), np.zeros_like(label_map), label_map, S
        )
        np.testing.assert_array_equal(pieces.dense(), one_hot(label_map, S))


class TestWindows:
    @pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (7, 9)])
    def test_are_those_of_the_map(self, size):
        index_map = RNG.integers(3, size=[2, *size]).astype(np.int32)
        windows = Windows.of(tf.constant(index_map), 3)
        padded = np.pad(index_map, [[0, 0], [1, 1], [1, 1]], constant_values=3)
        every = np.lib.stride_tricks.sliding_window_view(
            padded, (3, 3), axis=(1, 2)
        ).reshape(*index_map.shape, 9)
        found = windows.members.numpy()[windows.window_map.numpy()]
        np.testing.assert_array_equal(found, every)
        distinct = np.unique(every.reshape(-1, 9), axis=0)
        assert windows.count == len(windows.members) == len(distinct)

    def test_of_one_region_are_nine(self):
        # In the middle, at four edges and in four corners.
        windows = Windows.of(tf.zeros([3, 6, 6], tf.int32), 1)
        assert windows.count == 9

    def test_large_indices_stay_apart(self):
        most = 2**21 - 3
        index_map = tf.constant([[[0, most, 1, most - 1]]])
        windows = Windows.of(index_map, most + 1)
        found = windows.members.numpy()[windows.window_map.numpy()]
        outside = most + 1
        np.testing.assert_array_equal(
            found[0, 0, :, 3:6],
            [
                [outside, 0, most],
                [0, most, 1],
                [most, 1, most - 1],
                [1, most - 1, outside],
            ],
        )


class TestConvolution:
    kernel = np.float32(RNG.normal(size=[3, 3, 4, 5]))

    def test_of_windows_is_that_of_the_map(self):
        palette = np.float32(RNG.normal(size=[6, 4]))
        index_map = RNG.integers(6, size=[2, 5, 7]).astype(np.int32)
        windows = Windows.of(tf.constant(index_map), 6)
        rows = piecewise.convolve(
            tf.constant(palette), tf.constant(self.kernel), windows
        )
        found = tf.gather(rows, windows.window_map)
        expected = tf.nn.conv2d(palette[index_map], self.kernel, 1, "SAME")
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestSPADE:
    def test_looks_up_what_it_convolves(self, monkeypatch):
        always_few(monkeypatch)
        layer = SPADE(8, initial_gain=1.0)
        layer.build((None, 8, 8, 6), (None, 8, 8, 5 + S))
        layer.shared.bias.assign(RNG.normal(size=8))
        layer.norm.moving_mean.assign(RNG.normal(size=6))
        layer.norm.moving_variance.assign(RNG.uniform(0.5, 2, size=6))
        x = np.float32(RNG.normal(size=[2, 8, 8, 6]))
        z = np.float32(RNG.normal(size=[2, 3, 5]))
        pieces = Pieces.of(z, regions(8, 8, labels=3), regions(8, 8), S)
        expected = layer(x, pieces.dense())
        found = layer(x, conditioning=Neighbourhoods(pieces))
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_gradients_are_the_same(self, monkeypatch):
        always_few(monkeypatch)
        layer = SPADE(4, initial_gain=1.0)
        layer.build((None, 8, 8, 3), (None, 8, 8, 2 + S))
        x = np.float32(RNG.normal(size=[2, 8, 8, 3]))
        z = np.float32(RNG.normal(size=[2, 1, 2]))
        label_map = regions(8, 8)
        pieces = Pieces.of(z, np.zeros_like(label_map), label_map, S)
        gradients = []
        for conditioning in (pieces.dense(), Neighbourhoods(pieces)):
            with tf.GradientTape() as tape:
                y = layer(x, conditioning=conditioning)
                loss = tf.reduce_sum(tf.sin(y))
            gradients.append(tape.gradient(loss, layer.trainable_variables))
        for dense, looked_up in zip(*gradients, strict=True):
            np.testing.assert_allclose(looked_up, dense, atol=1e-4)


def neighbourhoods(label_map):
    label_map = np.asarray(label_map)
    z = np.zeros([len(label_map), 1, 0], "f4")
    pieces = Pieces.of(z, np.zeros_like(label_map), label_map, S)
    return Neighbourhoods(pieces)


def scattered(size, batch=1):
    """Returns label maps of a label for each pixel."""
    return RNG.integers(S, size=[batch, size, size]).astype(np.int32)


class TestChoice:
    def test_regions_are_looked_up_scattered_labels_convolved(self):
        assert neighbourhoods(regions(32, 32)).are_few
        assert not neighbourhoods(scattered(32)).are_few

    def test_goes_by_the_share_of_pixels_at_a_border(self, monkeypatch):
        # Each third column and row begins a region.
        checks = np.add.outer(np.arange(9) // 3, np.arange(9) // 3) % 2
        checks = checks[None].astype(np.int32)
        edges = 2 * 2 * 9 - 2 * 2  # But the first, at the image's edge.
        always_few(monkeypatch, edges / 81 + 1e-6)
        assert neighbourhoods(checks).are_few
        always_few(monkeypatch, edges / 81 - 1e-6)
        assert not neighbourhoods(checks).are_few

    def test_nothing_is_looked_for_in_scattered_labels(self):
        assert neighbourhoods(scattered(16)).outer.count == 1

    def test_of_a_batch_goes_by_its_mean(self):
        few, many = regions(32, 32, batch=3), scattered(32)
        assert neighbourhoods(np.concatenate([few, many])).are_few
        assert not neighbourhoods(np.concatenate([few[:1], many, many])).are_few

    def test_more_than_the_numbers_hold_are_convolved(self, monkeypatch):
        label_map = regions(32, 32)
        assert neighbourhoods(label_map).inner.count > 3
        monkeypatch.setattr(piecewise, "_LARGEST_INDEX", 3)
        assert not neighbourhoods(label_map).are_few
        monkeypatch.setattr(piecewise, "_LARGEST_INDEX", 32 * 34 * 2)
        assert neighbourhoods(label_map).are_few


class TestGenerator:
    generator = trained.calm_generator()

    @pytest.mark.parametrize("share", [-1.0, 0.2, 1.0])
    @pytest.mark.parametrize("size", [(16, 16), (32, 24), (8, 40)])
    def test_draws_what_the_dense_form_draws(self, monkeypatch, share, size):
        always_few(monkeypatch, share)
        label_map = regions(*size)
        place_map = regions(*size, labels=3)
        channels = self.generator.noise_channels
        z = np.float32(RNG.normal(size=[2, 3, channels]))
        expected = self.generator(
            placed_noise(z, place_map), one_hot(label_map, S)
        )
        pieces = Pieces.of(z, place_map, label_map, S)
        assert np.std(expected) > 0.1
        for network in (self.generator, inference_form(self.generator)):
            found = network.draw_pieces(pieces)
            np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_in_a_graph_of_any_size(self):
        network = inference_form(self.generator)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, 2]),
                tf.TensorSpec([None, None, None], tf.int32),
            ]
        )
        def draw(z, label_map):
            return network.draw_pieces(
                Pieces.of(z, tf.zeros_like(label_map), label_map, S)
            )

        for size in (16, 16), (24, 8):
            label_map = regions(*size)
            z = np.float32(RNG.normal(size=[2, 1, 2]))
            noise = np.broadcast_to(z[:, :, None], [2, *size, 2])
            expected = self.generator(noise, one_hot(label_map, S))
            np.testing.assert_allclose(draw(z, label_map), expected, atol=1e-5)

    @pytest.mark.parametrize("share", [-1.0, 1.0])
    def test_an_image_is_the_same_in_any_batch(self, monkeypatch, share):
        always_few(monkeypatch, share)
        label_map = np.concatenate([regions(32, 32), scattered(32)])
        z = np.float32(RNG.normal(size=[3, 1, 2]))
        pieces = Pieces.of(z, np.zeros_like(label_map), label_map, S)
        together = self.generator.draw_pieces(pieces)
        for i in range(3):
            some = slice(i, i + 1)
            pieces = Pieces.of(
                z[some], np.zeros_like(label_map[some]), label_map[some], S
            )
            np.testing.assert_allclose(
                self.generator.draw_pieces(pieces)[0], together[i], atol=1e-6
            )
