r"""Does a segmenter that has few real images gain from drawn ones?

    python -m benchmarks.augmentation --dataset=toy_scenes
    python -m benchmarks.augmentation --dataset=folder --data_dir=D \
        --set=data.ignore_id=11 --real_images=60

Takes so many of the real training pairs, evenly spread, and trains OASIS on
these alone; draws `--per_image` images for each of their label maps; trains the
U-Net of `oasis_tf.train_segmenter` on the real pairs, and on the real and the
drawn ones, for as many updates; scores both on all real validation images.
Writes `table.md` and `class_iou.png` to `--out`. The same command again goes on
where it was stopped.
"""

import json

import numpy as np
from absl import flags
from tqdm import tqdm

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf import processes
from oasis_tf import processor

_DATASET = flags.DEFINE_string("dataset", "toy_scenes", "As of train.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "As of train.")
_SET = flags.DEFINE_multi_string("set", [], "As of train.")
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/augmentation/<dataset>."
)
_REAL_IMAGES = flags.DEFINE_integer(
    "real_images", 60, "Real training pairs that are taken.", lower_bound=1
)
_PER_IMAGE = flags.DEFINE_integer(
    "per_image", 4, "Images drawn for each of their label maps.", lower_bound=1
)
_STEPS = flags.DEFINE_integer(
    "steps", 0, "Of OASIS; 0: the experiment's.", lower_bound=0
)
_SEGMENTER_STEPS = flags.DEFINE_integer(
    "segmenter_steps", 500, "Of each segmenter.", lower_bound=1
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Segmenters of each kind.", lower_bound=1
)

_KINDS = {"real": "real images alone", "augmented": "real and drawn images"}


def main():
    from oasis_tf import data

    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    processor.leave_gpus()
    dataset = data.load(
        config.dataset,
        _DATA_DIR.value or None,
        config.data,
        config.image_size,
    )
    if not dataset.num_examples["validation"]:
        raise ValueError(
            f"{config.dataset!r} must have validation images. Received: none."
        )
    out = _OUT.value or f"runs/augmentation/{config.dataset}"
    out = command_line.make_folder(_OUT, out)
    facts = config_lib.result_settings(config) | {
        flag.name: flag.value
        for flag in (
            *(_DATA_DIR, _REAL_IMAGES, _PER_IMAGE, _STEPS, _SEGMENTER_STEPS),
        )
    }
    facts["data"] = dataset.prepared_dir.name
    model_files.claim(out / "settings.json", facts, "an experiment")
    settings = _write_real(dataset, config.image_size, out / "real")
    settings = [f"--set={setting}" for setting in settings]
    model = out / "run"
    steps = f"--set=train.num_steps={_STEPS.value}"
    processes.run_training(
        model,
        f"--dataset={_DATASET.value}",
        f"--data_dir={out / 'real'}",
        *settings,
        *[steps] * bool(_STEPS.value),
    )
    processes.run(
        "augment",
        f"--model={model}",
        f"--data_dir={out / 'real'}",
        f"--per_image={_PER_IMAGE.value}",
        f"--out={out / 'augmented'}",
    )
    for seed in range(_SEEDS.value):
        for kind in _KINDS:
            processes.run(
                "train_segmenter",
                f"--dataset={_DATASET.value}",
                f"--data_dir={out / kind}",
                f"--image_size={','.join(map(str, config.image_size))}",
                f"--steps={_SEGMENTER_STEPS.value}",
                f"--seed={seed}",
                f"--out={_segmenter(out, kind, seed)}",
                *settings,
            )
    _write_results(out)


def _write_real(dataset, image_size, folder):
    """Writes the real pairs; returns the settings that read them."""
    from oasis_tf.data import pipeline
    from oasis_tf.data.folder_writer import FolderWriter

    folder.mkdir(exist_ok=True)
    writer = FolderWriter(folder, dataset.info)
    for split, most in (("train", _REAL_IMAGES.value), ("validation", None)):
        num_examples = dataset.num_examples[split]
        places = pipeline.spread(num_examples, most or num_examples)
        missing = [n for n in places if not writer.has(split, f"{n:06d}")]
        batches = pipeline.validation_batches(
            dataset, image_size, 1, missing, split
        )
        for batch in tqdm(
            batches.as_numpy_iterator(), split, total=len(missing)
        ):
            writer.write(
                split,
                f"{batch['sample_number'][0]:06d}",
                batch["image"][0],
                batch["label_map"][0],
            )
    # What is said of the original files does not hold for these.
    data_config = config_lib.DataConfig()
    reading = {n: getattr(data_config, n) for n in config_lib.FOLDER_SETTINGS}
    return [
        *_SET.value,
        "dataset=folder",
        *(f"data.{name}={value}" for name, value in reading.items()),
        *writer.settings,
    ]


def _segmenter(out, kind, seed):
    return out / "segmenters" / f"{kind}_{seed}"


def _write_results(out):
    from oasis_tf.evaluation import charts
    from oasis_tf.evaluation.segmentation import FACTS

    lines = [
        "| Trained on | Images | Segmenters | mIoU | Accuracy |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    class_iou = {}
    for kind, name in _KINDS.items():
        found = [
            model_files.read(
                _segmenter(out, kind, seed) / "export" / FACTS, json.loads
            )["real"]
            for seed in range(_SEEDS.value)
        ]
        cells = []
        for score in ("miou", "accuracy"):
            values = [one[score] for one in found]
            cells.append(
                f"{np.mean(values):.3f} ({min(values):.3f} to "
                f"{max(values):.3f})"
            )
        num_images = len(list((out / kind / "images/train").glob("*.png")))
        lines.append(
            f"| {name} | {num_images} | {len(found)} | {' | '.join(cells)} |"
        )
        classes = [one["class_iou"] for one in found]
        class_iou[name] = np.array(
            [
                np.mean(
                    [np.nan if one[n] is None else one[n] for one in classes]
                )
                for n in classes[0]
            ]
        )
    table = "\n".join(lines) + "\n"
    model_files.write(out / "table.md", table)
    charts.class_bars(
        out / "class_iou.png",
        list(classes[0]),
        class_iou,
        "IoU on real validation images",
        "Do drawn images help?",
    )
    print(f"\n{table}\nTable and picture: {out.resolve()}")


if __name__ == "__main__":
    command_line.run(main)
