"""`python -m oasis_tf.synthesize`, with networks that nobody trained."""

import os
import re

import numpy as np
import pytest
from PIL import Image

import oasis_tf
from tests import trained


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthesize")
    trained.make_workdir(folder / "run")
    for index in range(5):
        trained.save_scene(folder / "maps", index)
    for photo in folder.glob("maps/photo*"):
        photo.unlink()
    mask = np.zeros([16, 16], np.uint8)
    mask[4:9, 3:11] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask[:8]).save(folder / "low.png")
    Image.fromarray(np.full([16, 16], 99, np.uint8)).save(folder / "bad.png")
    Image.fromarray(mask[:15, :13] * 0).save(folder / "odd.png")
    (folder / "text.png").write_text("hello")
    return folder


def synthesize(place, *flags):
    return trained.run("synthesize", "--model=run", *flags, cwd=place)


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_draws_looks_and_a_sheet(place):
    done = trained.run_process(
        "synthesize",
        *("--model=run", "--label_map=maps/map0.png"),
        *("--num=3", "--seed=4", "--out=a"),
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (place / "a").iterdir())
    assert names == ["map0_4.png", "map0_5.png", "map0_6.png", "sheet.png"]
    looks = [read(place / "a" / name) for name in names[:3]]
    assert np.abs(looks[0] - looks[1]).max() > 20
    assert str(place / "a" / "sheet.png") in done.stdout


@pytest.mark.parametrize(
    "flag", ["--noise_mask=mask.png", "--resample_region=4,5"]
)
def test_new_noise_in_a_part(place, flag):
    out = place / flag.partition("=")[0]
    done = synthesize(
        place, "--label_map=maps/map0.png", flag, "--num=2", f"--out={out}"
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in out.iterdir())
    assert names == ["map0_0.png", "map0_0_1.png", "map0_0_2.png", "sheet.png"]
    images = np.stack([read(out / name) for name in names[:3]])
    change = np.abs(images[1:] - images[0]).max(axis=-1)
    largest = [int(n) for n in re.findall(r"largest (\d+)", done.stdout)]
    assert max(largest) == change.max() > 20
    if flag.endswith("png"):
        mask = read(place / "mask.png") > 0
        inside = change[:, mask].mean()
        assert f"inside the mask: mean {inside:.1f}," in done.stdout


def test_feather_softens_the_edit(place):
    flags = ("--label_map=maps/map0.png", "--noise_mask=mask.png", "--num=1")
    for out, more in (("sharp", ()), ("soft", ("--feather=3",))):
        done = synthesize(place, *flags, *more, f"--out={out}")
        assert done.returncode == 0, done.stderr
    before = read(place / "soft/map0_0.png")
    assert (before == read(place / "sharp/map0_0.png")).all()
    sharp, soft = (
        np.abs(read(place / out / "map0_0_1.png") - before).mean()
        for out in ("sharp", "soft")
    )
    assert 0 < soft < sharp


def test_animation_goes_there_and_back(place):
    done = synthesize(
        place, "--label_map=maps/map0.png", "--interpolate=4", "--out=c"
    )
    assert done.returncode == 0, done.stderr
    frames = [read(place / f"c/map0_frame{n:03d}.png") for n in range(8)]
    for there, back in ((1, 7), (2, 6), (3, 5)):
        assert np.abs(frames[there] - frames[back]).max() <= 2
    assert np.abs(frames[0] - frames[4]).max() > 20
    animation = Image.open(place / "c/map0.gif")
    assert animation.n_frames == 8
    assert animation.size == (128, 128)  # 16 x 16, enlarged.


def test_animation_inside_a_mask(place):
    done = synthesize(
        place,
        *("--label_map=maps/map0.png", "--noise_mask=mask.png"),
        *("--interpolate=2", "--out=masked"),
    )
    assert done.returncode == 0, done.stderr
    frames = [read(place / f"masked/map0_frame{n:03d}.png") for n in range(4)]
    # The way's ends are a look, and the same with new noise in the mask.
    generator = oasis_tf.load_generator(place / "run")
    noise = generator.noise(place / "maps/map0.png", seed=0)
    mask = read(place / "mask.png")
    other = noise.resample_mask(mask, seed=1)
    half = noise.interpolate(other, 0.5, mask)
    for frame, expected in zip(frames, (noise, half, other)):
        image = generator.generate(place / "maps/map0.png", noise=expected)
        assert np.abs(frame - image).max() <= 1


def test_masks_and_pixels_are_those_of_the_file(place):
    flags = ("--label_map=maps/map0.png", "--num=1", "--size=32,32")
    for flag in ("--noise_mask=mask.png", "--resample_region=15,15"):
        done = synthesize(place, *flags, flag, "--out=larger")
        assert done.returncode == 0, done.stderr
    done = synthesize(place, *flags, "--noise_mask=low.png", "--out=bad")
    assert done.returncode == 2
    assert "low.png must have the label map's" in done.stderr
    assert not (place / "bad").exists()


def test_folder_goes_on_where_it_stopped(place):
    flags = ("--label_map=maps", "--num=2", "--out=d")
    done = synthesize(place, *flags)
    assert done.returncode == 0, done.stderr
    pictures = sorted((place / "d").glob("map*.png"))
    assert len(pictures) == 10
    before = {path: path.stat().st_mtime_ns for path in pictures}
    content = pictures[3].read_bytes()
    pictures[3].unlink()
    done = synthesize(place, *flags)
    assert done.returncode == 0, done.stderr
    assert pictures[3].read_bytes() == content
    del before[pictures[3]]
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    # A label map that is newer than its pictures is drawn anew.
    newer = max(before.values()) + 10**9
    os.utime(place / "maps/map2.png", ns=(newer, newer))
    done = synthesize(place, *flags)
    assert done.returncode == 0, done.stderr
    again = {p for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert {p.name for p in again} == {"map2.png_0.png", "map2.png_1.png"}
    # Other settings would mix two kinds of pictures.
    done = synthesize(place, *flags, "--seed=7")
    assert done.returncode == 2
    assert "seed: was 0, now 7" in done.stderr


def test_folder_that_was_cut_off_at_its_start_goes_on(place):
    (place / "cut").mkdir()
    (place / "cut/settings.12.tmp").write_text("{")
    done = synthesize(place, "--label_map=maps", "--out=cut")
    assert done.returncode == 0, done.stderr
    # A single map's pictures would get between them.
    done = synthesize(place, "--label_map=maps/map0.png", "--out=cut")
    assert done.returncode == 2
    assert "another folder than that of a folder's" in done.stderr
    (place / "cut/settings.json").write_text("{")
    done = synthesize(place, "--label_map=maps", "--out=cut")
    assert done.returncode == 2
    assert "settings.json must be there, as the run wrote it" in done.stderr


def test_pictures_in_the_folder_itself_are_not_drawn(place):
    folder = place / "inside"
    trained.save_scene(folder, 1)
    (folder / "photo1.png").unlink()
    for _ in range(2):
        done = synthesize(place, "--label_map=inside", "--out=inside/out")
        assert done.returncode == 0, done.stderr
    names = {p.name for p in (folder / "out").iterdir()}
    assert names == {"map1.png_0.png", "settings.json", "sheet.png"}


def test_folder_draws_the_others_beside_a_bad_file(place):
    folder = place / "mixed"
    trained.save_scene(folder, 1)
    (folder / "bad.png").write_bytes((place / "bad.png").read_bytes())
    (folder / "photo1.png").unlink()
    done = synthesize(place, "--label_map=mixed", "--out=e")
    assert done.returncode == 2
    assert "bad.png: expected ids among 0..10, found id 99" in done.stderr
    assert "1 of 2 files could not be drawn" in done.stderr
    assert (place / "e" / "map1.png_0.png").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label_map=no.png"], "no.png', which does not exist"),
        (["--label_map=text.png"], "text.png: expected a label map"),
        (["--label_map=bad.png"], "bad.png: expected ids among 0..10"),
        (["--label_map=odd.png"], "(16, 12) would do"),
        (
            ["--label_map=maps/map0.png", "--resample_class=skye"],
            "toy_scenes's, like 'sky'",
        ),
        (["--label_map=maps/map0.png", "--noise_mask=low.png"], "(8, 16)"),
        (["--label_map=maps/map0.png", "--resample_region=99,1"], "x 0..15"),
        (["--label_map=maps/map0.png", "--resample_region=a"], "must be x,y"),
        (["--label_map=maps", "--resample_class=sky"], "a single label map"),
        (["--label_map=maps/map0.png", "--num=0"], "--num=0"),
        (["--label_map=odd.png", "--size=15,13"], "`size` must be multiples"),
        (["--label_map=maps/map0.png", "--model=maps"], "neither export"),
        (["--label_map=maps/map0.png", "extra"], "Unknown arguments: extra"),
        ([], "`--label_map` is needed"),
        (["--label_map=maps/map0.png", "--feather=2"], "`--feather` needs"),
        (["--label_map=maps/map0.png", "--animation=webp"], "needs `--int"),
        (["--label_map=maps/map0.png", "--resample_class="], "is needed"),
        (["--label_map=maps/map0.png", f"--seed={2**63}"], "--seed=9223"),
        (["--label_map=maps/map0.png", "--out=mask.png"], "must be a folder"),
        (["--label_map=maps", "--out=mask.png/x"], "must be a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(place, flags, message):
    done = synthesize(place, "--out=bad", *flags)
    assert done.returncode == 2
    (line,) = [x for x in done.stderr.splitlines() if "oasis_tf" in x]
    assert line.startswith("oasis_tf.synthesize: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "bad").exists()


def test_resize_brings_it_to_a_size_that_will_do(place):
    done = synthesize(
        place, "--label_map=odd.png", "--resize", "--num=1", "--out=f"
    )
    assert done.returncode == 0, done.stderr
    assert read(place / "f/odd_0.png").shape == (16, 12, 3)
