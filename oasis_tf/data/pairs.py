"""Image and label files of a data set: finding and matching them."""

import dataclasses
import os
import pathlib

IMAGE_ENDINGS = frozenset(
    ".bmp .gif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label map, as files."""

    name: str
    image: pathlib.Path
    label: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a file, in words."""

    path: pathlib.Path
    expected: str
    found: str

    def __str__(self):
        return f"{self.path}: expected {self.expected}, found {self.found}"


class DataError(ValueError):
    """Data that cannot be used.

    Args:
        message: what is wrong.
        problems: list of `Problem`; the first ten are added to the message.
    """

    def __init__(self, message, problems=()):
        self.problems = list(problems)
        lines = [f"  {problem}" for problem in self.problems[:10]]
        if len(self.problems) > 10:
            lines.append(f"  ... and {len(self.problems) - 10} more")
        super().__init__("\n".join([message, *lines]))


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pairs of one split, sorted by name, and the files that fit none."""

    pairs: list
    problems: list


def find_folder(raw_dirs, names, what):
    """Returns the first folder that exists, of some usual names.

    Args:
        raw_dirs: list of paths to look in.
        names: relative names to look for; the first that exists is taken.
        what: what the folder holds, for the message: "training images".

    Returns:
        Path.

    Raises:
        DataError: if there is none; says what was looked for and is there.
    """
    for name in names:
        for raw_dir in raw_dirs:
            if (pathlib.Path(raw_dir) / name).is_dir():
                return pathlib.Path(raw_dir) / name
    raise DataError(
        f"The folder of {what} must be one of {', '.join(names)}. "
        f"Received: {'; '.join(describe_folder(d) for d in raw_dirs)}."
    )


def describe_folder(folder):
    """Returns one line about what is in a folder."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return f"{folder}, which {_what_instead(folder)}"
    names = sorted(
        p.name + ("/" if p.is_dir() else "")
        for p in folder.iterdir()
        if not p.name.startswith(".")
    )
    if not names:
        return f"{folder}, which is empty"
    more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
    return f"{folder}, which holds {', '.join(names[:12])}{more}"


def _what_instead(folder):
    return "is a file" if folder.exists() else "does not exist"


def pair_folders(images_dir, labels_dir, image_suffix="", label_suffix=""):
    """Returns the pairs of files with the same name in two folders.

    Sub-folders are part of the name; the file ending is not, so `a/b.jpg`
    goes with `a/b.png`. Hidden files and other endings are passed over.

    Args:
        images_dir: path.
        labels_dir: path.
        image_suffix: end of an image file's name in front of its ending,
            `_leftImg8bit` in `a_leftImg8bit.png`. Files without it are passed
            over, and it is left out of the name.
        label_suffix: the same for label files.

    Returns:
        `Listing`.
    """
    images, image_problems = list_files(images_dir, image_suffix)
    labels, label_problems = list_files(labels_dir, label_suffix)
    listing = match(images, labels, images_dir, labels_dir)
    return Listing(
        listing.pairs, image_problems + label_problems + listing.problems
    )


def list_files(folder, suffix=""):
    """Returns the image files below a folder by their names.

    Args:
        folder: path.
        suffix: as in `pair_folders`.

    Returns:
        dict of name -> path, and a list of `Problem`s: files with the same
        name as another one.
    """
    files, problems = {}, []
    # By `os` and texts: a million paths as objects would take a minute.
    seen = set()  # Folders that links lead to may hold themselves.
    for parent, folders, names in os.walk(folder, followlinks=True):
        identity = os.path.realpath(parent)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(n for n in folders if not _is_hidden(n))
        prefix = os.path.relpath(parent, folder).replace(os.sep, "/") + "/"
        prefix = prefix.removeprefix("./")
        for file_name in sorted(names):
            stem, ending = os.path.splitext(file_name)
            if ending.lower() not in IMAGE_ENDINGS or _is_hidden(file_name):
                continue
            if not stem.endswith(suffix):
                continue
            name = prefix + stem[: len(stem) - len(suffix)]
            path = pathlib.Path(parent, file_name)
            if name in files:
                found = f"also {files[name]}"
                problems.append(Problem(path, "one file of this name", found))
            else:
                files[name] = path
    return files, problems


def _is_hidden(name):
    return name.startswith((".", "__MACOSX"))


def match(images, labels, images_dir, labels_dir):
    """Returns the pairs of two dicts of name -> path.

    Args:
        images: dict of name -> path.
        labels: dict of name -> path.
        images_dir: where the images are, for the messages.
        labels_dir: where the labels are, for the messages.

    Returns:
        `Listing`; its problems are the files without a partner.
    """
    problems = [
        Problem(images[n], f"a label map {n!r} in {labels_dir}", "none")
        for n in sorted(images.keys() - labels.keys())
    ] + [
        Problem(labels[n], f"an image {n!r} in {images_dir}", "none")
        for n in sorted(labels.keys() - images.keys())
    ]
    both = sorted(images.keys() & labels.keys())
    return Listing([Pair(n, images[n], labels[n]) for n in both], problems)
