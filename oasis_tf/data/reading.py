"""Reading and checking images and label files, in pairs or alone."""

import dataclasses
import io
import pathlib
import struct

import numpy as np
from PIL import Image
from PIL import ImageOps

from oasis_tf.data import pairs
from oasis_tf.data.label_map import lookup
from oasis_tf.data.label_map import ranges

_LOSSY_FORMATS = ("JPEG", "MPO")  # MPO: JPEGs as some cameras write them.
_EXIF_ORIENTATION = 0x0112
# What Pillow raises, file by file and format by format, on broken files.
_UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclasses.dataclass(frozen=True)
class Example:
    """A pair that was read and found good.

    Args:
        name: the pair's.
        image: bytes of an RGB JPEG or PNG file.
        label_map: `[H, W]`, uint8, or uint16 where S > 256. Labels, 0..S-1.
    """

    name: str
    image: bytes
    label_map: np.ndarray


def read(pair, info, palette=None):
    """Reads and checks a pair.

    Args:
        pair: `Pair`.
        info: `DatasetInfo`, which maps the ids of the label file.
        palette: dict of colour `(red, green, blue)` -> id, for label files
            whose colours count; None for files of ids.

    Returns:
        `Example`.

    Raises:
        DataError: with a `Problem` for everything that is wrong.
    """
    problems = []
    image, image_bytes, image_problem = _open(pair.image, "an image")
    label, label_problem = _open_label_map(pair.label)
    problems += [p for p in (image_problem, label_problem) if p]
    if image and label and image.size != label.size:
        problems.append(_other_size(pair, image, label))
    if image:
        image_bytes, problem = _as_rgb_file(pair.image, image, image_bytes)
        problems += [problem] if problem else []
    if label:
        ids, problem = _read_ids(pair.label, label, palette)
        if problem is None:
            label_map, problem = _to_labels(pair.label, ids, info)
        problems += [problem] if problem else []
    if problems:
        raise pairs.DataError(f"{pair.name!r} cannot be used:", problems)
    return Example(pair.name, image_bytes, label_map)


def read_ids(path, palette=None):
    """Returns the ids of a label file.

    Args:
        path: of the file.
        palette: as for `read`.

    Returns:
        `[H, W]`, an integer dtype. Ids as in the file; -1 for colours that
        are not in the palette.

    Raises:
        DataError: if it is no label map.
    """
    label, problem = _open_label_map(path)
    if problem is None:
        ids, problem = _read_ids(path, label, palette, unknown_colors=True)
    if problem:
        raise pairs.DataError("A label map cannot be used:", [problem])
    return ids


def read_label_map(path, info, is_palette_color=False):
    """Returns the labels of a single label file.

    Args:
        path: of the file: ids as in the data set's own files, or the classes'
            colours in three channels, of those that have one to themselves.
        info: `DatasetInfo`.
        is_palette_color: whether a palette file, too, holds colours; else the
            numbers in it are ids, as in training without `data.palette`.

    Returns:
        `[H, W]`, int32. Labels, 0..S-1.

    Raises:
        DataError: if it is no label map of this data set.
    """
    label, problem = _open_label_map(path)
    if problem is None:
        palette = None
        if label.mode in ("RGB", "RGBA") or (
            label.mode == "P" and is_palette_color
        ):
            ids = [info.native_id(s) for s in range(info.semantic_channels)]
            palette = {
                color: i
                for color, i in zip(info.colors, ids)
                if i is not None and info.colors.count(color) == 1
            }
        ids, problem = _read_ids(path, label, palette)
        if problem and palette and label.format not in _LOSSY_FORMATS:
            what = "one channel of ids, or the colours of the classes"
            problem = dataclasses.replace(problem, expected=what)
    if problem is None:
        label_map, problem = _to_labels(path, ids, info)
    if problem:
        raise pairs.DataError(str(problem))
    return label_map.astype(np.int32)


def read_image(path):
    """Returns the pixels of a single image, turned as its EXIF tag says.

    Args:
        path: of the file.

    Returns:
        `[H, W, 3]`, uint8.

    Raises:
        DataError: if it is no image.
    """
    image, _, problem = _open(path, "an image")
    if problem is None:
        image, problem = _to_rgb(path, ImageOps.exif_transpose(image))
    if problem:
        raise pairs.DataError(str(problem))
    return np.asarray(image)


def read_mask(path):
    """Returns which pixels a mask file marks.

    Args:
        path: of the file. Of one with a transparent background what is drawn
            on it, in any colour; of others what is brighter than half of the
            brightest pixel, so that 0 and 1 do as well as 0 and 255.

    Returns:
        `[H, W]`, bool.

    Raises:
        DataError: if it is no image, or marks nothing.
    """
    image, _, problem = _open(path, "a mask")
    if problem:
        raise pairs.DataError(str(problem))
    if image.mode == "F" or image.mode.startswith("I"):
        marks = np.asarray(image)  # RGB would clip them at 255.
    else:
        pixels = np.asarray(image.convert("RGBA"))
        is_layer = pixels[..., 3].min() < 128
        marks = pixels[..., 3] if is_layer else pixels[..., :3].max(axis=-1)
        if image.mode == "P" and marks.min() == marks.max():
            marks = np.asarray(image)  # Numbers that have one colour.
    if not (marks > 0).any():
        problem = pairs.Problem(path, "a mask that marks pixels", "only black")
        raise pairs.DataError(str(problem))
    return marks > marks.max() / 2


def _open_label_map(path):
    """Returns the decoded label file, and a `Problem` or None."""
    label, file_bytes, problem = _open(path, "a label map")
    # Bytes 24 and 25 of a PNG: bits of a value, and 0 for grey. Pillow spreads
    # grey values of 2 or 4 bits over 0..255.
    if problem is None and label.format == "PNG" and file_bytes[25] == 0:
        largest = 2 ** file_bytes[24] - 1
        if largest in (3, 15):
            label = Image.fromarray(np.asarray(label) // (255 // largest))
    return label, problem


def _open(path, what):
    """Returns the decoded image, the file's bytes and a `Problem` or None."""
    try:
        file_bytes = pathlib.Path(path).read_bytes()
        if not file_bytes:
            return None, b"", pairs.Problem(path, what, "an empty file")
        image = Image.open(io.BytesIO(file_bytes))
        image.load()
    except _UNDECODABLE as error:
        reason = " ".join(str(error).split()).replace(
            "cannot identify image file", "a file that is no image:"
        )
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "a file of no known image format"
        elif isinstance(error, FileNotFoundError):
            reason = "no file"
        return None, b"", pairs.Problem(path, what, reason or repr(error))
    return image, file_bytes, None


def _other_size(pair, image, label):
    found = "{} x {}".format(*label.size)
    if image.size == label.size[::-1] and image.getexif().get(
        _EXIF_ORIENTATION, 1
    ) in (5, 6, 7, 8):
        found += " (the image file is stored lying and turned by its EXIF tag)"
    return pairs.Problem(
        pair.label,
        "{} x {} (width x height) like {}".format(*image.size, pair.image),
        found,
    )


def _as_rgb_file(path, image, file_bytes):
    """Returns an RGB JPEG or PNG's bytes as they are, others as a new PNG."""
    if image.mode == "RGB" and image.format in (*_LOSSY_FORMATS, "PNG"):
        return file_bytes, None
    image, problem = _to_rgb(path, image)
    return (None, problem) if problem else (_encode_png(image), None)


def _to_rgb(path, image):
    """Returns a decoded image in RGB, and a `Problem` or None."""
    if image.mode == "F":
        return None, pairs.Problem(path, "8 or 16 bits per channel", "floats")
    if image.mode.startswith("I"):  # 16 bit grey: Pillow would clip at 255.
        pixels = np.asarray(image).astype(np.int64)
        image = Image.fromarray((pixels >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB"), None


def _read_ids(path, label, palette, unknown_colors=False):
    """Returns the ids in a decoded label file, and a `Problem` or None."""
    if label.format in _LOSSY_FORMATS:
        return None, pairs.Problem(
            path, "a lossless format such as PNG", "JPEG, which alters ids"
        )
    if palette is not None:
        return _ids_of_colors(path, label, palette, unknown_colors)
    if label.mode not in ("P", "L", "1") and not label.mode.startswith("I"):
        channels = len(label.getbands())
        found = f"{channels} channels ({label.mode})"
        if label.mode == "F":
            found = "floats"
        return None, pairs.Problem(path, "a single channel of class ids", found)
    ids = np.asarray(label)
    return ids.astype(np.uint8) if ids.dtype == bool else ids, None


def _ids_of_colors(path, label, palette, unknown_colors):
    red, green, blue = np.moveaxis(
        np.asarray(label.convert("RGB"), np.int32), -1, 0
    )
    code = (red << 16) | (green << 8) | blue  # [H, W]
    id_of_code = {
        (r << 16) | (g << 8) | b: i for (r, g, b), i in palette.items()
    }
    known = np.array(sorted(id_of_code), np.int32)
    place = np.searchsorted(known, code).clip(0, len(known) - 1)
    is_known = known[place] == code
    if not is_known.all() and not unknown_colors:
        codes, counts = np.unique(code[~is_known], return_counts=True)
        order = np.argsort(-counts)[:5]
        colors = ", ".join(
            f"({c >> 16} {c >> 8 & 255} {c & 255})" for c in codes[order]
        )
        more = ", ..." if len(codes) > 5 else ""
        return None, pairs.Problem(
            path,
            "colours of the palette",
            f"{colors}{more} in {_percent(~is_known)} of the pixels",
        )
    ids = np.array([id_of_code[c] for c in known], np.int32)
    return np.where(is_known, ids[place], -1), None


def _to_labels(path, ids, info):
    """Returns the labels of ids, and a `Problem` or None."""
    dtype = np.uint8 if info.semantic_channels <= 256 else np.uint16
    labels = lookup(ids, info)
    is_wrong = labels < 0
    if is_wrong.any():
        wrong = {int(i) for i in np.unique(ids[is_wrong])}
        plural = "s" if len(wrong) > 1 else ""
        return None, pairs.Problem(
            path,
            f"ids among {ranges(info.label_of_id)}",
            f"id{plural} {ranges(wrong)} in {_percent(is_wrong)} of the pixels",
        )
    return labels.astype(dtype), None


def encode_label_map(label_map):
    """Returns `[H, W]` labels, uint8 or uint16, as a PNG file's bytes."""
    return _encode_png(Image.fromarray(label_map))


def encode_image(image):
    """Returns `[H, W, 3]`, uint8, as a PNG file's bytes."""
    return _encode_png(Image.fromarray(image))


def _encode_png(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _percent(mask):
    share = 100.0 * mask.mean()
    return f"{share:.1f} %" if share >= 0.1 else "under 0.1 %"
