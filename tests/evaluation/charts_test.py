"""The evaluation's charts: that they are pictures, and what they tell."""

import pathlib
from unittest import mock

import matplotlib.figure
import matplotlib.text
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from oasis_tf.data.toy_scenes import scenes
from oasis_tf.evaluation import charts
from oasis_tf.evaluation import statistics
from oasis_tf.evaluation.statistics import Histograms


class ChartTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.get_temp_dir()) / "chart.png"

    def draw(self, function, *args, is_saved=False, **kwargs):
        """Calls a function of `charts`, and looks at what it has drawn.

        Args:
            function: of `charts`.
            *args, **kwargs: for it, but for the path.
            is_saved: whether the file is written, which takes a second.

        Returns:
            `(figure, texts)`: Matplotlib's, and every text that is in it.
        """
        with mock.patch.object(
            charts, "save", side_effect=charts.save if is_saved else None
        ) as save:
            function(self.path, *args, **kwargs)
        (call,) = save.call_args_list
        figure = call.args[0]
        texts = figure.findobj(matplotlib.text.Text)
        return figure, [text.get_text() for text in texts if text.get_text()]

    def read(self):
        """Returns the picture, `[H, W, 3]`, and checks that it is one."""
        with Image.open(self.path) as image:
            self.assertEqual(image.format, "PNG")
            pixels = np.asarray(image.convert("RGB"))
        self.assertGreater(pixels.std(), 5)
        return pixels

    def assert_all_in(self, parts, texts):
        text = "\n".join(texts)
        for part in parts:
            self.assertIn(part, text)


class SaveTest(ChartTest):
    def test_what_is_not_whole_takes_no_place(self):
        self.path.write_bytes(b"before")

        def savefig(path, **_):
            pathlib.Path(path).write_bytes(b"half")
            raise OSError("disk full")

        figure = mock.Mock(savefig=savefig)
        with self.assertRaises(OSError):
            charts.save(figure, self.path)
        self.assertEqual(self.path.read_bytes(), b"before")
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])


class ClassBarsTest(ChartTest):
    def test_a_bar_for_each_class_the_highest_on_top(self):
        figure, texts = self.draw(
            charts.class_bars,
            ["sky", "sea", "sand"],
            np.array([0.25, 0.75, 0.5]),
            "IoU",
            "Found again",
            is_saved=True,
        )
        (panel,) = figure.axes
        names = [label.get_text() for label in panel.get_yticklabels()]
        self.assertEqual(names, ["sea", "sand", "sky"])
        self.assertTrue(panel.yaxis_inverted())
        widths = [bar.get_width() for bar in panel.patches]
        self.assertAllClose(widths, [0.75, 0.5, 0.25])
        self.assert_all_in(["IoU", "Found again", "0.500"], texts)
        self.assertAllClose(panel.lines[-1].get_xdata(), [0.5, 0.5])
        self.assertEqual(self.read().shape[1], 800)

    def test_models_side_by_side_with_a_mean_each(self):
        values = {
            charts.REAL: np.array([0.9, 0.8, 0.7]),
            "OASIS": np.array([0.1, 0.8, np.nan]),
            "SPADE": np.array([0.5, np.nan, np.nan]),
        }
        figure, texts = self.draw(
            charts.class_bars,
            ["sky", "sea", "sand"],
            values,
            "IoU",
            "Title",
            is_saved=True,
        )
        self.assert_all_in(
            ["real images: mean (dashed) 0.800", "OASIS: mean (dashed) 0.450"]
            + ["SPADE: mean (dashed) 0.500"],
            texts,
        )
        panel = figure.axes[0]
        # By the mean over models: 0.8, 0.7, 0.5.
        names = [label.get_text() for label in panel.get_yticklabels()]
        self.assertEqual(names, ["sea", "sand", "sky"])
        colors = {bar.get_facecolor() for bar in panel.patches}
        self.assertLen(colors, 3)
        tops = sorted(bar.get_y() for bar in panel.patches)
        self.assertGreater(np.diff(tops).min(), 0.2)  # None on another.
        self.read()

    def test_classes_without_a_score_are_told_and_not_drawn(self):
        _, texts = self.draw(
            charts.class_bars,
            ["unlabeled", "sky", "sea"],
            np.array([np.nan, 0.5, 0.2]),
            "IoU",
            "Title",
        )
        self.assertNotIn("unlabeled", texts)
        self.assert_all_in(["labels without a score: 1", "sky", "0.350"], texts)

    def test_of_many_classes_the_highest_and_the_lowest(self):
        values = np.random.default_rng(0).permutation(183) / 183.0
        names = [f"class {round(183 * v)}" for v in values]
        figure, texts = self.draw(
            charts.class_bars,
            names,
            values,
            "IoU",
            "Title",
            is_saved=True,
        )
        ticks = [t.get_text() for t in figure.axes[0].get_yticklabels()]
        self.assertEqual(
            ticks,
            [f"class {n}" for n in range(182, 162, -1)]
            + ["... 143 more classes ..."]
            + [f"class {n}" for n in range(19, -1, -1)],
        )
        # The mean is over all of them.
        self.assert_all_in([f"{values.mean():.3f}"], texts)
        height, width = self.read().shape[:2]
        self.assertEqual(width, 800)
        self.assertBetween(height, 900, 2000)

    def test_forty_classes_are_all_drawn(self):
        names = [f"class {n}" for n in range(40)]
        figure, texts = self.draw(
            charts.class_bars, names, np.arange(40.0), "IoU", "Title"
        )
        self.assertLen(figure.axes[0].patches, 40)
        self.assertFalse([text for text in texts if "more" in text])

    def test_long_names_leave_room_for_the_bars(self):
        names = ["chest of drawers, chest, bureau, dresser", "wall"]
        figure, texts = self.draw(
            charts.class_bars,
            names,
            np.array([0.5, 0.4]),
            "IoU",
            "Title",
            is_saved=True,
        )
        self.assertIn("chest of drawers, chest, bure...", texts)
        self.assertGreater(figure.axes[0].get_position().width, 0.6)

    def test_no_score_at_all_is_no_error(self):
        _, texts = self.draw(
            charts.class_bars,
            ["sky"],
            np.array([np.nan]),
            "IoU",
            "Title",
            is_saved=True,
        )
        self.assert_all_in(["labels without a score: 1"], texts)
        self.assertTrue(self.path.is_file())

    def test_rejects_scores_of_other_classes(self):
        with self.assertRaisesRegex(ValueError, "Received: .*'OASIS'"):
            charts.class_bars(
                self.path, ["sky"], {"OASIS": np.zeros(2)}, "IoU", "Title"
            )


class HistogramFigureTest(ChartTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        drawn = [scenes.draw_scene(0, i, 48, 48) for i in range(4)]
        cls.images = np.stack([image for image, _ in drawn])
        cls.label_maps = np.stack([label_map for _, label_map in drawn])

    def histograms(self, images):
        histograms = Histograms(len(scenes.CLASS_NAMES))
        histograms.update(images, self.label_maps)
        return histograms

    def test_rows_for_all_and_for_the_most_frequent_classes(self):
        real = self.histograms(self.images)
        fake = self.histograms(self.images // 2)
        figure, texts = self.draw(
            charts.histogram_figure,
            real,
            {"OASIS": fake},
            scenes.CLASS_NAMES,
            is_saved=True,
        )
        frequent = np.argsort(-real.num_pixels)[:4]
        share = real.num_pixels[frequent[0]] / real.num_pixels.sum()
        self.assert_all_in(
            [scenes.CLASS_NAMES[s] for s in frequent]
            + ["all classes", "CIELAB", "real images", "OASIS"]
            + [f"{share:.1%} of all", "% of these pixels"],
            texts,
        )
        self.assertLen(figure.axes, 5 * 4)
        height, width = self.read().shape[:2]
        self.assertEqual((height, width), (1210, 1300))

    def test_distances_are_above_the_panels(self):
        real = self.histograms(self.images)
        fakes = {
            "dark": self.histograms(self.images // 2),
            "the same": self.histograms(self.images),
        }
        figure, texts = self.draw(
            charts.histogram_figure, real, fakes, scenes.CLASS_NAMES, [1]
        )
        self.assertLen(figure.axes, 2 * 4)
        overall = [h.overall(False) for h in (real, fakes["dark"])]
        of_class = [
            {name: counts[1] for name, counts in h.counts.items()}
            for h in (real, fakes["dark"])
        ]
        for pair in (overall, of_class):
            for name, digits in (("L", 2), ("b", 2), ("texture", 4)):
                distance = statistics.axis_distance(name, *pair)
                self.assertIn(f"{distance:.{digits}f}", texts)
        self.assertEqual(texts.count("0.00"), 2 * 3)
        self.assertEqual(texts.count("0.0000"), 2)

    def test_dont_care_has_no_row_and_does_not_count(self):
        counts = Histograms(3)
        images = np.zeros([1, 8, 8, 3], np.uint8)
        label_maps = np.zeros([1, 8, 8], int)
        label_maps[:, 6:] = 1
        label_maps[:, 7:] = 2
        counts.update(images, label_maps)
        names = ["unlabeled", "sky", "sea"]
        for has_dont_care, share in ((True, "50.0%"), (False, "12.5%")):
            _, texts = self.draw(
                charts.histogram_figure,
                counts,
                {"OASIS": counts},
                names,
                has_dont_care=has_dont_care,
            )
            self.assert_all_in([f"sky\n{share}", f"sea\n{share}"], texts)
            rows = [text for text in texts if "unlabeled" in text]
            self.assertLen(rows, 0 if has_dont_care else 1)

    def test_a_class_without_pixels_has_no_distance(self):
        real = self.histograms(self.images)
        empty = Histograms(len(scenes.CLASS_NAMES))
        for one, other in ((real, empty), (empty, real), (empty, empty)):
            _, texts = self.draw(
                charts.histogram_figure,
                one,
                {"OASIS": other},
                scenes.CLASS_NAMES,
                labels=[2],
            )
            self.assertEqual(texts.count("-"), 2 * 4)


class ScoresOverTimeTest(ChartTest):
    def test_a_panel_for_each_score_and_a_line_for_each_part(self):
        rows = [
            {"step": 2000.0, "FID": 40.0, "mIoU/real": 0.5, "mIoU/fake": 0.3},
            {"step": 1000.0, "FID": 60.0, "mIoU/real": 0.5, "mIoU/fake": 0.1},
        ]
        figure, texts = self.draw(
            charts.scores_over_time,
            rows,
            is_saved=True,
        )
        fid, miou = figure.axes
        self.assertAllEqual(fid.lines[0].get_xdata(), [1000, 2000])
        self.assertAllEqual(fid.lines[0].get_ydata(), [60, 40])
        self.assertLen(miou.lines, 2)
        self.assert_all_in(
            ["FID", "mIoU", "real", "fake", "training step", "comparable"],
            texts,
        )
        self.assertEqual(self.read().shape[1], 900)

    def test_missing_scores_are_left_out(self):
        rows = [
            {"step": 1, "FID": 60.0},
            {"step": 2, "FID": None, "KID": 0.1},
            {"step": 3, "FID": float("nan"), "KID": 0.2},
            {"step": 4, "FID": 30.0, "LPIPS": 0.5},
        ]
        figure, _ = self.draw(
            charts.scores_over_time,
            rows,
            is_saved=True,
        )
        self.assertLen(figure.axes, 3)
        steps = [panel.lines[0].get_xdata() for panel in figure.axes]
        self.assertEqual([list(s) for s in steps], [[1, 4], [2, 3], [4]])
        self.read()

    def test_rejects_nothing_to_draw(self):
        for rows in ([], [{"step": 1}, {"step": 2, "FID": None}]):
            with self.assertRaisesRegex(ValueError, "Received: .* rows"):
                charts.scores_over_time(self.path, rows)


if __name__ == "__main__":
    tf.test.main()
