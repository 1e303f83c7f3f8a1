"""Makes inception.npz: what other implementations make of the same inputs.

    pip install torch==2.13.0 torchvision torch-fidelity==0.4.0 \
        pytorch-fid==0.3.0
    python tests/evaluation/golden/make_inception_golden.py

Weights, images and features follow from the rules below, which take NumPy
alone; the file holds what comes out, nothing that is published:

- `names`, `shapes`: of the tensors in a published file.
- `pytorch_fid`, `tensorflow_1`: [3, 2048], features of the images by
  PyTorch-FID and by torch-fidelity, each with its own way to resize.
- `crops_...`: [3, 32, 32, 3], a part (`CROP`) of the resized images.
- `fid_pytorch_fid`, `fid_torch_fidelity`, `fid_singular_...`: distances of
  `feature_sets(500)` and `feature_sets(40)`.
- `kid`, `kid_all`: mean and standard deviation of `feature_sets(500)`, of 20
  subsets of 100 with the seed 3, and of one with all 500.
- `precision_recall`: of `feature_sets(500)`.
"""

import pathlib
import tempfile

import numpy as np

PATH = pathlib.Path(__file__).with_name("inception.npz")
CROP = np.s_[:, 267:, 120:152]  # To the lower edge.


def weights(shapes):
    """Returns {name: float32 array} for {name: shape}, in PyTorch's layout."""
    random = np.random.RandomState(0)
    tensors = {}
    for name in sorted(shapes):
        shape = shapes[name]
        kind = name.rpartition(".")[2]
        if kind == "running_var" or name.endswith("bn.weight"):
            value = random.uniform(0.5, 1.5, shape)
        elif kind == "weight":
            value = random.standard_normal(shape)
            value *= np.sqrt(2 / np.prod(shape[1:]))  # Keeps the size.
        else:
            value = 0.2 * random.standard_normal(shape)
        tensors[name] = value.astype(np.float32)
    return tensors


def images():
    """Returns three images, uint8 `[1, H, W, 3]`: small, large, 299 x 299."""
    random = np.random.RandomState(1)
    result = []
    for height, width, cell in ((60, 92, 4), (410, 333, 16), (299, 299, 1)):
        cells = random.randint(0, 256, [height // cell + 1, width // cell + 1])
        image = np.kron(cells, np.ones([cell, cell]))[:height, :width]
        tint = random.uniform(0.3, 1, 3)
        noise = random.uniform(0, 30, [height, width, 3])
        image = image[..., None] * tint * 0.8 + noise
        result.append(image.astype(np.uint8)[None])
    return result


def feature_sets(num):
    """Returns two sets of features, float32 `[num, 64]`, at least 0."""
    random = np.random.RandomState(2)
    mixing = random.standard_normal([64, 64]) / 8
    real = np.maximum(random.standard_normal([num, 64]) @ mixing + 0.3, 0)
    fake = random.standard_normal([num, 64]) @ mixing * 0.8 + 0.4
    return real.astype(np.float32), np.maximum(fake, 0).astype(np.float32)


def main():
    import torch
    import torchvision
    from pytorch_fid import fid_score
    from pytorch_fid import inception as pytorch_fid
    from torch_fidelity import interpolate_compat_tensorflow as tensorflow_1
    from torch_fidelity import metric_fid
    from torch_fidelity import metric_kid
    from torch_fidelity import metric_prc
    from torch_fidelity.feature_extractor_inceptionv3 import (
        FeatureExtractorInceptionV3,
    )

    torch.set_grad_enabled(False)

    # Both networks below take these names, and no others.
    named = torchvision.models.inception_v3(
        num_classes=1008, aux_logits=False, weights=None, init_weights=False
    )
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in named.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    tensors = {n: torch.from_numpy(t) for n, t in weights(shapes).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/weights.pth"
        torch.save(tensors, path)
        theirs = FeatureExtractorInceptionV3("inception", ["2048"], path)
    pytorch_fid.load_state_dict_from_url = lambda *_, **__: tensors
    network = pytorch_fid.InceptionV3().eval()

    found = {
        "names": np.array(list(shapes)),
        "shapes": np.array([repr(list(s)) for s in shapes.values()]),
    }
    outputs = {
        "pytorch_fid": [],
        "tensorflow_1": [],
        "crops_pytorch_fid": [],
        "crops_tensorflow_1": [],
    }
    for image in images():
        image = torch.from_numpy(image).permute(0, 3, 1, 2)
        zero_to_one = image.float() / 255
        outputs["pytorch_fid"].append(network(zero_to_one)[0][:, :, 0, 0])
        outputs["tensorflow_1"].append(theirs(image)[0])
        resized = torch.nn.functional.interpolate(
            zero_to_one, (299, 299), mode="bilinear", align_corners=False
        )
        crop = (2 * resized - 1).permute(0, 2, 3, 1)[CROP]
        outputs["crops_pytorch_fid"].append(crop)
        resized = tensorflow_1.interpolate_bilinear_2d_like_tensorflow1x(
            image.float(), (299, 299), align_corners=False
        )
        crop = ((resized - 128) / 128).permute(0, 2, 3, 1)[CROP]
        outputs["crops_tensorflow_1"].append(crop)
    for name, values in outputs.items():
        found[name] = torch.cat(values).numpy()

    for prefix, num in (("fid", 500), ("fid_singular", 40)):
        moments = [
            {
                "mu": np.mean(features, axis=0),
                "sigma": np.cov(features, rowvar=False),
            }
            for features in map(np.float64, feature_sets(num))
        ]
        found[f"{prefix}_pytorch_fid"] = fid_score.calculate_frechet_distance(
            *moments[0].values(), *moments[1].values()
        )
        found[f"{prefix}_torch_fidelity"] = metric_fid.fid_statistics_to_metric(
            *moments, verbose=False
        )[metric_fid.KEY_METRIC_FID]
    real, fake = map(torch.from_numpy, feature_sets(500))
    for name, subsets, size in (("kid", 20, 100), ("kid_all", 1, 500)):
        distance = metric_kid.kid_features_to_metric(
            real.double(),
            fake.double(),
            kid_subsets=subsets,
            kid_subset_size=size,
            rng_seed=3,
            verbose=False,
        )
        found[name] = np.array(list(distance.values()))
    # Its first argument are the fakes.
    scores = metric_prc.prc_features_to_metric(fake, real, verbose=False)
    found["precision_recall"] = np.array(list(scores.values())[:2])
    np.savez_compressed(PATH, **found)


if __name__ == "__main__":
    main()
