"""`python -m oasis_tf.import_published`, on the golden networks."""

import dataclasses
import os
import pathlib
import pickle
import sys
import tempfile
import types

import numpy as np
import pytest
from PIL import Image

import oasis_tf
from oasis_tf.models import published
from oasis_tf.training import checkpoint
from tests import stand_in_torch
from tests import trained
from tests.parity import golden_files

SIZES = (
    "--dataset=folder",
    "--data_dir=classes",
    "--set=data.ignore_id=0",
    "--set=generator.noise_channels=8",
    "--set=image_size=64,64",
)


@pytest.fixture(scope="module", autouse=True)
def torch():
    """PyTorch, or what stands in for it."""
    try:
        import torch
    except ImportError:
        torch = stand_in_torch
    # Not `patch.dict`, which would take out what is imported meanwhile.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        yield torch


@pytest.fixture(scope="module")
def pth(torch):
    """Functions that write and read a state dict of arrays."""

    def save(tensors, path):
        # Copies, for PyTorch takes no arrays that cannot be written.
        torch.save(
            {
                name: torch.from_numpy(np.array(t))
                for name, t in tensors.items()
            },
            path,
        )

    def load(path):
        tensors = torch.load(
            path, map_location="cpu", weights_only=True, mmap=False
        )
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    return types.SimpleNamespace(save=save, load=load)


@pytest.fixture(scope="module")
def place(tmp_path_factory, pth):
    """A folder with the golden networks as the authors' files."""
    folder = tmp_path_factory.mktemp("published")
    for network in ("generator", "discriminator"):
        tensors = golden_files.state_dict(network)
        for name in tensors:
            if name.endswith("num_batches_tracked"):
                tensors[name] = np.array(7, np.int64)  # As PyTorch counts.
        pth.save(tensors, folder / f"{network}.pth")
    (folder / "classes").mkdir()
    lines = [f"{i} {name}\n" for i, name in enumerate("void a b c d e".split())]
    (folder / "classes/classes.txt").write_text("".join(lines))
    done = import_(
        folder,
        *SIZES,
        "--generator=generator.pth",
        "--discriminator=discriminator.pth",
        "--out=W",
    )
    assert done.returncode == 0, done.stderr
    return folder


def import_(place, *flags):
    return trained.run("import_published", *flags, cwd=place)


def of_vector(z, noise):
    """Returns `noise` with z in every pixel."""
    values = np.broadcast_to(z, noise.values.shape)
    return dataclasses.replace(noise, values=values)


@pytest.mark.parametrize("file", ["forward_square", "forward_wide"])
def test_imported_networks_have_the_golden_outputs(place, file):
    golden = golden_files.load(file)
    generator = oasis_tf.load_generator(place / "W")
    segmenter = oasis_tf.load_segmenter(place / "W")
    for n, label_map in enumerate(golden["label_map"]):
        noise = generator.noise(label_map)
        noises = {"generated": of_vector(golden["z"][n], noise)}
        if "z_local" in golden:
            noises["generated_local"] = noises["generated"].interpolate(
                of_vector(golden["z_local"][n], noise),
                share=1,
                mask=golden["noise_mask"][n],
            )
        for name, its_noise in noises.items():
            image = generator.generate(label_map, noise=its_noise)
            expected = (golden[name][n] + 1) * 127.5
            assert np.abs(image - expected).max() < 0.52
    logits = segmenter.discriminator(golden["image"])
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=2e-4)


@pytest.mark.slow
def test_imported_networks_work_in_every_command(place):
    golden = golden_files.load("forward_square")
    Image.fromarray(golden["label_map"][0].astype(np.uint8)).save(
        place / "map.png"
    )
    photo = np.uint8(np.clip((golden["image"][0] + 1) * 127.5, 0, 255))
    Image.fromarray(photo).save(place / "photo.png")
    for flags in (
        ("synthesize", "--label_map=map.png", "--num=2"),
        ("segment", "--image=photo.png"),
        ("recreate", "--image=photo.png", "--num=1"),
    ):
        done = trained.run(*flags, "--model=W", cwd=place)
        assert done.returncode == 0, done.stderr


def test_way_back_is_bit_exact(place, pth):
    done = import_(place, "--to_published", "--model=W", "--out=P")
    assert done.returncode == 0, done.stderr
    for file, network in (
        ("best_EMA.pth", "generator"),
        ("best_D.pth", "discriminator"),
    ):
        ours = pth.load(place / "P" / file)
        theirs = pth.load(place / f"{network}.pth")
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert ours[name].dtype == tensor.dtype, name
            np.testing.assert_array_equal(ours[name], tensor, name)


def test_what_does_not_fit_is_refused(place, pth):
    (place / "text.pth").write_text("hello")
    tensors = pth.load(place / "generator.pth")
    del tensors["conv_img.bias"]
    tensors["extra"] = np.zeros(3)
    tensors["fc.bias"] = np.zeros(3)
    pth.save(tensors, place / "torn.pth")
    tensors = pth.load(place / "generator.pth")
    tensors["conv_img.bias"][1] = np.nan
    pth.save(tensors, place / "nan.pth")
    for flags, messages in (
        (["--generator=text.pth"], ["text.pth must be a state dict"]),
        (["--generator=no.pth"], ["'no.pth', which is not there"]),
        (
            ["--generator=torn.pth"],
            [
                "conv_img.bias: expected shape (3,), found none",
                "extra: expected none, found shape (3,)",
                "fc.bias: expected shape (64,), found (3,)",
            ],
        ),
        (["--generator=discriminator.pth"], ["must hold 'fc.weight'"]),
        (["--generator=nan.pth"], ["conv_img.bias: expected finite numbers"]),
        (["--generator=classes"], ["'classes', which is a folder"]),
        (["--generator=nan.pth", "--model=W"], ["takes the other flags"]),
    ):
        done = import_(place, *SIZES, *flags, "--out=bad")
        assert done.returncode == 2
        for message in messages:
            assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (place / "bad").exists()
    done = import_(
        place, "--dataset=ade20k", "--generator=generator.pth", "--out=bad"
    )
    assert done.returncode == 2
    assert "fc.weight must have shape [64, 215, 3, 3] for ade20k" in done.stderr
    done = import_(place, *SIZES, "--generator=generator.pth", "--out=W")
    assert done.returncode == 2
    assert "`--out` must be a new folder" in done.stderr


def test_another_data_set_is_guessed(tmp_path, pth):
    tensors = {
        "fc.weight": np.zeros([4, 64 + 183, 3, 3], np.float32),
        "body.0.conv_1.weight_orig": np.zeros([4, 4, 3, 3], np.float32),
        "body.0.norm_0.mlp_shared.0.weight": np.zeros(
            [2, 64 + 183, 3, 3], np.float32
        ),
    }
    pth.save(tensors, tmp_path / "g.pth")
    done = import_(
        tmp_path, "--dataset=cityscapes", "--generator=g.pth", "--out=W"
    )
    assert done.returncode == 2
    assert "it looks like coco_stuff's" in done.stderr


class Evil:
    """Leaves a trace where it is unpickled without care."""

    trace = str(pathlib.Path(tempfile.gettempdir(), f"trace{os.getpid()}"))

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def test_a_file_that_would_execute_something_is_refused(tmp_path, torch):
    if torch is stand_in_torch:
        pytest.skip("PyTorch is not installed.")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    pickle.loads((tmp_path / "evil.pth").read_bytes())
    pathlib.Path(Evil.trace).rmdir()  # It would have done it.
    done = import_(
        tmp_path, "--dataset=ade20k", "--generator=evil.pth", "--out=W"
    )
    assert done.returncode == 2
    assert "evil.pth must be a state dict" in done.stderr
    assert "holds more than weights" in done.stderr
    assert not pathlib.Path(Evil.trace).exists()


def test_without_torch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"")
    done = import_(tmp_path, "--dataset=ade20k", "--generator=a.pth", "--out=W")
    assert done.returncode == 2
    assert "PyTorch: `pip install torch`" in done.stderr
    assert not (tmp_path / "W").exists()


def test_round_trip_of_every_tensor():
    generator, discriminator = trained.networks()
    for network in (generator, discriminator):
        values = {v.path: v.numpy() for v in network.variables}
        tensors = published.to_state_dict(values, {})
        for variable in network.variables:
            variable.assign(np.zeros(variable.shape))
        published.load_state_dict(network, tensors)
        for variable in network.variables:
            np.testing.assert_array_equal(variable, values[variable.path])


def test_imported_networks_are_not_trained_in_place(tmp_path):
    from oasis_tf import model_files
    from oasis_tf.training import workdir
    from tests import tiny

    (tmp_path / model_files.IMPORTED).write_text('{"files": {}}')
    with pytest.raises(workdir.ResumeError, match="--init_from="):
        workdir.claim(tmp_path, tiny.CONFIG, None)


def test_networks_alone_are_read_back(tmp_path):
    generator, discriminator = trained.networks()
    checkpoint.save_models(tmp_path, discriminator=discriminator)
    kept = [variable.numpy() for variable in discriminator.variables]
    for variable in discriminator.variables:
        variable.assign(np.zeros(variable.shape))
    checkpoint.restore_models(tmp_path, discriminator=discriminator)
    for variable, value in zip(discriminator.variables, kept):
        np.testing.assert_array_equal(variable, value)
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.restore_models(tmp_path, generator=generator)
