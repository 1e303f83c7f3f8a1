"""`python -m oasis_tf.recreate`, with networks that nobody trained."""

import numpy as np
from PIL import Image

import oasis_tf
from tests import trained


def test_draws_what_it_found_in_the_photo(tmp_path):
    trained.make_workdir(tmp_path / "run")
    photo, _ = trained.save_scene(tmp_path, 5)
    done = trained.run_process(
        "recreate",
        "--model=run",
        f"--image={photo}",
        "--num=2",
        "--seed=3",
        "--out=a",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = np.asarray(Image.open(tmp_path / "a/photo5_ids.png"))
    segmenter = oasis_tf.load_segmenter(tmp_path / "run")
    assert (found == segmenter.segment(photo)).all()
    drawn = np.asarray(Image.open(tmp_path / "a/photo5_4.png")).astype(int)
    generator = oasis_tf.load_generator(tmp_path / "run")
    assert np.abs(drawn - generator.generate(found, seed=4)).max() <= 1
    assert (tmp_path / "a/sheet.png").is_file()


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    trained.make_workdir(tmp_path / "run")
    photo, _ = trained.save_scene(tmp_path, 5, (20, 18))
    done = trained.run(
        "recreate", "--model=run", f"--image={photo}", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "must be multiples of 4; (20, 16) would do" in done.stderr
    assert "Traceback" not in done.stderr
