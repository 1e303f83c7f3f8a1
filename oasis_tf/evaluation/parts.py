"""Long work in parts, each kept in a file: what is done is not done again."""

import hashlib
import pathlib
import zipfile

import numpy as np

from oasis_tf import model_files


class Parts:
    """The parts of a piece of work, in a folder of their own.

    Args:
        folder: path; made.
        settings: dict of what the results follow from, plain enough for JSON.
        num_items: of which the work consists.
        size: items in one part; the last may have fewer.

    Raises:
        ValueError: if the folder holds parts of other settings.
    """

    def __init__(self, folder, settings, num_items, size):
        self._folder = pathlib.Path(folder)
        self._num_items = num_items
        self._size = size
        self._folder.mkdir(parents=True, exist_ok=True)
        model_files.claim(
            self._folder / "settings.json",
            settings | {"num_items": num_items, "part_size": size},
            "results",
        )

    @property
    def count(self):
        """The number of parts."""
        return -(-self._num_items // self._size)

    def items(self, number):
        """Returns the items of a part: a range."""
        first = number * self._size
        return range(first, min(first + self._size, self._num_items))

    def missing(self):
        """Returns the numbers of the parts that are not done yet.

        A file that cannot be read is as good as none.
        """
        return [n for n in range(self.count) if not self._is_whole(n)]

    def _is_whole(self, number):
        # Written whole; what a file system lost of it, the end, is found here.
        return zipfile.is_zipfile(self._path(number))

    def write(self, number, arrays):
        """Keeps a part's results, {name: array}: whole or not at all."""
        # Two processes may measure the same real images.
        with model_files.replacing(self._path(number)) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)

    def read(self):
        """Yields the parts' results in order, {name: array} each."""
        for number in range(self.count):
            with np.load(self._path(number)) as arrays:
                yield dict(arrays)

    def _path(self, number):
        return self._folder / f"part_{number:05d}.npz"


def digest(*paths):
    """Returns what tells files apart: the first half of their SHA-256.

    Args:
        *paths: of files, or of folders, whose files all count.
    """
    result = hashlib.sha256()
    for path in map(pathlib.Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file())
        for file in files or [path]:
            result.update(str(file.relative_to(path)).encode())
            with open(file, "rb") as opened:
                while block := opened.read(2**20):
                    result.update(block)
    return result.hexdigest()[:32]
