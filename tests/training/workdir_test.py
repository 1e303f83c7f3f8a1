"""The work directory: whose it is, and which changes it takes."""

import dataclasses
import json
import multiprocessing
import pathlib
import types

import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.toy_scenes import Builder
from oasis_tf.training import workdir as workdir_lib
from tests import tiny


def dataset(num_train=12, info=Builder.INFO):
    return types.SimpleNamespace(
        num_examples={"train": num_train, "validation": 3},
        num_bytes={"train": 100 * num_train, "validation": 300},
        info=info,
    )


def claim_in_vain(workdir, answers):
    try:
        workdir_lib.claim(workdir, tiny.CONFIG, dataset())
    except workdir_lib.ResumeError as error:
        answers.put(str(error))
    else:
        answers.put("claimed")


class ClaimTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.workdir = pathlib.Path(self.get_temp_dir()) / "run"

    def claim(self, config=tiny.CONFIG, data=None):
        workdir_lib.claim(self.workdir, config, data or dataset()).close()

    def assert_refused(self, *messages, **arguments):
        before = self.files()
        with self.assertRaises(workdir_lib.ResumeError) as caught:
            self.claim(**arguments)
        for message in (str(self.workdir), *messages):
            self.assertIn(message, str(caught.exception))
        self.assertEqual(self.files(), before)

    def files(self):
        return {p.name: p.read_text() for p in self.workdir.iterdir()}

    def test_writes_the_configuration(self):
        self.claim()
        saved = json.loads((self.workdir / "config.json").read_text())
        self.assertEqual(saved["train"]["global_batch_size"], 4)
        self.assertEqual(saved["image_size"], [16, 16])

    def test_takes_the_same_run_again(self):
        self.claim()
        before = self.files()
        self.claim()
        self.assertEqual(self.files(), before)

    def test_refuses_other_settings_and_names_them(self):
        self.claim()
        config = tiny.config(
            image_size=(32, 16),
            train={"generator_lr": 0.5},
            data={"flip": False},
            log={"log_every": 7},
        )
        self.assert_refused(
            "train.generator_lr: was 0.0001, now 0.5",
            "data.flip: was True, now False",
            "image_size: was [16, 16], now [32, 16]",
            config=config,
        )

    def test_names_only_what_matters(self):
        self.claim()
        config = tiny.config(train={"seed": 1}, log={"log_every": 7})
        with self.assertRaises(workdir_lib.ResumeError) as caught:
            self.claim(config)
        self.assertNotIn("log_every", str(caught.exception))

    @parameterized.parameters(
        {"log": {"log_every": 9, "sample_every": 3, "best_score": "miou_real"}},
        {"train": {"num_steps": 100}},
        {"data": {"prepared_dir": "/elsewhere"}},
    )
    def test_takes_and_keeps_changes_that_do_no_harm(self, **sections):
        self.claim()
        config = tiny.config(**sections)
        self.claim(config)
        ((section, change),) = sections.items()
        saved = json.loads((self.workdir / "config.json").read_text())
        self.assertEqual(saved[section] | change, saved[section])

    def test_refuses_another_number_of_examples(self):
        self.claim()
        self.assert_refused(
            "other data",
            "num_examples: was {'train': 12",
            "now {'train': 13",
            data=dataset(num_train=13),
        )

    def test_refuses_labels_of_another_meaning(self):
        self.claim()
        info = Builder.INFO
        names = [*info.class_names[1:], info.class_names[0]]
        other = dataclasses.replace(info, class_names=names)
        self.assert_refused("  class_names: was ", data=dataset(info=other))

    def test_refuses_a_second_process_as_long_as_the_first_is_there(self):
        spawn = multiprocessing.get_context("fork")
        answers = spawn.Queue()

        def ask():
            process = spawn.Process(
                target=claim_in_vain, args=(self.workdir, answers)
            )
            process.start()
            answer = answers.get(timeout=60)
            process.join()
            return answer

        lock = workdir_lib.claim(self.workdir, tiny.CONFIG, dataset())
        self.assertIn("another process is training there", ask())
        lock.close()
        self.assertEqual(ask(), "claimed")


if __name__ == "__main__":
    tf.test.main()
