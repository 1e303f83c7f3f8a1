"""Writes pairs as `--dataset=folder` reads them."""

import pathlib

import numpy as np
from PIL import Image

from oasis_tf import model_files


class FolderWriter:
    """A folder of images, label maps and class names.

    Label maps hold labels as their ids; don't-care has the largest one.

    Args:
        folder: path that exists.
        info: `DatasetInfo` of the pairs.

    Attributes:
        settings: ["data.field=value"], to be read as it was written.
    """

    def __init__(self, folder, info):
        self._folder = pathlib.Path(folder)
        is_small = info.semantic_channels <= 255
        self._dtype = np.uint8 if is_small else np.uint16
        self._ignore_id = None
        ids = range(info.semantic_channels)
        if info.has_dont_care:
            self._ignore_id = int(np.iinfo(self._dtype).max)
            ids = (self._ignore_id, *ids[1:])
        # -1 confirms that there is none, whatever the classes' names.
        ignored = -1 if self._ignore_id is None else self._ignore_id
        self.settings = [f"data.ignore_id={ignored}"]
        lines = [
            f"{i} {name} {' '.join(map(str, color))}"
            for i, name, color in zip(ids, info.class_names, info.colors)
        ]
        text = "\n".join(lines) + "\n"
        path = self._folder / "classes.txt"
        # The same file stays: a changed one has the folder prepared anew.
        if not path.is_file() or path.read_text() != text:
            model_files.write(path, text)

    def has(self, split, name):
        """Returns whether a pair is there, whole."""
        return all(path.is_file() for path in self._paths(split, name))

    def write(self, split, name, image, labels):
        """Writes a pair, over one of the same name.

        Args:
            split: "train" or "validation".
            name: of both files, without the ending.
            image: `[H, W, 3]`, uint8.
            labels: `[H, W]`, int32. Labels, 0..S-1.
        """
        ids = labels.astype(self._dtype)
        if self._ignore_id is not None:
            ids[labels == 0] = self._ignore_id
        for array, path in zip((image, ids), self._paths(split, name)):
            path.parent.mkdir(parents=True, exist_ok=True)
            with model_files.replacing(path) as temporary:
                Image.fromarray(array).save(temporary, format="PNG")

    def _paths(self, split, name):
        return [
            self._folder / kind / split / f"{name}.png"
            for kind in ("images", "labels")
        ]
