"""Makes a page to paint label maps on, and serves it.

    python -m oasis_tf.demo_page --model=W

The model is exported for TensorFlow.js, where that has not been done, and runs
in the browser that looks at the page: no server draws. The page lies in
`<W>/page/` and works from any web server; with `?server=http://host:8501` in
its address it draws with a model server instead.

The first time, TensorFlow.js and its converter are installed, for which npm and
a network are needed. Exits with 2 if the command is wrong, with 1 if something
cannot be installed, converted or served.
"""

import pathlib
import shutil

from absl import flags

from oasis_tf import command_line
from oasis_tf import model_files

_MODEL = flags.DEFINE_string(
    "model", None, "Work directory of a finished run, or of an import."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder of the page; default: the work directory's page/."
)
_PRECISION = flags.DEFINE_enum(
    "precision", "float16", ["float32", "float16"], "Of the model's weights."
)
_LABEL_MAPS = flags.DEFINE_string(
    "label_maps",
    "",
    "Label file in the data set's own ids, or folder of them, to start from on "
    "the page; default: generated data's own.",
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all."
)
_PORT = flags.DEFINE_integer(
    "port", 8600, "Of the page.", lower_bound=1, upper_bound=65535
)
_BUILD_ONLY = flags.DEFINE_bool(
    "build_only", False, "Make the page, do not serve it."
)


def main():
    command_line.check_given(_MODEL)
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.exporters import page
    from oasis_tf.exporters import tfjs
    from oasis_tf.exporters.comparison import ConversionError
    from oasis_tf.exporters.installed import InstallationError

    workdir = pathlib.Path(_MODEL.value)
    config, info, _ = model_files.find_checkpoints(workdir)
    out = pathlib.Path(_OUT.value or workdir / "page")
    page.check_folder(out)
    try:
        page.libraries()  # Before the conversion, which takes longer.
        model, label_maps = _export(workdir, config, info, tfjs)
        command_line.make_folder(_OUT, out)
        page.build(out, model, label_maps, info)
    except (InstallationError, ConversionError) as error:
        return command_line.fail(error, 1)
    print(f"Page: {out.resolve()}")
    if _BUILD_ONLY.value:
        return 0
    try:
        page.serve(out, _HOST.value, _PORT.value)
    except OSError as error:
        return command_line.fail(
            f"The page cannot be served on {_HOST.value}, port {_PORT.value}: "
            f"{error.strerror}. See --{_HOST.name} and --{_PORT.name}.",
            1,
        )
    return 0


def _export(workdir, config, info, tfjs):
    """Returns the folder of the model, made if need be, and example maps."""
    from oasis_tf.exporters import light_files
    from oasis_tf.exporters import sample_maps
    from oasis_tf.inference import networks

    generator, step = networks.averaged_generator(workdir)
    label_maps = sample_maps.read(
        config,
        info,
        config.image_size,
        generator.size_multiple,
        _LABEL_MAPS.value,
    )
    if not label_maps:
        print("No --label_maps: regions of random labels stand in for them.")
        label_maps = sample_maps.draw(config.image_size, info, 4)
    # By its weights: a run that was begun anew has others at the same step.
    name = (
        f"page-{max(1, step)}-{light_files.digest(generator)[:12]}-"
        f"{_PRECISION.value}"
    )
    folder = workdir / model_files.EXPORT / "tfjs" / name
    if folder.exists() and not tfjs.is_whole(folder):
        print(f"{folder} is damaged: it is made anew.")
        shutil.rmtree(folder)
    if not folder.exists():
        differences = tfjs.export_generator(
            generator, config, info, folder, _PRECISION.value, label_maps
        )
        for difference in differences.values():
            print(difference)
    return folder, label_maps


if __name__ == "__main__":
    command_line.run(main)
