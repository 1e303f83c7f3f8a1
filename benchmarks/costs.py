"""What the networks cost, worked out layer by layer from their shapes.

Counted are the multiplications and additions of convolutions (two for each
kernel entry and pixel; products with the zeros around an image count), numbers
read and written, and numbers that a forward pass keeps for the backward pass.
What lies between two convolutions (normalization, scale and shift, activation,
repeating pixels) is memory traffic alone: one pass that reads what comes in and
writes what goes out, which is what a compiler makes of it.
"""

import dataclasses
import math

from oasis_tf.models import winograd
from oasis_tf.models.piecewise import Windows

FLOAT_BYTES = 4

_ACTIVATIONS, _CONDITIONING, _IMAGE = "activations", "conditioning", "image"
_LOSS = "loss"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a forward pass, for one image.

    Args:
        name: "block_0/spade_0/shared".
        part: what it belongs to, for tables.
        flops: multiplications and additions.
        read, written: numbers of the image that come in and go out.
        kept: numbers that the backward pass needs, without those that another
            operation has kept.
        weights: numbers of a convolution's kernel, for any number of images.
        source: what comes in: "activations", "conditioning" or "image".
        is_spectral: whether the kernel is under spectral normalization.
    """

    name: str
    part: str
    flops: int = 0
    read: int = 0
    written: int = 0
    kept: int = 0
    weights: int = 0
    source: str = _ACTIVATIONS
    is_spectral: bool = False


@dataclasses.dataclass(frozen=True)
class Passes:
    """How often something is done with a network in one training step.

    Args:
        forward: passes.
        to_weights: gradients of the weights.
        to_inputs: gradients of what comes into a layer.
    """

    forward: int
    to_weights: int
    to_inputs: int

    def of(self, operation, images_are_drawn=0):
        """Returns the passes of one operation.

        Args:
            operation: `Operation`.
            images_are_drawn: in how many of the passes a gradient goes on to
                the image.
        """
        if operation.source == _CONDITIONING:
            return dataclasses.replace(self, to_inputs=0)
        if operation.source == _IMAGE:
            return dataclasses.replace(self, to_inputs=images_are_drawn)
        return self


GENERATOR_PASSES = Passes(forward=2, to_weights=1, to_inputs=1)
"""The generator's update; then a new fake for the discriminator's."""


def discriminator_passes(has_labelmix=True):
    """Returns those of the discriminator.

    On the fake for the generator's update, without gradients of its weights;
    then on fake, real and mixed images, without gradients of those.
    """
    num_judged = 3 if has_labelmix else 2
    return Passes(1 + num_judged, num_judged, 1 + num_judged)


def step_passes(generator, discriminator, has_labelmix=True):
    """Returns each operation of a training step with its `Passes`.

    Args:
        generator, discriminator: lists of `Operation`.
        has_labelmix: whether the discriminator sees mixed images, too.

    Returns:
        list of (`Operation`, `Passes`).
    """
    judged = discriminator_passes(has_labelmix)
    return [(o, GENERATOR_PASSES.of(o)) for o in generator] + [
        (o, judged.of(o, images_are_drawn=1)) for o in discriminator
    ]


def step_flops(generator, discriminator, has_labelmix=True):
    """Returns the flops of a training step for one image; see `step_passes`."""
    return sum(
        operation.flops * sum(dataclasses.astuple(passes))
        for operation, passes in step_passes(
            generator, discriminator, has_labelmix
        )
    )


def total(operations, field, **wanted):
    """Returns the sum of a field over some operations.

    Args:
        operations: list of `Operation`.
        field: "flops", "kept", ...
        **wanted: values that other fields must have.
    """
    return sum(
        getattr(operation, field)
        for operation in operations
        if all(getattr(operation, k) == v for k, v in wanted.items())
    )


def convolution(name, part, layer, size, **settings):
    """Returns the `Operation` of a convolution.

    Args:
        name, part: see `Operation`.
        layer: a built one; its stride is 1.
        size: (height, width) of what comes in.
        **settings: other fields of `Operation`.
    """
    pixels, weights = math.prod(size), math.prod(layer.kernel.shape)
    *_, channels, filters = layer.kernel.shape
    repeats, products = 1, pixels * weights
    if len(layer.kernel.shape) == 3:
        # Winograd's, without the sums before and after the products.
        tile = winograd.tile_of(layer.kernel)
        products = math.prod(-(-n // tile) for n in size) * weights
    elif getattr(layer, "upsample", False):
        # A transposed convolution of 4 x 4; see `models/resampling.py`.
        repeats, products = 4, pixels * weights * 16 // 9
    return Operation(
        name,
        part,
        flops=2 * products,
        read=pixels * channels,
        written=repeats * pixels * filters,
        weights=weights,
        **settings,
    )


def generator_operations(generator, size):
    """Returns the generator's operations for one image, in the dense form.

    Args:
        generator: `Generator`, built.
        size: (height, width) of the image.

    Returns:
        list of `Operation`.
    """
    stride = generator.size_multiple
    at = (size[0] // stride, size[1] // stride)
    operations = [
        _conditioning("conv_in", generator, at),
        convolution(
            "conv_in",
            "main",
            generator.conv_in,
            at,
            kept=math.prod(at) * generator.channels[0],
            source=_CONDITIONING,
        ),
    ]
    for i, block in enumerate(generator.blocks):
        name = f"block_{i}"
        is_last = block is generator.blocks[-1]
        operations += [
            _conditioning(name, generator, at),
            *_block(name, block, at),
        ]
        # The sum of both branches, four times where pixels are repeated; in
        # front of the last convolution its activation is kept instead.
        summed = math.prod(at) * block.filters
        operations.append(
            _between(
                f"{name}/sum",
                read=2 * summed,
                written=summed if is_last else 4 * summed,
                kept=summed if is_last else 4 * summed,
            )
        )
        if not is_last:
            at = (2 * at[0], 2 * at[1])
    return [
        *operations,
        convolution(
            "conv_out", "main", generator.conv_out, at, kept=3 * math.prod(at)
        ),
    ]


def _conditioning(name, generator, size):
    channels = generator.noise_channels + generator.semantic_channels
    numbers = math.prod(size) * channels
    return _between(f"{name}/conditioning", written=numbers, kept=numbers)


def _block(name, block, size):
    """Returns the operations of a `SPADEResBlock`, but for its sum."""
    pixels = math.prod(size)
    middle = block.conv_0.filters
    operations = [
        *_spade(f"{name}/spade_0", block.spade_0, size),
        convolution(
            f"{name}/conv_0",
            "main",
            block.conv_0,
            size,
            kept=pixels * middle,
            is_spectral=True,
        ),
        *_spade(f"{name}/spade_1", block.spade_1, size),
        convolution(
            f"{name}/conv_1", "main", block.conv_1, size, is_spectral=True
        ),
    ]
    if block.has_conv_s:
        operations += [
            *_spade(f"{name}/spade_s", block.spade_s, size),
            convolution(
                f"{name}/conv_s", "main", block.conv_s, size, is_spectral=True
            ),
        ]
    return operations


def _spade(name, spade, size):
    """Returns the operations of a `SPADE` and of the activation after it."""
    pixels = math.prod(size)
    channels = pixels * spade.gamma.filters
    # What is scaled, the scale, and the result or its activation, of which
    # the gradient reads the sign.
    kept = 3 * channels
    return [
        _between(f"{name}/statistics", read=channels),
        convolution(
            f"{name}/shared",
            "shared",
            spade.shared,
            size,
            kept=pixels * spade.shared.filters,
            source=_CONDITIONING,
        ),
        convolution(f"{name}/gamma", "modulation", spade.gamma, size),
        convolution(f"{name}/beta", "modulation", spade.beta, size),
        _between(
            f"{name}/apply", read=3 * channels, written=channels, kept=kept
        ),
    ]


def _between(name, read=0, written=0, kept=0):
    return Operation(name, "between", read=read, written=written, kept=kept)


def discriminator_operations(discriminator, size):
    """Returns the discriminator's operations for one image.

    Args:
        discriminator: `Discriminator`, built.
        size: (height, width) of the image.

    Returns:
        list of `Operation`.
    """
    at = size
    operations = []
    for i, block in enumerate(discriminator.down):
        operations += _down(f"down_{i}", block, at)
        at = (at[0] // 2, at[1] // 2)
    for i, block in enumerate(discriminator.up):
        operations += _up(f"up_{i}", block, at, is_joined=i > 0)
        at = (2 * at[0], 2 * at[1])
    logits = math.prod(size) * (discriminator.semantic_channels + 1)
    return [
        *operations,
        convolution(
            "conv_out",
            "main",
            discriminator.conv_out,
            size,
            kept=math.prod(size) * discriminator.last_channels,
        ),
        _between(_LOSS, read=logits, written=logits, kept=logits),
    ]


def _down(name, block, size):
    """Returns the operations of a halving `DiscriminatorBlock`."""
    pixels = math.prod(size)
    x = pixels * block.conv_0.kernel.shape[-2]
    y = pixels * block.filters
    operations = [
        _between(f"{name}/image", kept=x)
        if block.first
        else _between(f"{name}/act_0", read=x, written=x, kept=x),
        *_two_convolutions(name, block, size, size),
        _between(f"{name}/shortcut", read=x, written=x // 4),
    ]
    if block.has_conv_s:
        operations.append(
            convolution(
                f"{name}/conv_s",
                "main",
                block.conv_s,
                (size[0] // 2, size[1] // 2),
                kept=x // 4,
                source=_IMAGE if block.first else _ACTIVATIONS,
                is_spectral=True,
            )
        )
    return [
        *operations,
        _between(f"{name}/sum", read=y + y // 4, written=y // 4),
    ]


def _up(name, block, size, is_joined):
    """Returns the operations of a doubling `DiscriminatorBlock`.

    Args:
        name: of the block.
        block: `DiscriminatorBlock`.
        size: (height, width) of what comes in.
        is_joined: whether that is joined from two feature maps.
    """
    pixels = math.prod(size)
    x = pixels * block.conv_0.kernel.shape[-2]
    y = 4 * pixels * block.filters
    operations = [
        _between(f"{name}/act_0", read=x, written=x, kept=x),
        *_two_convolutions(name, block, size, (2 * size[0], 2 * size[1])),
    ]
    if is_joined:
        operations.insert(0, _between(f"{name}/join", read=x, written=x))
    if block.has_conv_s:
        operations.append(
            convolution(
                f"{name}/conv_s",
                "main",
                block.conv_s,
                size,
                kept=x,
                is_spectral=True,
            )
        )
    return [
        *operations,
        _between(f"{name}/sum", read=y + y // 4, written=y),
    ]


def _two_convolutions(name, block, size, size_between):
    """Returns both of a block; the second one works at `size_between`."""
    y = math.prod(size_between) * block.filters
    return [
        convolution(
            f"{name}/conv_0",
            "main",
            block.conv_0,
            size,
            source=_IMAGE if block.first else _ACTIVATIONS,
            is_spectral=True,
        ),
        _between(f"{name}/act_1", read=y, written=y, kept=y),
        convolution(
            f"{name}/conv_1",
            "main",
            block.conv_1,
            size_between,
            is_spectral=True,
        ),
    ]


@dataclasses.dataclass(frozen=True)
class Distinct:
    """How many different neighbourhoods a map has at one resolution.

    Args:
        vectors: of conditioning.
        inner: of 3 x 3 pixels.
        outer: of 5 x 5 pixels.
    """

    vectors: int
    inner: int
    outer: int

    @classmethod
    def of(cls, pieces):
        """Counts those of `Pieces`, few or not."""
        num_vectors = len(pieces.palette)
        inner = Windows.of(pieces.index_map, num_vectors)
        outer = Windows.of(inner.window_map, inner.count)
        return cls(num_vectors, int(inner.count), int(outer.count))


def piecewise_flops(generator, size, distinct):
    """Returns the generator's flops where SPADE works by neighbourhoods.

    A vector's or row's product with each of a kernel's nine matrices is
    computed once, and nine of them are summed up for a neighbourhood; see
    `oasis_tf/models/piecewise.py`.

    Args:
        generator: `Generator`, built.
        size: (height, width) of the image.
        distinct: list of a `Distinct` for each block, or None where it works
            densely.

    Returns:
        int.
    """
    operations = generator_operations(generator, size)
    flops = total(operations, "flops")
    for i, (block, here) in enumerate(
        zip(generator.blocks, distinct, strict=True)
    ):
        if here is None:
            continue
        spades = [block.spade_0, block.spade_1]
        spades += [block.spade_s] if block.has_conv_s else []
        for operation in operations:
            if operation.name.startswith(f"block_{i}/spade"):
                flops -= operation.flops
        for spade in spades:
            flops += _looked_up(spade.shared, here.vectors, here.inner)
            for layer in (spade.gamma, spade.beta):
                flops += _looked_up(layer, here.inner, here.outer)
    return flops


def _looked_up(layer, rows, windows):
    sums = 9 * layer.filters * windows
    return 2 * rows * math.prod(layer.kernel.shape) + sums


@dataclasses.dataclass(frozen=True)
class Device:
    """What an accelerator can do at best.

    Args:
        name: of it.
        flops: dict of arithmetic ("float32", ...) -> per second.
        bandwidth: bytes per second from and to its memory.
        memory: bytes.
    """

    name: str
    flops: dict
    bandwidth: float
    memory: float


H100 = Device(
    "H100 SXM",
    {"float32": 67e12, "TF32": 495e12, "bfloat16": 989e12},
    bandwidth=3.35e12,
    memory=80e9,
)
"""NVIDIA's data sheet of the H100 Tensor Core GPU; tensor cores without
sparsity, which is half of what is printed there."""


def number_bytes(arithmetic):
    """Returns the bytes of an activation."""
    return 2 if arithmetic == "bfloat16" else FLOAT_BYTES


def forward_seconds(operations, device, arithmetic, batch):
    """Returns the least time of a forward pass of some images.

    An operation takes as long as its arithmetic or its memory traffic,
    whichever is longer.

    Args:
        operations: list of `Operation`.
        device: `Device`.
        arithmetic: a key of its `flops`.
        batch: images.
    """
    one = Passes(1, 0, 0)
    return sum(_seconds(o, one, device, arithmetic, batch) for o in operations)


def step_seconds(passes, device, arithmetic, batch):
    """Returns the least time of a step's passes, without what is per step.

    Args:
        passes: what `step_passes` returned.
        device, arithmetic, batch: as for `forward_seconds`.
    """
    return sum(_seconds(o, p, device, arithmetic, batch) for o, p in passes)


def step_bytes(passes, arithmetic, batch):
    """Returns the memory traffic of a step's passes."""
    return sum(
        times * moved
        for o, p in passes
        for times, moved in _traffic(o, p, arithmetic, batch)
    )


def _seconds(operation, passes, device, arithmetic, batch):
    working = batch * operation.flops / device.flops[arithmetic]
    return sum(
        times * max(working, moved / device.bandwidth)
        for times, moved in _traffic(operation, passes, arithmetic, batch)
    )


def _traffic(operation, passes, arithmetic, batch):
    """Returns pairs: how often, and the bytes that are moved each time."""
    numbers = batch * (operation.read + operation.written)
    moved = numbers * number_bytes(arithmetic)
    if not operation.flops:
        # Backwards both what went in and what came out come along again.
        return [(passes.forward, moved), (passes.to_inputs, 2 * moved)]
    moved += operation.weights * FLOAT_BYTES
    return [(times, moved) for times in dataclasses.astuple(passes)]


def spectral_bytes(generator, discriminator, has_labelmix=True):
    """Returns the traffic of spectral normalization in a step.

    A forward pass reads the kernel for two products with a vector, reads and
    writes it for the division; a backward pass reads kernel and gradient twice
    and writes the gradient.

    Args:
        generator, discriminator: lists of `Operation`.
        has_labelmix: see `step_passes`.
    """
    return sum(
        FLOAT_BYTES * o.weights * (4 * p.forward + 5 * p.to_weights)
        for o, p in step_passes(generator, discriminator, has_labelmix)
        if o.is_spectral
    )


def update_bytes(generator_weights, discriminator_weights, has_momentum):
    """Returns the traffic of both optimizers and of the average.

    Adam reads a gradient, and reads and writes each moment and the weight; the
    average of the generator reads the weight, and reads and writes its own.

    Args:
        generator_weights, discriminator_weights: how many.
        has_momentum: whether Adam has a first moment, for beta_1 above 0.
    """
    adam = 7 if has_momentum else 5
    return FLOAT_BYTES * (
        adam * (generator_weights + discriminator_weights)
        + 3 * generator_weights
    )


def state_bytes(generator_weights, discriminator_weights, has_momentum):
    """Returns the memory of weights, average, moments and gradients."""
    both = generator_weights + discriminator_weights
    moments = (2 if has_momentum else 1) * both
    gradients = max(generator_weights, discriminator_weights)
    return FLOAT_BYTES * (both + generator_weights + moments + gradients)


def kept_bytes(generator, discriminator, arithmetic, has_labelmix=True):
    """Returns the memory that an image's activations take in a step.

    The larger one of both updates': generator and discriminator on the fake,
    or the discriminator on fake, real and mixed image.

    Args:
        generator, discriminator: lists of `Operation`.
        arithmetic: "bfloat16" for activations of 2 bytes.
        has_labelmix: see `step_passes`.
    """
    judged = total(discriminator, "kept")
    logits = total(discriminator, "written", name=_LOSS)
    num_judged = discriminator_passes(has_labelmix).to_weights
    # LabelMix keeps the mixed image's logits, and both others' mixed.
    numbers = max(
        total(generator, "kept") + judged,
        num_judged * judged + (2 * logits if has_labelmix else 0),
    )
    return numbers * number_bytes(arithmetic)


def ring_seconds(num_bytes, replicas, bandwidth):
    """Returns the time of an all-reduce in a ring.

    Each replica sends and receives 2 (n - 1) / n times the bytes.

    Args:
        num_bytes: of the tensors.
        replicas: n.
        bandwidth: bytes per second that a replica sends, and receives.
    """
    return 2 * (replicas - 1) / replicas * num_bytes / bandwidth
