"""Tensors of the published checkpoints <-> our variables."""

import json
import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.models import published
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator

GOLDEN = pathlib.Path(__file__).parents[1] / "parity/golden"


def small_generator():
    config = GeneratorConfig(
        channels=(3, 3, 2), noise_channels=1, spade_channels=2
    )
    return build_generator(config, semantic_channels=2)


def small_discriminator():
    config = DiscriminatorConfig(channels=(2, 3), last_channels=2)
    return build_discriminator(config, semantic_channels=2)


def names(model):
    """Returns {our path: published name}."""
    paths = {variable.path for variable in model.variables}
    return {
        path: published.published_name(
            path, path.rpartition("/")[0] + "/u" in paths
        )
        for path in paths
    }


def state_dict(model):
    """Returns tensors of the published shapes, counting up."""
    tensors = {}
    for variable in model.variables:
        shape = tuple(variable.shape)
        if len(shape) == 4:
            shape = (shape[3], shape[2], *shape[:2])
        name = names(model)[variable.path]
        size = int(np.prod(shape))
        values = np.arange(size, dtype=np.float32) + 1000 * len(tensors)
        tensors[name] = values.reshape(shape)
    return tensors


class PublishedNameTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        (
            "spectral_kernel",
            "generator/block_0/conv_1/kernel",
            True,
            "body.0.conv_1.weight_orig",
        ),
        ("kernel", "generator/conv_in/kernel", False, "fc.weight"),
        (
            "statistic",
            "generator/block_3/spade_s/norm/moving_variance",
            False,
            "body.3.norm_s.first_norm.running_var",
        ),
        (
            "image_block",
            "discriminator/down_0/conv_0/u",
            True,
            "body_down.0.conv1.0.weight_u",
        ),
        (
            "up_block",
            "discriminator/up_2/conv_0/bias",
            True,
            "body_up.2.conv1.2.bias",
        ),
    )
    def test_of(self, path, is_spectral, name):
        self.assertEqual(published.published_name(path, is_spectral), name)

    def test_names_of_the_published_networks(self):
        for network, model in (
            (
                "generator",
                # More channels would not change the names.
                build_generator(
                    GeneratorConfig(
                        channels=(8, 8, 8, 6, 5, 4, 2),
                        noise_channels=1,
                        spade_channels=2,
                    ),
                    semantic_channels=2,
                ),
            ),
            (
                "discriminator",
                build_discriminator(
                    DiscriminatorConfig(channels=(2, 2, 3, 3, 4, 4)),
                    semantic_channels=2,
                ),
            ),
        ):
            with self.subTest(network):
                spec = json.loads((GOLDEN / f"{network}.json").read_text())
                expected = {
                    name
                    for name in spec
                    if not name.endswith("num_batches_tracked")
                }
                self.assertCountEqual(names(model).values(), expected)


class LoadStateDictTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("generator", small_generator), ("discriminator", small_discriminator)
    )
    def test_sets_every_variable(self, make):
        model = make()
        tensors = state_dict(model)
        published.load_state_dict(model, tensors)
        for variable in model.variables:
            tensor = tensors[names(model)[variable.path]]
            self.assertAllEqual(
                np.sort(variable.numpy().ravel()),
                np.sort(tensor.ravel()),
                variable.path,
            )

    def test_kernels_change_from_oihw_to_hwio(self):
        generator = small_generator()
        tensors = state_dict(generator)
        published.load_state_dict(generator, tensors)
        theirs = tensors["body.1.conv_0.weight_orig"]
        ours = generator.blocks[1].conv_0.kernel.numpy()
        for index in np.ndindex(*theirs.shape):
            out, in_, row, column = index
            self.assertEqual(ours[row, column, in_, out], theirs[index])

    @parameterized.parameters(["conv_0", "conv_s"])
    def test_sigma_is_the_published_one(self, name):
        generator = small_generator()
        random = np.random.RandomState(0)
        tensors = {
            key: random.randn(*value.shape).astype(np.float32)
            for key, value in state_dict(generator).items()
        }
        published.load_state_dict(generator, tensors)
        stem = f"body.1.{name}.weight"
        kernel = tensors[f"{stem}_orig"]
        matrix = kernel.reshape(len(kernel), -1)
        sigma = tensors[f"{stem}_u"] @ matrix @ tensors[f"{stem}_v"]
        conv = getattr(generator.blocks[1], name)
        self.assertAllClose(
            conv.normalized_kernel(),
            kernel.transpose(2, 3, 1, 0) / sigma,
            rtol=1e-4,
        )

    def test_counters_of_batches_are_passed_over(self):
        generator = small_generator()
        counter = "body.0.norm_0.first_norm.num_batches_tracked"
        tensors = state_dict(generator)
        published.load_state_dict(generator, tensors | {counter: np.array(7)})
        self.assertAllEqual(generator.conv_out.bias, tensors["conv_img.bias"])

    def check_refused(self, generator, tensors, message):
        before = generator.get_weights()
        with self.assertRaisesRegex(ValueError, message):
            published.load_state_dict(generator, tensors)
        for value, old in zip(generator.get_weights(), before):
            self.assertAllEqual(value, old)

    def test_a_missing_tensor_is_named_and_nothing_is_set(self):
        generator = small_generator()
        tensors = state_dict(generator)
        del tensors["conv_img.bias"]
        self.check_refused(
            generator,
            tensors,
            r"conv_img.bias: expected shape \(3,\), found none",
        )

    def test_a_tensor_left_over_is_named_and_nothing_is_set(self):
        generator = small_generator()
        tensors = state_dict(generator) | {"body.9.conv_0.bias": np.zeros(2)}
        self.check_refused(
            generator,
            tensors,
            r"body.9.conv_0.bias: expected none, found shape \(2,\)",
        )

    def test_another_shape_is_told_and_nothing_is_set(self):
        generator = small_generator()
        tensors = state_dict(generator)
        tensors["conv_img.weight"] = np.zeros([3, 5, 3, 3])
        self.check_refused(
            generator,
            tensors,
            r"conv_img.weight: expected shape \(3, 2, 3, 3\), "
            r"found \(3, 5, 3, 3\)",
        )


if __name__ == "__main__":
    tf.test.main()
