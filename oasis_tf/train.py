"""Trains OASIS: python -m oasis_tf.train --dataset=D --workdir=W.

Exits with 0 when the run is complete or was stopped by SIGTERM or SIGINT after
a checkpoint; with 1 if it broke, with 2 if the command, the data or the work
directory is not as it must be.
"""

from absl import flags

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import processor

_DATASET = flags.DEFINE_string(
    "dataset",
    "toy_scenes",
    "Experiment in configs/, named after its data set, or a file like those.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data set's own files."
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of checkpoints, samples, summaries and exports. The same command "
    "again goes on from the last checkpoint. Default: runs/<dataset>.",
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    "",
    "Work directory whose networks a new run starts with, instead of random "
    "ones: of oasis_tf.import_published, or of another run.",
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)


def main():
    processor.use_onednn()  # Before an experiment's file imports TensorFlow.
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    print(config_lib.to_json(config))
    command_line.show_progress()
    # Imported late, so that --help and mistyped settings answer at once.
    from oasis_tf import data
    from oasis_tf.training import checkpoint
    from oasis_tf.training import loop
    from oasis_tf.training.initialization import check_networks

    if _INIT_FROM.value:
        # Before data are downloaded for it.
        check_networks(_INIT_FROM.value, config)
    workdir = _WORKDIR.value or f"runs/{config.dataset}"
    dataset = data.load(
        config.dataset, _DATA_DIR.value, config.data, config.image_size
    )
    try:
        run = loop.Run(config, dataset, workdir, init_from=_INIT_FROM.value)
        is_complete = run.train()
    except (checkpoint.NonFiniteError, checkpoint.CheckpointError) as error:
        return command_line.fail(error, 1)
    if not is_complete:
        print(
            f"Stopped at step {int(run.state.step.numpy())}; the same command "
            "goes on from the last checkpoint."
        )
        return 0
    print(f"Samples: {workdir}/samples, losses: {workdir}/losses.png")
    print(f"Export: {run.export()}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
