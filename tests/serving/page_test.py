"""The page at `/`: what a browser gets to see."""

import json
import re
import shutil
import subprocess

import pytest

from oasis_tf.serving.model_config import Model
from oasis_tf.serving.versions import Settings
from tests.serving import running
from tests.serving import toy_models


@pytest.fixture(scope="module")
def answer():
    with running.running(
        toy_models.models(), settings=Settings(allow_labels=True)
    ) as options:
        yield running.ask(options, "GET", "/")


@pytest.fixture(scope="module")
def page(answer):
    return answer.body.decode()


def test_is_html(answer):
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.body.startswith(b"<!doctype html>")


def test_lists_the_models_that_are_served(page):
    for name in ("oasis", "half_plus_two"):
        assert f'"{name}"' in page


def test_names_end_no_script(tmp_path):
    name = "</script><b>"
    toy_models.save_half_plus_two(tmp_path / "1")
    with running.running([Model(name, str(tmp_path))]) as options:
        page = running.ask(options, "GET", "/").body.decode()
    assert name not in page
    assert page.count("</script>") == 2


def test_asks_nobody_else(page):
    links = re.findall(r"https?://[^\s\"'`<]+", page)
    assert not [link for link in links if "www.w3.org" not in link]
    for source in re.findall(r"<[^>]+(?:src|href)=\"([^\"]*)", page):
        assert source.startswith("data:")


def test_writes_no_text_of_others_as_html(page):
    # Names and errors come from requests and models.
    assert "innerHTML" not in page
    assert "document.write" not in page


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed.")
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            "assertion failed: [label_map: got values from] [-1] [to] [7]\n\t "
            "[[{{node Assert}}]]",
            "label_map: got values from -1 to 7",
        ),
        ("assertion failed: [a]\nof [2]] [3]", "a]\nof [2] 3"),
        ("Servable not found\n\tat x", "Servable not found"),
    ],
)
def test_errors_of_checks_are_shown_without_brackets(page, error, shown):
    [function] = re.findall(r"^function toPlain.*?^}", page, re.M | re.S)
    script = f"{function}\nprocess.stdout.write(toPlain({json.dumps(error)}))"
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == shown
