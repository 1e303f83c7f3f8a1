"""The networks and the training step in PyTorch are those in TensorFlow.

Needs PyTorch: here, or in the interpreter OASIS_TF_TORCH_PYTHON.
"""

import importlib.util
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.processes import ProcessError
from benchmarks.pytorch_process import PyTorchProcess
from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.training import train_step
from tests import tiny
from tests.parity import golden_files

GOLDEN_PARTS = {
    "generator/adversarial": "loss_g",
    "discriminator/fake": "loss_d_fake",
    "discriminator/real": "loss_d_real",
    "discriminator/labelmix": "loss_labelmix",
}


@pytest.fixture(scope="module")
def python():
    """Path of an interpreter with PyTorch."""
    path = os.environ.get("OASIS_TF_TORCH_PYTHON")
    if not path and importlib.util.find_spec("torch"):
        path = sys.executable
    if not path:
        pytest.skip("needs OASIS_TF_TORCH_PYTHON, an interpreter with PyTorch")
    return path


@pytest.fixture(params=["channels_first", "channels_last"])
def pytorch(python, request):
    with PyTorchProcess(
        threads=1, python=python, memory_format=request.param
    ) as process:
        yield process


@pytest.fixture(scope="module")
def state():
    """Networks whose statistics are those of what they compute."""
    config = tiny.config(
        generator={"initial_gain": 1.0}, discriminator={"initial_gain": 1.0}
    )
    state = train_step.create_state(config, tiny.SEMANTIC_CHANNELS)
    batch = tiny.batch()
    rng = np.random.default_rng(0)
    for model in (state.generator, state.discriminator):
        for variable in model.variables:
            if variable.path.endswith("bias"):  # 0 at first.
                shape = variable.shape
                variable.assign(rng.normal(scale=0.1, size=shape))
    for _ in range(10):  # Power iterations, too.
        z = tf.constant(rng.normal(size=[4, 2]), tf.float32)
        fake = state.generator(
            noise.global_noise(z, config.image_size),
            one_hot(batch["label_map"], tiny.SEMANTIC_CHANNELS),
            training=True,
        )
        state.discriminator(fake, training=True)
    return state


def draws(batch_size=4):
    rng = np.random.default_rng(1)
    z = rng.normal(size=[2, batch_size, tiny.CONFIG.generator.noise_channels])
    bits = rng.integers(0, 2, tiny.SEMANTIC_CHANNELS).astype(np.int32)
    first, second = z.astype(np.float32)
    return {
        "generator_z": first,
        "discriminator_z": second,
        "class_bits": bits,
    }


def test_generators_draw_the_same(pytorch, state):
    pytorch.load_generator(state.generator)
    label_map, z = tiny.batch()["label_map"], draws()["generator_z"]
    image, seconds = pytorch.draw(z, label_map)
    expected = state.generator(
        noise.global_noise(z, label_map.shape[1:]),
        one_hot(label_map, tiny.SEMANTIC_CHANNELS),
    )
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-4)
    assert 0.01 < image.std() < 0.9  # Neither empty nor black and white.
    assert seconds > 0


def test_discriminators_give_the_same_logits(pytorch, state):
    pytorch.load_discriminator(state.discriminator)
    image = (tiny.batch()["image"] / 127.5 - 1).astype(np.float32)
    expected = state.discriminator(image)
    logits = pytorch.judge(image)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    assert logits.std() > 0.01


@pytest.mark.parametrize(
    "has_dont_care, class_balancing",
    [(True, True), (False, True), (True, False)],
)
def test_steps_have_the_same_losses(python, has_dont_care, class_balancing):
    config = tiny.config(train={"class_balancing": class_balancing})
    state = train_step.create_state(config, tiny.SEMANTIC_CHANNELS)
    batch, drawn = tiny.batch(), draws()
    # Two of the classes become one that does not count.
    batch["label_map"][batch["label_map"] == 1] = 0

    def global_noise(z):
        return noise.global_noise(tf.constant(z), config.image_size)

    with PyTorchProcess(threads=1, python=python) as pytorch:
        pytorch.load_generator(state.generator)
        pytorch.load_discriminator(state.discriminator)
        pytorch.prepare_training(
            batch["image"], batch["label_map"], config.train, has_dont_care
        )
        losses = pytorch.train_step(batch, drawn)
    expected = train_step.train_step(
        state,
        {name: tf.constant(value) for name, value in batch.items()},
        train_step.Draws(
            global_noise(drawn["generator_z"]),
            global_noise(drawn["discriminator_z"]),
            tf.constant(drawn["class_bits"]),
        ),
        config.train,
        has_dont_care,
    )
    assert set(losses) == set(expected)
    for name, loss in losses.items():
        # LabelMix's is a difference of logits that are nearly the same.
        atol = 1e-7 if name == "discriminator/labelmix" else 0
        np.testing.assert_allclose(
            loss, expected[name], rtol=1e-5, atol=atol, err_msg=name
        )


@pytest.fixture(scope="module")
def golden_networks():
    generator = build_generator(
        golden_files.GENERATOR, golden_files.SEMANTIC_CHANNELS
    )
    discriminator = build_discriminator(
        golden_files.DISCRIMINATOR, golden_files.SEMANTIC_CHANNELS
    )
    golden_files.set_weights(generator, "generator")
    golden_files.set_weights(discriminator, "discriminator")
    return generator, discriminator


@pytest.mark.parametrize("file", ["forward_square", "forward_wide"])
def test_networks_compute_the_published_numbers(pytorch, golden_networks, file):
    generator, discriminator = golden_networks
    golden = golden_files.load(file)
    label_map = golden["label_map"]
    pytorch.load_generator(generator)
    image, _ = pytorch.draw(golden["z"], label_map)
    np.testing.assert_allclose(image, golden["generated"], rtol=0, atol=1e-4)

    local = np.where(
        golden["noise_mask"][..., None] == 1,
        golden["z_local"][:, None, None],
        golden["z"][:, None, None],
    ).astype(np.float32)
    image, _ = pytorch.draw(local, label_map)
    expected = golden["generated_local"]
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-4)

    pytorch.load_discriminator(discriminator)
    logits = pytorch.judge(golden["image"])
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=2e-4)


def test_three_steps_have_the_published_losses(python, golden_networks):
    golden = golden_files.load("train_steps")
    with PyTorchProcess(threads=1, python=python) as pytorch:
        found = list(golden_steps(pytorch, golden, *golden_networks))
    for i, tolerance in enumerate([1e-5, 1e-4, 2e-3]):
        assert set(found[i]) == set(GOLDEN_PARTS)
        for name, part in GOLDEN_PARTS.items():
            np.testing.assert_allclose(
                found[i][name], golden[part][i], rtol=tolerance, err_msg=name
            )


def golden_steps(pytorch, golden, generator, discriminator):
    """Yields the losses of each of the golden file's three steps."""
    pytorch.load_generator(generator)
    pytorch.load_discriminator(discriminator)
    train = tiny.config(train={"ema_decay": 0.9, "lambda_labelmix": 10.0}).train
    pytorch.prepare_training(
        golden["image"][0], golden["label_map"][0], train, has_dont_care=True
    )
    for i in range(3):
        yield pytorch.train_step(
            {name: golden[name][i] for name in ("image", "label_map")},
            {
                "generator_z": golden["z_generator_step"][i],
                "discriminator_z": golden["z_discriminator_step"][i],
                "class_bits": golden["labelmix_class_bits"][i],
            },
        )


def test_steps_on_the_prepared_batch_are_timed_and_measured(pytorch):
    batch = tiny.batch()
    pytorch.make_networks(tiny.CONFIG, tiny.SEMANTIC_CHANNELS)
    pytorch.prepare_training(
        batch["image"], batch["label_map"], tiny.CONFIG.train
    )
    before = pytorch.train_step(batch, draws())
    assert pytorch.train_steps(2, is_measured=True) > 0
    assert pytorch.train_step(batch, draws()) != before  # They were taken.
    libraries = pytorch.libraries_memory()
    assert 50e6 < libraries < pytorch.peak_memory().num_bytes


def test_an_idle_process_takes_no_time_of_the_processor(pytorch, state):
    pytorch.load_generator(state.generator)
    label_map, z = tiny.batch()["label_map"], draws()["generator_z"]
    pytorch.draw(z, label_map)

    def ticks():
        with open(f"/proc/{pytorch.pid}/stat") as file:
            values = file.read().rpartition(")")[2].split()
        return int(values[11]) + int(values[12])  # In user and system mode.

    before = ticks()
    for _ in range(20):  # Our own work meanwhile.
        state.generator(
            noise.global_noise(z, label_map.shape[1:]),
            one_hot(label_map, tiny.SEMANTIC_CHANNELS),
        )
    assert ticks() - before <= 1


def test_a_process_that_fails_says_why(pytorch):
    with pytest.raises(ProcessError, match="(?s)'draw'.*NoneType"):
        pytorch.draw(np.zeros([1, 2]), np.zeros([1, 16, 16], np.int32))
    with pytest.raises(ProcessError, match="'train_steps'"):
        pytorch.train_steps(1)


def test_an_interpreter_that_is_not_there_is_told():
    with pytest.raises(ProcessError, match="interpreter.*nowhere/python"):
        PyTorchProcess(python="nowhere/python")


def test_what_the_step_lacks_is_refused(python):
    train = tiny.config(train={"accumulation_steps": 2}).train
    with PyTorchProcess(threads=1, python=python) as pytorch:
        with pytest.raises(ValueError, match="accumulation_steps.*must be 1"):
            pytorch.prepare_training(None, None, train)
        config = tiny.config(generator={"noise": "pixel"})
        with pytest.raises(ValueError, match="noise.*image.*'pixel'"):
            pytorch.make_networks(config, tiny.SEMANTIC_CHANNELS)
