"""Text files of class names, colours and replaced ids."""

import dataclasses
import re

# `id name r g b`, where the id and the colour may be missing.
_CLASS_LINE = re.compile(
    r"(?:(?P<id>-?\d+)\s*[\s:,]\s*)?(?P<name>.*?\S)"
    r"(?:[\s,]+(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3}))?\s*"
)
_HEADER = re.compile(
    r"(id[\s,]+)?(class|name|label)\w*([\s,]+(r|red)[\s,]+(g|green)[\s,]+(b|blue))",
    re.IGNORECASE,
)
_DONT_CARE_NAME = re.compile(
    r"(void|unlabell?ed|ignored?|don'?t[\s_-]*care|undefined)\b", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class ClassList:
    """What a file says about classes.

    Args:
        names: dict of id -> name.
        colors: dict of id -> `(red, green, blue)`, for the ids that have one.
    """

    names: dict
    colors: dict


def read_classes(path):
    """Reads a file of one class per line.

    A line is `id name` or `id name red green blue`, with tabs or spaces in
    between; or the name alone, and the first line's id is 0. Empty lines and
    lines that start with `#` say nothing.

    Args:
        path: of the file.

    Returns:
        `ClassList`.

    Raises:
        ValueError: if a line is something else, or an id comes twice.
    """
    names, colors = {}, {}
    has_ids = None
    for number, line in _lines(path):
        match = _CLASS_LINE.fullmatch(line)
        if has_ids is None:
            has_ids = match["id"] is not None
        if has_ids != (match["id"] is not None):
            raise ValueError(
                f"{path}, line {number}: all lines must start with an id, or "
                f"none. Received: {line!r}."
            )
        if re.match(r"\d+\s+\d+\s", match["name"]) or _HEADER.fullmatch(line):
            raise ValueError(
                f"{path}, line {number}: a class must be `id name r g b`, "
                f"`id name` or `name`. Received: {line!r}."
            )
        i = int(match["id"]) if has_ids else len(names)
        if i in names:
            raise ValueError(
                f"{path}, line {number}: an id must come once. Received: {i} "
                f"for {match['name']!r} and for {names[i]!r}."
            )
        names[i] = match["name"]
        if match["r"]:
            color = tuple(int(match[channel]) for channel in "rgb")
            if max(color) > 255:
                raise ValueError(
                    f"{path}, line {number}: colours must be 0..255. "
                    f"Received: {line!r}."
                )
            colors[i] = color
    if not names:
        raise ValueError(f"{path} must name at least one class. Received: 0.")
    return ClassList(names, colors)


def read_palette(path):
    """Reads a file of `id name red green blue` lines.

    Args:
        path: of the file.

    Returns:
        `ClassList`, and a dict of colour -> id.

    Raises:
        ValueError: if a line has no colour, or two have the same.
    """
    classes = read_classes(path)
    id_of_color = {}
    for i, name in classes.names.items():
        if i not in classes.colors:
            raise ValueError(
                f"{path}: every class of a palette must have a colour. "
                f"Received: none for {i} {name!r}."
            )
        color = classes.colors[i]
        if color in id_of_color:
            raise ValueError(
                f"{path}: every class of a palette must have a colour of its "
                f"own. Received: {color} for {id_of_color[color]} and {i}."
            )
        id_of_color[color] = i
    return classes, id_of_color


def parse_remap(text):
    """Returns the ids to replace.

    Args:
        text: `7:0,8:1`: id 7 becomes 0, and 8 becomes 1. New lines and
            spaces do as well as commas.

    Returns:
        dict of id -> id.

    Raises:
        ValueError: if the text is something else, or an id comes twice.
    """
    replaced = {}
    for part in re.split(r"[\s,]+", text.strip()):
        match = re.fullmatch(r"(\d+):(\d+)", part)
        if not match or int(match[1]) in replaced:
            raise ValueError(
                "`data.remap` must be a file, or pairs of ids such as "
                f"7:0,8:1 with each id replaced once. Received: {part!r} in "
                f"{text!r}."
            )
        replaced[int(match[1])] = int(match[2])
    return replaced


def read_remap(path):
    """Returns the ids to replace, of a file of `7:0` lines."""
    return parse_remap(" ".join(line for _, line in _lines(path)))


def is_dont_care_name(name):
    """Whether a class's name sounds as if its pixels should not count."""
    return _DONT_CARE_NAME.match(name.strip()) is not None


def _lines(path):
    """Yields the number and text of the lines that say something."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must be a text file. Received: {error}."
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()
