"""Makes `lpips.npz`: what the authors' lpips package says of fixed pictures.

    pip install torch==2.14.1 torchvision==0.29.1 lpips==0.1.4
    python tests/evaluation/golden/make_lpips_golden.py

in an environment of its own. No published weights are needed: backbones and
linear layers have the weights of the rule below, which takes NumPy alone. The
package's networks compute in float64. For each pair of pictures `<net>_<i>_a`
and `_b`, uint8 `[B, H, W, 3]`, there are the distances `_distance` `[B]` and,
for the first of the batch, `_map` `[H, W]`, the package's `spatial=True`.
"""

import pathlib
import zlib

import numpy as np

PATH = pathlib.Path(__file__).parent / "lpips.npz"

# (height, width, pairs): AlexNet's smallest and odd sizes among them.
SIZES = {
    "alex": [(64, 64, 2), (31, 45, 1)],
    "vgg": [(48, 64, 2), (16, 29, 1)],
}

# {index in `features`: (out, in, size)}
KERNELS = {
    "alex": {
        0: (64, 3, 11),
        3: (192, 64, 5),
        6: (384, 192, 3),
        8: (256, 384, 3),
        10: (256, 256, 3),
    },
    "vgg": {
        0: (64, 3, 3),
        2: (64, 64, 3),
        5: (128, 64, 3),
        7: (128, 128, 3),
        10: (256, 128, 3),
        12: (256, 256, 3),
        14: (256, 256, 3),
        17: (512, 256, 3),
        19: (512, 512, 3),
        21: (512, 512, 3),
        24: (512, 512, 3),
        26: (512, 512, 3),
        28: (512, 512, 3),
    },
}
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def backbone(net):
    """Returns {name: float32 array} as in torchvision's files."""
    tensors = {}
    for index, (outputs, inputs, size) in KERNELS[net].items():
        shape = (outputs, inputs, size, size)
        kernel = _random(f"{net} kernel {index}").standard_normal(shape)
        bias = _random(f"{net} bias {index}").standard_normal(outputs)
        scale = np.sqrt(2 / (inputs * size**2))
        tensors[f"features.{index}.weight"] = np.float32(scale * kernel)
        tensors[f"features.{index}.bias"] = np.float32(0.1 * bias)
    return tensors


def linear(net):
    """Returns {name: float32 array} as in the lpips package's files."""
    return {
        f"lin{i}.model.1.weight": np.float32(
            _random(f"{net} linear {i}").random_sample((1, channels, 1, 1))
        )
        for i, channels in enumerate(CHANNELS[net])
    }


def _random(name):
    # This class's numbers stay the same in all versions of NumPy.
    return np.random.RandomState(zlib.crc32(name.encode()))


def _pictures(net, i, height, width, num_pairs):
    """Returns random colours that change slowly, and these with changes."""
    random = _random(f"{net} pictures {i}")
    coarse = random.randint(0, 256, (num_pairs, 8, 8, 3))
    rows = np.arange(height) * 8 // height
    columns = np.arange(width) * 8 // width
    first = coarse[:, rows][:, :, columns]
    first = first + 20 * random.standard_normal(first.shape)
    # The second pair of a batch differs less.
    strength = np.array([60, 5])[:num_pairs, None, None, None]
    second = first[:, :, ::-1] if i else first
    second = second + strength * random.standard_normal(first.shape)
    return [np.uint8(np.clip(a, 0, 255)) for a in (first, second)]


def main():
    import lpips
    import torch

    def to_torch(images):
        images = torch.from_numpy(images).permute(0, 3, 1, 2).double()
        return images / 127.5 - 1

    arrays = {}
    for net, sizes in SIZES.items():
        package = lpips.LPIPS(
            pretrained=False, net=net, pnet_rand=True, verbose=False
        )
        published, tensors = backbone(net), linear(net)
        for name in package.state_dict():
            # As net.slice3.6.weight, for features.6.weight.
            if name.startswith("net."):
                index, kind = name.split(".")[-2:]
                tensors[name] = published[f"features.{index}.{kind}"]
            # The same layers by their second name.
            if name.startswith("lins."):
                tensors[name] = tensors[name.replace("s.", "", 1)]
        missing = package.load_state_dict(
            {n: torch.from_numpy(t) for n, t in tensors.items()}, strict=False
        )
        assert not missing.unexpected_keys, missing
        assert all("scaling_layer" in n for n in missing.missing_keys), missing
        package = package.double().eval()
        for i, size in enumerate(sizes):
            a, b = _pictures(net, i, *size)
            with torch.no_grad():
                package.spatial = False
                distance = package(to_torch(a), to_torch(b))
                package.spatial = True
                spatial = package(to_torch(a), to_torch(b))
            arrays[f"{net}_{i}_a"], arrays[f"{net}_{i}_b"] = a, b
            arrays[f"{net}_{i}_distance"] = distance.numpy().ravel()
            arrays[f"{net}_{i}_map"] = np.float32(spatial[0, 0].numpy())
            print(net, size, arrays[f"{net}_{i}_distance"])
    np.savez_compressed(PATH, **arrays)
    print(f"{PATH}: {PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
