"""The networks in PyTorch, with the names of our weights; their weights; the pictures that both sides see."""
import json
import math
import pathlib
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn


# -- networks

class Stack(nn.Module):
    """A linear layer of each expert."""

    def __init__(self, experts, width, out):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(experts, out, width))
        self.bias = nn.Parameter(torch.zeros(experts, out))


class Moe(nn.Module):
    """Softmax router, top-k, the tokens of each expert side by side: one sort, one gather, one scatter."""

    def __init__(self, width, hidden, experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleDict({"fc1": Stack(experts, width, hidden), "fc2": Stack(experts, hidden, width)})

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, index = self.router(tokens).softmax(-1).topk(self.top_k)
        chosen = index.flatten()
        order = chosen.argsort()
        rows, gate = order // self.top_k, gates.flatten().index_select(0, order)
        counts = torch.bincount(chosen, minlength=self.router.out_features).tolist()
        fc1, fc2, outputs = self.experts["fc1"], self.experts["fc2"], []
        for e, routed in enumerate(tokens.index_select(0, rows).split(counts)):
            if len(routed) > 0:
                outputs.append(F.linear(F.gelu(F.linear(routed, fc1.weight[e], fc1.bias[e])), fc2.weight[e], fc2.bias[e]))
        y = torch.cat(outputs) * gate[:, None]
        return torch.zeros_like(tokens).index_add_(0, rows, y).reshape(x.shape)


class MoeBlock(nn.Module):
    def __init__(self, width, experts, top_k):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Moe(width, 4 * width, experts, top_k)

    def forward(self, x):
        return x + self.mlp(self.norm(x))


class MoeNetwork(nn.Module):
    """moe.vmoe."""

    def __init__(self, experts, top_k, width=384, classes=10):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 1)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(MoeBlock(width, experts, top_k))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return self.head(self.blocks(x).mean(1))


def build(name):
    """A network by the name that compare.py gives it: MODEL of timm, cifar_convnext or moe_EXPERTS_TOPK."""
    if name.startswith("moe_"):
        return MoeNetwork(*map(int, name.split("_")[1:]))
    import timm
    if name == "cifar_convnext":
        model = timm.models.convnext.ConvNeXt(num_classes=10, depths=(2, 2, 6, 2), dims=(48, 96, 192, 384), patch_size=2)
        model.stages[0].downsample = nn.Identity()      # behind small patches timm would halve the map once more
        return model
    return timm.create_model(name)


# -- weights and pictures

def random_weights(name, path):
    """Weights under which every block counts: with the usual first ones (layer scales of 1e-6, biases of 0) a block could be
    wrong, and the logits would not tell."""
    g = torch.Generator().manual_seed(1)
    tensors = {}
    for key, p in build(name).state_dict().items():
        noise = torch.randn(p.shape, generator=g)
        fan_in = math.prod(p.shape[1:]) if "experts" not in key else p.shape[-1]
        if key.endswith("gamma"):
            tensors[key] = 0.3 + 0.1 * noise
        elif key.endswith("weight") and p.dim() > 1:
            tensors[key] = noise / math.sqrt(fan_in)
        else:
            tensors[key] = 0.1 * noise + (1.0 if key.endswith("weight") else 0.0)
    save_file(tensors, path)


def made_up(size, r):
    """Smooth colours and some grain."""
    coarse = Image.fromarray(np.frombuffer(r.randbytes(3 * 8 * 8), np.uint8).reshape(8, 8, 3))
    grain = np.frombuffer(r.randbytes(3 * size * size), np.uint8).reshape(size, size, 3)
    return Image.blend(coarse.resize((size, size), Image.Resampling.BICUBIC), Image.fromarray(grain), 0.2)


def write_pictures(folder, count, preprocessing, source=None):
    """PNGs of the size at which nothing needs resampling, made up or from a folder of photos."""
    size, r = resized(preprocessing), random.Random(1)
    photos = sorted(p for p in pathlib.Path(source).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")) if source else []
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        image = made_up(size, r)
        if photos:
            image = Image.open(photos[i * len(photos) // count]).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        paths.append(f"{folder}/{i}.png")
        image.save(paths[-1])
    return paths


def resized(preprocessing):
    return math.floor(preprocessing["input_size"][1] / preprocessing["crop_pct"])


def read_picture(path, preprocessing):
    """What our programs do with such a picture: the centre, mean and standard deviation."""
    image, (_, height, width) = Image.open(path).convert("RGB"), preprocessing["input_size"]
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)), np.float32) / 255
    pixels = (pixels - np.float32(preprocessing["mean"])) / np.float32(preprocessing["std"])
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_pictures(paths, batch, preprocessing):
    """A batch, the pictures over and over."""
    pictures = [read_picture(p, preprocessing) for p in paths[:batch]]
    return torch.stack([pictures[i % len(pictures)] for i in range(batch)])


def load(name, weights):
    model = build(name)
    model.load_state_dict(load_file(weights))
    return model
