"""Starting a run with another run's networks."""

import json
import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf import model_files
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.training import checkpoint
from oasis_tf.training import initialization
from oasis_tf.training import loop
from oasis_tf.training.train_step import create_state
from tests import tiny
from tests import trained

NETWORKS = ("generator", "discriminator", "ema_generator")


def weights(state):
    return {
        name: [v.numpy() for v in getattr(state, name).variables]
        for name in NETWORKS
    }


class TakeNetworksTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.there = trained.make_workdir(
            pathlib.Path(self.get_temp_dir(), "there")
        )

    def take(self, state, config=tiny.CONFIG, info=Builder.INFO):
        initialization.take_networks(self.there, state, config, info)

    def new_state(self, config=tiny.CONFIG):
        return create_state(config, tiny.SEMANTIC_CHANNELS)

    def test_takes_weights_and_statistics_but_not_the_step(self):
        state = self.new_state()
        state.step.assign(3)
        self.take(state)
        generator, discriminator = trained.networks()
        expected = {
            "generator": generator,
            "discriminator": discriminator,
            "ema_generator": generator,
        }
        for name, network in expected.items():
            for ours, theirs in zip(
                getattr(state, name).variables, network.variables, strict=True
            ):
                self.assertAllEqual(ours, theirs, ours.path)
        self.assertEqual(state.step.numpy(), 3)

    def test_a_network_that_is_not_there_stays(self):
        (self.there / model_files.IMPORTED).write_text(
            json.dumps({"files": {"generator": "a.pth"}})
        )
        state = self.new_state()
        before = weights(state)
        self.take(state)
        after = weights(state)
        self.assertAllEqual(
            before["discriminator"][0], after["discriminator"][0]
        )
        self.assertNotAllEqual(before["generator"][0], after["generator"][0])

    @parameterized.parameters(
        ({"generator": {"noise": "pixel"}}, "generator.noise: there 'image'"),
        ({"discriminator": {"last_channels": 6}}, "last_channels: there 4"),
    )
    def test_other_networks_are_refused_and_named(self, change, message):
        config = tiny.config(**change)
        state = self.new_state(config)
        before = weights(state)
        with self.assertRaisesRegex(ValueError, message):
            self.take(state, config)
        for name, arrays in weights(state).items():
            for array, old in zip(arrays, before[name]):
                self.assertAllEqual(array, old)

    def test_other_settings_may_differ(self):
        config = tiny.config(
            image_size=(32, 32),
            train={"generator_lr": 0.5},
            generator={"initial_gain": 0.5},
        )
        state = self.new_state(config)
        self.take(state, config)
        generator, _ = trained.networks()
        self.assertAllEqual(
            state.generator.conv_in.kernel, generator.conv_in.kernel
        )

    def test_other_classes_are_refused_and_named(self):
        fields = json.loads(Builder.INFO.to_json())
        fields["class_names"][0] = "swamp"
        info = type(Builder.INFO).from_json(json.dumps(fields))
        with self.assertRaisesRegex(ValueError, r"11 \(sky.*there, 11 \(swamp"):
            self.take(self.new_state(), info=info)


class RunTest(tf.test.TestCase):
    """What `train --init_from` does."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())
        self.there = trained.make_workdir(self.folder / "there")
        self.dataset = tiny.dataset(self.folder / "prepared")
        self.dataset.num_examples["validation"] = 0

    def make_run(self, workdir, config=tiny.CONFIG):
        run = loop.Run(
            config,
            self.dataset,
            self.folder / workdir,
            ["CPU:0"],
            init_from=self.there,
        )
        self.addCleanup(run._lock.close)
        return run

    def test_starts_with_the_networks(self):
        generator, _ = trained.networks()
        self.assertAllEqual(
            self.make_run("here").state.generator.conv_out.kernel,
            generator.conv_out.kernel,
        )

    def test_a_run_that_goes_on_keeps_its_own(self):
        run = self.make_run("here")
        run.state.step.assign(tiny.CONFIG.train.num_steps)
        run.state.generator.conv_in.bias.assign(np.full([8], 7.0))
        run.checkpoints.save()
        run._lock.close()
        again = self.make_run("here")
        self.assertTrue(again.train())
        self.assertAllEqual(
            again.state.generator.conv_in.bias, np.full([8], 7.0)
        )

    def test_networks_that_do_not_fit_leave_no_directory(self):
        config = tiny.config(generator={"noise_channels": 3})
        with self.assertRaisesRegex(ValueError, "noise_channels: there 2"):
            self.make_run("here", config)
        self.assertFalse((self.folder / "here").exists())

    def test_truncated_checkpoint_is_told(self):
        for path in (self.there / "checkpoints").glob("*.data-*"):
            path.write_bytes(path.read_bytes()[:100])
        with self.assertRaisesRegex(
            checkpoint.CheckpointError, "none of which can"
        ):
            self.make_run("here")


if __name__ == "__main__":
    tf.test.main()
