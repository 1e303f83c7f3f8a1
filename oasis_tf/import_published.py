r"""Brings the authors' published checkpoints into oasis_tf, and ours to them.

    python -m oasis_tf.import_published --dataset=ade20k \
        --generator=best_EMA.pth --discriminator=best_D.pth --out=W
    python -m oasis_tf.import_published --to_published --model=W --out=P

The first writes a work directory that `synthesize`, `segment`, `recreate` and,
with `--init_from=W`, `train` take. The second writes `best_EMA.pth` and
`best_D.pth` of a run of ours. Files are read and written by PyTorch, as weights
alone: nothing in them is executed.

For a network that the authors' code trained on your own data: `--dataset=folder
--data_dir=D`, a folder with a `classes.txt`, and `--set` as for training. The
widths are read off the files. Exits with 2 if one does not fit.
"""

import dataclasses
import json
import pathlib
import shutil
import tempfile

import numpy as np
from absl import flags
from absl import logging

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf import state_dict
from oasis_tf.data import prepare
from oasis_tf.exporters import saved_model
from oasis_tf.inference import networks as networks_lib
from oasis_tf.models import published
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.training import checkpoint

_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Experiment in configs/ that the checkpoint is of: ade20k, coco_stuff, "
    "cityscapes; or a file like those.",
)
_GENERATOR = flags.DEFINE_string(
    "generator", "", "State dict of the (averaged) generator, a .pth file."
)
_DISCRIMINATOR = flags.DEFINE_string(
    "discriminator", "", "State dict of the discriminator, a .pth file."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "With --dataset=folder: the data, or its classes.txt alone."
)
_OUT = flags.DEFINE_string("out", None, "New folder to write to.")
_TO_PUBLISHED = flags.DEFINE_bool(
    "to_published", False, "Write a run of ours as the authors' files."
)
_MODEL = flags.DEFINE_string(
    "model", "", "Work directory to write the authors' files of."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)


def main():
    command_line.check_given(_OUT)
    out = pathlib.Path(_OUT.value)
    if out.exists():
        raise ValueError(
            f"`--out` must be a new folder. Received: {str(out)!r}, which is "
            "there."
        )
    write, others = _write_workdir, (_MODEL,)
    if _TO_PUBLISHED.value:
        write = _write_published
        others = (_DATASET, _GENERATOR, _DISCRIMINATOR, _DATA_DIR, _SET)
    for flag in others:
        if flag.value:
            raise ValueError(
                "`--to_published` takes `--model` and `--out`, an import takes "
                f"the other flags. Received: `--{flag.name}` for the wrong way."
            )
    command_line.make_folder(_OUT, out.parent)
    # All or nothing.
    with tempfile.TemporaryDirectory(prefix=".", dir=out.parent) as temporary:
        folder = pathlib.Path(temporary, out.name)
        folder.mkdir()
        write(folder)
        shutil.move(folder, out)
    print(f"Written: {out.resolve()}")
    return 0


def _write_workdir(folder):
    command_line.check_given(_DATASET, _GENERATOR)
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    info = _find_info(config)
    files = {"generator": _GENERATOR.value}
    if _DISCRIMINATOR.value:
        files["discriminator"] = _DISCRIMINATOR.value
    tensors = {name: state_dict.read(path) for name, path in files.items()}
    for name, path in files.items():
        try:
            sizes = _check_classes(name, tensors[name], config, info)
            if config.dataset == "folder":
                # No one else knows how wide the authors' networks were here.
                section = dataclasses.replace(getattr(config, name), **sizes)
                config = dataclasses.replace(config, **{name: section})
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    build = {"generator": build_generator, "discriminator": build_discriminator}
    networks = {}
    for name, path in files.items():
        networks[name] = build[name](
            getattr(config, name), info.semantic_channels
        )
        try:
            published.load_state_dict(networks[name], tensors[name])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    record = {
        "files": {name: str(path) for name, path in files.items()},
        "counters": {name: published.counters(tensors[name]) for name in files},
    }
    del tensors
    model_files.write(folder / "config.json", config_lib.to_json(config))
    facts = {"info": json.loads(info.to_json())}
    model_files.write(folder / "dataset.json", json.dumps(facts, indent=1))
    model_files.write(
        folder / model_files.IMPORTED, json.dumps(record, indent=1)
    )
    # The file's generator is the averaged one: training goes on from it.
    checkpoint.save_models(
        folder / "checkpoints",
        **networks,
        ema_generator=networks["generator"],
    )
    checkpoint.save_models(
        folder / model_files.AVERAGED, generator=networks["generator"]
    )
    export = folder / model_files.EXPORT
    saved_model.export_generator(
        networks["generator"], config, info, export / model_files.GENERATOR, 1
    )
    if "discriminator" in networks:
        saved_model.export_segmenter(
            networks["discriminator"],
            config,
            info,
            export / model_files.SEGMENTER,
            1,
        )


def _find_info(config):
    """Returns the `DatasetInfo` that a configuration's labels follow."""
    builder_class = prepare.find_builder(config.dataset)
    if config.dataset != "folder":
        return builder_class.INFO
    raw_dir = prepare.resolve_data_dir(builder_class, _DATA_DIR.value)
    if raw_dir is None:
        raise ValueError("`--data_dir` is needed with --dataset=folder.")
    return builder_class.from_settings(
        config.data, config.image_size, raw_dir
    ).INFO


def _check_classes(name, tensors, config, info):
    """Returns the sizes of a network; checks its number of classes first."""
    if name == "generator":
        channels, spade_channels, conditioning = published.generator_sizes(
            tensors
        )
        sizes = {"channels": channels, "spade_channels": spade_channels}
        tensor, axis, others = "fc.weight", 1, config.generator.noise_channels
        found = conditioning - others
        what = f"and {others} of the noise"
    else:
        channels, last_channels, found = published.discriminator_sizes(tensors)
        sizes = {"channels": channels, "last_channels": last_channels}
        tensor, axis, others = "layer_up_last.weight", 0, 1
        what = "and fake"
    if found != info.semantic_channels:
        shape = list(np.shape(tensors[tensor]))
        expected = list(shape)
        expected[axis] = info.semantic_channels + others
        like = [
            dataset
            for dataset in ("ade20k", "coco_stuff", "cityscapes")
            if prepare.find_builder(dataset).INFO.semantic_channels == found
        ]
        hint = f": it looks like {like[0]}'s" if like else ""
        raise ValueError(
            f"{tensor} must have shape {expected} for {info.name}: "
            f"{info.semantic_channels} semantic channels {what}. Received: "
            f"{shape}{hint}."
        )
    return sizes


def _write_published(folder):
    command_line.check_given(_MODEL)
    torch = state_dict.import_torch()
    record = pathlib.Path(_MODEL.value, model_files.IMPORTED)
    counters = {}
    if record.is_file():
        counters = model_files.read(record, json.loads)["counters"]
    # With the batch statistics that the average is used with.
    config, _, _ = model_files.find_checkpoints(_MODEL.value)
    generator, _ = networks_lib.averaged_generator(_MODEL.value)
    networks = {"generator": generator}
    if "discriminator" in model_files.networks_in(_MODEL.value):
        networks["discriminator"], _ = networks_lib.discriminator(_MODEL.value)
    for name in networks:
        _tell_other_sizes(name, getattr(config, name))
    for name, network in networks.items():
        values = {v.path: v.numpy() for v in network.variables}
        tensors = published.to_state_dict(values, counters.get(name))
        file = {"generator": "best_EMA.pth", "discriminator": "best_D.pth"}
        torch.save(
            {key: torch.from_numpy(value) for key, value in tensors.items()},
            folder / file[name],
        )


def _tell_other_sizes(name, section):
    """Warns of sizes that the authors' code does not build by itself."""
    for field in ("channels", "spade_channels", "last_channels"):
        ours = getattr(section, field, None)
        theirs = getattr(type(section)(), field, None)
        if ours != theirs:
            logging.warning(
                "%s.%s is %s, in the published networks %s: the authors' code "
                "loads the file after it is changed to build that.",
                name,
                field,
                ours,
                theirs,
            )


if __name__ == "__main__":
    command_line.run(main)
