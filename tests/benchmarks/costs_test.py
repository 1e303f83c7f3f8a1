"""Costs by layer: single ones by hand, whole networks as TensorFlow counts."""

import collections
import re
from unittest import mock

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from benchmarks import costs
from oasis_tf import config as config_lib
from oasis_tf.models.discriminator import Discriminator
from oasis_tf.models.generator import Generator
from oasis_tf.models.generator import build_generator
from oasis_tf.models.spectral_norm import SpectralConv2D
from oasis_tf.training import train_step
from tests import tiny

S = tiny.SEMANTIC_CHANNELS
DEVICE = costs.Device("made", {"float32": 100.0}, bandwidth=10.0, memory=1e3)


def count(function, *inputs):
    """Returns what TensorFlow counts for the operations that are needed.

    Args:
        function: whose convolutions are counted.
        *inputs: `tf.TensorSpec`s of it.

    Returns:
        dict of type of operation -> flops.
    """
    traced = tf.function(function, autograph=False)
    graph = traced.get_concrete_function(*inputs).graph
    # Gradients that nobody asked for are in the graph and are never computed.
    waiting = [t.op for t in graph.outputs] + list(graph.control_outputs)
    needed = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed[operation.name] = operation
            waiting += [t.op for t in operation.inputs]
            waiting += operation.control_inputs
    flops = {}
    for operation in needed.values():
        if operation.type.startswith("Conv2D"):
            counted = ops.get_stats_for_node_def(
                graph, operation.node_def, "flops"
            )
            flops[operation.type] = flops.get(operation.type, 0) + counted.value
    return flops


def test_a_convolution_by_hand():
    layer = keras.layers.Conv2D(5, 3, padding="same")
    layer.build([None, 4, 6, 2])
    operation = costs.convolution("name", "main", layer, (4, 6))
    assert operation.weights == 3 * 3 * 2 * 5
    assert operation.flops == 2 * (4 * 6) * 90
    assert operation.read == 4 * 6 * 2
    assert operation.written == 4 * 6 * 5


# The count does not look into functions.
@mock.patch.object(train_step, "traced_once", lambda model, forward: forward)
@pytest.mark.parametrize("lambda_labelmix", [10.0, 0.0])
def test_a_training_step_is_what_tensorflow_counts(lambda_labelmix):
    config = tiny.config(train={"lambda_labelmix": lambda_labelmix})
    state = train_step.create_state(config, S)
    height, width = size = (16, 32)

    def step(image, label_map, noise, again, bits):
        batch = {"image": image, "label_map": label_map}
        draws = train_step.Draws(noise, again, bits)
        return train_step.train_step(state, batch, draws, config.train, False)

    noise = tf.TensorSpec([1, height, width, 2])
    counted = count(
        step,
        tf.TensorSpec([1, height, width, 3]),
        tf.TensorSpec([1, height, width], tf.int32),
        noise,
        noise,
        tf.TensorSpec([S], tf.int32),
    )
    generator = costs.generator_operations(state.generator, size)
    discriminator = costs.discriminator_operations(state.discriminator, size)
    assert sum(counted.values()) == costs.step_flops(
        generator, discriminator, lambda_labelmix > 0
    )
    passes = costs.step_passes(generator, discriminator, lambda_labelmix > 0)
    expected = collections.Counter()
    for operation, taken in passes:
        ways = ["Conv2D", "Conv2DBackpropInput"]
        if re.fullmatch(r"up_\d+/conv_0", operation.name):
            ways.reverse()  # A transposed convolution.
        expected[ways[0]] += operation.flops * taken.forward
        expected[ways[1]] += operation.flops * taken.to_inputs
        expected["Conv2DBackpropFilter"] += operation.flops * taken.to_weights
    assert counted == expected


def test_a_convolution_of_repeated_pixels_by_hand():
    layer = SpectralConv2D(5, upsample=True)
    layer.build([None, 4, 6, 2])
    operation = costs.convolution("name", "main", layer, (4, 6))
    assert operation.weights == 3 * 3 * 2 * 5
    assert operation.flops == 2 * (4 * 6) * (4 * 4) * 2 * 5
    assert operation.read == 4 * 6 * 2
    assert operation.written == 8 * 12 * 5


def test_a_convolution_by_winograd_by_hand():
    layer = SpectralConv2D(128)
    layer.build([None, 8, 12, 256])
    layer.fold(has_winograd=True)
    operation = costs.convolution("name", "main", layer, (8, 12))
    assert operation.weights == 6 * 6 * 256 * 128
    # A product of 36 entries for each tile of 4 x 4 pixels.
    assert operation.flops == 2 * (2 * 3) * 36 * 256 * 128
    assert operation.read == 8 * 12 * 256
    assert operation.written == 8 * 12 * 128


@pytest.mark.slow
def test_the_generator_of_full_width_is_what_tensorflow_counts():
    generator = build_generator(config_lib.load("coco_stuff").generator, 183)
    counted = count(
        generator,
        tf.TensorSpec([1, 256, 256, 64]),
        tf.TensorSpec([1, 256, 256, 183]),
    )
    operations = costs.generator_operations(generator, (256, 256))
    assert counted == {"Conv2D": costs.total(operations, "flops")}


def test_what_a_block_of_the_discriminator_keeps_by_hand():
    discriminator = Discriminator(3, channels=(2, 4), last_channels=2)
    discriminator.build()
    operations = costs.discriminator_operations(discriminator, (8, 8))
    kept = {o.name: o.kept for o in operations if o.name.startswith("down_1/")}
    # From 2 channels of 4 x 4 pixels to 4 channels of 2 x 2.
    assert kept == {
        "down_1/act_0": 2 * 16,
        "down_1/conv_0": 0,
        "down_1/act_1": 4 * 16,
        "down_1/conv_1": 0,
        "down_1/shortcut": 0,
        "down_1/conv_s": 2 * 4,
        "down_1/sum": 0,
    }


def test_what_spade_keeps_by_hand():
    generator = Generator(
        3, channels=(4, 4), noise_channels=2, spade_channels=5
    )
    generator.build()
    operations = costs.generator_operations(generator, (2, 3))
    kept = {o.name: o.kept for o in operations if o.kept}
    assert kept == {
        "conv_in/conditioning": 6 * 5,
        "conv_in": 6 * 4,
        "block_0/conditioning": 6 * 5,
        "block_0/spade_0/shared": 6 * 5,
        "block_0/spade_0/apply": 6 * 4 * 3,
        "block_0/conv_0": 6 * 4,
        "block_0/spade_1/shared": 6 * 5,
        "block_0/spade_1/apply": 6 * 4 * 3,
        "block_0/sum": 6 * 4,
        "conv_out": 6 * 3,
    }


@pytest.fixture(scope="module")
def generator():
    made = Generator(3, channels=(4, 4, 2), noise_channels=2, spade_channels=5)
    made.build()
    return made


def test_neighbourhoods_that_are_none_cost_what_is_dense(generator):
    dense = costs.generator_operations(generator, (8, 8))
    assert costs.piecewise_flops(
        generator, (8, 8), [None, None]
    ) == costs.total(dense, "flops")


def test_one_neighbourhood_by_hand(generator):
    one = costs.Distinct(vectors=1, inner=1, outer=1)
    flops = costs.piecewise_flops(generator, (8, 8), [one, one])
    operations = costs.generator_operations(generator, (8, 8))

    def spade(channels):  # 5 of noise and labels, 5 hidden.
        return (2 * 5 + 1) * 9 * 5 + (2 * 5 + 1) * 9 * 2 * channels

    # The second block's channels change: it has a third one.
    spades = spade(4) + spade(4) + spade(4) + spade(2) + spade(4)
    assert flops == costs.total(operations, "flops", part="main") + spades


def test_more_neighbourhoods_cost_more(generator):
    few, many = (costs.Distinct(3, n, 2 * n) for n in (5, 6))
    flops = [
        costs.piecewise_flops(generator, (8, 8), [None, here])
        for here in (few, many)
    ]
    # Three SPADE layers: a sum of nine for each of 5 hidden channels; and for
    # 2 (4 + 2 + 4) scales and shifts products with nine matrices, and sums.
    assert flops[1] - flops[0] == 3 * 9 * 5 + 20 * 9 * (2 * 5 + 2)


def test_a_time_is_the_longer_one_of_arithmetic_and_traffic():
    working = costs.Operation("a", "main", flops=400, read=1, weights=2)
    moving = costs.Operation("b", "main", flops=400, read=20, weights=30)
    passing = costs.Operation("c", "between", read=4, written=6)
    times = [
        costs.forward_seconds([one], DEVICE, "float32", batch=2)
        for one in (working, moving, passing)
    ]
    # 2 * 400 / 100; (2 * 20 + 30) * 4 / 10; 2 * 10 * 4 / 10.
    assert times == [8.0, 28.0, 8.0]


def test_a_pass_between_convolutions_moves_twice_as_much_backwards():
    passing = costs.Operation("c", "between", read=4, written=6)
    passes = [(passing, costs.Passes(forward=2, to_weights=1, to_inputs=3))]
    # 10 numbers of 4 bytes: twice forwards, three times twice backwards.
    assert costs.step_bytes(passes, "float32", batch=1) == 40 * (2 + 6)
    assert costs.step_bytes(passes, "bfloat16", batch=1) == 20 * (2 + 6)


def test_spectral_normalization_by_hand():
    def convolution(weights, is_spectral):
        return costs.Operation(
            "c", "main", flops=1, weights=weights, is_spectral=is_spectral
        )

    generator = [convolution(10, True), convolution(1000, False)]
    discriminator = [convolution(3, True)]
    # The generator twice forwards, once backwards; the discriminator, without
    # LabelMix, on one fake, and on a fake and a real image with gradients. Two
    # products, reading and writing it; five passes over it backwards.
    assert costs.spectral_bytes(generator, discriminator, False) == 4 * (
        10 * (2 * 4 + 5) + 3 * (3 * 4 + 2 * 5)
    )


def test_states_and_updates_by_hand():
    # Weights, average of the first, second moments, the larger gradients.
    assert costs.state_bytes(10, 3, has_momentum=False) == 4 * (
        13 + 10 + 13 + 10
    )
    assert costs.state_bytes(10, 3, has_momentum=True) == 4 * (
        13 + 10 + 26 + 10
    )
    assert costs.update_bytes(10, 3, has_momentum=False) == 4 * (65 + 30)
    assert costs.update_bytes(10, 3, has_momentum=True) == 4 * (91 + 30)


def test_a_ring_sends_each_byte_nearly_twice():
    assert costs.ring_seconds(100, 2, bandwidth=10) == 10
    assert costs.ring_seconds(100, 8, bandwidth=10) == 17.5
