#!/usr/bin/env python3
"""Records what PyTorch computes for the networks of this folder, for test_models.c.

    python3 record.py                   needs torch (1.13 wrote what is here) and numpy; takes seconds

For each network NAME.vmoe there is a twin below: plain functions in double precision, with the definitions of timm (ViT,
ConvNeXt) and of ARCHITECTURE.md and nodes.def (routing). Written are

    pictures/train/CLASS/N.png          the eight pictures, 32 x 32, one batch
    NAME.safetensors                    random weights to start from
    NAME.json                           logits, features, and loss, gradient norm and learning rate of five AdamW steps
    NAME.trained.safetensors            the weights behind them

A case NAME-1 is NAME with -D variant=1; it starts from the weights of NAME. Choices that rounding could turn (experts,
drops) must not be close ones, which is checked.
"""
import json
import math
import pathlib
import struct
import zlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
LABELS = [0, 0, 1, 1, 2, 2, 3, 4]
CLASSES = "abcde"
SIZE = 32
STEPS = 5
SEED = 0
MARGIN = 3e-5                           # least distance of any choice from being another one
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


# -- weights: made when a twin first asks for them

class Weights:
    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)
        self.tensors = {}
        self.margin = math.inf          # of the choices of this run
        self.balance = 0.0              # balance losses of this run
        self.training = False

    def get(self, name, shape, mean=0.0, std=None):
        """A tensor; std: 1 / sqrt(inputs) unless given."""
        if name not in self.tensors:
            fan_in = shape[-1] if len(shape) < 4 else shape[1] * shape[2] * shape[3]
            x = mean + torch.randn(shape, generator=self.random) * (std or fan_in ** -0.5)
            self.tensors[name] = x.float().double()
        assert tuple(self.tensors[name].shape) == tuple(shape), name
        return self.tensors[name]


# -- layers. x: maps (B,C,H,W) or tokens (B,T,D)

def linear(w, name, x, out, bias=True):
    b = w.get(name + ".bias", (out,), std=0.1) if bias else None
    return F.linear(x, w.get(name + ".weight", (out, x.shape[-1])), b)


def conv(w, name, x, out, kernel, stride, padding=0, groups=1, bias=True):
    weight = w.get(name + ".weight", (out, x.shape[1] // groups, kernel, kernel))
    b = w.get(name + ".bias", (out,), std=0.1) if bias else None
    return F.conv2d(x, weight, b, stride, padding, groups=groups)


def layernorm(w, name, x, eps=1e-6):
    d = x.shape[-1]
    return F.layer_norm(x, (d,), w.get(name + ".weight", (d,), 1.0, 0.2), w.get(name + ".bias", (d,), std=0.1), eps)


def rows(x):
    """A map as rows of channels, (B,H*W,C)."""
    return x.flatten(2).transpose(1, 2)


def grid(x):
    """Rows as a square map again."""
    side = math.isqrt(x.shape[1])
    return x.transpose(1, 2).unflatten(2, (side, side))


def mlp(w, name, x, hidden):
    return linear(w, name + ".fc2", F.gelu(linear(w, name + ".fc1", x, hidden)), x.shape[-1])


def gated_mlp(w, name, x, hidden):
    h = F.silu(linear(w, name + ".gate", x, hidden)) * linear(w, name + ".up", x, hidden)
    return linear(w, name + ".down", h, x.shape[-1])


def self_attention(w, name, x, heads):
    b, t, d = x.shape
    q, k, v = linear(w, name + ".qkv", x, 3 * d).reshape(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    a = (q @ k.transpose(-2, -1) * (d // heads) ** -0.5).softmax(-1)
    return linear(w, name + ".proj", (a @ v).transpose(1, 2).reshape(b, t, d), d)


# -- experts, each one a picture of what `layers` would be

def expert_linear(w, name, e, experts, x, out):
    weight = w.get(name + ".weight", (experts, out, x.shape[-1]))
    return F.linear(x, weight[e], w.get(name + ".bias", (experts, out), std=0.1)[e])


def expert_mlp(w, name, e, experts, x, hidden):
    h = F.gelu(expert_linear(w, name + ".fc1", e, experts, x, hidden))
    return expert_linear(w, name + ".fc2", e, experts, h, x.shape[-1])


def expert_gated_mlp(w, name, e, experts, x, hidden):
    h = F.silu(expert_linear(w, name + ".gate", e, experts, x, hidden))
    h = h * expert_linear(w, name + ".up", e, experts, x, hidden)
    return expert_linear(w, name + ".down", e, experts, h, x.shape[-1])


# -- routing: softmax over all experts, the k largest; all tokens of the batch are one group

def kept_choices(w, p, index, experts, capacity):
    """Which of the (S,k) choices find room: all first ones before second ones, tokens by falling first weight."""
    kept = torch.ones_like(index, dtype=torch.bool)
    if capacity is None or not w.training:
        return kept
    room = math.ceil(index.numel() * capacity / experts)
    priority = p.gather(1, index[:, :1]).squeeze(1)
    order = priority.argsort(descending=True)
    taken = [0] * experts
    for j in range(index.shape[1]):
        last = [None] * experts         # priority of the last kept one
        for s in order.tolist():
            e = int(index[s, j])
            kept[s, j] = taken[e] < room
            taken[e] += 1
            if kept[s, j]:
                last[e] = float(priority[s])
            elif last[e] is not None:
                w.margin = min(w.margin, last[e] - float(priority[s]))
                last[e] = None
    return kept


def moe(w, name, x, expert, hidden, experts, top_k, bias=False, renormalise=False, capacity=None, importance=0.1):
    shape, x = x.shape, x.reshape(-1, x.shape[-1])
    p = linear(w, name + ".router", x, experts, bias).softmax(-1)
    ranked = p.log().detach().sort(descending=True).values
    w.margin = min(w.margin, float((ranked[:, :-1] - ranked[:, 1:])[:, :top_k].min()))
    gates, index = p.topk(top_k)
    if renormalise:
        gates = gates / gates.sum(-1, keepdim=True)
    kept = kept_choices(w, p.detach(), index, experts, capacity)
    y = torch.zeros_like(x)
    for e in range(experts):
        for j in range(top_k):
            s = ((index[:, j] == e) & kept[:, j]).nonzero().squeeze(1)
            y = y.index_add(0, s, gates[s, j:j + 1] * expert(w, name + ".experts", e, experts, x[s], hidden))
    share = p.sum(0)
    w.balance = w.balance + importance * share.var(unbiased=False) / share.mean() ** 2
    return y.reshape(shape)


# -- the twins: pictures to features, which the last layer then takes

def vit(w, x, dim, depth, heads, mlp_of):
    b = x.shape[0]
    x = rows(conv(w, "patch_embed.proj", x, dim, 8, 8))
    x = torch.cat([w.get("cls_token", (1, 1, dim), std=0.5).expand(b, -1, -1), x], 1)
    x = x + w.get("pos_embed", (1, x.shape[1], dim), std=0.5)
    for i in range(depth):
        name = f"blocks.{i}"
        x = x + self_attention(w, name + ".attn", layernorm(w, name + ".norm1", x), heads)
        x = x + mlp_of(i)(w, name + ".mlp", layernorm(w, name + ".norm2", x))
    return layernorm(w, "norm", x[:, 0])


def convnext(w, x, dims, depths, mlp_of):
    x = layernorm(w, "stem.1", rows(conv(w, "stem.0", x, dims[0], 4, 4)))
    for s, (dim, depth) in enumerate(zip(dims, depths)):
        if s > 0:
            x = grid(layernorm(w, f"stages.{s}.downsample.0", x))
            x = rows(conv(w, f"stages.{s}.downsample.1", x, dim, 2, 2))
        for i in range(depth):
            name = f"stages.{s}.blocks.{i}"
            y = layernorm(w, name + ".norm", rows(conv(w, name + ".conv_dw", grid(x), dim, 7, 1, 3, groups=dim)))
            x = x + w.get(name + ".gamma", (dim,), 0.5, 0.2) * mlp_of(s, i)(w, name + ".mlp", y)
    return layernorm(w, "head.norm", x.mean(1))


def spatial_gate(w, name, x):
    u, v = x.chunk(2, -1)
    v = layernorm(w, name + ".norm", v).transpose(1, 2)
    return u * linear(w, name + ".proj", v, v.shape[-1]).transpose(1, 2)


def sincos(side, dim):
    """(side*side, dim): sin and cos of the column, then of the row, at dim/4 falling frequencies."""
    angle = torch.arange(side).double()[:, None] * 10000.0 ** (-torch.arange(dim // 4).double() / (dim // 4))
    one = torch.cat([angle.sin(), angle.cos()], 1)
    return torch.cat([one.repeat(side, 1), one.repeat_interleave(side, 0)], 1)


def pool_block(w, name, x):
    y = F.avg_pool2d(grid(layernorm(w, name + ".norm1", x)), 3, 1, 1, count_include_pad=False)
    x = x + w.get(name + ".mix", (x.shape[-1],), 1.0, 0.2) * rows(y)
    y = F.silu(conv(w, name + ".local", grid(x), x.shape[-1], 3, 1, 1, groups=4))
    x = x + rows(F.max_pool2d(y, 3, 1, 1))
    return x + gated_mlp(w, name + ".mlp", layernorm(w, name + ".norm2", x), 2 * x.shape[-1])


def token_block(w, name, x, hidden, mlp_of):
    dim = x.shape[-1]
    y = F.gelu(linear(w, name + ".proj_in", layernorm(w, name + ".norm1", x), 2 * hidden))
    x = x + linear(w, name + ".proj_out", spatial_gate(w, name + ".gate", y), dim)
    y = layernorm(w, name + ".norm2", x, 1e-5)[..., dim // 4:dim // 4 + dim // 2]
    return x + mlp_of(w, name + ".mlp", F.relu(torch.cat([x[..., :dim // 2], y], -1)))


def own(w, x):
    x = F.max_pool2d(F.relu(conv(w, "stem.embed", x, 12, 3, 2, 1)), 3, 2, 1)
    x = grid(pool_block(w, "early.blocks.0", rows(x)))
    x = rows(conv(w, "late.merge.proj", x, 20, 2, 2, bias=False)) + sincos(4, 20)
    x = token_block(w, "late.blocks.0", x, 16, lambda w, n, y: gated_mlp(w, n, y, 20))
    x = token_block(w, "late.blocks.1", x, 16, lambda w, n, y: moe(w, n, y, expert_gated_mlp, 20, 5, 2, bias=True))
    return layernorm(w, "head.norm", x.mean(1))


def every_2(**settings):
    def mlp_of(i):
        if i % 2:
            return lambda w, n, y: moe(w, n, y, expert_mlp, 24, 4, 2, **settings)
        return lambda w, n, y: mlp(w, n, y, 48)
    return mlp_of


def no_experts(s, i):
    return lambda w, n, y: mlp(w, n, y, 4 * y.shape[-1])


def last_2(s, i):
    if i == 1:
        return lambda w, n, y: moe(w, n, y, expert_mlp, 2 * y.shape[-1], 3, 1, capacity=1.1)
    return no_experts(s, i)


HALF = ((0.5,) * 3, (0.5,) * 3)
CASES = {                               # network, name of its last layer, mean and std, training
    "vit": (lambda w, x: vit(w, x, 32, 3, 2, lambda i: lambda w, n, y: mlp(w, n, y, 64)), "head", HALF,
            dict(decay=0.1, clip=0.5, warmup=2, final=1e-4)),
    "convnext": (lambda w, x: convnext(w, x, (12, 24, 40), (2, 2, 1), no_experts),
                 "head.fc", IMAGENET, dict(betas=(0.85, 0.99), ema=0.9)),
    "vit_moe": (lambda w, x: vit(w, x, 24, 4, 3, every_2()), "head", HALF, dict(clip=1.0)),
    "vit_moe-1": (lambda w, x: vit(w, x, 24, 4, 3, every_2(renormalise=True, capacity=0.9)),
                  "head", HALF, dict(clip=1.0)),
    "convnext_moe": (lambda w, x: convnext(w, x, (16, 24), (2, 2), last_2), "head.fc", IMAGENET, dict(expert_decay=0.5)),
    "own": (own, "head.fc", ((0.5,) * 3, (0.25,) * 3), {}),
}


def evaluate(w, case, x):
    features = case[0](w, x)
    return features, linear(w, case[1], features, len(CLASSES))


# -- training

def decays(name, tensor):
    """No decay for biases, norms, scales, positions and tokens: what is a matrix and called weight has it."""
    return name.endswith(".weight") and tensor.dim() >= 2


def make_optimiser(w, lr=2e-3, decay=0.05, expert_decay=None, betas=(0.9, 0.999), **_):
    groups = {}
    for name, t in w.tensors.items():
        d = 0.0 if not decays(name, t) else expert_decay if expert_decay and ".experts." in name else decay
        groups.setdefault(d, []).append(t.requires_grad_())
    return torch.optim.AdamW([dict(params=g, weight_decay=d) for d, g in groups.items()], lr, betas, 1e-5)


def rate(step, lr=2e-3, warmup=0, final=None, **_):
    if step < warmup:
        return lr * (step + 1) / warmup
    if final is None:
        return lr
    return final + (lr - final) * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) / 2


def train(w, case, x):
    """The steps, and the weights behind them: averaged where asked."""
    settings, steps = case[3], []
    optimiser, labels = make_optimiser(w, **settings), torch.tensor(LABELS)
    average = {n: t.detach().clone() for n, t in w.tensors.items()}
    w.training = True
    for step in range(STEPS):
        optimiser.zero_grad()
        w.balance = torch.zeros((), dtype=torch.double)
        loss = F.cross_entropy(evaluate(w, case, x)[1], labels, label_smoothing=0.1)
        (loss + w.balance).backward()
        norm = torch.nn.utils.clip_grad_norm_(w.tensors.values(), settings.get("clip", math.inf))
        for g in optimiser.param_groups:
            g["lr"] = rate(step, **settings)
        optimiser.step()
        keep = min(settings.get("ema", 0.0), (1 + step) / (10 + step))
        average = {n: keep * average[n] + (1 - keep) * t.detach() for n, t in w.tensors.items()}
        steps.append(dict(loss=float(loss), balance_loss=float(w.balance), grad_norm=float(norm),
                          lr=rate(step, **settings)))
    return steps, average


# -- files

def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) +
                     chunk(b"IEND", b""))


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors):
        values = tensors[name].detach().float().numpy().tobytes()
        offsets = [len(data), len(data) + len(values)]
        header[name] = dict(dtype="F32", shape=list(tensors[name].shape), data_offsets=offsets)
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def make_pictures():
    """Blocks of colour with some noise: (8,32,32,3) bytes."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (len(LABELS), 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + random.integers(-9, 10, coarse.shape), 0, 255).astype(np.uint8)


def picture_path(i):
    return f"pictures/train/{CLASSES[LABELS[i]]}/{i}.png"


def numbers(t):
    return [[float(f"{v:.9g}") for v in row] for row in t.tolist()]


def record(name, pictures, started):
    case, (base, _, variant) = CASES[name], name.partition("-")
    mean, std = (torch.tensor(v).double() for v in case[2])
    x = ((torch.tensor(pictures).double() / 255 - mean) / std).permute(0, 3, 1, 2)
    w = Weights(SEED)
    if variant:
        w.tensors = {n: t.clone() for n, t in started[base].items()}
    with torch.no_grad():
        features, logits = evaluate(w, case, x)
    started[name] = {n: t.clone() for n, t in w.tensors.items()}
    steps, trained = train(w, case, x)
    assert w.margin > MARGIN, f"{name}: a choice is a close one ({w.margin:.1e}); take another SEED"
    files = [picture_path(i) for i in range(len(LABELS))]
    text = json.dumps(dict(files=files, logits=numbers(logits), features=numbers(features), steps=steps))
    (HERE / f"{name}.json").write_text(text.replace(', "', ',\n"').replace("], [", "],\n[") + "\n")
    if not variant:
        write_safetensors(HERE / f"{name}.safetensors", started[name])
    write_safetensors(HERE / f"{name}.trained.safetensors", trained)
    print(f"{name}: {sum(t.numel() for t in trained.values())} weights, margin {w.margin:.1e}, "
          f"loss {steps[0]['loss']:.4f} .. {steps[-1]['loss']:.4f}, norm {steps[0]['grad_norm']:.3f}")


def main():
    torch.set_num_threads(1)
    pictures = make_pictures()
    for i, p in enumerate(pictures):
        write_png(HERE / picture_path(i), p)
    started = {}
    for name in CASES:
        record(name, pictures, started)


if __name__ == "__main__":
    main()
