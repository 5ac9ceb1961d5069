#!/usr/bin/env python3
"""Records the logits that timm gives for the networks of dense.txt, for dense.sh.

    python3 record_dense.py PICTURES [NAME]...

PICTURES is the folder ../shared/data/imagenet-sample of the project; names are those of dense.txt, all unless given.
Needed are torch (1.13 recorded what is here), timm (0.9.16), numpy, Pillow; torchvision is not. In a Debian with
python3-torch:

    python3 -m venv --system-site-packages venv
    venv/bin/pip install --no-deps timm==0.9.16 safetensors huggingface_hub pyyaml

Each network is computed in double precision from hashed weights (README.md has their definition), on the pictures that
dense.sh names, prepared as timm prepares them for the network's weights. Written are logits/NAME.f32, a row of logits
for each picture; and for one network of each family logits/NAME.tanh.f32, with the tanh form of GELU. These and another
eps in any single norm must make a difference that dense.sh notices, or the script ends. The largest network takes 6 GB
and a minute.
"""
import importlib.abc
import importlib.machinery
import math
import pathlib
import re
import sys
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for packages that timm imports and nothing here uses."""

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torchvision", "huggingface_hub"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return mock.MagicMock(name=spec.name, __path__=[], __spec__=spec, __name__=spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Stubs())
import timm                                                         # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TOLERANCE = 1e-5                        # of dense.sh
PROBED = ("vit.tiny", "convnext.tiny", "convnext_iso.small")


# -- weights, as hash_weights.c

SHIFTS = {"patch_embed.proj": 4, "stem": 4, "stem.0": 4, "stem.1": 4, "cls_token": 4, "pos_embed": 4, "attn.proj": 4,
          "mlp.fc2": 4, "downsample.1": 4}


def value_range(name, shape):
    """Mean and amplitude."""
    layer = re.sub(r"\.(weight|bias)$", "", name)
    shift = next((s for end, s in SHIFTS.items() if ("." + layer).endswith("." + end)), 0)
    mean, bits = 0.0, 0
    if name.endswith(".gamma"):
        mean, bits = 0.3125, 3
    elif name.endswith(".bias"):
        bits = 5
    elif name.endswith(".weight") and len(shape) == 1:
        mean, bits = 1.0, 2
    elif name.endswith(".weight"):
        bits = int(math.log2(math.prod(shape[1:]))) // 2
    return mean * 2.0 ** -shift, 2.0 ** -(bits + shift)


def hashed(name, shape):
    """The tensor, as float32."""
    seed = 2166136261
    for c in name.encode():
        seed = (seed ^ c) * 16777619 & 0xFFFFFFFF
    mean, amplitude = value_range(name, shape)
    count = math.prod(shape)
    out = np.empty(count, np.float32)
    for start in range(0, count, 1 << 22):
        stop = min(start + (1 << 22), count)
        h = np.arange(start, stop, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
        h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
        h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
        h = h ^ h >> np.uint32(16)
        centred = (h >> np.uint32(8)).astype(np.int32) - (1 << 23)
        out[start:stop] = (mean + centred * (amplitude / 2 ** 23)).astype(np.float32)
    return torch.from_numpy(out.reshape(shape))


# -- networks

class Isotropic(nn.Module):
    """Isotropic ConvNeXt (arXiv 2201.03545, section 3.3), its parameters named as timm names those of ConvNeXt."""

    def __init__(self, depth, width, scaled):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.ModuleList(self.block(width, scaled) for _ in range(depth))
        self.head = nn.ModuleDict(dict(norm=nn.LayerNorm(width, 1e-6), fc=nn.Linear(width, 1000)))

    @staticmethod
    def block(width, scaled):
        b = nn.Module()
        b.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        b.norm = nn.LayerNorm(width, 1e-6)
        b.mlp = nn.ModuleDict(dict(fc1=nn.Linear(width, 4 * width), act=nn.GELU(), fc2=nn.Linear(4 * width, width)))
        if scaled:
            b.gamma = nn.Parameter(torch.empty(width))
        return b

    def forward(self, x):
        x = self.stem(x)
        for b in self.blocks:
            y = b.norm(b.conv_dw(x).permute(0, 2, 3, 1))
            y = b.mlp["fc2"](b.mlp["act"](b.mlp["fc1"](y)))
            x = x + (y * b.gamma if hasattr(b, "gamma") else y).permute(0, 3, 1, 2)
        return self.head["fc"](self.head["norm"](x.mean((2, 3))))


def make_network(twin):
    """The network with its weights, in double precision; its configuration: size, crop, mean, std."""
    name, *changes = twin.split(",")
    if name == "isotropic":
        network = Isotropic(int(changes[0]), int(changes[1]), changes[2] == "1")
        config = timm.models.get_pretrained_cfg("convnext_tiny.fb_in1k")
        size, crop = 224, config.crop_pct
    else:
        config = timm.models.get_pretrained_cfg(name)
        settings = {k: int(v) if v.isdigit() else v for k, v in (c.split("=") for c in changes)}
        crop, size = float(settings.pop("crop_pct", config.crop_pct)), settings.get("img_size", 224)
        if name.startswith("convnext"):                             # any size goes
            settings.pop("img_size", None)
        network = timm.create_model(name, num_classes=1000, **settings)
    network = network.eval().double()
    with torch.no_grad():
        for tensor_name, tensor in network.state_dict().items():
            tensor.copy_(hashed(tensor_name, tuple(tensor.shape)))
    return network, size, crop, config


# -- what would be noticed

def share(other, logits):
    """The largest difference as a share of the largest logit, of the worst picture."""
    return float(((other - logits).abs().amax(1) / logits.abs().amax(1)).max())


def probe_eps(network, x, logits):
    """The least difference that a single norm with another eps makes."""
    least = math.inf
    for norm in [m for m in network.modules() if isinstance(m, nn.LayerNorm)]:
        assert norm.eps == 1e-6
        norm.eps = 1e-5
        least = min(least, share(network(x), logits))
        norm.eps = 1e-6
    return least


def take_tanh(network):
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "GELU":
                setattr(module, name, nn.GELU("tanh"))


# -- pictures, as timm's transforms for evaluation

def prepare(path, size, crop, config):
    assert config.crop_mode == "center" and config.interpolation == "bicubic"
    picture = Image.open(path).convert("RGB")
    scale = math.floor(size / crop)
    w, h = picture.size
    if min(w, h) != scale:
        w, h = (scale, int(scale * h / w)) if w <= h else (int(scale * w / h), scale)
        picture = picture.resize((w, h), Image.BICUBIC)
    left, top = int(round((w - size) / 2.0)), int(round((h - size) / 2.0))
    picture = picture.crop((left, top, left + size, top + size))
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (config.mean, config.std))
    return ((x - mean) / std).double()


def record(name, count, twin, paths):
    network, size, crop, config = make_network(twin)
    assert sum(p.numel() for p in network.parameters()) == count, f"{name} has not {count} parameters"
    x = torch.stack([prepare(p, size, crop, config) for p in paths])
    with torch.no_grad():
        logits = network(x)
        logits.float().numpy().tofile(HERE / "logits" / f"{name}.f32")
        print(f"{name}: logits to {logits.abs().max():.2f}, deviation {logits.std():.2f}, "
              f"between pictures {(logits[0] - logits[1]).std():.2f}", flush=True)
        if name in PROBED:
            eps = probe_eps(network, x[:1], logits[:1])
            take_tanh(network)
            other = network(x)
            tanh = share(other, logits)
            other.float().numpy().tofile(HERE / "logits" / f"{name}.tanh.f32")
            print(f"{name}: the eps of one norm makes at least {eps:.1e}, tanh {tanh:.1e}", flush=True)
            assert eps > 2 * TOLERANCE and tanh > 10 * TOLERANCE


def main():
    folder = pathlib.Path(sys.argv[1])
    names = re.search(r'^pictures="(.*)"$', (HERE / "dense.sh").read_text(), re.M).group(1).split()
    paths = [folder / n for n in names]
    for line in (HERE / "dense.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, count, twin = line.split()[:4]
            if not sys.argv[2:] or name in sys.argv[2:]:
                record(name, int(count), twin, paths)


if __name__ == "__main__":
    main()
