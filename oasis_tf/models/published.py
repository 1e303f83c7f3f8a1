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
        ValueError: if a tensor is missing, left over or of another shape;
            nothing is set then.
    """
    paths = {variable.path for variable in model.variables}
    values = {}
    left_over = {n for n in tensors if not n.endswith("num_batches_tracked")}
    for variable in model.variables:
        layer = variable.path.rpartition("/")[0]
        name = published_name(variable.path, f"{layer}/u" in paths)
        if name not in tensors:
            raise ValueError(
                f"State dict must hold {name!r}, for {variable.path}. "
                f"Received: {len(tensors)} tensors without it."
            )
        value = _to_channels_last(name, np.asarray(tensors[name]))
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{name!r} must fit {variable.path}, of shape "
                f"{tuple(variable.shape)}. Received: shape "
                f"{np.shape(tensors[name])}."
            )
        values[variable.path] = value
        left_over.discard(name)
    if left_over:
        raise ValueError(
            f"State dict must fit {model.name}. Received, left over: "
            f"{sorted(left_over)}."
        )
    for variable in model.variables:
        variable.assign(values[variable.path])


def _to_channels_last(name, value):
    """Returns a tensor in our order of axes: [k, k, C_in, C]."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if name.endswith("weight_v"):
        # A flat kernel without its output channels; squares alone occur.
        return _flat_to_channels_last(value, kernel_size=_size(name))
    return value


def _size(name):
    return 1 if ".conv_s." in name else 3


def _flat_to_channels_last(value, kernel_size):
    """Reorders [C_in * k * k] to [k * k * C_in]."""
    kernel = value.reshape(-1, kernel_size, kernel_size)
    return kernel.transpose(1, 2, 0).reshape(-1)
