"""The file of losses and the curves drawn from it."""

import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from oasis_tf.training.history import History


def losses(value):
    return {"generator/adversarial": value, "discriminator/real": 2 * value}


class HistoryTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.get_temp_dir()) / "losses.csv"

    def test_losses_come_back_from_the_file(self):
        history = History(self.path, step=0)
        history.add(10, losses(0.1))
        history.add(20, losses(1e-9))
        again = History(self.path, step=20)
        self.assertEqual(
            again.rows,
            [{"step": 10.0} | losses(0.1), {"step": 20.0} | losses(1e-9)],
        )

    def test_file_has_a_header_and_a_line_for_each_step(self):
        history = History(self.path, step=0)
        history.add(1, losses(0.5))
        history.add(2, losses(0.25))
        self.assertEqual(
            self.path.read_text().splitlines(),
            [
                "step,generator/adversarial,discriminator/real",
                "1.0,0.5,1.0",
                "2.0,0.25,0.5",
            ],
        )

    def test_lines_beyond_the_step_are_dropped(self):
        history = History(self.path, step=0)
        for step in (10, 20, 30):
            history.add(step, losses(step))
        resumed = History(self.path, step=20)
        resumed.add(30, losses(0.5))
        again = History(self.path, step=100)
        self.assertEqual([row["step"] for row in again.rows], [10, 20, 30])
        self.assertEqual(again.rows[-1], {"step": 30.0} | losses(0.5))

    def test_a_new_name_has_empty_cells_before_it(self):
        history = History(self.path, 0)
        history.add(1, {"a": 0.5})
        history.add(2, {"a": 0.25, "b": 2.0})
        history.add(3, {"b": 3.0})
        self.assertEqual(
            self.path.read_text().splitlines(),
            ["step,a,b", "1.0,0.5,", "2.0,0.25,2.0", "3.0,,3.0"],
        )
        again = History(self.path, 3)
        self.assertAllEqual([row["b"] for row in again.rows[1:]], [2, 3])
        self.assertTrue(np.isnan(again.rows[0]["b"]))

    def test_a_line_cut_off_in_writing_is_dropped(self):
        history = History(self.path, step=0)
        history.add(10, losses(0.5))
        for end in ("20.0", "20.0,", "20.0,0.2", "20.0,0.2,"):
            whole = self.path.read_text()
            self.path.write_text(whole + end)
            again = History(self.path, step=100)
            self.assertEqual([row["step"] for row in again.rows], [10])
            self.assertEqual(self.path.read_text(), whole)

    def test_draws_a_picture(self):
        history = History(self.path, step=0)
        history.add(1, losses(0.5))
        history.add(2, losses(0.25))
        picture = self.path.with_name("losses.png")
        history.draw(picture)
        with Image.open(picture) as image:
            self.assertEqual(image.size, (800, 600))  # Two panels.

    def test_draws_nothing_before_the_first_losses(self):
        picture = self.path.with_name("losses.png")
        History(self.path, step=0).draw(picture)
        self.assertFalse(picture.exists())


if __name__ == "__main__":
    tf.test.main()
