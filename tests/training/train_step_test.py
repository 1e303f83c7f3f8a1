"""The training step: replicas, precision, options."""

import functools
import weakref
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf import processor
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.models import convolution
from oasis_tf.training import losses
from oasis_tf.training import train_step
from tests import replicas
from tests import tiny

pytestmark = pytest.mark.optimized

S = tiny.SEMANTIC_CHANNELS
ALL_LOSSES = {
    "generator/adversarial",
    "discriminator/fake",
    "discriminator/real",
    "discriminator/labelmix",
}


def small_config(**train):
    """Returns a configuration whose losses move within a few steps."""
    return tiny.config(
        generator={"channels": (4, 4), "initial_gain": 1.0},
        discriminator={"channels": (4, 4), "initial_gain": 1.0},
        train={"generator_lr": 2e-3, "discriminator_lr": 2e-3} | train,
    )


def tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


def make_draws(config, batch, step=0):
    return train_step.draw(
        config, step, batch["sample_number"], config.image_size, S
    )


class StepCase(tf.test.TestCase):
    """Steps without compilation, on one device."""

    _plain = None  # Of `plain_step`, made once for all tests.

    def plain_step(self):
        """Returns what `step(small_config())` does."""
        if StepCase._plain is None:
            StepCase._plain = self.step(small_config())
        return StepCase._plain

    def step(self, config, batch=None, has_dont_care=False, **arguments):
        """Returns a new state after a step, and the step's losses."""
        state = train_step.create_state(config, S)
        batch = tensors(batch or tiny.batch())
        metrics = train_step.train_step(
            state,
            batch,
            make_draws(config, batch),
            config.train,
            has_dont_care,
            **arguments,
        )
        return state, {name: float(value) for name, value in metrics.items()}


def in_graph(*arguments):
    """Does as `train_step`, which calls networks as functions in a graph."""
    step = functools.partial(train_step.train_step, *arguments)
    return tf.function(step, autograph=False)()


def compiled_losses(config, strategy, num_steps):
    """Returns a state after some compiled steps, and each step's losses."""
    with strategy.scope():
        state = train_step.create_state(config, S)
    step = train_step.compile_step(state, config, Builder.INFO, strategy)
    size = config.train.global_batch_size
    batches = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensor_slices(
            tiny.batch(size=size * num_steps)
        ).batch(size, drop_remainder=True)
    )
    history = [
        {name: float(value) for name, value in step(batch).items()}
        for batch in batches
    ]
    return state, history


class ReplicasTest(tf.test.TestCase, parameterized.TestCase):
    """Two replicas of batch B / 2 against one of batch B."""

    NUM_STEPS = 5

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        one = tf.distribute.MirroredStrategy(["CPU:0"])
        two = replicas.two_replicas()
        config = small_config()
        cls.one, cls.losses_of_one = compiled_losses(config, one, cls.NUM_STEPS)
        cls.two, cls.losses_of_two = compiled_losses(config, two, cls.NUM_STEPS)

    def test_losses_agree_within_1e_4_over_5_steps(self):
        for one, two in zip(self.losses_of_one, self.losses_of_two):
            self.assertEqual(one.keys(), ALL_LOSSES)
            self.assertAllClose(one, two, rtol=0, atol=1e-4)

    @parameterized.parameters(1, 2)
    @pytest.mark.slow
    @mock.patch.object(convolution, "_MANY_PIXELS", 1)
    @mock.patch.object(convolution, "_LARGE_MATRIX", 1)
    @mock.patch.object(processor, "is_onednn_slow_in_copying", lambda: True)
    def test_convolutions_without_copies_learn_the_same(self, num_replicas):
        with mock.patch.object(
            convolution, "_transposed", wraps=convolution._transposed
        ) as transposed:
            strategy = tf.distribute.MirroredStrategy(
                [f"CPU:{i}" for i in range(num_replicas)]
            )
            _, found = compiled_losses(small_config(), strategy, 2)
        transposed.assert_called()
        for one, two in zip(found, self.losses_of_two):
            self.assertAllClose(one, two, rtol=0, atol=1e-4)

    def test_losses_are_not_those_of_the_start(self):
        # Or else the agreement would say little.
        first, last = self.losses_of_one[0], self.losses_of_one[-1]
        for name in ALL_LOSSES:
            self.assertGreater(abs(first[name] - last[name]), 1e-2, name)

    def test_statistics_and_averages_agree(self):
        for mine, other in zip(
            self.one.ema_generator.variables, self.two.ema_generator.variables
        ):
            self.assertAllClose(
                mine.numpy(), other.numpy(), rtol=0, atol=2e-3, msg=mine.path
            )

    def test_averages_differ_by_little_of_what_they_moved(self):
        def kernels(model):
            return np.concatenate(
                [
                    variable.numpy().ravel()
                    for variable in model.variables
                    if variable.path.endswith(("kernel", "bias"))
                ]
            )

        one = kernels(self.one.ema_generator)
        behind = np.linalg.norm(one - kernels(self.one.generator))
        difference = np.linalg.norm(one - kernels(self.two.ema_generator))
        self.assertLess(difference, 0.1 * behind)

    def test_replicas_keep_the_same_weights(self):
        for model in (self.two.generator, self.two.ema_generator):
            for variable in model.variables:
                first, second = variable.value.values
                self.assertAllEqual(first, second, variable.path)

    def test_steps_are_counted(self):
        self.assertAllEqual(self.one.step, self.NUM_STEPS)
        self.assertAllEqual(self.two.step, self.NUM_STEPS)


class ClassWeightsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_classes_are_counted_in_the_global_batch_or_in_a_share(self, each):
        config = small_config(class_weights_per_replica=each)
        label_map = tf.constant(np.array([[0, 0, 0, 1], [1, 2, 2, 2]]))
        label_map = tf.cast(label_map[:, None], tf.int32)  # [2, 1, 4]
        halves = replicas.run_on_halves(
            replicas.two_replicas(),
            lambda x: train_step._class_weights(x, 3, config.train, False),
            label_map,
        )
        whole = losses.balanced_class_weights(tf.constant([3.0, 2, 3]), False)
        shares = (
            [4 / (2 * 3), 4 / (2 * 1), 0],
            [0, 4 / (2 * 1), 4 / (2 * 3)],
        )
        expected = shares if each else (whole, whole)
        self.assertAllClose(halves, expected)


class DrawsTest(tf.test.TestCase, parameterized.TestCase):
    NUMBERS = tf.range(40, 44, dtype=tf.int64)

    def draw(self, numbers=NUMBERS, step=10, noise="image", seed=0, **kwargs):
        config = tiny.config(generator={"noise": noise}, train={"seed": seed})
        return train_step.draw(config, step, numbers, (16, 16), S, **kwargs)

    @parameterized.parameters("image", "pixel")
    def test_noise_follows_the_sample_and_not_the_split(self, noise):
        whole = self.draw(noise=noise)
        halves = [self.draw(n, noise=noise) for n in tf.split(self.NUMBERS, 2)]
        for name in ("generator_noise", "discriminator_noise"):
            self.assertAllEqual(
                tf.concat([getattr(half, name) for half in halves], axis=0),
                getattr(whole, name),
            )
        for half in halves:
            self.assertAllEqual(half.class_bits, whole.class_bits)

    def test_networks_samples_and_seeds_have_noise_of_their_own(self):
        draws, other = self.draw(), self.draw(seed=1)
        vectors = tf.concat(
            [
                noise[:, 0, 0]
                for noise in (
                    draws.generator_noise,
                    draws.discriminator_noise,
                    other.generator_noise,
                )
            ],
            axis=0,
        )
        self.assertLen(np.unique(vectors[:, 0]), 3 * 4)

    def test_class_bits_change_from_step_to_step(self):
        bits = [self.draw(step=step).class_bits.numpy() for step in range(8)]
        self.assertGreater(len(np.unique(bits, axis=0)), 5)

    @parameterized.parameters(("image", 2), ("pixel", 2), ("none", 0))
    def test_kind_of_noise(self, kind, channels):
        noise = self.draw(noise=kind).generator_noise
        self.assertEqual(noise.shape, (4, 16, 16, channels))
        same_everywhere = tf.reduce_all(noise == noise[:, :1, :1])
        self.assertEqual(bool(same_everywhere), kind != "pixel")

    @parameterized.parameters("image", "none")
    def test_by_pieces_the_same_vectors_are_drawn_once(self, kind):
        dense = self.draw(noise=kind)
        pieces = self.draw(noise=kind, by_pieces=True)
        for name in ("generator_noise", "discriminator_noise"):
            self.assertAllEqual(
                getattr(pieces, name), getattr(dense, name)[:, 5, 7]
            )

    def test_pixel_noise_is_the_same_by_pieces(self):
        dense = self.draw(noise="pixel")
        pieces = self.draw(noise="pixel", by_pieces=True)
        self.assertAllEqual(pieces.generator_noise, dense.generator_noise)


class FormTest(StepCase, parameterized.TestCase):
    def test_by_pieces_the_step_is_the_dense_one(self):
        dense, dense_losses = self.step(small_config())
        batch = tensors(tiny.batch())
        config = small_config()
        state = train_step.create_state(config, S)
        draws = train_step.draw(
            config,
            0,
            batch["sample_number"],
            config.image_size,
            S,
            by_pieces=True,
        )
        found = train_step.train_step(
            state, batch, draws, config.train, has_dont_care=False
        )
        for name, loss in dense_losses.items():
            self.assertAllClose(found[name], loss, rtol=1e-5, msg=name)
        for mine, other in zip(
            state.generator.statistics, dense.generator.statistics
        ):
            self.assertAllClose(mine, other, rtol=1e-4, atol=1e-6)

    @parameterized.product(is_slow=[False, True], jit=[False, True])
    def test_convolutions_are_without_copies_where_those_are_slow(
        self, is_slow, jit
    ):
        train = small_config(jit_compile=jit).train
        with (
            mock.patch.object(
                processor, "is_onednn_slow_in_copying", lambda: is_slow
            ),
            train_step.convolving(train),
        ):
            self.assertEqual(
                convolution._is_without_copies, is_slow and not jit
            )
        self.assertFalse(convolution._is_without_copies)

    @parameterized.parameters(
        ("auto", False, True),
        ("auto", True, False),
        ("dense", False, False),
        ("piecewise", False, True),
    )
    def test_form_is_that_of_the_configuration(self, form, jit, expected):
        train = small_config(form=form, jit_compile=jit).train
        self.assertEqual(train_step._is_by_pieces(train), expected)

    def test_xla_refuses_pieces(self):
        with self.assertRaisesRegex(ValueError, "train.form"):
            small_config(form="piecewise", jit_compile=True)


class CreateStateTest(tf.test.TestCase):
    def test_seed_decides_on_the_weights(self):
        first, again, other = (
            train_step.create_state(small_config(seed=seed), S)
            for seed in (1, 1, 2)
        )
        first, again, other = (
            state.discriminator.variables[0].numpy()
            for state in (first, again, other)
        )
        self.assertAllEqual(first, again)
        self.assertNotAllEqual(first, other)

    def test_average_starts_as_the_generator(self):
        state = train_step.create_state(small_config(), S)
        for mine, other in zip(
            state.generator.get_weights(), state.ema_generator.get_weights()
        ):
            self.assertAllEqual(mine, other)
        self.assertEmpty(state.ema_generator.trainable_variables)


class OptionsTest(StepCase, parameterized.TestCase):
    @parameterized.parameters("image", "pixel", "none")
    def test_every_kind_of_noise_trains(self, noise):
        config = tiny.config(generator={"noise": noise})
        _, metrics = self.step(config)
        self.assertEqual(metrics.keys(), ALL_LOSSES)
        self.assertTrue(np.isfinite(list(metrics.values())).all(), metrics)

    def test_without_labelmix_its_loss_is_gone_and_the_others_stay(self):
        _, metrics = self.plain_step()
        _, without = self.step(small_config(lambda_labelmix=0.0))
        others = ALL_LOSSES - {"discriminator/labelmix"}
        self.assertEqual(without.keys(), others)
        for name, value in without.items():
            self.assertAllClose(value, metrics[name])

    def test_labelmix_is_weighted_by_lambda(self):
        _, metrics = self.plain_step()
        _, half = self.step(small_config(lambda_labelmix=5.0))
        name = "discriminator/labelmix"
        self.assertAllClose(metrics[name], 2 * half[name])

    def test_class_balancing_can_be_off(self):
        config = small_config()
        state = train_step.create_state(config, S)
        batch = tensors(tiny.batch())
        noise = make_draws(config, batch).generator_noise
        fake = state.generator(
            noise, tf.one_hot(batch["label_map"], S), training=True
        )
        logits = state.discriminator(fake, training=True)
        for is_balanced, weights in (
            (False, tf.ones([S])),
            (
                True,
                losses.balanced_class_weights(
                    losses.count_classes(batch["label_map"], S), False
                ),
            ),
        ):
            _, metrics = self.step(small_config(class_balancing=is_balanced))
            self.assertAllClose(
                metrics["generator/adversarial"],
                losses.real_loss(logits, batch["label_map"], weights),
            )

    def test_perceptual_loss_is_weighted_and_trains_the_generator(self):
        def distance(fake, real):
            return tf.reduce_mean(tf.abs(fake - real))

        config = small_config(lambda_vgg=10.0)
        state, metrics = self.step(config, perceptual_loss=distance)
        without, _ = self.plain_step()
        self.assertBetween(metrics["generator/vgg"], 0.1, 20)  # 10 * 0..2
        self.assertNotAllClose(
            state.generator.conv_out.kernel, without.generator.conv_out.kernel
        )

    @parameterized.parameters(True, False)
    def test_nothing_but_dont_care_gives_finite_losses(self, class_balancing):
        batch = tiny.batch()
        batch["label_map"] = np.zeros_like(batch["label_map"])
        state, metrics = self.step(
            small_config(class_balancing=class_balancing), batch, True
        )
        self.assertEqual(metrics["generator/adversarial"], 0)
        self.assertEqual(metrics["discriminator/real"], 0)
        self.assertGreater(metrics["discriminator/fake"], 0)
        self.assertTrue(np.isfinite(list(metrics.values())).all(), metrics)
        for model in (state.generator, state.discriminator):
            for variable in model.variables:
                self.assertTrue(np.isfinite(variable.numpy()).all())

    def test_images_of_bytes_are_the_same_as_of_floats(self):
        batch = tiny.batch()
        _, metrics = self.plain_step()
        batch["image"] = (batch["image"] / 127.5 - 1).astype(np.float32)
        _, of_floats = self.step(small_config(), batch)
        self.assertAllClose(metrics, of_floats)

    def test_discriminator_sees_the_updated_generator(self):
        _, metrics = self.plain_step()
        _, without = self.step(small_config(generator_lr=0.0))
        name = "generator/adversarial"
        self.assertAllClose(metrics[name], without[name])
        self.assertNotAllClose(
            metrics["discriminator/fake"], without["discriminator/fake"]
        )


class PrecisionTest(StepCase, parameterized.TestCase):
    @parameterized.parameters("mixed_bfloat16", "mixed_float16")
    def test_losses_are_about_those_of_float32(self, precision):
        state, metrics = self.step(small_config(precision=precision))
        _, exact = self.plain_step()
        self.assertAllClose(
            metrics["generator/adversarial"],
            exact["generator/adversarial"],
            rtol=0.02,
        )
        self.assertTrue(np.isfinite(list(metrics.values())).all(), metrics)
        for model in (state.generator, state.discriminator):
            for variable in model.variables:
                self.assertEqual(variable.dtype, "float32", variable.path)
                self.assertTrue(np.isfinite(variable.numpy()).all())
        blocks = [*state.generator.blocks, state.ema_generator.blocks[0]]
        self.assertEqual(
            [block.compute_dtype for block in blocks],
            [precision.removeprefix("mixed_"), "float32"],
        )

    def test_float16_scales_its_losses_and_not_the_update(self):
        state, _ = self.step(small_config(precision="mixed_float16"))
        exact, _ = self.plain_step()
        optimizer = state.discriminator_optimizer
        self.assertIsInstance(optimizer, keras.optimizers.LossScaleOptimizer)
        # The gradients' squares, hence unscaled.
        for mine, other in zip(
            optimizer.inner_optimizer._second_moments,
            exact.discriminator_optimizer._second_moments,
        ):
            self.assertAllClose(
                np.linalg.norm(mine), np.linalg.norm(other), rtol=0.2
            )


class GraphTest(StepCase, parameterized.TestCase):
    @parameterized.parameters("float32", "mixed_bfloat16")
    def test_a_step_in_a_graph_is_the_step_without_one(self, precision):
        config = small_config(precision=precision)
        other, expected = self.step(config)
        state = train_step.create_state(config, S)
        batch = tensors(tiny.batch())
        draws = make_draws(config, batch)
        found = in_graph(state, batch, draws, config.train, False)
        tolerance = 1e-4 if precision == "float32" else 2e-2
        self.assertAllClose(found, expected, rtol=tolerance)
        for name in ("generator", "discriminator"):
            for mine, theirs in zip(
                getattr(state, f"{name}_optimizer")._second_moments,
                getattr(other, f"{name}_optimizer")._second_moments,
            ):
                self.assertAllClose(
                    np.linalg.norm(mine),
                    np.linalg.norm(theirs),
                    rtol=20 * tolerance,
                    atol=1e-9,
                )


class CompiledStepTest(tf.test.TestCase):
    def test_on_one_cpu_it_keeps_no_graph_and_fuses_nothing(self):
        seen = []

        def note(*_):
            graph = tf.compat.v1.get_default_graph()
            options = tf.config.optimizer.get_experimental_options()
            seen.append((weakref.ref(graph), options["remapping"]))
            return {"loss": tf.constant(2.0)}

        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        config = small_config()
        with strategy.scope():
            state = train_step.create_state(config, S)
        step = train_step.compile_step(state, config, Builder.INFO, strategy)
        with mock.patch.object(train_step, "train_step", note):
            losses = [step(tiny.batch())["loss"] for _ in range(2)]
        self.assertAllEqual(losses, [2, 2])
        self.assertAllEqual(state.step, 2)
        ((graph, remapping),) = seen  # Traced once.
        self.assertIsNone(graph())
        self.assertFalse(remapping)
        options = tf.config.optimizer.get_experimental_options()
        self.assertTrue(options.get("remapping", True))


class StepInPartsTest(StepCase):
    def test_equal_halves_give_the_step_of_the_whole_batch(self):
        # Of equal halves, each half's batch statistics are the whole's. The
        # power iterations, of which parts take more, have come to rest, and
        # the generator does not move in between.
        half = tiny.batch(size=2)
        batch = {name: np.concatenate([x, x]) for name, x in half.items()}

        def step(accumulation_steps):
            config = small_config(
                accumulation_steps=accumulation_steps, generator_lr=0.0
            )
            state = train_step.create_state(config, S)
            self.bring_power_iterations_to_rest(state)
            tensors_ = tensors(batch)
            draws = make_draws(config, tensors_)
            metrics = in_graph(state, tensors_, draws, config.train, False)
            moments = [
                tf.sqrt(moment)  # The gradient's size.
                for optimizer in (
                    state.generator_optimizer,
                    state.discriminator_optimizer,
                )
                for moment in optimizer._second_moments
            ]
            return metrics, moments

        metrics, moments = step(1)
        of_parts, moments_of_parts = step(2)
        self.assertAllClose(metrics, of_parts, rtol=1e-5)
        for whole, parts in zip(moments, moments_of_parts):
            self.assertAllClose(whole, parts, rtol=1e-2, atol=1e-6)

    def bring_power_iterations_to_rest(self, state):
        for model in (state.generator, state.discriminator):
            for layer in model._flatten_layers():
                if hasattr(layer, "normalized_kernel"):
                    matrix = tf.reshape(layer.kernel, [-1, layer.filters])
                    _, v, u = tf.linalg.svd(matrix)
                    layer.u.assign(u[:, 0])
                    layer.v.assign(v[:, 0])

    def test_parts_must_divide_the_batch(self):
        with self.assertRaisesRegex(ValueError, "must divide .*=3, 4 images"):
            self.step(small_config(accumulation_steps=3))


class StepWithClippingTest(StepCase):
    def test_bounds_the_gradients_of_each_network(self):
        state, _ = self.step(small_config(clip_norm=1e-3, beta_2=0.5))
        for optimizer in (
            state.generator_optimizer,
            state.discriminator_optimizer,
        ):
            # After one step: (1 - beta_2) g^2.
            squares = [tf.reduce_sum(m) for m in optimizer._second_moments]
            norm = np.sqrt(np.sum(squares) / 0.5)
            self.assertAllClose(norm, 1e-3, rtol=1e-3)


class JitTest(tf.test.TestCase):
    def test_jit_on_two_devices_is_refused(self):
        config = small_config(jit_compile=True)
        strategy = replicas.two_replicas()
        with self.assertRaisesRegex(ValueError, "one device only.*2 devices"):
            train_step.compile_step(None, config, Builder.INFO, strategy)

    @pytest.mark.slow
    def test_jit_gives_the_same_losses(self):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        _, plain = compiled_losses(small_config(), strategy, 2)
        _, jitted = compiled_losses(small_config(jit_compile=True), strategy, 2)
        for expected, actual in zip(plain, jitted):
            self.assertAllClose(expected, actual, rtol=1e-3)

    @pytest.mark.slow
    def test_float16_compiles_under_jit(self):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        config = small_config(jit_compile=True, precision="mixed_float16")
        _, history = compiled_losses(config, strategy, 2)
        for metrics in history:
            self.assertTrue(np.isfinite(list(metrics.values())).all())


@pytest.mark.slow
class CompiledPrecisionTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        precision=("mixed_bfloat16", "mixed_float16"), replicated=(False, True)
    )
    def test_low_precision_compiles(self, precision, replicated):
        strategy = (
            replicas.two_replicas()
            if replicated
            else tf.distribute.MirroredStrategy(["CPU:0"])
        )
        config = small_config(precision=precision)
        _, history = compiled_losses(config, strategy, 3)
        for metrics in history:
            self.assertTrue(np.isfinite(list(metrics.values())).all(), metrics)


if __name__ == "__main__":
    tf.test.main()
