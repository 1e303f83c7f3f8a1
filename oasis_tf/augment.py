r"""Makes a data set of drawn images from one of real images.

    python -m oasis_tf.augment --model=W --per_image=4 --out=D
    python -m oasis_tf.train_segmenter --dataset=folder --data_dir=D \
        --set=image_size=64,64 --set=data.ignore_id=255

For each training label map so many images are drawn, each with noise of its
own, as pairs with that label map; the real pairs lie beside them, and the
validation pairs are the real ones. `D` is laid out as `--dataset=folder` takes
it; how it is read is printed at the end. The same command again goes on where
it was stopped. Exits with 2 if the command or a file is not as it must be.

Source: OASIS (arXiv:2012.04781), Section 5, proposes such data augmentation.
"""

import pathlib

from absl import flags
from tqdm import tqdm

from oasis_tf import command_line
from oasis_tf import model_files
from oasis_tf.data.folder_writer import FolderWriter

_MODEL = flags.DEFINE_string(
    "model", None, "Work directory of a finished run, or an export."
)
_DATASET = flags.DEFINE_string(
    "dataset",
    "",
    "Experiment in configs/ whose data are taken; default: those that the "
    "model was trained on.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data set's own files."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value: of the data set's settings."
)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_PER_IMAGE = flags.DEFINE_integer(
    "per_image", 4, "Images drawn for each label map.", lower_bound=1
)
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images",
    0,
    "Training label maps that are taken, the first; 0: all.",
    lower_bound=0,
)
_WITH_REAL = flags.DEFINE_bool(
    "with_real", True, "Whether the real training images are there, too."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the first image; the others follow it.", lower_bound=0
)


def main():
    command_line.check_given(_MODEL, _OUT)
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.evaluation.parts import digest
    from oasis_tf.inference.generator import load_generator
    from oasis_tf.inference.model_data import load_data

    export = model_files.find_export(_MODEL.value)
    generator = load_generator(export)
    size = generator.config.image_size
    dataset = load_data(
        generator.config,
        generator.info,
        _DATASET.value,
        _DATA_DIR.value,
        _SET.value,
    )
    out = command_line.make_folder(_OUT, _OUT.value)
    settings = {
        "model": digest(export),
        "data": dataset.prepared_dir.name,
        "per_image": _PER_IMAGE.value,
        "num_images": _NUM_IMAGES.value,
        "with_real": _WITH_REAL.value,
        "seed": _SEED.value,
    }
    model_files.claim(out / "settings.json", settings, "images")
    writer = FolderWriter(out, dataset.info)
    num_train = dataset.num_examples["train"]
    num_train = min(num_train, _NUM_IMAGES.value or num_train)
    num_validation = dataset.num_examples["validation"]
    # First: where they lack, pairs of the training split are held out, drawn
    # ones too.
    if num_validation:
        _write_split(writer, dataset, size, "validation", num_validation)
    _write_split(writer, dataset, size, "train", num_train, generator)
    settings = [f"image_size={size[0]},{size[1]}", *writer.settings]
    if not num_validation:
        settings.append("data.validation_share=0")
    print(
        f"Taken by: --dataset=folder --data_dir={pathlib.Path(out).resolve()} "
        + " ".join(f"--set={setting}" for setting in settings)
    )
    return 0


def _write_split(writer, dataset, size, split, num_examples, generator=None):
    """Writes a split's pairs: the real ones, and where it draws, its own."""
    from oasis_tf.data import pipeline

    is_real_there = generator is None or _WITH_REAL.value
    per_image = _PER_IMAGE.value if generator else 0

    def missing(n):
        """Returns which images of an example are not there: -1 is the real."""
        looks = [*([-1] if is_real_there else []), *range(per_image)]
        return [look for look in looks if not writer.has(split, _name(n, look))]

    per_example = per_image + is_real_there
    to_do = [n for n in range(num_examples) if missing(n)]
    bar = tqdm(
        desc=split,
        total=num_examples * per_example,
        initial=(num_examples - len(to_do)) * per_example,
        unit="image",
        dynamic_ncols=True,
    )
    with bar:
        for batch in pipeline.validation_batches(
            dataset, size, 1, to_do, split
        ).as_numpy_iterator():
            n = int(batch["sample_number"][0])
            labels = batch["label_map"][0]
            looks = missing(n)
            drawn = [look for look in looks if look >= 0]
            images = dict.fromkeys(looks, batch["image"][0])
            if drawn:
                seeds = [_SEED.value + n * per_image + look for look in drawn]
                images |= zip(
                    drawn,
                    generator.draw([labels] * len(drawn), seeds=seeds),
                )
            for look, image in images.items():
                writer.write(split, _name(n, look), image, labels)
            bar.update(per_example)


def _name(n, look):
    return f"{n:06d}_{'real' if look < 0 else f'drawn{look}'}"


if __name__ == "__main__":
    command_line.run(main)
