"""Recreates a photo: segments it and draws new pictures of what it shows.

    python -m oasis_tf.recreate --model=W --image=photo.jpg --num=4

The discriminator finds the label map, the generator draws it with several
noises: new photos of the same scene, without anyone labelling it. Writes the
pictures and a sheet of them all to `--out`. Exits with 2 if the command or a
file is not as it must be.

Source: OASIS (arXiv:2012.04781), Figure 4 and Section 4.
"""

import pathlib

import numpy as np
from absl import flags
from PIL import Image

from oasis_tf import command_line
from oasis_tf import sheets
from oasis_tf.data.label_map import colorize
from oasis_tf.data.label_map import restore

_MODEL = flags.DEFINE_string("model", None, "Work directory of a finished run.")
_IMAGE = flags.DEFINE_string("image", None, "Photo to recreate.")
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/recreate/<image>."
)
_NUM = flags.DEFINE_integer("num", 4, "New pictures.", lower_bound=1)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Of the first picture; the others follow it.",
    lower_bound=0,
    upper_bound=2**62,
)
_RESIZE = flags.DEFINE_bool(
    "resize", False, "Work at the nearest size that will do."
)
_SIZE = flags.DEFINE_list("size", [], "height,width to work at, in pixels.")


def main():
    command_line.check_given(_MODEL, _IMAGE)
    resize = command_line.resize(_RESIZE, _SIZE)
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.inference import inputs
    from oasis_tf.inference.generator import load_generator
    from oasis_tf.inference.segmenter import load_segmenter

    segmenter = load_segmenter(_MODEL.value)
    generator = load_generator(_MODEL.value)
    image = inputs.read_image(_IMAGE.value)
    # A size in which both networks work.
    multiple = max(segmenter.size_multiple, generator.size_multiple)
    size = inputs.target_size(
        _IMAGE.value,
        image.shape[:2],
        multiple,
        resize,
        generator.config.image_size,
    )
    image = inputs.resize_image(image, size)
    labels = segmenter.segment_to_labels(image)
    name = pathlib.Path(_IMAGE.value).stem
    out = command_line.make_folder(_OUT, _OUT.value or f"runs/recreate/{name}")
    seeds = range(_SEED.value, _SEED.value + _NUM.value)
    looks = generator.draw([labels] * len(seeds), seeds=seeds)

    ids = restore(labels, segmenter.info)
    Image.fromarray(ids).save(out / f"{name}_ids.png")
    for seed, look in zip(seeds, looks):
        Image.fromarray(look).save(out / f"{name}_{seed}.png")
    headings = ["photo", "segmented", *(f"seed {seed}" for seed in seeds)]
    row = [image, colorize(labels, segmenter.info), *looks]
    sheet = out / "sheet.png"
    Image.fromarray(sheets.draw_sheet([row], headings)).save(sheet)
    found = [segmenter.info.class_names[s] for s in np.unique(labels)]
    print(f"Found: {', '.join(found)}")
    print(f"Sheet: {sheet.resolve()}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
