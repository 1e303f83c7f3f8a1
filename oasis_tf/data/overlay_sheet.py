"""Sheets of images with their label maps, for people to look at."""

import io

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from oasis_tf.data.label_map import colorize

_CELL = (320, 240)  # Width and height that every picture is fitted into.
_GAP = 12
_NAME_HEIGHT = 24
_HEADING_HEIGHT = 72
_LEGEND_WIDTH = 260
_LEGEND_LINE = 24
_TEXT_COLOR = (40, 40, 40)
_FAINT_COLOR = (130, 130, 130)
_LABEL_SHARE = 0.5  # Of the label's colour in the overlay.


def draw_sheet(examples, info, title):
    """Draws images, label maps and both on top of each other.

    Args:
        examples: list of `reading.Example`, one per row.
        info: `DatasetInfo`.
        title: text.

    Returns:
        PIL image.
    """
    counts = np.zeros(info.semantic_channels, np.int64)
    for example in examples:
        counts += np.bincount(
            example.label_map.ravel(), minlength=info.semantic_channels
        )
    shown = [s for s in np.argsort(-counts, kind="stable") if counts[s]]

    row_height = _CELL[1] + _NAME_HEIGHT + _GAP
    width = 3 * (_CELL[0] + _GAP) + _GAP + _LEGEND_WIDTH
    height = _HEADING_HEIGHT + len(examples) * row_height + _GAP
    legend_columns = _legend_columns(len(shown), height - _HEADING_HEIGHT)
    width += (legend_columns - 1) * _LEGEND_WIDTH
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 8), title, _TEXT_COLOR, ImageFont.load_default(24))
    for column, heading in enumerate(("image", "label map", "both")):
        x = _GAP + column * (_CELL[0] + _GAP)
        draw.text((x, 44), heading, _FAINT_COLOR, ImageFont.load_default(17))
    for row, example in enumerate(examples):
        _draw_row(sheet, example, info, _HEADING_HEIGHT + row * row_height)
    draw.text(
        (3 * (_CELL[0] + _GAP) + 2 * _GAP, 44),
        "share of these pixels",
        _FAINT_COLOR,
        ImageFont.load_default(17),
    )
    lines = -(-len(shown) // legend_columns)
    for k, s in enumerate(shown):
        x = 3 * (_CELL[0] + _GAP) + 2 * _GAP + k // lines * _LEGEND_WIDTH
        y = _HEADING_HEIGHT + k % lines * _LEGEND_LINE
        share = 100 * counts[s] / counts.sum()
        _draw_legend_line(draw, (x, y), info, s, share)
    return sheet


def overlay(image, label_map, info):
    """Lays a label map's colours over an image, with dark borders.

    Args:
        image: `[H, W, 3]`, uint8.
        label_map: `[H, W]`, integer. Labels, 0..S-1.
        info: `DatasetInfo`.

    Returns:
        `[H, W, 3]`, uint8.
    """
    colors = colorize(label_map, info).astype(np.float32)
    mixed = image + _LABEL_SHARE * (colors - image)
    mixed[_borders(label_map)] *= 0.35
    return mixed.astype(np.uint8)


def _legend_columns(num_lines, height):
    lines_per_column = max(1, height // _LEGEND_LINE)
    return max(1, -(-num_lines // lines_per_column))


def _draw_row(sheet, example, info, y):
    image = np.asarray(Image.open(io.BytesIO(example.image)).convert("RGB"))
    pictures = (
        (image, Image.Resampling.LANCZOS),
        (colorize(example.label_map, info), Image.Resampling.NEAREST),
        (overlay(image, example.label_map, info), Image.Resampling.LANCZOS),
    )
    for column, (pixels, method) in enumerate(pictures):
        x = _GAP + column * (_CELL[0] + _GAP)
        sheet.paste(_fit(Image.fromarray(pixels), method), (x, y))
    height, width = example.label_map.shape
    ImageDraw.Draw(sheet).text(
        (_GAP, y + _CELL[1] + 2),
        f"{example.name}   {width} x {height}",
        _FAINT_COLOR,
        ImageFont.load_default(14),
    )


def _fit(picture, method):
    """Returns a picture of `_CELL`'s size, with its aspect kept."""
    scale = min(c / p for c, p in zip(_CELL, picture.size))
    size = tuple(max(1, round(scale * p)) for p in picture.size)
    cell = Image.new("RGB", _CELL, (240, 240, 240))
    offset = tuple((c - s) // 2 for c, s in zip(_CELL, size))
    cell.paste(picture.resize(size, method), offset)
    return cell


def _borders(label_map):
    """Returns `[H, W]`, bool: whether the label changes right of or below."""
    borders = np.zeros(label_map.shape, bool)
    borders[:, :-1] |= label_map[:, :-1] != label_map[:, 1:]
    borders[:-1] |= label_map[:-1] != label_map[1:]
    return borders


def _draw_legend_line(draw, corner, info, label, share):
    x, y = corner
    draw.rectangle(
        (x, y + 2, x + 26, y + 18),
        fill=info.colors[label],
        outline=_FAINT_COLOR,
    )
    name = info.class_names[label]
    name = name if len(name) <= 20 else name[:19] + "…"
    draw.text((x + 34, y), name, _TEXT_COLOR, ImageFont.load_default(15))
    draw.text(
        (x + _LEGEND_WIDTH - 2 * _GAP, y),
        f"{share:.1f} %" if share >= 0.1 else "< 0.1 %",
        _FAINT_COLOR,
        ImageFont.load_default(15),
        anchor="ra",
    )
