r"""Measures how good a trained generator is, by a stated protocol.

    python -m oasis_tf.train_segmenter --dataset=toy_scenes
    python -m oasis_tf.evaluate --model=runs/demo \
        --segmenter=runs/segmenter/toy_scenes/export
    python -m oasis_tf.evaluate --compare=runs/a,runs/b --segmenter=...
    python -m oasis_tf.evaluate --model=W --data_dir=D \
        --inception_weights=pt_inception-2015-12-05-6726825d.pth

Draws a picture of each validation label map and compares these with the real
images: FID, KID, precision and recall of features; mIoU of a segmentation
network on the fakes; diversity of several pictures of a map; distances of
colours and textures; how well the discriminator segments. Writes
`metrics.json`, `table.md` and pictures to `--out`. The same command again goes
on where it was stopped. Exits with 2 if the command or a file is not as it
must be.
"""

import pathlib

from absl import flags

from oasis_tf import command_line
from oasis_tf import processor

_MODEL = flags.DEFINE_string(
    "model", "", "Work directory of a finished run, or an export."
)
_COMPARE = flags.DEFINE_list(
    "compare", [], "Several of these, to be put side by side."
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
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/evaluate/<model>."
)
_SPLIT = flags.DEFINE_enum(
    "split", "validation", ["validation", "train"], "Of the data set."
)
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 0, "The first of the split; 0: all.", lower_bound=0
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the first picture; the others follow it.", lower_bound=0
)
_SEGMENTER = flags.DEFINE_string(
    "segmenter",
    "",
    "SavedModel that finds the class of every pixel: of "
    "oasis_tf.train_segmenter, or another.",
)
_SEGMENTER_IDS = flags.DEFINE_enum(
    "segmenter_ids",
    None,
    ["labels", "classes", "native"],
    "What its numbers mean: places in the list of classes, in that of those "
    "that are scored, or ids of the data set's files; default: what it says "
    "itself.",
)
_SEGMENTER_SIZE = flags.DEFINE_list(
    "segmenter_size", [], "height,width that images are brought to for it."
)
_FEATURES = flags.DEFINE_enum(
    "features",
    None,
    ["inception", "segmenter", "none"],
    "Whose features FID and its relatives are of; default: Inception's where "
    "--inception_weights are given.",
)
_INCEPTION = flags.DEFINE_string(
    "inception_weights", "", "Weights of the network that FID is defined by."
)
_INCEPTION_RESIZE = flags.DEFINE_enum(
    "inception_resize",
    None,
    ["pytorch_fid", "tensorflow_1"],
    "How images are brought to its size: as pytorch-fid does (the default) or "
    "as TensorFlow 1 did, as torch-fidelity does. FIDs of the two differ.",
)
_LPIPS_BACKBONE = flags.DEFINE_string(
    "lpips_backbone", "", "Weights of the network that LPIPS is of."
)
_LPIPS_LINEAR = flags.DEFINE_string(
    "lpips_linear", "", "LPIPS's own weights of its features."
)
_LPIPS_NET = flags.DEFINE_enum(
    "lpips_net", "alex", ["alex", "vgg"], "Which network that is."
)
_DIVERSITY_MAPS = flags.DEFINE_integer(
    "diversity_maps",
    10,
    "Label maps that several pictures are drawn and compared of.",
    lower_bound=0,
)
_LOOKS = flags.DEFINE_integer(
    "looks", 20, "Pictures of each such map.", lower_bound=2
)


def main():
    models = _models()
    _check_flags()
    _check_alike(models)
    processor.use_onednn()
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf import model_files
    from oasis_tf.evaluation import report

    out = command_line.make_folder(_OUT, _OUT.value or _default_out(models))
    done = {}
    shared = {}  # Data and judges, of the first model: those of all.
    for name, model in models.items():
        folder = out if len(models) == 1 else out / name
        evaluation, facts = _prepare(model, folder, shared)
        evaluation.run()
        metrics, real, fake = report.write(evaluation, name, facts)
        done[name] = metrics, fake
    all_metrics = [metrics for metrics, _ in done.values()]
    table = report.table(all_metrics)
    if len(models) > 1:
        model_files.write(out / "table.md", table)
        report.draw_charts(out, real, done, evaluation.info)
    print(f"\n{table}")
    print(f"Numbers and pictures: {out.resolve()}")
    return 0


def _models():
    """Returns {name: path} of the models."""
    if bool(_MODEL.value) == bool(_COMPARE.value):
        raise ValueError(
            "Either `--model` or `--compare` is needed. Received: "
            f"{'both' if _MODEL.value else 'neither'}."
        )
    paths = _COMPARE.value or [_MODEL.value]
    parts = [pathlib.Path(path).resolve().parts[1:] for path in paths]
    # Runs of one name in several folders take these to be told apart.
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths))
    raise ValueError(
        f"`--compare` must be different models. Received: {', '.join(paths)}."
    )


def _check_flags():
    if bool(_LPIPS_BACKBONE.value) != bool(_LPIPS_LINEAR.value):
        raise ValueError(
            "`--lpips_backbone` and `--lpips_linear` are needed together. "
            "Received: one of them."
        )
    for flag, needed in (
        (_SEGMENTER_IDS, _SEGMENTER),
        (_SEGMENTER_SIZE, _SEGMENTER),
        (_INCEPTION_RESIZE, _INCEPTION),
    ):
        if flag.value and not needed.value:
            raise ValueError(
                f"`--{flag.name}` needs `--{needed.name}`. Received: none."
            )
    if _features() == "inception" and not _INCEPTION.value:
        from oasis_tf.evaluation import inception

        raise ValueError(
            "`--features=inception` needs `--inception_weights`: "
            f"{inception.PUBLISHED_FILE}, published at "
            f"{inception.PUBLISHED_URL}. Received: none."
        )
    if _features() == "segmenter" and not _SEGMENTER.value:
        raise ValueError(
            "`--features=segmenter` needs `--segmenter`. Received: none."
        )


def _check_alike(models):
    """Raises a ValueError unless all models can be compared.

    Which they can be if they draw the same size and classes, and were trained
    with the same settings of data, unless `--dataset` or `--set` say others.
    """
    from oasis_tf import model_files

    facts = [
        model_files.read_facts(model_files.find_export(model))
        for model in models.values()
    ]
    kinds = {
        (tuple(config.image_size), info.class_names) for config, info in facts
    }
    if len(kinds) > 1:
        found = ", ".join(
            f"{name}: {config.image_size} of {info.name!r}"
            for name, (config, info) in zip(models, facts)
        )
        raise ValueError(
            "`--compare` must be models of one image size and the same "
            f"classes. Received: {found}."
        )
    data = [_data_settings(config) for config, _ in facts]
    differing = {
        name
        for name in data[0]
        if any(one[name] != data[0][name] for one in data)
    }
    if differing and not (_DATASET.value or _SET.value):
        raise ValueError(
            "`--compare` must be models of the same data, or `--dataset` or "
            "`--set` say which they are compared on. Received: "
            + "; ".join(
                f"{name}: {', '.join(repr(one[name]) for one in data)}"
                for name in sorted(differing)
            )
            + "."
        )


def _data_settings(config):
    """Returns {name: value} of what says which images and labels there are."""
    of_training = ("load_size", "flip", "prepared_dir", "on_problem")
    settings = {
        f"data.{name}": value
        for name, value in vars(config.data).items()
        if name not in of_training
    }
    return settings | {"dataset": config.dataset}


def _default_out(models):
    return f"runs/evaluate/{'-'.join(models)}"


def _prepare(model, folder, shared):
    """Returns the `Evaluation` of a model, and facts about it."""
    import tensorflow as tf

    from oasis_tf import model_files
    from oasis_tf.evaluation import protocol as protocol_lib
    from oasis_tf.evaluation.parts import digest
    from oasis_tf.inference.generator import load_generator
    from oasis_tf.inference.model_data import load_data

    export = model_files.find_export(model)
    strategy = None
    if len(tf.config.list_logical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    generator = load_generator(export, strategy)
    if not shared:
        shared["dataset"] = load_data(
            generator.config,
            generator.info,
            _DATASET.value,
            _DATA_DIR.value,
            _SET.value,
        )
        shared["judges"] = _load_judges(
            shared["dataset"].info, generator.config.image_size
        )
    dataset, judges = shared["dataset"], shared["judges"]
    protocol = protocol_lib.Protocol(
        tuple(generator.config.image_size),
        split=_SPLIT.value,
        num_images=_NUM_IMAGES.value,
        seed=_SEED.value,
        features=_features(),
        diversity_maps=_DIVERSITY_MAPS.value,
        num_looks=_LOOKS.value,
    )
    model_digest = digest(export)
    evaluation = protocol_lib.Evaluation(
        folder,
        generator,
        dataset,
        protocol,
        judges,
        dataset.prepared_dir.parent / "evaluation",
        model_digest,
        _load_discriminator(model, export),
    )
    facts = {
        "export": str(export.resolve()),
        "model_digest": model_digest,
        "dataset": dataset.info.name,
        "data": dataset.prepared_dir.name,
    }
    return evaluation, facts


def _features():
    if _FEATURES.value:
        return _FEATURES.value
    return "inception" if _INCEPTION.value else "none"


def _load_judges(info, image_size):
    from oasis_tf.evaluation.inception import load_inception
    from oasis_tf.evaluation.parts import digest
    from oasis_tf.evaluation.protocol import Judges
    from oasis_tf.evaluation.segmentation import SegmentationNetwork

    files = {}
    segmenter = inception = None
    if _SEGMENTER.value:
        size = None
        if _SEGMENTER_SIZE.value:
            size = command_line.integers(_SEGMENTER_SIZE, "height,width")
        segmenter = SegmentationNetwork(
            _SEGMENTER.value, info, _SEGMENTER_IDS.value, size
        )
        files["segmenter"] = [
            digest(segmenter.path),
            segmenter.ids,
            segmenter.image_size,
        ]
    if _INCEPTION.value:
        resize = _INCEPTION_RESIZE.value or "pytorch_fid"
        inception = load_inception(_INCEPTION.value, resize)
        files["inception"] = [digest(_INCEPTION.value), resize]
    lpips, files["lpips"] = _load_lpips(image_size)
    return Judges(segmenter, inception, lpips, files)


def _load_lpips(image_size):
    """Returns the network, if images are large enough, and what tells it."""
    from oasis_tf.evaluation.lpips import LPIPS
    from oasis_tf.evaluation.lpips import NETS
    from oasis_tf.evaluation.parts import digest

    if not _DIVERSITY_MAPS.value:
        return None, "none"
    net = _LPIPS_NET.value
    min_size = NETS[net].min_size
    if min(image_size) < min_size:
        print(
            f"Without LPIPS: {NETS[net].title} takes pictures from {min_size} "
            f"pixels on. These have {image_size[0]} x {image_size[1]}."
        )
        return None, "none"
    if not _LPIPS_BACKBONE.value:
        return LPIPS.random(net, seed=0), f"random {net}, seed 0"
    files = {"backbone": _LPIPS_BACKBONE.value, "linear": _LPIPS_LINEAR.value}
    return LPIPS.load(net=net, **files), digest(*files.values())


def _load_discriminator(model, export):
    """Returns the run's discriminator, if there is one of the same step."""
    from oasis_tf import model_files
    from oasis_tf.inference.segmenter import load_segmenter

    folder = pathlib.Path(model)
    has_checkpoints = any(folder.glob("checkpoints/step-*.index"))
    if not (folder / "config.json").is_file() or not has_checkpoints:
        return None
    if not model_files.has_segmenter(model):
        return None
    discriminator = load_segmenter(model)
    step = model_files.read_step(export)
    if step is not None and discriminator.step != step:
        print(
            "Without the discriminator: that of the last checkpoint has made "
            f"{discriminator.step} steps, the exported generator {step}."
        )
        return None
    return discriminator


if __name__ == "__main__":
    command_line.run(main)
