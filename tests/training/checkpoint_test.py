"""Checkpoints: round trip, broken files, broken weights."""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.training import checkpoint
from oasis_tf.training import train_step
from tests import replicas
from tests import tiny

CONFIG = tiny.config(
    generator={"channels": (4, 4)}, discriminator={"channels": (4, 4)}
)


def variables(state):
    return [
        state.step,
        *state.generator.variables,
        *state.discriminator.variables,
        *state.ema_generator.variables,
        *state.generator_optimizer.variables,
        *state.discriminator_optimizer.variables,
    ]


def values(state):
    return [np.array(v.numpy()) for v in variables(state)]


def fill(state, seed):
    """Gives every float variable of a state random values."""
    rng = np.random.default_rng(seed)
    for variable in variables(state):
        if tf.as_dtype(variable.dtype).is_floating:
            variable.assign(rng.normal(size=variable.shape))


class CheckpointsTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.state = train_step.create_state(CONFIG, tiny.SEMANTIC_CHANNELS)

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir()) / "checkpoints"

    def checkpoints(self, keep=3):
        return checkpoint.Checkpoints(self.state, self.folder, keep)

    def save(self, step, checkpoints=None):
        """Saves random values as those of a step; returns them."""
        self.state.step.assign(step)
        fill(self.state, step)
        (checkpoints or self.checkpoints()).save()
        return values(self.state)

    def restore(self):
        """Restores into other values; returns the path and the values."""
        self.state.step.assign(0)
        fill(self.state, 12345)
        path = self.checkpoints().restore()
        return path, values(self.state)

    def assert_same(self, actual, expected):
        for a, b in zip(actual, expected, strict=True):
            self.assertAllEqual(a, b)

    def test_everything_comes_back(self):
        saved = self.save(7)
        path, restored = self.restore()
        self.assertEqual(path, str(self.folder / "step-7"))
        self.assert_same(restored, saved)

    def test_without_a_checkpoint_nothing_changes(self):
        fill(self.state, 3)
        before = values(self.state)
        self.assertIsNone(self.checkpoints().restore())
        self.assert_same(values(self.state), before)

    def test_the_newest_is_the_one_of_the_most_steps(self):
        checkpoints = self.checkpoints()
        self.save(9, checkpoints)
        newest = self.save(10, checkpoints)
        path, restored = self.restore()
        self.assertEndsWith(path, "step-10")
        self.assert_same(restored, newest)

    def test_only_so_many_of_the_newest_are_kept(self):
        checkpoints = self.checkpoints(keep=2)
        for step in (1, 2, 3):
            self.save(step, checkpoints)
        names = sorted(path.name for path in self.folder.glob("*.index"))
        self.assertEqual(names, ["step-2.index", "step-3.index"])

    def test_old_ones_go_also_after_a_restart(self):
        for step in (1, 2, 3):
            self.save(step, self.checkpoints(keep=2))
        names = sorted(path.name for path in self.folder.glob("*.index"))
        self.assertEqual(names, ["step-2.index", "step-3.index"])

    @parameterized.product(
        ending=(".data-00000-of-00001", ".index"), share=(0.0, 0.5, 0.95)
    )
    def test_truncated_newest_falls_back_to_the_one_before(self, ending, share):
        checkpoints = self.checkpoints()
        before = self.save(3, checkpoints)
        self.save(6, checkpoints)
        self.truncate(6, ending, share)
        with self.assertLogs("absl", "ERROR") as logs:
            path, restored = self.restore()
        self.assertEndsWith(path, "step-3")
        self.assert_same(restored, before)
        (message,) = logs.output
        self.assertIn(str(self.folder / "step-6"), message)
        self.assertIn("The one before is next", message)

    def test_overwritten_data_falls_back_too(self):
        checkpoints = self.checkpoints()
        before = self.save(3, checkpoints)
        self.save(6, checkpoints)
        data = self.folder / "step-6.data-00000-of-00001"
        data.write_bytes(bytes(data.stat().st_size))
        with self.assertLogs("absl", "ERROR"):
            path, restored = self.restore()
        self.assertEndsWith(path, "step-3")
        self.assert_same(restored, before)

    def test_missing_data_file_falls_back_too(self):
        checkpoints = self.checkpoints()
        before = self.save(3, checkpoints)
        self.save(6, checkpoints)
        (self.folder / "step-6.data-00000-of-00001").unlink()
        with self.assertLogs("absl", "ERROR"):
            path, restored = self.restore()
        self.assertEndsWith(path, "step-3")
        self.assert_same(restored, before)

    def test_lost_list_of_checkpoints_does_not_matter(self):
        saved = self.save(3)
        (self.folder / "checkpoint").unlink()
        path, restored = self.restore()
        self.assertEndsWith(path, "step-3")
        self.assert_same(restored, saved)

    def test_nothing_but_broken_ones_is_an_error(self):
        checkpoints = self.checkpoints()
        for step in (3, 6):
            self.save(step, checkpoints)
            self.truncate(step, ".data-00000-of-00001", 0.5)
        with self.assertLogs("absl", "ERROR") as logs:
            with self.assertRaisesRegex(
                checkpoint.CheckpointError, "found 2, none of which can"
            ):
                self.restore()
        self.assertLen(logs.output, 2)

    def truncate(self, step, ending, share):
        path = self.folder / f"step-{step}{ending}"
        os.truncate(path, int(share * path.stat().st_size))

    @parameterized.parameters(
        ("generator", np.nan),
        ("discriminator", np.inf),
        ("ema_generator", -np.inf),
    )
    def test_broken_weight_is_named_and_nothing_is_written(self, name, value):
        good = self.save(3)
        model = getattr(self.state, name)
        variable = model.variables[-1]
        broken = variable.numpy()
        broken.flat[-1] = value
        variable.assign(broken)
        self.state.step.assign(4)
        with self.assertRaisesRegex(
            checkpoint.NonFiniteError, f"Step 4: {variable.path} of the "
        ):
            self.checkpoints().save()
        path, restored = self.restore()
        self.assertEndsWith(path, "step-3")
        self.assert_same(restored, good)

    def test_everything_comes_back_on_two_replicas(self):
        strategy = replicas.two_replicas()
        with strategy.scope():
            state = train_step.create_state(CONFIG, tiny.SEMANTIC_CHANNELS)
        fill(state, 1)
        saved = values(state)
        checkpoint.Checkpoints(state, self.folder, 3).save()
        fill(state, 2)
        checkpoint.Checkpoints(state, self.folder, 3).restore()
        self.assert_same(values(state), saved)
        kernel = state.generator.conv_in.kernel.value
        first, second = strategy.experimental_local_results(kernel)
        self.assertAllEqual(first, second)

    def test_scale_of_the_loss_comes_back(self):
        config = dataclasses.replace(
            CONFIG,
            train=dataclasses.replace(CONFIG.train, precision="mixed_float16"),
        )
        for scale in (4.0, 8.0):  # The second time by a state of its own.
            state = train_step.create_state(config, tiny.SEMANTIC_CHANNELS)
            state.generator_optimizer.dynamic_scale.assign(scale)
            if scale == 4.0:
                checkpoint.Checkpoints(state, self.folder, 3).save()
        checkpoint.Checkpoints(state, self.folder, 3).restore()
        self.assertAllEqual(state.generator_optimizer.dynamic_scale, 4.0)

    def test_checkpoint_of_other_networks_is_refused(self):
        self.save(3)
        config = tiny.config(
            generator={"channels": (4, 6)}, discriminator={"channels": (4, 4)}
        )
        other = train_step.create_state(config, tiny.SEMANTIC_CHANNELS)
        with self.assertRaises(checkpoint.CheckpointError):
            checkpoint.Checkpoints(other, self.folder, 3).restore()


if __name__ == "__main__":
    tf.test.main()
