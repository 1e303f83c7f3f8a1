"""One training iteration: the generator's update, the discriminator's."""

import contextlib
import dataclasses
from functools import partial

import keras
import tensorflow as tf

from oasis_tf import processor
from oasis_tf.baselines.patch_discriminator import PatchDiscriminator
from oasis_tf.baselines.patch_discriminator import build_patch_discriminator
from oasis_tf.data.image import to_float
from oasis_tf.data.label_map import one_hot
from oasis_tf.models import convolution
from oasis_tf.models import noise as noise_lib
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.models.piecewise import Pieces
from oasis_tf.training import losses
from oasis_tf.training.adam import Adam
from oasis_tf.training.adam import LinearDecay
from oasis_tf.training.detached import Detached
from oasis_tf.training.ema import update_average
from oasis_tf.training.labelmix import sample_class_bits
from oasis_tf.training.objectives import PatchObjective
from oasis_tf.training.objectives import SegmentationObjective
from oasis_tf.training.traced_once import traced_once

# What a random draw is for: each use has a stream of its own.
_GENERATOR_NOISE, _DISCRIMINATOR_NOISE, _LABELMIX = range(3)


@dataclasses.dataclass
class TrainState:
    """What a run changes, hence what a checkpoint holds."""

    step: tf.Variable
    """Finished updates, int64."""
    last_step: tf.Variable
    """The update at which rates that fall are 0, int64; the loop moves it
    where its time allows fewer steps than `num_steps`."""
    generator: keras.Model
    discriminator: keras.Model
    ema_generator: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer


@dataclasses.dataclass
class Draws:
    """The random draws of one step.

    `generator_noise` and `discriminator_noise` are `[B, H, W, Z]`, float32, or
    `[B, Z]`: a vector for all of an image's pixels, of which its pieces are
    made. `class_bits`, LabelMix's, is `[S]`, int32.
    """

    generator_noise: tf.Tensor
    discriminator_noise: tf.Tensor
    class_bits: tf.Tensor


def create_state(config, semantic_channels):
    """Makes networks and optimizers with their variables.

    To be called in the scope of the strategy.

    Args:
        config: `Config`.
        semantic_channels: S.

    Returns:
        `TrainState`. The average starts as a copy of the generator.
    """
    train = config.train
    keras.utils.set_random_seed(train.seed)
    generator = build_generator(
        config.generator, semantic_channels, train.precision
    )
    discriminator = create_discriminator(
        config.discriminator, semantic_channels, train.precision
    )
    ema_generator = build_generator(config.generator, semantic_channels)
    ema_generator.trainable = False
    ema_generator.set_weights(generator.get_weights())
    last_step = tf.Variable(
        train.num_steps, dtype=tf.int64, trainable=False, name="last_step"
    )
    state = TrainState(
        step=tf.Variable(0, dtype=tf.int64, trainable=False, name="step"),
        last_step=last_step,
        generator=generator,
        discriminator=discriminator,
        ema_generator=ema_generator,
        generator_optimizer=_optimizer(train, train.generator_lr, last_step),
        discriminator_optimizer=_optimizer(
            train, train.discriminator_lr, last_step
        ),
    )
    state.generator_optimizer.build(generator.trainable_variables)
    state.discriminator_optimizer.build(discriminator.trainable_variables)
    return state


def create_discriminator(config, semantic_channels, precision="float32"):
    """Makes the discriminator of a kind with its variables.

    Args:
        config: `DiscriminatorConfig`.
        semantic_channels: S.
        precision: dtype policy.

    Returns:
        `Discriminator` or `PatchDiscriminator`.
    """
    build = build_discriminator
    if not config.is_segmenter:
        build = build_patch_discriminator
    return build(config, semantic_channels, precision)


def _optimizer(train, learning_rate, last_step):
    if train.decay_share > 0:
        learning_rate = LinearDecay(learning_rate, last_step, train.decay_share)
    optimizer = Adam(learning_rate, train.beta_1, train.beta_2, train.epsilon)
    if train.precision == "mixed_float16":
        # Named, for names are a checkpoint's keys and Keras's own are counted.
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, name="loss_scale"
        )
    return optimizer


def draw(
    config, step, sample_numbers, size, semantic_channels, by_pieces=False
):
    """Makes a step's random draws.

    They follow from the configured seed, the step and the samples' numbers,
    however the batch is spread over replicas.

    Args:
        config: `Config`.
        step: int64 scalar.
        sample_numbers: `[B]`, int64. This replica's.
        size: (height, width) in pixels.
        semantic_channels: S.
        by_pieces: whether noise that is the same at every pixel is drawn once.

    Returns:
        `Draws`.
    """
    seed = tf.constant([config.train.seed, 0], tf.int32)

    def noise(use):
        use_seed = noise_lib.fold(seed, use)
        if by_pieces and config.generator.noise != "pixel":
            return _draw_z(config.generator, use_seed, sample_numbers)
        return draw_noise(config.generator, use_seed, sample_numbers, size)

    return Draws(
        noise(_GENERATOR_NOISE),
        noise(_DISCRIMINATOR_NOISE),
        sample_class_bits(
            noise_lib.fold(seed, _LABELMIX, step), semantic_channels
        ),
    )


def draw_noise(config, seed, sample_numbers, size):
    """Draws the 3D noise that a generator is trained with.

    Args:
        config: `GeneratorConfig`.
        seed: `[2]`, int32.
        sample_numbers: `[B]`, int64.
        size: (height, width) in pixels.

    Returns:
        `[B, H, W, Z]`, float32; Z is 0 for `config.noise` "none".
    """
    if config.noise == "pixel":
        return noise_lib.sample_pixel_noise(
            seed, sample_numbers, size, config.noise_channels
        )
    return noise_lib.global_noise(_draw_z(config, seed, sample_numbers), size)


def _draw_z(config, seed, sample_numbers):
    channels = 0 if config.noise == "none" else config.noise_channels
    return noise_lib.sample_z(seed, sample_numbers, channels)


def train_step(state, batch, draws, train, has_dont_care, perceptual_loss=None):
    """Updates the generator, then the discriminator, on this replica's images.

    Args:
        state: `TrainState`.
        batch: {"image": `[B, H, W, 3]` uint8 or, in [-1, 1], float32;
            "label_map": `[B, H, W]` int32}.
        draws: `Draws`.
        train: `TrainConfig`.
        has_dont_care: whether label 0 means don't-care.
        perceptual_loss: function of (fake, real), for `lambda_vgg`.

    Returns:
        {name: scalar}, float32: this replica's part of each loss.

    Source: OASIS (arXiv:2012.04781), Sections 3.2 and 3.3; one update of
        each network per iteration, the generator's first, with a new fake for
        the discriminator, is the authors'.
    """
    real = to_float(batch["image"])
    label_map = batch["label_map"]
    semantic_channels = state.generator.semantic_channels
    if isinstance(state.discriminator, PatchDiscriminator):
        objective = PatchObjective(semantic_channels)
    else:
        class_weights = _class_weights(
            label_map, semantic_channels, train, has_dont_care
        )
        objective = SegmentationObjective(
            class_weights, draws.class_bits, train.lambda_labelmix
        )

    def generate(noise, labels):
        if noise.shape.rank == 2:
            places = tf.zeros_like(labels)
            pieces = Pieces.of(
                noise[:, None], places, labels, semantic_channels
            )
            return state.generator.draw_pieces(pieces, training=True)
        semantic_map = one_hot(labels, semantic_channels)
        return state.generator(noise, semantic_map, training=True)

    discriminate = partial(state.discriminator, training=True)
    if not (tf.executing_eagerly() or train.jit_compile):
        discriminate = traced_once(state.discriminator, discriminate)
        # Several replicas' generators reduce their batch statistics.
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            generate = traced_once(state.generator, generate)

    def generator_loss(part):
        fake = generate(part["noise"], part["label_map"])
        parts = objective.generator(discriminate, fake, part["label_map"])
        if train.lambda_vgg > 0:
            parts["generator/vgg"] = train.lambda_vgg * perceptual_loss(
                fake, part["real"]
            )
        return parts

    def discriminator_loss(part):
        fake = tf.stop_gradient(generate(part["noise"], part["label_map"]))
        return objective.discriminator(
            discriminate, fake, part["real"], part["label_map"]
        )

    metrics = {}
    for name, loss_fn, noise in (
        ("generator", generator_loss, draws.generator_noise),
        ("discriminator", discriminator_loss, draws.discriminator_noise),
    ):
        # One network's activations are gone before the other's are made.
        with tf.control_dependencies(list(metrics.values())):
            inputs = {
                "real": tf.identity(real),
                "label_map": tf.identity(label_map),
                "noise": tf.identity(noise),
            }
        metrics |= minimize(
            loss_fn,
            inputs,
            getattr(state, name).trainable_variables,
            getattr(state, f"{name}_optimizer"),
            num_parts=train.accumulation_steps,
            clip_norm=train.clip_norm,
        )
    return metrics


def _class_weights(label_map, semantic_channels, train, has_dont_care):
    if not train.class_balancing:
        return losses.uniform_class_weights(semantic_channels, has_dont_care)
    counts = losses.count_classes(label_map, semantic_channels)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1 and not train.class_weights_per_replica:
        counts = context.all_reduce(tf.distribute.ReduceOp.SUM, counts)
    return losses.balanced_class_weights(counts, has_dont_care)


def minimize(loss_fn, batch, variables, optimizer, num_parts=1, clip_norm=0.0):
    """Takes one optimizer step on this replica's share of the loss.

    Args:
        loss_fn: function of a part of `batch`, returning {name: scalar}, whose
            sum is minimized.
        batch: {name: `[B, ...]`}.
        variables: to update.
        optimizer: built for `variables`.
        num_parts: the batch is worked through in so many equal parts, one
            after the other, whose gradients are averaged.
        clip_norm: largest norm of all gradients together; 0: no clipping.

    Returns:
        {name: scalar}: the mean of the parts' losses.

    Raises:
        ValueError: if B is not a multiple of `num_parts`.
    """
    num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
    gradients = None
    metrics = {}
    for part in _split(batch, num_parts):
        # One part's activations are gone before the next one's are made.
        with tf.control_dependencies(gradients or []):
            with tf.GradientTape() as tape:
                losses_ = loss_fn(part)
                loss = tf.add_n(list(losses_.values()))
                # Optimizers sum gradients over replicas; dividing makes it
                # the mean, over the replicas and the parts.
                scaled = optimizer.scale_loss(loss / num_replicas / num_parts)
            new = tape.gradient(scaled, variables)
        gradients = (
            [a + b for a, b in zip(gradients, new, strict=True)]
            if gradients
            else new
        )
        for name, value in losses_.items():
            metrics[name] = metrics.get(name, 0.0) + value / num_parts
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if num_replicas > 1 and (clip_norm > 0 or is_scaled):
        # Both clipping and the loss scale's look for infinity must see what
        # all replicas found. Each then gives an equal share to the sum.
        context = tf.distribute.get_replica_context()
        gradients = [
            g / num_replicas
            for g in context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        ]
    if clip_norm > 0:
        # On one share of the sum, and times the loss scale.
        largest = optimizer.scale_loss(tf.constant(clip_norm / num_replicas))
        gradients, _ = tf.clip_by_global_norm(gradients, largest)
    optimizer.apply(gradients, variables)
    with tf.control_dependencies(gradients):
        return {name: tf.identity(value) for name, value in metrics.items()}


def _split(batch, num_parts):
    size = next(iter(batch.values())).shape[0]
    if num_parts > 1 and size % num_parts:
        raise ValueError(
            "`accumulation_steps` must divide the images per replica. "
            f"Received: accumulation_steps={num_parts}, {size} images."
        )
    if num_parts == 1:
        return [batch]
    split = {name: tf.split(x, num_parts) for name, x in batch.items()}
    return [
        {name: pieces[i] for name, pieces in split.items()}
        for i in range(num_parts)
    ]


def compile_step(state, config, info, strategy, perceptual_loss=None):
    """Makes the function that runs one step on all replicas.

    Args:
        state: `TrainState`, made in the scope of `strategy`.
        config: `Config`.
        info: `DatasetInfo`.
        strategy: `tf.distribute.Strategy`.
        perceptual_loss: see `train_step`.

    Returns:
        Function of a distributed batch of "image", "label_map" and
        "sample_number", returning {name: scalar}: the losses' means over the
        replicas.

    Raises:
        ValueError: if XLA is asked for on several replicas.
    """
    train = config.train
    if train.jit_compile and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "`train.jit_compile` works on one device only, for instance with "
            "CUDA_VISIBLE_DEVICES=0. Received: "
            f"{strategy.num_replicas_in_sync} devices."
        )

    by_pieces = _is_by_pieces(train)

    def replica_step(batch):
        draws = draw(
            config,
            state.step,
            batch["sample_number"],
            config.image_size,
            info.semantic_channels,
            by_pieces,
        )
        return train_step(
            state, batch, draws, train, info.has_dont_care, perceptual_loss
        )

    def step(batch):
        with convolving(train):
            replicated = strategy.run(replica_step, (batch,))
        metrics = {
            name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in replicated.items()
        }
        update_average(
            state.ema_generator, state.generator, train.ema_decay, strategy
        )
        state.step.assign_add(1)
        return metrics

    if _is_for_cpu(train) and strategy.num_replicas_in_sync == 1:
        step = Detached(step)
    else:
        step = tf.function(step, jit_compile=train.jit_compile, autograph=False)
    return without_fusions(step, train)


def without_fusions(function, train):
    """Returns a `tf.function` so that on CPUs no operations of it are fused.

    By oneDNN, with AVX2, they won no time in training. They cost seconds on
    starting, and fail, with a line in the log, at sums read by two operations,
    which the discriminator has.

    Args:
        function: `tf.function` or `Detached`.
        train: `TrainConfig`.
    """
    return _unfused()(function) if _is_for_cpu(train) else function


@contextlib.contextmanager
def _unfused():
    """Context in which TensorFlow fuses no operations of what it runs."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        is_on = before.get("remapping", True)
        tf.config.optimizer.set_experimental_options({"remapping": is_on})


def convolving(train):
    """Returns the context in which a run's networks convolve fastest.

    Args:
        train: `TrainConfig`.
    """
    if _is_for_cpu(train) and processor.is_onednn_slow_in_copying():
        return convolution.without_copies()
    return contextlib.nullcontext()


def _is_by_pieces(train):
    if train.form != "auto":
        return train.form == "piecewise"
    # On a GPU many pixels' gradients would be added up in few rows at a time.
    return _is_for_cpu(train)


def _is_for_cpu(train):
    return not train.jit_compile and not tf.config.list_logical_devices("GPU")
