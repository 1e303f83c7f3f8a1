r"""Exports a trained model: for TF Serving, for TFLite, for TensorFlow.js.

    python -m oasis_tf.export --workdir=W
    python -m oasis_tf.export --workdir=W --out=/models --version=2 \
        --weights=float16 --image_format=jpeg
    python -m oasis_tf.export --workdir=W --format=tflite --precision=int8 \
        --label_maps=FOLDER
    python -m oasis_tf.export --workdir=W --format=tfjs --precision=float16

saved_model writes `<out>/generator/<version>/` and, where there is a
discriminator, `<out>/segmenter/<version>/`, each of which appears when it is
complete: a server may watch the folder. `oasis_tf.train` does so itself at its
end, with the defaults; this is for other options and other places.

tflite writes `<out>/tflite/generator-<version>-<size>-<precision>.tflite` with
a JSON file of the classes and signatures. Its pictures are compared with the
network's before it is kept. tfjs writes a folder of such a name below
`<out>/tfjs/`; the first time it installs TensorFlow.js's converter.

Exits with 2 if the command is wrong or that version is there already, with 1 if
the conversion fails.
"""

import pathlib

from absl import flags

from oasis_tf import command_line
from oasis_tf import model_files

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Work directory of a finished run, or of an import."
)
_FORMAT = flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "tflite", "tfjs"], "What to write."
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
_FORM = flags.DEFINE_enum(
    "form",
    "piecewise",
    ["piecewise", "dense"],
    "How SPADE computes: at each distinct neighbourhood, which is faster on "
    "CPUs, or at every pixel.",
)
_CONVOLUTIONS = flags.DEFINE_enum(
    "convolutions",
    None,
    ["winograd", "direct"],
    "Winograd's take less time on CPUs and more room in the file; give direct "
    "for GPUs. Default: winograd for float32 weights, the only ones that it "
    "goes with.",
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2**20,
    "Batch times height times width that run at a time; larger is refused.",
    lower_bound=1,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "float16", "int8_dynamic", "int8"],
    "tflite, tfjs: how kernels are stored; int8 (tflite) computes in it, too.",
)
_SIZE = flags.DEFINE_list(
    "size",
    "",
    "tflite: height,width of the pictures, or any; default: of the training.",
)
_LABEL_MAPS = flags.DEFINE_string(
    "label_maps",
    "",
    "tflite, tfjs: label file in the data set's own ids, or folder of them, to "
    "compare with and to calibrate int8 on; default: generated data's own.",
)

# Of each format alone.
_OPTIONS = {
    "saved_model": (
        _SEGMENTER_NAME,
        _WEIGHTS,
        _IMAGE_FORMAT,
        _FORM,
        _CONVOLUTIONS,
        _MAX_PIXELS,
    ),
    "tflite": (_PRECISION, _SIZE, _LABEL_MAPS),
    "tfjs": (_PRECISION, _LABEL_MAPS),
}


def main():
    command_line.check_given(_WORKDIR)
    _check_names()
    _check_options()
    if _FORMAT.value == "saved_model":
        return _export_saved_models()
    return _export_light()


def _check_options():
    """Raises a ValueError for options that do not go together."""
    takes = _OPTIONS[_FORMAT.value]
    for options in _OPTIONS.values():
        for flag in options:
            if flag.present and all(flag.name != f.name for f in takes):
                raise ValueError(
                    f"`--{flag.name}` must go without "
                    f"`--format={_FORMAT.value}`. Received: {flag.value!r}."
                )
    if _CONVOLUTIONS.value == "winograd" and _WEIGHTS.value != "float32":
        raise ValueError(
            f"`--{_CONVOLUTIONS.name}=winograd` must go with "
            f"`--{_WEIGHTS.name}=float32`. Received: {_WEIGHTS.value!r}."
        )


def _export_light():
    """Writes a TFLite file or a TF.js folder."""
    from oasis_tf.exporters import sample_maps
    from oasis_tf.exporters import tfjs
    from oasis_tf.exporters import tflite
    from oasis_tf.exporters.comparison import ConversionError
    from oasis_tf.exporters.installed import InstallationError
    from oasis_tf.exporters.light_files import check_free
    from oasis_tf.inference import networks
    from oasis_tf.models.generator import check_size

    workdir, precision = _WORKDIR.value, _PRECISION.value
    config, info, _ = model_files.find_checkpoints(workdir)
    generator, step = networks.averaged_generator(workdir)
    size = _light_size(config)
    if size:
        check_size(f"--{_SIZE.name}", size, generator.size_multiple)
    formats = {"tflite": tflite.PRECISIONS, "tfjs": tfjs.PRECISIONS}
    if precision not in formats[_FORMAT.value]:
        raise ValueError(
            f"`--{_PRECISION.name}` of {_FORMAT.value} must be one of "
            f"{', '.join(formats[_FORMAT.value])}. Received: {precision!r}."
        )
    version = _VERSION.value or max(1, step)
    shape = "x".join(map(str, size)) if size else "any"
    out = pathlib.Path(_OUT.value or pathlib.Path(workdir, model_files.EXPORT))
    path = out / _FORMAT.value / f"{_NAME.value}-{version}-{shape}-{precision}"
    if _FORMAT.value == "tflite":
        path = path.with_name(f"{path.name}.tflite")
    check_free(path)
    command_line.make_folder(_OUT, path.parent)
    maps_size = size or config.image_size
    label_maps = sample_maps.read(
        config, info, maps_size, generator.size_multiple, _LABEL_MAPS.value
    )
    if not label_maps and precision == "int8":
        raise ValueError(
            "`--label_maps` is needed for --precision=int8, which is "
            "calibrated on real ones."
        )
    if not label_maps:
        print("No --label_maps: regions of random labels stand in for them.")
        label_maps = sample_maps.draw(maps_size, info, 8)
    wanted = generator, config, info, path, precision
    try:
        if _FORMAT.value == "tfjs":
            differences = tfjs.export_generator(*wanted, label_maps)
        else:
            differences = tflite.export_generator(*wanted, size, label_maps)
    except (InstallationError, ConversionError) as error:
        return command_line.fail(error, 1)
    for name, difference in differences.items():
        print(f"{name}: {difference}")
    files = path.rglob("*") if path.is_dir() else [path]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    print(f"{_FORMAT.value}, {megabytes:.2f} MB: {path.resolve()}")
    return 0


def _light_size(config):
    """Returns the (height, width) of the pictures, or None for any."""
    if _FORMAT.value == "tfjs" or _SIZE.value == ["any"]:
        return None
    if not _SIZE.value:
        return tuple(config.image_size)
    return command_line.integers(_SIZE, "height,width or any")


def _export_saved_models():
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.exporters import saved_model
    from oasis_tf.inference import networks

    workdir = _WORKDIR.value
    config, info, _ = model_files.find_checkpoints(workdir)
    out = pathlib.Path(_OUT.value or pathlib.Path(workdir, model_files.EXPORT))
    options = {
        "weights": _WEIGHTS.value,
        "max_pixels": _MAX_PIXELS.value,
        "convolutions": _CONVOLUTIONS.value,
    }
    generator, step = networks.averaged_generator(workdir)
    options["step"] = step
    jobs = [
        (
            _NAME.value,
            saved_model.export_generator,
            generator,
            options
            | {"image_format": _IMAGE_FORMAT.value, "form": _FORM.value},
        )
    ]
    if model_files.has_segmenter(workdir):
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
    has_segmenter = _FORMAT.value == "saved_model"
    if has_segmenter and _NAME.value == _SEGMENTER_NAME.value:
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
