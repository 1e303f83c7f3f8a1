"""What lies beside a light model, so that a program needs nothing else."""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile

from oasis_tf.exporters.signatures import describe


def facts(config, info, generator, signatures, differences):
    """Returns what a program must know of a model, as JSON takes it.

    Args:
        config: `Config` of the training.
        info: `DatasetInfo`.
        generator: `Generator`.
        signatures: dict of name -> `Signature`.
        differences: dict of name -> `Difference`.
    """
    return {
        "dataset_info": json.loads(info.to_json()),
        "kind": "generator",
        "noise": config.generator.noise,
        "noise_channels": generator.noise_channels,
        "image_size": list(config.image_size),
        "size_multiple": generator.size_multiple,
        "signatures": describe(signatures),
        "differences": {
            # Infinity is no JSON.
            name: {
                key: value if value != float("inf") else None
                for key, value in dataclasses.asdict(difference).items()
            }
            for name, difference in differences.items()
        },
    }


def digest(generator):
    """Returns the SHA-256 of a generator's variables, in hexadecimal."""
    sums = hashlib.sha256()
    for variable in generator.variables:
        sums.update(variable.numpy().tobytes())
    return sums.hexdigest()


def check_label_maps(label_maps):
    """Raises a ValueError if there is none."""
    if not label_maps:
        raise ValueError(
            "`label_maps` must have one label map at least. Received: none."
        )


def check_free(path):
    """Raises a ValueError if there is something at a path already."""
    if pathlib.Path(path).exists():
        raise ValueError(
            f"{path} must not be there yet: what was exported is kept. "
            "Received: a path in use; delete it, or choose another --out, "
            "--name or --version."
        )


def write(path, model, description):
    """Writes a model file and its JSON file; the model comes last.

    Args:
        path: of the model.
        model: bytes.
        description: what `facts` returned, and more.
    """
    path = pathlib.Path(path)
    check_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        temporary = pathlib.Path(folder, "file")
        temporary.write_text(json.dumps(description, indent=1))
        os.replace(temporary, path.with_suffix(".json"))
        temporary.write_bytes(model)
        os.replace(temporary, path)
