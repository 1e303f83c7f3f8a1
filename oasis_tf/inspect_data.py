r"""Looks through a data set's raw files before training.

    python -m oasis_tf.inspect_data --dataset=folder --data_dir=D \
        --set=data.ignore_id=255

Prints counts, sizes, class shares and the files with a problem; writes them
all, and sheets of images with their label maps, to `--out`. Exits with 1 if
there are problems, with 2 if the command or the folder is not as it must be.
"""

import pathlib

from absl import flags

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf.data import inspection
from oasis_tf.data import overlay_sheet
from oasis_tf.data import prepare

_DATASET = flags.DEFINE_string(
    "dataset", None, f"One of {', '.join(data.NAMES)}.", required=True
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Folder of the raw data; toy_scenes needs none."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder for the report; default: runs/inspect/<dataset>."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "Another value for a setting: data.ignore_id=11. Repeatable."
)

_PROBLEMS_SHOWN = 20


def main():
    builder, raw_dirs = _find_raw_data()
    reports = inspection.inspect(builder, raw_dirs)
    out = pathlib.Path(_OUT.value or f"runs/inspect/{_DATASET.value}")
    out.mkdir(parents=True, exist_ok=True)
    text = inspection.describe(builder.INFO, reports)
    print(text)
    (out / "report.txt").write_text(text + "\n")
    for split, report in reports.items():
        if report.samples:
            title = f"{builder.INFO.name}: {split}"
            sheet = overlay_sheet.draw_sheet(
                report.samples, builder.INFO, title
            )
            sheet.save(out / f"{split}.png")
    problems = [p for report in reports.values() for p in report.problems]
    _tell_problems(problems, builder.hint(problems), out / "problems.txt")
    print(f"\nSheets and report: {out.resolve()}")
    return 1 if problems else 0


def _find_raw_data():
    """Returns the builder, and the list of folders to look through."""
    builder_class = prepare.find_builder(_DATASET.value)
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    raw_dir = prepare.resolve_data_dir(builder_class, _DATA_DIR.value)
    if raw_dir is None and not builder_class.IS_GENERATED:
        raise ValueError(
            "`--data_dir` must name the folder of the raw data. Received: "
            f"{_DATA_DIR.value!r}."
        )
    builder = builder_class.from_settings(
        config.data, config.image_size, raw_dir
    )
    return builder, [raw_dir] if raw_dir else []


def _tell_problems(problems, hint, path):
    if not problems:
        path.unlink(missing_ok=True)
        print("\nNo problems.")
        return
    path.write_text("".join(f"{problem}\n" for problem in problems))
    print(f"\n{len(problems)} problems:")
    for problem in problems[:_PROBLEMS_SHOWN]:
        print(f"  {problem}")
    if len(problems) > _PROBLEMS_SHOWN:
        print(f"  ... and {len(problems) - _PROBLEMS_SHOWN} more")
    print(f"All of them: {path.resolve()}")
    if hint:
        print(hint)


if __name__ == "__main__":
    command_line.run(main)
