"""Contact sheets: pictures in rows and columns, with headings."""

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

_GAP = 6
_FONT_SIZE = 14
_MIN_SIDE = 128  # Pixels of the shorter side of a picture on the sheet.


def draw_sheet(rows, headings):
    """Lays pictures out in rows, each enlarged alike, with column headings.

    Args:
        rows: lists of `[H, W, 3]` uint8 arrays, all of one size.
        headings: one text per column.

    Returns:
        `[H', W', 3]`, uint8.

    Raises:
        ValueError: if a row has another number of pictures than `headings`.
    """
    if any(len(row) != len(headings) for row in rows):
        raise ValueError(
            "`rows` must have a picture for each heading. Received: "
            f"{[len(row) for row in rows]} pictures, {len(headings)} headings."
        )
    tiles = [[enlarge(picture) for picture in row] for row in rows]
    height, width = tiles[0][0].shape[:2]
    step_x, step_y = width + _GAP, height + _GAP
    top = _FONT_SIZE + 2 * _GAP
    sheet = Image.new(
        "RGB",
        (step_x * len(headings) + _GAP, top + step_y * len(rows)),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    for x, heading in enumerate(headings):
        middle = _GAP + x * step_x + width // 2
        draw.text((middle, _GAP), heading, "black", font, anchor="ma")
    for y, row in enumerate(tiles):
        for x, tile in enumerate(row):
            position = (_GAP + x * step_x, top + y * step_y)
            sheet.paste(Image.fromarray(tile), position)
    return np.asarray(sheet)


def enlarge(picture):
    """Repeats the pixels of a small picture until it can be seen.

    Args:
        picture: `[H, W, 3]`, uint8.

    Returns:
        `[n H, n W, 3]`, uint8; both sides have 128 pixels or more.
    """
    picture = np.asarray(picture)
    zoom = max(1, -(-_MIN_SIDE // min(picture.shape[:2])))
    return picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
