"""Tensors of the published PyTorch checkpoints <-> our variables."""

import re

import numpy as np

# How the published networks name what we name otherwise. In the discriminator
# the activation and the up-sampling in front of a first convolution are
# numbered with it, so its number depends on the block's kind.
_GENERATOR_NAMES = (
    (r"conv_in/", "fc."),
    (r"conv_out/", "conv_img."),
    (r"block_(\d+)/", r"body.\1."),
    (r"spade_(\w)/norm/", r"norm_\1.first_norm."),
    (r"spade_(\w)/shared/", r"norm_\1.mlp_shared.0."),
    (r"spade_(\w)/(gamma|beta)/", r"norm_\1.mlp_\2."),
    (r"conv_(\w)/", r"conv_\1."),
)
_DISCRIMINATOR_NAMES = (
    (r"^conv_out/", "layer_up_last."),
    (r"^down_0/conv_0/", "body_down.0.conv1.0."),
    (r"^down_(\d+)/conv_0/", r"body_down.\1.conv1.1."),
    (r"^up_(\d+)/conv_0/", r"body_up.\1.conv1.2."),
    (r"^(down|up)_(\d+)/conv_1/", r"body_\1.\2.conv2.1."),
    (r"^(down|up)_(\d+)/conv_s/", r"body_\1.\2.conv_s."),
)
_TENSOR_NAMES = {
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "bias": "bias",
}
_COUNTER = "num_batches_tracked"
_SPECTRAL_NAMES = {"kernel": "weight_orig", "u": "weight_u", "v": "weight_v"}


def published_name(path, is_spectral):
    """Returns the name in a published state dict of one of our variables.

    Args:
        path: the variable's path, "generator/block_0/conv_0/kernel".
        is_spectral: whether its layer is under spectral normalization.
    """
    network, _, name = path.partition("/")
    names = _GENERATOR_NAMES if network == "generator" else _DISCRIMINATOR_NAMES
    name, _, variable = name.rpartition("/")
    name += "/"
    for ours, theirs in names:
        name = re.sub(ours, theirs, name)
    if variable in _TENSOR_NAMES:
        return name + _TENSOR_NAMES[variable]
    return name + (_SPECTRAL_NAMES[variable] if is_spectral else "weight")


def load_state_dict(model, tensors):
    """Sets a network's variables from a published state dict.

    Args:
        model: built `Generator` or `Discriminator`.
        tensors: {name: array}, in PyTorch's layouts: kernels
            `[C, C_in, k, k]`, `weight_v` `[C_in * k * k]`.

    Raises:
        ValueError: if a tensor is missing, left over, of another shape or not
            finite; nothing is set then.
    """
    paths = {variable.path for variable in model.variables}
    values = {}
    problems = []
    left_over = {n for n in tensors if not n.endswith(_COUNTER)}
    for variable in model.variables:
        name = published_name(variable.path, _is_spectral(variable.path, paths))
        left_over.discard(name)
        expected = _published_shape(variable)
        if name not in tensors:
            problems.append(f"{name}: expected shape {expected}, found none")
            continue
        tensor = np.asarray(tensors[name])
        problem = _problem(tensor, expected)
        if problem:
            problems.append(f"{name}: {problem}")
            continue
        values[variable.path] = _to_channels_last(name, tensor)
    problems += [
        f"{name}: expected none, found shape {np.shape(tensors[name])}"
        for name in sorted(left_over)
    ]
    if problems:
        lines = [f"  {problem}" for problem in problems[:10]]
        if len(problems) > 10:
            lines.append(f"  ... and {len(problems) - 10} more")
        raise ValueError(
            f"State dict must fit the {model.name}. Received "
            f"{len(problems)} tensors that do not:\n" + "\n".join(lines)
        )
    for variable in model.variables:
        variable.assign(values[variable.path])


def to_state_dict(values, num_updates=None):
    """Returns a network's variables as the authors' code loads them.

    Args:
        values: {our path: array}, of a `Generator` or a `Discriminator`.
        num_updates: {published name: int} of the batch norms' counters, which
            we do not have; 0 for those that it lacks.

    Returns:
        {published name: array}, in PyTorch's layouts.
    """
    tensors = {}
    for path, value in values.items():
        name = published_name(path, _is_spectral(path, values))
        value = np.asarray(value)
        tensors[name] = _to_channels_first(name, value)
        if name.endswith("running_var"):
            counter = name.removesuffix("running_var") + _COUNTER
            number = (num_updates or {}).get(counter, 0)
            tensors[counter] = np.array(number, np.int64)
    return tensors


def counters(tensors):
    """Returns {name: int}: the batch norms' counters in a state dict."""
    return {
        name: int(value)
        for name, value in tensors.items()
        if name.endswith(_COUNTER)
    }


def generator_sizes(tensors):
    """Reads a generator's sizes off its tensors' shapes.

    Args:
        tensors: {published name: array}.

    Returns:
        `channels` and `spade_channels` of `GeneratorConfig`, and Z + S.

    Raises:
        ValueError: if the tensors are no generator's.
    """
    first = _shape(tensors, "fc.weight", "generator")
    blocks = _num_blocks(tensors, "body")
    channels = [
        _shape(tensors, f"body.{i}.conv_1.weight_orig", "generator")[0]
        for i in range(blocks)
    ]
    name = "body.0.norm_0.mlp_shared.0.weight"
    spade_channels = _shape(tensors, name, "generator")[0]
    return (first[0], *channels), spade_channels, first[1]


def discriminator_sizes(tensors):
    """Reads a discriminator's sizes off its tensors' shapes.

    Args:
        tensors: {published name: array}.

    Returns:
        `channels` and `last_channels` of `DiscriminatorConfig`, and S.

    Raises:
        ValueError: if the tensors are no discriminator's.
    """
    last = _shape(tensors, "layer_up_last.weight", "discriminator")
    blocks = _num_blocks(tensors, "body_down")
    channels = [
        _shape(tensors, f"body_down.{i}.conv2.1.weight_orig", "discriminator")[
            0
        ]
        for i in range(blocks)
    ]
    return tuple(channels), last[1], last[0] - 1


def _num_blocks(tensors, stem):
    pattern = re.compile(rf"{stem}\.(\d+)\.")
    numbers = [int(m[1]) for m in map(pattern.match, tensors) if m]
    return max(numbers, default=-1) + 1


def _shape(tensors, name, network):
    if name not in tensors or np.ndim(tensors[name]) != 4:
        names = ", ".join(sorted(tensors)[:3])
        raise ValueError(
            f"State dict of a published {network} must hold {name!r}, a "
            f"convolution's kernel. Received: {len(tensors)} tensors without "
            f"it ({names}, ...)."
        )
    return np.shape(tensors[name])


def _problem(tensor, shape):
    if tensor.shape != shape:
        return f"expected shape {shape}, found {tensor.shape}"
    if tensor.dtype.kind != "f":
        return f"expected floats, found {tensor.dtype}"
    if not np.isfinite(tensor).all():
        return "expected finite numbers, found NaN or infinity"
    return None


def _is_spectral(path, paths):
    return f"{path.rpartition('/')[0]}/u" in paths


def _published_shape(variable):
    shape = tuple(variable.shape)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _to_channels_last(name, value):
    """Returns a tensor in our order of axes: [k, k, C_in, C]."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if name.endswith("weight_v"):
        # A flat kernel without its output channels; squares alone occur.
        size = _size(name)
        kernel = value.reshape(-1, size, size)
        return kernel.transpose(1, 2, 0).reshape(-1)
    return value


def _to_channels_first(name, value):
    """Returns a tensor in PyTorch's order of axes: [C, C_in, k, k]."""
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    if name.endswith("weight_v"):
        size = _size(name)
        kernel = value.reshape(size, size, -1)
        return np.ascontiguousarray(kernel.transpose(2, 0, 1)).reshape(-1)
    return value


def _size(name):
    """Returns the side k of the kernel that a `weight_v` belongs to."""
    return 1 if ".conv_s." in name else 3
