"""`python -m benchmarks.evaluation` on few features."""

import subprocess
import sys

from tests import trained


def test_tells_of_each_stage(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.evaluation",
            "--images=70",
            "--features=8",
        ],
        cwd=tmp_path,
        env=trained.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["Stage", "Seconds", "Peak"]
    assert [row[0] for row in rows[-3:]] == ["FID", "KID", "precision, recall"]
    # TensorFlow alone takes so much.
    assert all(0.1 < float(row[2].split()[0]) < 4 for row in rows[2:])
    # Of one distribution: most of each lies among the other.
    precision = float(done.stdout.split("Precision ")[1].split(",")[0])
    assert 0.3 < precision <= 1
