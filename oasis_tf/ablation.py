r"""Takes OASIS's ideas away one by one: what does each of them give?

    python -m oasis_tf.ablation --dataset=toy_scenes --steps=1000
    python -m oasis_tf.ablation --dataset=folder --data_dir=D --seeds=1 \
        --set=image_size=64,64

Trains OASIS, OASIS without LabelMix, without class balancing and without 3D
noise, and the same generator against SPADE's patch discriminator, all for as
many steps; evaluates each by the same segmentation network, which is trained
first; writes `table.md`, `scores.png` and `pictures.png` to `--out`. The rows
to compare, the first and the last, have `--seeds` runs each. The same command
again goes on where it was stopped. Exits with 2 if the command or the data are
not as they must be, with the code of a run that broke otherwise.
"""

import json
import math

import numpy as np
from absl import flags
from matplotlib import figure
from PIL import Image

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf import processes
from oasis_tf import processor
from oasis_tf import sheets
from oasis_tf.data.label_map import colorize

_DATASET = flags.DEFINE_string(
    "dataset",
    "toy_scenes",
    "Experiment in configs/, named after its data set, or a file like those.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Folder of the data set's own files."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/ablation/<dataset>."
)
_STEPS = flags.DEFINE_integer(
    "steps", 0, "Of each run; 0: the experiment's.", lower_bound=0
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Runs of OASIS and of the patch discriminator.", lower_bound=1
)
_OTHER_SEEDS = flags.DEFINE_integer(
    "other_seeds", 1, "Runs of each of the other rows.", lower_bound=1
)
_PATCH_CHANNELS = flags.DEFINE_string(
    "patch_channels",
    "64,128,256,512",
    "Of the patch discriminator's convolutions.",
)
_SEGMENTER = flags.DEFINE_string(
    "segmenter", "", "As of oasis_tf.evaluate; default: one trained first."
)
_SEGMENTER_IDS = flags.DEFINE_enum(
    "segmenter_ids",
    None,
    ["labels", "classes", "native"],
    "As of oasis_tf.evaluate.",
)
_SEGMENTER_STEPS = flags.DEFINE_integer(
    "segmenter_steps", 1500, "Of the one that is trained.", lower_bound=1
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value, for all runs."
)

_MAIN = ("oasis", "patch_discriminator")
_NUM_MAPS = 4  # Label maps in the sheet of pictures.


def _variants():
    """Returns {name: settings}, in the order of the table."""
    return {
        "oasis": [],
        "no_labelmix": ["train.lambda_labelmix=0"],
        "no_class_balancing": ["train.class_balancing=false"],
        "no_noise": ["generator.noise=none"],
        "patch_discriminator": [
            "discriminator.kind=patch",
            f"discriminator.channels={_PATCH_CHANNELS.value}",
        ],
    }


def main():
    runs = [
        (name, seed)
        for name in _variants()
        for seed in range(_SEEDS.value if name in _MAIN else _OTHER_SEEDS.value)
    ]
    configs = {
        name: config_lib.override(
            config_lib.load(_DATASET.value), _settings(name, seed=0)
        )
        for name in _variants()
    }  # Mistyped settings are told before hours of work.
    config = configs["oasis"]
    _check_variants(configs)
    processor.leave_gpus()
    dataset = _load_data(config)
    features, digests = _check_judge(dataset)
    sizes = _discriminator_sizes(configs, dataset.info.semantic_channels)
    out = command_line.make_folder(
        _OUT, _OUT.value or f"runs/ablation/{config.dataset}"
    )
    record = out / "settings.json"
    if not any((out / name).is_dir() for name in ("segmenter", "evaluations")):
        record.unlink(missing_ok=True)  # Of a command that failed at once.
    model_files.claim(record, _facts(config) | digests, "an ablation")
    segmenter = _SEGMENTER.value or _train_segmenter(out, config.image_size)
    for number, (name, seed) in enumerate(runs):
        print(f"\nRun {number + 1} of {len(runs)}: {name}, seed {seed}")
        _run(out, name, seed, segmenter, features)
        _write_table(out, runs[: number + 1], sizes)
    _draw_scores(out, runs)
    _draw_pictures(out, config.image_size, dataset)
    print(f"\n{(out / 'table.md').read_text()}")
    print(f"Table and pictures: {out.resolve()}")
    return 0


def _check_judge(dataset):
    """Looks at segmenter and validation images before hours of work.

    Returns:
        `(features, digests)`: whose features are compared, "segmenter", or
        "none" if it has none; {what: what tells it from others}.

    Raises:
        ValueError: if they are not as they must be.
    """
    from oasis_tf.evaluation import segmentation
    from oasis_tf.evaluation.parts import digest
    from oasis_tf.evaluation.protocol import LEAST_IMAGES

    if _SEGMENTER_IDS.value and not _SEGMENTER.value:
        raise ValueError(
            "`--segmenter_ids` needs `--segmenter`. Received: none."
        )
    if _SEGMENTER.value:
        segmentation.find(_SEGMENTER.value)
    num = dataset.num_examples["validation"]
    if num < LEAST_IMAGES:
        raise ValueError(
            f"{dataset.info.name!r} must have {LEAST_IMAGES} validation images "
            f"at least. Received: {num}."
        )
    digests = {"data": dataset.prepared_dir.name}
    if not _SEGMENTER.value:
        return "segmenter", digests
    network = segmentation.SegmentationNetwork(
        _SEGMENTER.value, dataset.info, _SEGMENTER_IDS.value
    )
    digests["network"] = digest(network.path)
    return "segmenter" if network.has_features else "none", digests


def _discriminator_sizes(configs, semantic_channels):
    """Returns {row: weights of the discriminator} of the rows to compare."""
    from oasis_tf.training.train_step import create_discriminator

    sizes = {}
    for name in _MAIN:
        network = create_discriminator(
            configs[name].discriminator, semantic_channels
        )
        variables = network.trainable_variables
        sizes[name] = sum(math.prod(v.shape) for v in variables)
    return sizes


def _load_data(config):
    from oasis_tf import data

    return data.load(
        config.dataset,
        _DATA_DIR.value or None,
        config.data,
        config.image_size,
    )


def _check_variants(configs):
    """Raises a ValueError if rows would not be what their names say."""
    if not configs["oasis"].discriminator.is_segmenter:
        raise ValueError(
            "Row 'oasis' must have a discriminator that segments. Received: "
            f"discriminator.kind={configs['oasis'].discriminator.kind!r}."
        )
    for name, config in configs.items():
        if name != "oasis" and config == configs["oasis"]:
            raise ValueError(
                f"Row {name!r} must lack what row 'oasis' has. Received: an "
                "experiment, or a `--set`, by which both lack it."
            )


def _facts(config):
    return config_lib.result_settings(config) | {
        "data_dir": _DATA_DIR.value,
        "patch_channels": _PATCH_CHANNELS.value,
        "segmenter": _SEGMENTER.value,
        "segmenter_ids": _SEGMENTER_IDS.value,
        "segmenter_steps": _SEGMENTER_STEPS.value,
    }


def _settings(name, seed):
    settings = [*_SET.value, f"train.seed={seed}", *_variants()[name]]
    if _STEPS.value:
        settings.append(f"train.num_steps={_STEPS.value}")
    return settings


def _train_segmenter(out, image_size):
    """Trains the network that all are judged by; returns its path."""
    folder = out / "segmenter"
    if not (folder / "export").is_dir():
        processes.run(
            "train_segmenter",
            *_data_flags(),
            f"--steps={_SEGMENTER_STEPS.value}",
            f"--image_size={image_size[0]},{image_size[1]}",
            f"--out={folder}",
            *(f"--set={setting}" for setting in _SET.value),
        )
    return str(folder / "export")


def _data_flags():
    flags_ = [f"--dataset={_DATASET.value}"]
    return flags_ + [f"--data_dir={_DATA_DIR.value}"] * bool(_DATA_DIR.value)


def _folders(out, name, seed):
    """Returns the folders of a run and of its evaluation."""
    return (
        out / "runs" / f"{name}_{seed}",
        out / "evaluations" / f"{name}_{seed}",
    )


def _run(out, name, seed, segmenter, features):
    workdir, evaluation = _folders(out, name, seed)
    if (evaluation / "metrics.json").is_file():
        return
    processes.run_training(
        workdir,
        *_data_flags(),
        *(f"--set={setting}" for setting in _settings(name, seed)),
    )
    segmenter_flags = [f"--segmenter={segmenter}", f"--features={features}"]
    if _SEGMENTER_IDS.value:
        segmenter_flags.append(f"--segmenter_ids={_SEGMENTER_IDS.value}")
    processes.run(
        "evaluate",
        f"--model={workdir}",
        *_data_flags()[1:],
        *segmenter_flags,
        f"--out={evaluation}",
    )


def _metrics(out, name, seed):
    _, evaluation = _folders(out, name, seed)
    return json.loads((evaluation / "metrics.json").read_text())


_COLUMNS = {
    "mIoU ↑": ("segmenter", "fake", "miou"),
    "Accuracy ↑": ("segmenter", "fake", "accuracy"),
    "FID of the segmenter ↓": ("features", "fid"),
    "Colour distance ↓": ("statistics", "overall", "color_emd"),
    "Texture distance ↓": ("statistics", "overall", "texture_chi2"),
    "MS-SSIM ↓": ("diversity", "mean", "ms_ssim"),
    "LPIPS, random network ↑": ("diversity", "mean", "lpips"),
}


def _scores(out, runs, name):
    """Returns {heading: scores of a row's runs so far}."""
    found = {heading: [] for heading in _COLUMNS}
    for seed in (seed for run, seed in runs if run == name):
        scores = _metrics(out, name, seed)["scores"]
        # By the noise that is trained with; without, all pictures are one.
        looks = scores.get("diversity", {"": None})
        scores["diversity"] = next(iter(looks.values()))
        for heading, path in _COLUMNS.items():
            value = scores
            for key in path:
                value = (value or {}).get(key)
            if value is not None:
                found[heading].append(value)
    return found


def _write_table(out, runs, sizes):
    from oasis_tf.evaluation import report

    lines = [
        "| | Runs | " + " | ".join(_COLUMNS) + " |",
        "| --- | ---: |" + " ---: |" * len(_COLUMNS),
    ]
    names = [n for n in _variants() if any(n == run for run, _ in runs)]
    for name in names:
        found = _scores(out, runs, name)
        cells = [_cell(values) for values in found.values()]
        num = sum(name == run for run, _ in runs)
        lines.append(f"| {name} | {num} | " + " | ".join(cells) + " |")
    first = _metrics(out, *runs[0])
    real = first["scores"]["segmenter"]["real"]["miou"]
    lines += [
        "",
        "Means, and from least to most over the runs, which differ in their "
        f"seed. {first['num_images']} label maps of the validation split; the "
        f"segmenter's mIoU on real images is {real:.3f}. "
        + " ".join(report.note_lines([first])),
        "",
        f"OASIS's discriminator has {sizes['oasis']:,} weights, the patch "
        f"discriminator {sizes['patch_discriminator']:,}. It is SPADE's, "
        "without the perceptual and feature matching losses.",
        "",
    ]
    model_files.write(out / "table.md", "\n".join(lines))


def _cell(values):
    if not values:
        return "-"
    text = f"{np.mean(values):.3g}"
    if len(values) > 1:
        text += f" ({min(values):.3g} to {max(values):.3g})"
    return text


def _draw_scores(out, runs):
    """Draws a panel for each score: a bar for each row, a dot for each run."""
    from oasis_tf.evaluation import charts

    names = list(_variants())
    fig = figure.Figure(figsize=(14, 3.2), layout="constrained")
    panels = fig.subplots(1, len(_COLUMNS), sharey=True)
    for panel, heading in zip(panels, _COLUMNS):
        for y, name in enumerate(names):
            values = _scores(out, runs, name)[heading]
            if values:
                panel.barh(y, np.mean(values), color="#b8cbe0")
                panel.plot(values, [y] * len(values), "o", color="#1f4e79")
        panel.set_title(heading, fontsize=9)
        panel.set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()  # The first row above; the panels share it.
    charts.save(fig, out / "scores.png")


def _draw_pictures(out, image_size, dataset):
    """Draws some label maps by the first run of each row."""
    from oasis_tf.data import pipeline
    from oasis_tf.inference.generator import load_generator

    num = dataset.num_examples["validation"]
    places = pipeline.spread(num, _NUM_MAPS)
    (batch,) = pipeline.validation_batches(
        dataset, image_size, _NUM_MAPS, places
    ).as_numpy_iterator()
    pictures = {
        "label map": colorize(batch["label_map"], dataset.info),
        "real": batch["image"],
    }
    for name in _variants():
        workdir, _ = _folders(out, name, 0)
        pictures[name] = load_generator(workdir).draw(
            batch["label_map"], seeds=[int(n) for n in places]
        )
    sheet = sheets.draw_sheet(list(zip(*pictures.values())), list(pictures))
    with model_files.replacing(out / "pictures.png") as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")


if __name__ == "__main__":
    command_line.run(main)
