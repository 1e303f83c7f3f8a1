r"""Exports a trained model for TF Serving.

    python -m oasis_tf.export --workdir=W
    python -m oasis_tf.export --workdir=W --out=/models --version=2 \
        --weights=float16 --image_format=jpeg

Writes `<out>/generator/<version>/` and, where there is a discriminator,
`<out>/segmenter/<version>/`, each of which appears when it is complete: a
server may watch the folder. `oasis_tf.train` does so itself at its end, with
the defaults; this is for other options and other places. Exits with 2 if that
version is there already.
"""

import pathlib

from absl import flags

from oasis_tf import command_line
from oasis_tf import model_files

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Work directory of a finished run, or of an import."
)
_FORMAT = flags.DEFINE_enum(
    "format", "saved_model", ["saved_model"], "What to write."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder of the models; default: the work directory's export/."
)
_VERSION = flags.DEFINE_integer(
    "version",
    None,
    "A server takes the highest; default: the training step.",
    lower_bound=1,
)
_NAME = flags.DEFINE_string(
    "name", model_files.GENERATOR, "Of the generator, as a server knows it."
)
_SEGMENTER_NAME = flags.DEFINE_string(
    "segmenter_name", model_files.SEGMENTER, "Of the discriminator."
)
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "float32",
    ["float32", "float16", "bfloat16"],
    "How kernels are stored; pictures are drawn in float32 all the same.",
)
_IMAGE_FORMAT = flags.DEFINE_enum(
    "image_format", "png", ["png", "jpeg"], "What the PNG signatures answer in."
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2**20,
    "Batch times height times width that run at a time; larger is refused.",
    lower_bound=1,
)


def main():
    command_line.check_given(_WORKDIR)
    _check_names()
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.exporters import saved_model
    from oasis_tf.inference import networks

    workdir = _WORKDIR.value
    config, info, _ = model_files.find_checkpoints(workdir)
    out = pathlib.Path(_OUT.value or pathlib.Path(workdir, model_files.EXPORT))
    options = {"weights": _WEIGHTS.value, "max_pixels": _MAX_PIXELS.value}
    generator, step = networks.averaged_generator(workdir)
    jobs = [
        (
            _NAME.value,
            saved_model.export_generator,
            generator,
            options | {"image_format": _IMAGE_FORMAT.value},
        )
    ]
    if "discriminator" in model_files.networks_in(workdir):
        discriminator, _ = networks.discriminator(workdir)
        jobs.append(
            (
                _SEGMENTER_NAME.value,
                saved_model.export_segmenter,
                discriminator,
                options,
            )
        )
    version = _VERSION.value or max(1, step)
    for name, *_ in jobs:
        _check_free(out / name, version)
        command_line.make_folder(_OUT, out / name)
    for name, export, network, network_options in jobs:
        folder = export(
            network, config, info, out / name, version, **network_options
        )
        print(f"{name}: {folder.resolve()}")
    return 0


def _check_names():
    if _NAME.value == _SEGMENTER_NAME.value:
        raise ValueError(
            "`--name` and `--segmenter_name` must differ. Received: "
            f"{_NAME.value!r} for both."
        )
    for flag in (_NAME, _SEGMENTER_NAME):
        # As TF Serving's addresses have it.
        if not flag.value or set(flag.value) & set("/:"):
            raise ValueError(
                f"`--{flag.name}` must be a name without / and :. Received: "
                f"{flag.value!r}."
            )


def _check_free(folder, version):
    if (folder / str(version)).exists():
        versions = [int(p.name) for p in folder.glob("*/") if p.name.isdigit()]
        raise ValueError(
            f"`--version` must be new: what is served is never changed. "
            f"Received: {version}, which is in {folder}; "
            f"--version={max(versions) + 1} would be served instead."
        )


if __name__ == "__main__":
    command_line.run(main)
