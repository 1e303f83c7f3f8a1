r"""Draws pictures of label maps with a trained generator.

    python -m oasis_tf.synthesize --model=W --label_map=map.png --num=8
    python -m oasis_tf.synthesize --model=W --label_map=map.png \
        --resample_class=tree
    python -m oasis_tf.synthesize --model=W --label_map=map.png \
        --interpolate=12
    python -m oasis_tf.synthesize --model=W --label_map=FOLDER

Writes PNGs, a contact sheet and, for `--interpolate`, an animation to `--out`.
A folder of label maps is worked through in batches; the same command again goes
on where it was stopped, and draws those anew that have changed since.

With `--noise_mask`, `--resample_class` or `--resample_region` only that part of
the noise is drawn anew, from the seeds that follow `--seed`. Exits with 2 if
the command or a file is not as it must be.
"""

import itertools
import pathlib
import sys

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from oasis_tf import command_line
from oasis_tf import model_files
from oasis_tf import sheets
from oasis_tf.data import reading
from oasis_tf.data.label_map import colorize
from oasis_tf.data.pairs import IMAGE_ENDINGS

_MODEL = flags.DEFINE_string(
    "model", None, "Work directory of a finished run, or an export."
)
_LABEL_MAP = flags.DEFINE_string(
    "label_map", None, "Label file in the data set's own ids, or a folder."
)
_OUT = flags.DEFINE_string(
    "out",
    "",
    "Folder to write to, over files of the same name; default: "
    "runs/synthesize/<label_map>, with the class, region or mask after it.",
)
_NUM = flags.DEFINE_integer(
    "num",
    None,
    "Looks of each label map; default: 8, 1 each for a folder, 2 to go between "
    "with --interpolate.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Of the first look; the others follow it.",
    lower_bound=0,
    upper_bound=2**62,
)
_NOISE_PER = flags.DEFINE_enum(
    "noise_per",
    None,
    ["image", "class", "region", "pixel"],
    "What each noise vector is for; default: as the model was trained.",
)
_MASK = flags.DEFINE_string(
    "noise_mask", "", "Image whose bright pixels get new noise."
)
_CLASS = flags.DEFINE_string(
    "resample_class", "", "Class whose pixels get new noise."
)
_REGION = flags.DEFINE_list(
    "resample_region",
    [],
    "x,y in pixels of the label file, from the left and the top: the connected "
    "region of one class there gets new noise.",
)
_FEATHER = flags.DEFINE_integer(
    "feather",
    0,
    "Pixels inside the border of what gets new noise, over which the old noise "
    "passes into it; 0 for a sharp border, which may be drawn as a line.",
    lower_bound=0,
)
_INTERPOLATE = flags.DEFINE_integer(
    "interpolate", 0, "Pictures from each look to the next.", lower_bound=0
)
_ANIMATION = flags.DEFINE_enum(
    "animation", "gif", ["gif", "webp"], "Format of the animation."
)
_RESIZE = flags.DEFINE_bool(
    "resize", False, "Bring label maps to the nearest size that will do."
)
_SIZE = flags.DEFINE_list(
    "size", [], "height,width to bring label maps to, in pixels."
)

_RECORD = "settings.json"
_FRAME_MILLISECONDS = 120
_SHEET_ROWS = 8
_BATCH_SIZE = 8


def main():
    _check_flags()
    label_map = pathlib.Path(_LABEL_MAP.value)
    name = label_map.resolve().stem
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.inference.generator import load_generator

    export = model_files.find_export(_MODEL.value)
    generator = load_generator(export)
    if label_map.is_dir():
        return _draw_folder(generator, export, label_map, name)
    labels = generator.read(label_map, _resize())
    mask = _find_mask(generator, labels)
    out = _make_out(name)
    if (out / _RECORD).exists():
        raise ValueError(
            "`--out` must be another folder than that of a folder's pictures. "
            f"Received: {str(out)!r}."
        )
    if _INTERPOLATE.value:
        _draw_interpolation(generator, labels, mask, name, out)
    elif mask is not None:
        _draw_edits(generator, labels, mask, name, out)
    else:
        _draw_looks(generator, labels, name, out)
    return 0


def _check_flags():
    command_line.check_given(_MODEL, _LABEL_MAP)
    path = pathlib.Path(_LABEL_MAP.value)
    if not path.exists():
        raise ValueError(
            "`--label_map` must be a file or a folder. Received: "
            f"{str(path)!r}, which does not exist."
        )
    if len(_mask_flags()) > 1:
        raise ValueError(
            "One part of the noise can be drawn anew at a time. Received: "
            f"{', '.join(_mask_flags())}."
        )
    if path.is_dir() and (_mask_flags() or _INTERPOLATE.value):
        asked = _mask_flags() or ["--interpolate"]
        raise ValueError(
            f"`{asked[0]}` is for a single label map. Received: the folder "
            f"{str(path)!r}."
        )
    if _FEATHER.value and not _mask_flags():
        raise ValueError(
            "`--feather` needs `--noise_mask`, `--resample_class` or "
            "`--resample_region`. Received: none of them."
        )
    if _ANIMATION.present and not _INTERPOLATE.value:
        raise ValueError("`--animation` needs `--interpolate`. Received: none.")
    if _INTERPOLATE.value and _NUM.value == 1:
        raise ValueError(
            "`--interpolate` goes between looks: `--num` must be at least 2. "
            "Received: 1."
        )


def _make_out(name):
    """Makes `--out`, by default a folder for each kind of pictures."""
    mask = pathlib.Path(_MASK.value).stem
    parts = [name, _CLASS.value, "_".join(_REGION.value), mask]
    if _INTERPOLATE.value:
        parts.append("interpolate")
    default = "-".join(part for part in parts if part)
    return command_line.make_folder(
        _OUT, _OUT.value or f"runs/synthesize/{default}"
    )


def _mask_flags():
    given = [flag for flag in (_MASK, _CLASS, _REGION) if flag.present]
    command_line.check_given(*given)
    return [f"--{flag.name}" for flag in given]


def _resize():
    return command_line.resize(_RESIZE, _SIZE)


def _seeds(default_num):
    return range(_SEED.value, _SEED.value + (_NUM.value or default_num))


def _draw_looks(generator, labels, name, out):
    seeds = _seeds(8)
    images = _looks(generator, [labels] * len(seeds), seeds)
    for seed, image in zip(seeds, images):
        _save(image, out / f"{name}_{seed}.png")
    headings = [f"seed {seed}" for seed in seeds]
    _save_sheet(generator, [(labels, images)], headings, out)


def _looks(generator, label_maps, seeds):
    if _NOISE_PER.value:
        noises = (
            generator.sample_noise(labels, seed, _NOISE_PER.value)
            for labels, seed in zip(label_maps, seeds)
        )
        return generator.draw(label_maps, noises=noises)
    return generator.draw(label_maps, seeds=seeds)


def _draw_edits(generator, labels, mask, name, out):
    """Draws a look, and the same with new noise in a part of it."""
    from oasis_tf.inference import change

    first, *seeds = range(_SEED.value, _SEED.value + 1 + (_NUM.value or 8))
    base = generator.sample_noise(labels, first, _NOISE_PER.value)
    edits = (base.resample_mask(mask, s, _FEATHER.value) for s in seeds)
    images = generator.draw(
        [labels] * (1 + len(seeds)), noises=itertools.chain([base], edits)
    )
    _save(images[0], out / f"{name}_{first}.png")
    for seed, image in zip(seeds, images[1:]):
        _save(image, out / f"{name}_{first}_{seed}.png")
    _save_edit_sheet(generator, labels, mask, images, (first, *seeds), out)
    print("Change of the pixels, 0 to 255,")
    for ring in change.by_distance(images[0], images[1:], mask):
        print(f"  {ring}")


def _find_mask(generator, labels):
    """Returns which pixels get new noise; None for a flag of none."""
    from oasis_tf.inference import inputs
    from oasis_tf.inference import noise

    if not _mask_flags():
        return None
    if _CLASS.value:
        return noise.class_mask(labels, generator.info, _CLASS.value)
    # Pixels and masks are those of the file, before it is resized.
    original = inputs.read_label_map(
        _LABEL_MAP.value, generator.info, generator.config
    )
    if _REGION.value:
        place = command_line.integers(_REGION, "x,y")
        mask = noise.region_mask(original, *place)
    else:
        mask = inputs.read_mask(_MASK.value, original.shape)
    resized = inputs.resize_label_map(mask, labels.shape)
    if not resized.any():
        raise ValueError(
            "What gets new noise must have pixels when the label map is "
            f"brought to {labels.shape}. Received: {mask.sum()} pixels of "
            f"{mask.shape}, none of which is left."
        )
    return resized


def _draw_interpolation(generator, labels, mask, name, out):
    """Draws the way from look to look, and from the last to the first."""
    seeds = _seeds(2)
    keys = [
        generator.sample_noise(labels, seed, _NOISE_PER.value) for seed in seeds
    ]
    if mask is not None:
        keys[1:] = [
            keys[0].resample_mask(mask, seed, _FEATHER.value)
            for seed in seeds[1:]
        ]
    shares = np.arange(_INTERPOLATE.value) / _INTERPOLATE.value
    # One after another: the noise of all frames may fill the memory.
    noises = (
        here.interpolate(there, share, mask)
        for here, there in zip(keys, [*keys[1:], keys[0]])
        for share in shares
    )
    num_frames = len(keys) * len(shares)
    frames = generator.draw([labels] * num_frames, noises=noises)
    for number, frame in enumerate(frames):
        _save(frame, out / f"{name}_frame{number:03d}.png")
    animation = out / f"{name}.{_ANIMATION.value}"
    first, *others = [
        Image.fromarray(sheets.enlarge(frame)) for frame in frames
    ]
    first.save(
        animation,
        save_all=True,
        append_images=others,
        duration=_FRAME_MILLISECONDS,
        loop=0,
    )
    print(f"Animation: {animation.resolve()}")
    shown = frames[: _INTERPOLATE.value + 1]
    headings = [f"{share:.2f}" for share in (*shares, 1.0)][: len(shown)]
    _save_sheet(generator, [(labels, shown)], headings, out)


def _draw_folder(generator, export, folder, name):
    """Draws all label maps of a folder.

    What is drawn already stays, unless its label map is newer.
    """
    out = _make_out(name)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_ENDINGS
        and not path.name.startswith(".")
        and out.resolve() not in path.resolve().parents
    )
    if not files:
        raise ValueError(
            f"`--label_map` must hold label files. Received: {str(folder)!r}, "
            "which has none."
        )
    seeds = _seeds(1)
    _claim(out, export, folder)
    # A look's picture lies where its label map lay in the folder.
    targets = {
        (path, seed): out
        / path.relative_to(folder).parent
        / f"{path.name}_{seed}.png"
        for path in files
        for seed in seeds
    }
    num_wrong = 0
    batch = []
    bar = tqdm(total=len(targets), unit="image", dynamic_ncols=True)

    def draw_batch():
        images = _looks(
            generator,
            [labels for labels, _, _ in batch],
            [seed for _, seed, _ in batch],
        )
        for (_, _, target), image in zip(batch, images):
            _save(image, target)
        bar.update(len(batch))
        batch.clear()

    with bar:
        for path in files:
            missing = [s for s in seeds if not _is_done(path, targets[path, s])]
            bar.update(len(seeds) - len(missing))
            if not missing:
                continue
            try:
                labels = generator.read(path, _resize())
            except ValueError as error:
                num_wrong += 1
                bar.write(f"oasis_tf.synthesize: {error}", file=sys.stderr)
                continue
            for seed in missing:
                if batch and batch[0][0].shape != labels.shape:
                    draw_batch()
                batch.append((labels, seed, targets[path, seed]))
                if len(batch) == _BATCH_SIZE:
                    draw_batch()
        if batch:
            draw_batch()
    _save_folder_sheet(generator, files, seeds, targets, out)
    if num_wrong:
        raise ValueError(
            f"{num_wrong} of {len(files)} files could not be drawn; see above."
        )
    return 0


def _is_done(label_file, picture):
    changed = label_file.stat().st_mtime
    return picture.is_file() and picture.stat().st_mtime >= changed


def _claim(out, export, folder):
    """Writes what the pictures in `out` are, or compares with that."""
    settings = {
        "model": str(export.resolve()),
        "label_map": str(folder.resolve()),
        "seed": _SEED.value,
        "noise_per": _NOISE_PER.value,
        "resize": _resize(),
    }
    record = out / _RECORD
    # A run that was cut off may have left the second kind.
    others = set(out.iterdir()) - set(out.glob(f"{record.stem}.*tmp"))
    if others and record not in others:
        raise ValueError(
            f"`--out` must be a new folder, or one of the same command. "
            f"Received: {str(out)!r}, which holds other files."
        )
    model_files.claim(record, settings, "pictures")


def _save_edit_sheet(generator, labels, mask, images, seeds, out):
    """Draws the edits, and under each where it changes the picture."""
    from oasis_tf.inference import change

    def spotlight(picture):
        return np.where(mask[..., None], picture, picture // 4)

    colors = colorize(labels, generator.info)
    changed = change.pixel_change(images[0], images[1:])[..., None]
    rows = [
        [colors, *images],
        [spotlight(colors), spotlight(images[0]), *changed.repeat(3, axis=-1)],
    ]
    first, *others = seeds
    headings = [
        "map / mask",
        f"seed {first}",
        *(f"new {seed} / change" for seed in others),
    ]
    _write_sheet(sheets.draw_sheet(rows, headings), out)


def _save_folder_sheet(generator, files, seeds, targets, out):
    """Draws the sheet of the first label maps that have one size."""
    rows = []
    for path in files:
        if not all(_is_done(path, targets[path, seed]) for seed in seeds):
            continue
        labels = generator.read(path, _resize())
        if rows and rows[0][0].shape != labels.shape:
            continue
        images = [reading.read_image(targets[path, s]) for s in seeds]
        rows.append((labels, images))
        if len(rows) == _SHEET_ROWS:
            break
    if rows:
        _save_sheet(generator, rows, [f"seed {seed}" for seed in seeds], out)


def _save_sheet(generator, rows, headings, out):
    pictures = [
        [colorize(labels, generator.info), *images] for labels, images in rows
    ]
    _write_sheet(sheets.draw_sheet(pictures, ["label map", *headings]), out)


def _write_sheet(sheet, out):
    _save(sheet, out / "sheet.png")
    print(f"Contact sheet: {(out / 'sheet.png').resolve()}")


def _save(image, path):
    """Writes a PNG whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with model_files.replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


if __name__ == "__main__":
    command_line.run(main)
