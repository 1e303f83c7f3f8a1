"""Reading and checking a pair of image and label file."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from oasis_tf.data import pairs
from oasis_tf.data import reading
from oasis_tf.data.dataset import DatasetInfo

INFO = DatasetInfo(
    name="folder",
    class_names=("void", "sky", "road"),
    colors=((0, 0, 0), (0, 0, 255), (90, 90, 90)),
    label_of_id={255: 0, 0: 1, 7: 2},
    has_dont_care=True,
)
PALETTE = {(0, 0, 255): 0, (90, 90, 90): 7}
IDS = np.array([[0, 7, 255], [7, 7, 0]], np.uint8)
LABELS = [[1, 2, 0], [2, 2, 1]]
PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


@pytest.fixture
def pair(tmp_path):
    pair = pairs.Pair("a", tmp_path / "a.png", tmp_path / "a_label.png")
    Image.fromarray(PIXELS).save(pair.image)
    Image.fromarray(IDS).save(pair.label)
    return pair


def grey_png(ids, bits):
    """Returns a grey PNG of so few bits a value, which Pillow cannot write."""

    def chunk(kind, content):
        body = kind + content
        return (
            struct.pack(">I", len(content))
            + body
            + struct.pack(">I", zlib.crc32(body))
        )

    height, width = ids.shape
    rows = b""
    for row in ids:
        binary = "".join(f"{i:0{bits}b}" for i in row)
        binary += "0" * (-len(binary) % 8)
        rows += b"\0" + int(binary, 2).to_bytes(len(binary) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_reads_grey_ids_of_few_bits_as_they_are(tmp_path, bits):
    ids = np.arange(8).reshape(2, 4) % 2**bits
    path = tmp_path / "a.png"
    path.write_bytes(grey_png(ids, bits))
    assert reading.read_ids(path).tolist() == ids.tolist()


def problems_of(pair, palette=None):
    with pytest.raises(pairs.DataError) as error:
        reading.read(pair, INFO, palette)
    return [str(problem) for problem in error.value.problems]


def test_reads_labels_and_keeps_the_bytes_of_rgb_files(pair):
    example = reading.read(pair, INFO)
    assert example.name == "a"
    assert example.image == pair.image.read_bytes()
    assert example.label_map.dtype == np.uint8
    assert example.label_map.tolist() == LABELS


def label_variants():
    palette_image = Image.fromarray(IDS, "P")
    palette_image.putpalette([0, 0, 255, 90, 90, 90] + [5] * 762)
    return {
        "indices of a palette": palette_image,
        "16 bit": Image.fromarray(IDS.astype(np.uint16)),
        "32 bit": Image.fromarray(IDS.astype(np.int32)),
    }


@pytest.mark.parametrize("kind", list(label_variants()))
def test_reads_single_channel_labels_of_any_depth(pair, kind):
    endings = {"32 bit": ".tif"}
    path = pair.label.with_suffix(endings.get(kind, ".png"))
    label_variants()[kind].save(path)
    example = reading.read(pairs.Pair("a", pair.image, path), INFO)
    assert example.label_map.tolist() == LABELS


def test_reads_black_and_white_labels_as_0_and_1(pair):
    Image.fromarray(IDS == 7).convert("1").save(pair.label)
    assert reading.read_ids(pair.label).tolist() == [[0, 1, 0], [1, 1, 0]]


def test_reads_colours_with_a_palette(pair):
    colors = np.array(INFO.colors, np.uint8)[[[1, 2, 1], [2, 2, 1]]]
    Image.fromarray(colors).save(pair.label)
    example = reading.read(pair, INFO, PALETTE)
    assert example.label_map.tolist() == [[1, 2, 1], [2, 2, 1]]


def test_names_colours_that_the_palette_lacks(pair):
    Image.fromarray(PIXELS).save(pair.label)
    (problem,) = problems_of(pair, PALETTE)
    assert "expected colours of the palette, found (0 1 2), (3 4 5)" in problem
    assert problem.endswith("... in 100.0 % of the pixels")


@pytest.mark.parametrize(
    "image, expected",
    [
        (Image.new("L", (3, 2), 9), [9, 9, 9]),
        (Image.new("LA", (3, 2), (9, 0)), [9, 9, 9]),
        (Image.new("RGBA", (3, 2), (1, 2, 3, 4)), [1, 2, 3]),
        (Image.fromarray(np.full((2, 3), 257 * 9, np.uint16)), [9, 9, 9]),
        (Image.new("RGB", (3, 2), (1, 2, 3)).quantize(2), [1, 2, 3]),
    ],
    ids=["grey", "grey and alpha", "RGBA", "16 bit grey", "palette"],
)
def test_other_images_become_rgb(pair, image, expected):
    image.save(pair.image)
    example = reading.read(pair, INFO)
    decoded = Image.open(io.BytesIO(example.image))
    assert (decoded.format, decoded.mode) == ("PNG", "RGB")
    assert np.asarray(decoded)[1, 2].tolist() == expected


def test_cmyk_jpegs_become_rgb(tmp_path, pair):
    path = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (3, 2), (255, 0, 0, 0)).save(path, quality=100)
    example = reading.read(pairs.Pair("a", path, pair.label), INFO)
    decoded = np.asarray(Image.open(io.BytesIO(example.image)))
    np.testing.assert_allclose(decoded[0, 0], [0, 255, 255], atol=3)


def test_ids_out_of_range_are_named_with_their_share(pair):
    ids = IDS.copy()
    ids[0, :2] = [3, 4]
    Image.fromarray(ids).save(pair.label)
    assert problems_of(pair) == [
        f"{pair.label}: expected ids among 0, 7, 255, found ids 3..4 in 33.3 % "
        "of the pixels"
    ]


def test_ids_beyond_every_class_are_out_of_range(pair):
    Image.fromarray(np.full((2, 3), 60_000, np.uint16)).save(pair.label)
    (problem,) = problems_of(pair)
    assert "found id 60000 in 100.0 % of the pixels" in problem


def test_other_size_is_a_problem(pair):
    Image.fromarray(IDS[:, :2]).save(pair.label)
    assert problems_of(pair) == [
        f"{pair.label}: expected 3 x 2 (width x height) like {pair.image}, "
        "found 2 x 2"
    ]


def test_other_size_of_a_photo_turned_by_its_exif_tag_is_explained(pair):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(pair.image, exif=exif)
    Image.fromarray(np.ascontiguousarray(IDS.T)).save(pair.label)
    assert "turned by its EXIF tag" in problems_of(pair)[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_labels_of_several_channels_are_a_problem(pair, mode):
    Image.new(mode, (3, 2)).save(pair.label)
    (problem,) = problems_of(pair)
    channels = {"RGB": 3, "RGBA": 4, "LA": 2}[mode]
    assert problem == (
        f"{pair.label}: expected a single channel of class ids, found "
        f"{channels} channels ({mode})"
    )


def test_jpeg_labels_are_a_problem(pair):
    Image.fromarray(IDS).save(pair.label, format="JPEG")
    (problem,) = problems_of(pair)
    assert problem.endswith("found JPEG, which alters ids")


@pytest.mark.parametrize("file", ["image", "label"])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "gif", "bmp"])
def test_truncated_files_are_problems(tmp_path, pair, file, ending):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = tmp_path / f"whole.{ending}"
    Image.fromarray(noise).save(whole)
    bytes_ = whole.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.9):
        getattr(pair, file).write_bytes(bytes_[: int(share * len(bytes_))])
        assert str(getattr(pair, file)) in " ".join(problems_of(pair))


def test_text_in_an_image_file_is_a_problem(pair):
    pair.image.write_text("not an image")
    assert problems_of(pair) == [
        f"{pair.image}: expected an image, found a file of no known image "
        "format"
    ]


def test_all_problems_of_a_pair_are_told(pair):
    pair.image.write_bytes(b"")
    Image.new("RGB", (3, 2)).save(pair.label)
    assert len(problems_of(pair)) == 2


def test_encoded_label_maps_are_lossless():
    for dtype in (np.uint8, np.uint16):
        label_map = np.array([[0, 1], [200, np.iinfo(dtype).max]], dtype)
        decoded = Image.open(io.BytesIO(reading.encode_label_map(label_map)))
        assert np.asarray(decoded).tolist() == label_map.tolist()
