"""Numbers of a run by step: kept in a CSV file, drawn as curves."""

import csv
import pathlib

import matplotlib.figure

from oasis_tf import model_files
from oasis_tf.evaluation import charts


class History:
    """Named numbers at some steps, kept in a file.

    Args:
        path: of the CSV file: a column "step" and one per name.
        step: finished steps; what the file holds beyond them is dropped, for
            a resumed run makes these steps again.
    """

    def __init__(self, path, step):
        self._path = pathlib.Path(path)
        self.rows = []
        if self._path.is_file():
            # A line that was cut off in writing does not end.
            text = self._path.read_text().rpartition("\n")[0]
            rows = [
                {name: float(value or "nan") for name, value in row.items()}
                for row in csv.DictReader(text.splitlines())
            ]
            self.rows = [row for row in rows if row["step"] <= step]
            self._rewrite()

    def add(self, step, numbers):
        """Adds a line.

        Args:
            step: finished steps.
            numbers: {name: float}. A name may be new, or missing: its column
                is empty there.
        """
        names = self._names
        self.rows.append({"step": float(step)} | numbers)
        if self._names != names:
            self._rewrite()
            return
        with open(self._path, "a", newline="") as file:
            self._writer(file).writerow(self.rows[-1])

    @property
    def _names(self):
        """The columns, in the order in which they came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _writer(self, file):
        return csv.DictWriter(file, self._names, lineterminator="\n")

    def _rewrite(self):
        with (
            model_files.replacing(self._path) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            if self.rows:
                self._writer(file).writeheader()
                self._writer(file).writerows(self.rows)

    def draw(self, path):
        """Draws losses, named "network/part", one panel for each network.

        Args:
            path: of the picture.
        """
        if not self.rows:
            return
        names = [name for name in self.rows[0] if name != "step"]
        networks = sorted({name.partition("/")[0] for name in names})
        steps = [row["step"] for row in self.rows]
        figure = matplotlib.figure.Figure(
            figsize=(8, 3 * len(networks)), layout="constrained"
        )
        panels = figure.subplots(len(networks), 1, sharex=True, squeeze=False)
        for panel, network in zip(panels[:, 0], networks, strict=True):
            for name in names:
                if name.startswith(f"{network}/"):
                    values = [row[name] for row in self.rows]
                    label = name.partition("/")[2]
                    panel.plot(steps, values, label=label, linewidth=1)
            panel.set_title(network)
            panel.set_ylabel("loss")
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
            panel.legend()
        panels[-1, 0].set_xlabel("step")
        charts.save(figure, path)
