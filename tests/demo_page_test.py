"""The command that makes the page; what the page does is tests/web's matter."""

import json
import shutil

import pytest

from oasis_tf.exporters import installed
from oasis_tf.exporters import page
from oasis_tf.exporters import tfjs
from tests import trained

MODEL = trained.ROOT / "tests/web/model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo_page")
    trained.make_workdir(path / "run", generator=trained.calm_generator())
    (path / "scenes").mkdir()
    for i in range(9):
        _, label_map = trained.save_scene(path, i)
        shutil.move(label_map, path / "scenes" / label_map.name)
    return path


@pytest.fixture(autouse=True)
def conversions(monkeypatch, tmp_path):
    """Stands in for converter and npm; the folders that were converted to."""
    folders = []

    def export_generator(generator, config, info, folder, *_):
        folders.append(folder)
        shutil.copytree(MODEL, folder)
        return {}

    library = tmp_path / "tf-core.es2017.min.js"
    library.write_text("// TensorFlow.js")
    monkeypatch.setattr(tfjs, "export_generator", export_generator)
    monkeypatch.setattr(page, "libraries", lambda: [library])
    return folders


def run(folder, *arguments):
    return trained.run("demo_page", "--build_only", *arguments, cwd=folder)


def maps(folder):
    return f"--label_maps={folder / 'scenes'}"


def test_writes_page_model_and_examples(folder, conversions):
    process = run(folder, "--model=run", maps(folder))
    assert process.returncode == 0, process.stderr
    out = folder / "run/page"
    assert f"Page: {out.resolve()}" in process.stdout
    facts = json.loads((out / "page.json").read_text())
    assert facts["dataset"] == "toy_scenes"
    assert len(facts["examples"]) == 8
    for name in facts["examples"] + ["index.html", "main.js", "worker.js"]:
        assert (out / name).is_file()
    assert (out / "vendor/tf-core.js").is_file()
    kept = {p.name: p.read_bytes() for p in MODEL.iterdir()}
    assert {p.name: p.read_bytes() for p in (out / "model").iterdir()} == kept

    # Once more: what is converted is used again.
    assert run(folder, "--model=run", maps(folder)).returncode == 0
    assert len(conversions) == 1


def test_damaged_conversion_is_made_anew(folder, conversions):
    assert run(folder, "--model=run", maps(folder)).returncode == 0
    [model] = (folder / "run/export/tfjs").iterdir()
    weights = model / "group1-shard1of1.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    process = run(folder, "--model=run", maps(folder))
    assert process.returncode == 0
    assert "is damaged: it is made anew." in process.stdout
    assert tfjs.is_whole(model)


def test_other_weights_are_converted_anew(folder, tmp_path, conversions):
    trained.make_workdir(tmp_path / "run")
    assert run(tmp_path, "--model=run", maps(folder)).returncode == 0
    shutil.rmtree(tmp_path / "run/averaged")
    shutil.copytree(folder / "run/averaged", tmp_path / "run/averaged")
    assert run(tmp_path, "--model=run", maps(folder)).returncode == 0
    assert len(set(conversions)) == 2


def test_model_that_is_not_there_is_told_and_not_made(folder):
    process = run(folder, "--model=nowhere")
    assert process.returncode == 2
    assert "nowhere" in process.stderr
    assert not (folder / "nowhere").exists()


def test_folder_of_something_else_is_left_alone(folder):
    out = folder / "mine"
    out.mkdir()
    (out / "examples").write_text("Mine.")
    process = run(folder, "--model=run", "--out=mine")
    assert process.returncode == 2
    assert "must be empty, or hold a page of before" in process.stderr
    assert [p.name for p in out.iterdir()] == ["examples"]


def test_cut_off_build_is_done_again(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(page, "restore", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(folder, "--model=run", "--out=cut", maps(folder))
    assert run(folder, "--model=run", "--out=cut", maps(folder)).returncode == 0
    facts = json.loads((folder / "cut/page.json").read_text())
    assert len(facts["examples"]) == 8


def test_what_cannot_be_installed_is_told_before_the_conversion(
    folder, monkeypatch, tmp_path, conversions
):
    def libraries():
        raise installed.InstallationError("npm must be on the PATH.")

    monkeypatch.setattr(page, "libraries", libraries)
    trained.make_workdir(tmp_path / "run")
    process = run(tmp_path, "--model=run", maps(folder))
    assert process.returncode == 1
    assert "oasis_tf.demo_page: npm must be on the PATH." in process.stderr
    assert not conversions


class TestLibraries:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.undo()  # The real ones.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "oasis_tf/tfjs_libraries"

    def test_without_npm_it_is_told(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(installed.InstallationError, match="Node.js"):
            page.libraries()

    def test_are_installed_once_and_again_where_they_are_gone(
        self, cache, monkeypatch
    ):
        calls = []

        def run(command, must, cwd):
            calls.append(command[1:3])
            for file in page._library_files(cwd):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()

        monkeypatch.setattr(page, "run", run)
        monkeypatch.setattr(page.shutil, "which", lambda name: name)
        files = page.libraries()
        assert all(file.is_file() for file in files)
        assert page.libraries() == files
        assert calls == [["ci", "--ignore-scripts"]]
        shutil.rmtree(cache / "node_modules")
        page.libraries()
        assert len(calls) == 2

    def test_what_npm_says_is_told(self, cache, tmp_path, monkeypatch):
        npm = tmp_path / "npm"
        npm.write_text("#!/bin/sh\necho no network; exit 7\n")
        npm.chmod(0o755)
        monkeypatch.setattr(page.shutil, "which", lambda name: str(npm))
        message = "needs its registry.*Received exit code 7:\nno network"
        with pytest.raises(installed.InstallationError, match=message):
            page.libraries()
        assert not (cache / ".ready").exists()
