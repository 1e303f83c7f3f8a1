"""TFDS builder of the outdoor scenes of ADE20K."""

import dataclasses
import pathlib

import tensorflow_datasets as tfds

from oasis_tf.data import ade20k
from oasis_tf.data import pairs

OUTDOOR_SCENES = frozenset(
    pathlib.Path(__file__)
    .with_name("outdoor_scenes.txt")
    .read_text(encoding="utf-8")
    .split()
)

_SCENES_FILE = "sceneCategories.txt"


class Builder(ade20k.Builder):
    """The images of ADE20K whose scene category is an outdoor one.

    `sceneCategories.txt` of ADE20K gives every image a scene category, but
    does not say which categories are outdoors; `outdoor_scenes.txt` beside
    this module does. It was made by hand from the 1,055 categories that occur:

    - in, if the name ends in `_outdoor` or is `exterior` or `outside`; out,
      if it ends in `_indoor` or `_interior`;
    - otherwise in, if a typical view of it is under open sky, buildings named
      as such (`house`, `castle`) being seen from outside. Where Places365
      rates the category too (table `IO_places365.txt`), its rating was the
      guide (but not for `archaelogical_excavation` and `swimming_hole`, which
      it calls indoors);
    - out, if in doubt (`stall`, `landing`); so are `misc` and `questionable`.

    580 categories are in. One that is not in the file counts as not outdoors.
    The paper's own choice of images is not published: its authors say that
    they chose by classes seen (sky, mountain, not ceiling or bed) and by eye.
    So numbers on this data set do not compare exactly with published ones.
    """

    name = "ade20k_outdoors"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    INFO = dataclasses.replace(ade20k.Builder.INFO, name="ade20k_outdoors")

    def list_pairs(self, raw_dirs):
        listings = super().list_pairs(raw_dirs)
        path = _find_scenes_file(raw_dirs)
        scene_of_name = read_scenes(path)
        return {
            split: _outdoor_part(listing, scene_of_name, path)
            for split, listing in listings.items()
        }


def read_scenes(path):
    """Returns the scene category of every image.

    Args:
        path: of a text file with lines `ADE_train_00000001 airport_terminal`.

    Returns:
        dict of image name -> category.

    Raises:
        DataError: if a line is not of this form.
    """
    scene_of_name = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split(maxsplit=1)
        if len(words) == 1:
            raise pairs.DataError(
                f"Line {number} of {path} must be an image's name and its "
                f"scene category. Received: {line!r}."
            )
        if words:
            scene_of_name[words[0]] = words[1]
    return scene_of_name


def _find_scenes_file(raw_dirs):
    names = (_SCENES_FILE, f"ADEChallengeData2016/{_SCENES_FILE}")
    for raw_dir in raw_dirs:
        for name in names:
            if (raw_dir / name).is_file():
                return raw_dir / name
    received = "; ".join(pairs.describe_folder(d) for d in raw_dirs)
    raise pairs.DataError(
        "The scene categories of ADE20K, which tell the outdoor scenes, must "
        f"be one of {', '.join(names)}. Received: {received}."
    )


def _outdoor_part(listing, scene_of_name, path):
    """Returns the outdoor part of a listing; unlisted images are problems."""
    unlisted = [
        pairs.Problem(pair.image, f"its scene category in {path}", "none")
        for pair in listing.pairs
        if pair.name not in scene_of_name
    ]
    outdoors = {
        n for n, scene in scene_of_name.items() if scene in OUTDOOR_SCENES
    }
    return pairs.Listing(
        [pair for pair in listing.pairs if pair.name in outdoors],
        [
            problem
            for problem in listing.problems
            if problem.path.stem in outdoors
            or problem.path.stem not in scene_of_name
        ]
        + unlisted,
    )
