"""Weights in files that PyTorch saved."""

import hashlib
import pathlib
import pickle


def read(path):
    """Returns {name: array} of the state dict in a file.

    Args:
        path: of a `.pth` file.

    Raises:
        ValueError: if PyTorch is not installed, or the file is not there,
            broken, or holds something else.
    """
    if not pathlib.Path(path).is_file():
        found = "a folder" if pathlib.Path(path).exists() else "not there"
        raise ValueError(
            f"A state dict must be a file. Received: {path!r}, which is "
            f"{found}."
        )
    torch = import_torch()
    try:
        # Weights alone: a pickle could execute anything.
        tensors = torch.load(
            path, map_location="cpu", weights_only=True, mmap=False
        )
    except (
        RuntimeError,
        OSError,
        EOFError,
        KeyError,
        pickle.UnpicklingError,
    ) as error:
        # PyTorch's own words advise to read without this safety.
        reason = (
            "one that holds more than weights, or is broken"
            if isinstance(error, pickle.UnpicklingError)
            else f"a broken file ({type(error).__name__})"
        )
        raise ValueError(
            f"{path} must be a state dict that PyTorch saved. Received: "
            f"{reason}."
        ) from error
    found = type(tensors).__name__
    if isinstance(tensors, dict):
        found += " of " + ", ".join(map(repr, list(tensors)[:5]))
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in tensors.items()
    ):
        raise ValueError(
            f"{path} must be a state dict, names with tensors. Received: "
            f"{found}."
        )
    # As DataParallel names what it wraps.
    return {
        name.removeprefix("module."): _to_array(tensor)
        for name, tensor in tensors.items()
    }


def sha256(path):
    """Returns the SHA-256 of a file, in hexadecimal digits.

    The names of published weights end in its first eight.
    """
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _to_array(tensor):
    """Returns a tensor as NumPy takes it: no parameter, no bfloat16."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def import_torch():
    """Returns PyTorch; a ValueError where it is not installed."""
    # Large, and for these files only: not among the requirements.
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "Reading and writing .pth files takes PyTorch: "
            '`pip install torch`, or `pip install ".[published]"` in the clone.'
        ) from error
    return torch
