"""PNG and JPEG files inside a graph: label maps, masks and images."""

import zlib

import tensorflow as tf

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # Colour types of the PNG specification.
_COLOR_TYPES = [
    *("grey", "type 1", "RGB", "palette"),
    *("grey with alpha", "type 5", "RGB with alpha"),
]
_COLOR_TYPE_BYTE = 25
_SMALLEST = 57  # Bytes of a file: signature, header, one chunk, end.


def _checksum_change():
    """Returns by what a header's CRC-32 changes when palette becomes grey.

    CRCs are affine: the change is the same whatever else the header holds.
    """
    palette = b"IHDR" + bytes(9) + bytes([_PALETTE]) + bytes(3)
    grey = b"IHDR" + bytes(13)
    return (zlib.crc32(palette) ^ zlib.crc32(grey)).to_bytes(4, "big")


def read_size(file_bytes, name):
    """Returns the size that a PNG or JPEG file says it has.

    Args:
        file_bytes: string scalar.
        name: of the input, for the messages.

    Returns:
        `[2]`, int32: height and width in pixels. Nothing is decoded, so that
        an image that is far too large costs nothing.

    Raises:
        InvalidArgumentError: if it is neither.
    """
    is_png = _is_png(file_bytes)
    is_jpeg = tf.strings.substr(file_bytes, 0, 3) == b"\xff\xd8\xff"
    check = tf.debugging.Assert(
        is_png | is_jpeg, [f"{name}: must be a PNG or JPEG file"]
    )
    with tf.control_dependencies([check]):
        file_bytes = tf.identity(file_bytes)
    return tf.cond(
        is_png,
        lambda: _header_size(file_bytes),
        lambda: tf.image.extract_jpeg_shape(file_bytes)[:2],
    )


def read_png_size(file_bytes, name):
    """Does the same as `read_size` for PNG files alone."""
    return _header_size(_checked_png(file_bytes, name))


def _checked_png(file_bytes, name):
    check = tf.debugging.Assert(
        _is_png(file_bytes), [f"{name}: must be a PNG file"]
    )
    with tf.control_dependencies([check]):
        return tf.identity(file_bytes)


def _is_png(file_bytes):
    is_long = tf.strings.length(file_bytes) >= _SMALLEST
    return is_long & (tf.strings.substr(file_bytes, 0, 8) == _SIGNATURE)


def _bytes(file_bytes, start, length):
    """Returns `[length]` bytes of a file as int32."""
    part = tf.strings.substr(file_bytes, start, length)
    values = tf.io.decode_raw(part, tf.uint8, fixed_length=length)
    return tf.ensure_shape(tf.cast(values, tf.int32), [length])


def _header_size(png):
    width, height = (
        tf.reduce_sum(_bytes(png, start, 4) * [2**24, 2**16, 2**8, 1])
        for start in (16, 20)
    )
    return tf.stack([height, width])


def decode_ids(png, name):
    """Decodes a label map: the numbers in the file, whatever their colours.

    Args:
        png: string scalar. A PNG file with one channel of 1 to 16 bits, or
            with a palette.
        name: of the input, for the messages.

    Returns:
        `[H, W]`, int32.

    Raises:
        InvalidArgumentError: if it is another file, or a broken one.
    """
    png = _checked_png(png, name)
    bits, color_type = tf.unstack(_bytes(png, _COLOR_TYPE_BYTE - 1, 2))
    check = tf.debugging.Assert(
        (color_type == _GREY) | (color_type == _PALETTE),
        [
            f"{name}: must be a PNG file of ids, with one channel or a "
            "palette; got one of the kind",
            tf.gather(_COLOR_TYPES, tf.minimum(color_type, 6)),
        ],
    )
    with tf.control_dependencies([check]):
        png = tf.identity(png)
    # TensorFlow decodes a palette to its colours. Under a header that says
    # grey, the same pixels are decoded to their numbers.
    png = tf.cond(color_type == _PALETTE, lambda: _as_grey(png), lambda: png)
    values = tf.io.decode_png(png, channels=1, dtype=tf.uint16)[..., 0]
    # Numbers of few bits are spread over the whole range.
    spread = (2**16 - 1) // (tf.bitwise.left_shift(1, bits) - 1)
    return tf.cast(values, tf.int32) // spread


def _as_grey(png):
    header_end = 29
    checksum = _bytes(png, header_end, 4)
    change = tf.constant(list(_checksum_change()))
    all_bytes = tf.constant([bytes([i]) for i in range(256)])
    new_checksum = tf.strings.reduce_join(
        tf.gather(all_bytes, tf.bitwise.bitwise_xor(checksum, change))
    )
    return tf.strings.join(
        [
            tf.strings.substr(png, 0, _COLOR_TYPE_BYTE),
            bytes([_GREY]),
            tf.strings.substr(png, _COLOR_TYPE_BYTE + 1, 3),
            new_checksum,
            tf.strings.substr(png, header_end + 4, 2**31 - 1),
        ]
    )


def decode_mask(png, name):
    """Decodes a mask: which pixels it marks.

    Of a file with a transparent background what is drawn on it, in any colour;
    of others what is brighter than half of the brightest pixel, so that 0 and
    1 do as well as 0 and 255; see `oasis_tf.data.reading.read_mask`.

    Args:
        png: string scalar. A PNG file.
        name: of the input, for the messages.

    Returns:
        `[H, W]`, float32: 1 where it is marked, else 0.

    Raises:
        InvalidArgumentError: if it is another file, or a broken one.
    """
    png = _checked_png(png, name)
    pixels = tf.io.decode_png(png, channels=4, dtype=tf.uint16)
    pixels = tf.cast(pixels, tf.int32)
    alpha, brightness = pixels[..., 3], tf.reduce_max(pixels[..., :3], axis=-1)
    is_layer = tf.reduce_min(alpha) < 2**15
    marks = tf.where(is_layer, alpha, brightness)
    return tf.cast(2 * marks > tf.reduce_max(marks), tf.float32)
