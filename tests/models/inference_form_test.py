"""Networks without what only training needs."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.inference_form import inference_form
from tests import tiny
from tests import trained

GENERATOR, DISCRIMINATOR = trained.networks()
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=[2, 8, 8, 2]).astype(np.float32)
SEMANTIC_MAP = tf.one_hot(
    RNG.integers(0, GENERATOR.semantic_channels, [2, 8, 8]),
    GENERATOR.semantic_channels,
)
IMAGE = RNG.uniform(-1, 1, [2, 8, 8, 3]).astype(np.float32)
INPUTS = {"generator": (NOISE, SEMANTIC_MAP), "discriminator": (IMAGE,)}


@functools.cache
def wide_networks():
    """Returns networks with as many channels as Winograd's convolution takes.

    Their singular values fit, or rounding errors would grow.
    """
    config = tiny.config(
        generator={"channels": (128, 128, 64)},
        discriminator={"channels": (64, 128)},
    )
    discriminator = build_discriminator(
        config.discriminator, tiny.SEMANTIC_CHANNELS
    )
    for _ in range(10):
        discriminator(IMAGE, training=True)
    return {
        "generator": trained.calm_generator(config),
        "discriminator": discriminator,
    }


class InferenceFormTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("generator", GENERATOR, (NOISE, SEMANTIC_MAP)),
        ("discriminator", DISCRIMINATOR, (IMAGE,)),
    )
    def test_computes_the_same(self, network, inputs):
        self.assertAllEqual(inference_form(network)(*inputs), network(*inputs))

    @parameterized.named_parameters(
        ("generator", GENERATOR), ("discriminator", DISCRIMINATOR)
    )
    def test_every_kernel_is_divided_by_its_sigma(self, network):
        copy = inference_form(network)
        num_kernels = 0
        for mine, block in zip(
            copy.residual_blocks, network.residual_blocks, strict=True
        ):
            for folded, conv in zip(
                mine.spectral_convs, block.spectral_convs, strict=True
            ):
                self.assertAllEqual(folded.kernel, conv.normalized_kernel())
                self.assertAllEqual(folded.normalized_kernel(), folded.kernel)
                num_kernels += 1
        expected = sum(v.path.endswith("/u") for v in network.variables)
        self.assertEqual(num_kernels, expected)

    @parameterized.named_parameters(
        ("generator", "generator"), ("discriminator", "discriminator")
    )
    def test_winograd_computes_the_same(self, name):
        network, inputs = wide_networks()[name], INPUTS[name]
        copy = inference_form(network, has_winograd=True)
        ranks = {
            len(conv.kernel.shape)
            for block in copy.residual_blocks
            for conv in block.spectral_convs
        }
        self.assertEqual(ranks, {3, 4})
        expected = inference_form(network)(*inputs)
        self.assertAllClose(
            copy(*inputs), expected, rtol=0, atol=1e-5 * np.std(expected)
        )

    def test_variables_are_those_that_are_computed_with(self):
        network = wide_networks()["generator"]
        copy = inference_form(network, has_winograd=True)
        num_convs = sum(len(b.spectral_convs) for b in network.residual_blocks)
        self.assertLen(copy.variables, len(network.variables) - 2 * num_convs)
        names = {v.path.rpartition("/")[2] for v in copy.variables}
        self.assertEqual(
            names, {"kernel", "bias", "moving_mean", "moving_variance"}
        )

    def test_the_network_itself_stays(self):
        before = [v.numpy() for v in GENERATOR.variables]
        inference_form(GENERATOR)
        for variable, value in zip(GENERATOR.variables, before, strict=True):
            self.assertAllEqual(variable, value)


if __name__ == "__main__":
    tf.test.main()
