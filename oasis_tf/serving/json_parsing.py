"""JSON as TensorFlow Serving's parser, RapidJSON 1.1, reads and prints it."""

import json
import math
import os.path
import re

import numpy as np

from oasis_tf.serving.status import StatusError

_MAX_DEPTH = 100_000  # Lists and objects in one another.
_MAX_PRINTED = 256  # Characters of a value in an error.
_MAX_FLOAT32 = float(np.finfo(np.float32).max)

_MAX_SLOW = 2**20  # Bytes; the slow reader takes about a second for them.

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_START = re.compile(rb"[ \n\r\t]*[{\[]")
# What Python's parser takes and RapidJSON may not: numbers beyond float64 that
# are written out, surrogates that are written as escapes.
_SUSPECT = re.compile(rb"[0-9]{300}|\\u[dD][89a-fA-F]")
_SURROGATE_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*"  # Backslashes that stand for themselves.
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

_SPACE = re.compile(rb"[ \n\r\t]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]*)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = {
    b'"': b'"',
    b"/": b"/",
    b"\\": b"\\",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
_WORDS = {
    b"n": (b"null", None),
    b"t": (b"true", True),
    b"f": (b"false", False),
    b"N": (b"NaN", math.nan),
    b"I": (b"Inf", math.inf),
}
_SIGNED_WORDS = {b"N": (b"NaN", math.nan), b"I": (b"Inf", -math.inf)}
_UNFINISHED = object()


def parse(body):
    """Returns the first value in a text.

    Bytes that are not UTF-8 become the surrogates of `surrogateescape`. What
    follows the value is ignored; of a repeated key the first value counts.

    Args:
        body: bytes.

    Returns:
        `None`, bool, int, float, str, list or dict, nested as in the text.

    Raises:
        StatusError: INVALID_ARGUMENT, if the text holds no value or is nested
            more than 100,000 deep; or if it is longer than 1 MiB, and what is
            unusual in it would take the slow reader long.
    """
    if not body:
        raise _invalid("The document is empty")
    what = "Unusual numbers, escapes or start of a long text."
    start = _START.match(body)
    if start and not _is_suspect(body):
        try:
            text = body.decode("utf-8", "surrogateescape")
            return _DECODER.raw_decode(text, start.end() - 1)[0]
        except ValueError as error:
            what = str(error)  # The slow reader knows it in other words.
        except RecursionError:
            what = "Nested too deep for a long text."
    if len(body) > _MAX_SLOW:
        raise _invalid(what)
    return _Reader(body).read()


def _is_suspect(body):
    if not _SUSPECT.search(body):
        return False
    return bool(_SUSPECT.search(_SURROGATE_PAIR.sub(b"", body)))


def pretty(value):
    """Returns a parsed value as errors show it, cut at 256 characters."""
    if type(value) is int and not -(2**63) <= value < 2**64:
        value = float(value)
    if type(value) is float:
        is_float32 = abs(value) <= _MAX_FLOAT32
        return decimal(np.float32(value) if is_float32 else np.float64(value))
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _MAX_PRINTED:
            return text[:_MAX_PRINTED] + "..."
    return text


def quote(text):
    """Returns a str as a JSON string; only what must be is escaped."""
    return json.dumps(text, ensure_ascii=False)


def decimal(number):
    """Returns the shortest text that reads back as the same number.

    Args:
        number: `np.float32` or `np.float64`.

    Returns:
        str, with a point or an exponent; or NaN, Infinity, -Infinity.
    """
    if not math.isfinite(number):
        return json.dumps(float(number))
    text = f"{number:g}"
    if type(number)(text) != number:
        return repr(float(str(number)))
    return text if "." in text or "e" in text else text + ".0"


def _invalid(what):
    return StatusError("INVALID_ARGUMENT", f"JSON Parse error: {what}")


def _parse_float(text):
    number = float(text)
    if math.isinf(number):
        raise ValueError("Number too big to be stored in double.")
    return number


def _first_of_each(pairs):
    members = dict(pairs)
    if len(members) < len(pairs):
        members = {}
        for key, value in pairs:
            members.setdefault(key, value)
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_first_of_each, parse_float=_parse_float
)


class _Reader:
    """Reads one value, of any depth, with RapidJSON's errors and offsets.

    Args:
        body: bytes.
    """

    def __init__(self, body):
        self._body = body
        self._at = len(_BYTE_ORDER_MARK)
        if not body.startswith(_BYTE_ORDER_MARK):
            self._at = 0

    def read(self):
        """Returns the value, as `parse` does."""
        if self._next() in (b"", b"\0"):
            raise self._error("The document is empty.")
        open_ones = []  # Pairs of a list or dict and the key to fill.
        while True:
            value = self._open_or_read(open_ones)
            while value is not _UNFINISHED:
                if not open_ones:
                    return value
                value = self._add(value, open_ones)

    def _open_or_read(self, open_ones):
        """Returns a value; `_UNFINISHED`, if it opened one with contents."""
        first = self._next()
        if first not in (b"[", b"{"):
            return self._string() if first == b'"' else self._number_or_word()
        if len(open_ones) == _MAX_DEPTH:
            raise self._error(f"Nested more than {_MAX_DEPTH} deep.")
        self._at += 1
        container, end = ([], b"]") if first == b"[" else ({}, b"}")
        if self._next() == end:
            self._at += 1
            return container
        open_ones.append([container, None])
        if first == b"{":
            open_ones[-1][1] = self._key()
        return _UNFINISHED

    def _add(self, value, open_ones):
        """Adds to the innermost. Returns it if it ends there."""
        container, key = open_ones[-1]
        if type(container) is list:
            container.append(value)
            end, what = b"]", "] after an array element."
        else:
            container.setdefault(key, value)
            end, what = b"}", "} after an object member."
        sign = self._next()
        if sign not in (b",", end):
            raise self._error(f"Missing a comma or {what}")
        self._at += 1
        if sign == end:
            return open_ones.pop()[0]
        if end == b"}":
            open_ones[-1][1] = self._key()
        return _UNFINISHED

    def _key(self):
        if self._next() != b'"':
            raise self._error("Missing a name for object member.")
        key = self._string()
        if self._next() != b":":
            raise self._error("Missing a colon after a name of object member.")
        self._at += 1
        return key

    def _number_or_word(self):
        match = _NUMBER.match(self._body, self._at)
        if not match:
            return self._word()
        fraction, exponent = match.groups()
        if fraction == b".":
            raise self._error("Miss fraction part in number.", match.end(1))
        if exponent and not exponent[-1:].isdigit():
            raise self._error("Miss exponent in number.", match.end(2))
        try:
            number = _parse_float(match[0])
        except ValueError as error:
            raise self._error(str(error)) from error
        self._at = match.end()
        return number if fraction or exponent else int(match[0])

    def _word(self):
        words = _WORDS
        if self._body[self._at : self._at + 1] == b"-":
            words = _SIGNED_WORDS
            self._at += 1
        first = self._body[self._at : self._at + 1]
        if first not in words:
            raise self._error("Invalid value.")
        word, value = words[first]
        self._skip(word)
        if first == b"I" and self._body[self._at : self._at + 1] == b"i":
            self._skip(b"inity")
        return value

    def _string(self):
        self._at += 1
        parts = []
        while True:
            plain = _PLAIN.match(self._body, self._at)
            parts.append(plain[0])
            self._at = plain.end()
            sign = self._body[self._at : self._at + 1]
            if sign == b"\\":
                parts.append(self._escape())
            elif sign == b'"':
                self._at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            elif sign in (b"", b"\0"):
                raise self._error("Missing a closing quotation mark in string.")
            else:
                raise self._error("Invalid escape character in string.")

    def _escape(self):
        sign = self._body[self._at + 1 : self._at + 2]
        if sign in _ESCAPES:
            self._at += 2
            return _ESCAPES[sign]
        if sign != b"u":
            raise self._error("Invalid escape character in string.")
        code = self._hex(self._at + 2)
        length = 6
        if 0xD800 <= code < 0xDC00:
            low = 0
            if self._body[self._at + 6 : self._at + 8] == b"\\u":
                low = self._hex(self._at + 8)
            if not 0xDC00 <= low < 0xE000:
                raise self._error("The surrogate pair in string is invalid.")
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00))
            length = 12
        self._at += length
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex(self, at):
        match = _HEX.match(self._body, at)
        if not match:
            raise self._error("Incorrect hex digit after \\u escape in string.")
        return int(match[0], 16)

    def _next(self):
        """Skips white space. Returns the byte there, b"" at the end."""
        self._at = _SPACE.match(self._body, self._at).end()
        return self._body[self._at : self._at + 1]

    def _skip(self, word):
        there = self._body[self._at : self._at + len(word)]
        self._at += len(os.path.commonprefix([there, word]))
        if there != word:
            raise self._error("Invalid value.")

    def _error(self, what, at=None):
        return _invalid(f"{what} at offset: {self._at if at is None else at}")


def _pieces(value):
    """Yields the text of a value of any depth, bit by bit."""
    open_ones = [iter([("", value)])]  # Pairs of what precedes and a value.
    ends = [""]
    while open_ones:
        before, value = next(open_ones[-1], (None, None))
        if before is None:
            open_ones.pop()
            yield ends.pop()
            continue
        yield before
        if type(value) is list and value:
            yield "["
            open_ones.append(_elements(value))
            ends.append("]")
        elif type(value) is dict and value:
            yield "{"
            open_ones.append(_members(value, _indent(len(ends))))
            ends.append(_indent(len(ends) - 1) + "}")
        else:
            yield _scalar(value)


def _elements(values):
    for i, value in enumerate(values):
        yield ", " if i else "", value


def _members(members, indent):
    for i, (key, value) in enumerate(members.items()):
        yield f"{',' if i else ''}{indent}{_quote_start(key)}: ", value


def _indent(depth):
    return "\n" + " " * min(4 * depth, _MAX_PRINTED)


def _scalar(value):
    if type(value) is str:
        return _quote_start(value)
    if type(value) is int and not -(2**63) <= value < 2**64:
        value = float(value)
    return json.dumps(value)


def _quote_start(text):
    return quote(text[: _MAX_PRINTED + 1])
