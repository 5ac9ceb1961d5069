#!/usr/bin/env python3
"""Records what PyTorch computes for the networks of networks/, for test_vectors.c.

    python3 record_moe.py [NAME]...     needs torch (1.13 wrote what is here) and numpy; takes half a minute

Each network has a twin below, made of the layers in twins.py, with gradients by autograd. Written is
networks/NAME.safetensors, all F32:

    salt, drop_path             inputs
    eval.logits                 of the first 11 pictures, in evaluation
    eval.load.L                 MoE layer L: choices of each expert, dropped ones of each, items routed
    wrong.X                     eval.logits of a network with the tanh form of GELU, or without block X: must be told apart
    train.logits                of all 12, in the first training step
    steps.loss, steps.balance   cross-entropy and weighted balance losses of ten AdamW steps on these pictures
    steps.load.L                of each step
    end.NAME                    balance biases behind the last step
    grad.NAME                   gradient of the first step
    adam.NAME                   every 7th weight after ten AdamW steps on hashed gradients

Weights and pictures are hashes of names that begin with the salt; the first salt is taken that leaves no close choice in any
step. The Python of runtime/program/README.md, which loads a program's weights into PyTorch, is run as well.
"""
import pathlib
import re
import sys

import numpy as np
import torch

from twins import (Close, Twin, cosine_router, drop_path, expert_choice, gated_experts, hash16, identity_experts, l2_router,
                   linear_router, mlp, mlp_experts, own_experts, own_router, shared_expert, soft, soft_router, token_choice)
from record import conv, grid, layernorm, linear, rows, self_attention, write_safetensors

HERE = pathlib.Path(__file__).resolve().parent
IMAGES, EVAL_IMAGES, SIZE, CLASSES = 12, 11, 16, 5
STEPS = 10
LR, DECAY, BETAS, EPS = 2.0 ** -8, 0.125, (0.875, 0.96875), 1e-5
SAMPLE = 7


# -- networks

def vit(w, x, mlps, dim=16, heads=2):
    b = x.shape[0]
    x = rows(conv(w, "patch_embed.proj", x, dim, 4, 4))
    x = torch.cat([w.get("cls_token", (1, 1, dim)).expand(b, -1, -1), x], 1)
    x = x + w.get("pos_embed", (1, x.shape[1], dim))
    for i, of_block in enumerate(mlps):
        name, share = f"blocks.{i}", i / (len(mlps) - 1)
        if name == w.without:
            continue
        x = x + drop_path(w, self_attention(w, name + ".attn", layernorm(w, name + ".norm1", x), heads), share)
        x = x + drop_path(w, of_block(w, name + ".mlp", layernorm(w, name + ".norm2", x)), share)
    return linear(w, "head", layernorm(w, "norm", x[:, 0]), CLASSES)


def convnext(w, x, mlps, dims=(16, 24), depths=(2, 1)):
    x = layernorm(w, "stem.1", rows(conv(w, "stem.0", x, dims[0], 4, 4)))
    blocks, last = iter(mlps), len(mlps) - 1
    for s, (dim, depth) in enumerate(zip(dims, depths)):
        if s > 0:
            x = grid(layernorm(w, f"stages.{s}.downsample.0", x))
            x = rows(conv(w, f"stages.{s}.downsample.1", x, dim, 2, 2))
        for i in range(depth):
            name, share = f"stages.{s}.blocks.{i}", (sum(depths[:s]) + i) / last
            of_block = next(blocks)
            if name == w.without:
                continue
            y = rows(conv(w, name + ".conv_dw", grid(x), dim, 7, 1, 3, groups=dim))
            y = of_block(w, name + ".mlp", layernorm(w, name + ".norm", y))
            x = x + drop_path(w, w.get(name + ".gamma", (dim,)) * y, share)
    return linear(w, "head.fc", layernorm(w, "head.norm", x.mean(1)), CLASSES)


def dense(w, name, x):
    return mlp(w, name, x, 2 * x.shape[-1])


def token(*kinds, shared=None, **settings):
    return lambda w, n, x: with_shared(w, n, x, shared, token_choice(w, n, x, kinds, **settings))


def expert(*kinds, **settings):
    return lambda w, n, x: expert_choice(w, n, x, kinds, **settings)


def softly(*kinds, shared=None, **settings):
    return lambda w, n, x: with_shared(w, n, x, shared, soft(w, n, x, kinds, **settings))


def with_shared(w, name, x, maker, y):
    return y + shared_expert(w, name, maker, x) if maker else y


def alike(count, maker=None):
    return (None, count, maker or mlp_experts(1))


def vit_all(mlp_of):
    return lambda w, x: vit(w, x, [mlp_of, mlp_of])


def vit_last(mlp_of):
    return lambda w, x: vit(w, x, [dense, mlp_of])


def convnext_ends(mlp_of):
    return lambda w, x: convnext(w, x, [dense, mlp_of, mlp_of])


NETWORKS = {                            # forward pass, drop-path rate
    "vit": (vit_all(dense), 0.25),
    "convnext": (lambda w, x: convnext(w, x, [dense] * 3), 0.25),
    "vit_top1": (vit_all(token(alike(4), top_k=1, importance=1)), 0),
    "convnext_top2": (convnext_ends(token(alike(5), top_k=2, router=linear_router(True), switch=1)), 0),
    "vit_renormalised": (vit_all(token(alike(4), top_k=2, renormalise=True, z=1)), 0),
    "vit_priority": (vit_last(token(alike(4), top_k=2, renormalise=True, capacity=0.75, eval_capacity=0.875,
                                    importance=1)), 0),
    "convnext_sequence": (convnext_ends(token(alike(3), top_k=1, capacity=0.875, eval_capacity=0.75, order="sequence",
                                              group=2, importance=1)), 0),
    "vit_noise": (vit_all(token(alike(4), top_k=2, noise=1 / 4, importance=1, load=1)), 0),
    "convnext_noise": (lambda w, x: convnext(w, x, [dense, token(alike(4), top_k=1, noise=0.5, capacity=1, load=1),
                                                    dense]), 0),
    "convnext_cosine": (convnext_ends(token(alike(4), top_k=2, router=cosine_router(8), importance=1)), 0),
    "vit_l2": (vit_all(token(alike(4), top_k=1, router=l2_router(8, True), importance=1, z=0.5)), 0),
    "vit_bias": (vit_all(token(alike(4), top_k=2, bias=2.0 ** -6)), 0),
    "convnext_expert_choice": (convnext_ends(expert(alike(4, mlp_experts(1, 0.25)), capacity=1.5)), 0),
    "vit_expert_choice": (vit_last(expert(alike(4), capacity=1, eval_capacity=1.5, noise=0.25, group=4)), 0),
    "vit_soft": (vit_all(softly(alike(3), slots=2, router=soft_router)), 0),
    "convnext_soft": (convnext_ends(softly(("wide", 2, mlp_experts(2, 0.25)), ("narrow", 1, mlp_experts(1)), slots=1,
                                           shared=mlp_experts(1))), 0),
    "vit_per_image": (vit_all(token(alike(3), top_k=2, per_image=True, importance=1)), 0),
    "convnext_per_image": (convnext_ends(token(alike(3, mlp_experts(1, 0.25)), top_k=1, per_image=True, noise=1 / 3,
                                               capacity=1.25, importance=1, load=1)), 0),
    "convnext_shared": (convnext_ends(token(alike(4), top_k=1, shared=mlp_experts(0.5), switch=1, z=0.25)), 0),
    "vit_kinds": (vit_all(token(("narrow", 2, mlp_experts(0.5)), ("wide", 1, mlp_experts(2)),
                                ("nothing", 1, identity_experts), top_k=2, importance=1)), 0),
    "vit_gated": (vit_all(token(alike(4, gated_experts(1)), top_k=2, switch=1)), 0),
    "vit_dropout": (vit_all(token(alike(3, mlp_experts(1, 0.25)), top_k=2, shared=mlp_experts(0.5, 0.5), importance=1)),
                    0.5),
    "convnext_own": (convnext_ends(token(alike(3, own_experts), top_k=2, router=own_router, importance=1)), 0.5),
    "convnext_settings": (lambda w, x: convnext(w, x, [
        dense,
        token(alike(4), top_k=2, renormalise=True, router=cosine_router(8, True), group=2, importance=1),
        token(alike(3, gated_experts(1)), top_k=1, switch=1, z=0.5)]), 0),
}
EXPERT_SETTINGS = {"convnext_settings": dict(weight_decay=0.25, lr=LR * 0.5)}


# -- training

def has_decay(name, t):
    """Matrices and kernels, the experts' counted without their leading dimension; no biases, norms, positions, tokens."""
    rank = t.dim() - (".experts." in name)
    return rank > 1 and name not in ("cls_token", "pos_embed")


def adamw(name, w):
    groups = []
    for n, t in w.tensors.items():
        own = EXPERT_SETTINGS.get(name, {}) if ".experts." in n else {}
        group = dict(dict(params=[t], lr=LR, weight_decay=DECAY), **own)
        groups.append(group if has_decay(n, t) else dict(group, weight_decay=0.0))
    return torch.optim.AdamW(groups, LR, BETAS, EPS)


def pictures(salt):
    x = 2.0 ** -16 * hash16(f"{salt}/pictures", IMAGES * SIZE * SIZE * 3)
    x = torch.from_numpy(x).reshape(IMAGES, SIZE, SIZE, 3).permute(0, 3, 1, 2)
    labels = torch.from_numpy((hash16(f"{salt}/labels", IMAGES) + 32768) % CLASSES)
    low, high = (float(np.float32(v)) for v in (0.02, 0.92))
    return x, torch.full((IMAGES, CLASSES), low, dtype=torch.double).scatter(1, labels[:, None], high)


def train(name, net, w, x, target):
    """Ten steps; returns what is recorded of them."""
    out, optimiser = {}, None
    steps = dict(loss=[], balance=[], loads=[])
    for step in range(STEPS):
        w.begin(True, step).after = []
        logits = net(w, x)
        loss = -(target * logits.log_softmax(-1)).sum(1).mean()
        optimiser = optimiser or adamw(name, w)
        optimiser.zero_grad()
        (loss + w.balance).backward()
        if step == 0:
            out["train.logits"] = logits.detach()
            out.update({"grad." + n: t.grad.clone() for n, t in w.tensors.items()})
        optimiser.step()
        for bias, move in w.after:
            w.biases[bias] = w.biases[bias] + move
        for key, value in (("loss", float(loss)), ("balance", float(w.balance)), ("loads", w.loads)):
            steps[key].append(value)
    out["steps.loss"], out["steps.balance"] = torch.tensor(steps["loss"]), torch.tensor(steps["balance"])
    for layer, loads in enumerate(zip(*steps["loads"])):
        out[f"steps.load.{layer}"] = torch.tensor(loads)
    out.update({"end." + n: t for n, t in w.biases.items()})
    return out


def follow_gradients(name, w):
    """Ten steps on gradients that are hashes."""
    optimiser = adamw(name, w)
    for step in range(STEPS):
        for n, t in w.tensors.items():
            t.grad = torch.from_numpy(2.0 ** -20 * hash16(f"{w.salt}/{step}/{n}", t.numel())).reshape(t.shape)
        optimiser.step()
    return {"adam." + n: t.detach().flatten()[::SAMPLE] for n, t in w.tensors.items()}


def attempt(name, salt):
    net, rate = NETWORKS[name]
    x, target = pictures(salt)
    w = Twin(salt, rate)
    with torch.no_grad():
        out = {"salt": torch.tensor([salt]), "drop_path": torch.tensor([rate]), "eval.logits": net(w, x[:EVAL_IMAGES])}
        out.update({f"eval.load.{i}": torch.tensor(load) for i, load in enumerate(w.loads)})
        out.update(wrong_logits(name, w, x[:EVAL_IMAGES], out["eval.logits"]))
        if name in LOADED:
            check_loader(w, x[:EVAL_IMAGES], out["eval.logits"], LOADED[name])
    out.update(train(name, net, w, x, target))
    fresh = Twin(salt, rate)
    with torch.no_grad():
        net(fresh, x)
    return dict(out, **follow_gradients(name, fresh))


def wrong_logits(name, w, x, right):
    """Of networks that are almost the right one."""
    blocks = {m[0] for m in (re.match(r".*blocks[.][0-9]+", n) for n in w.tensors) if m}
    out = {}
    w.tanh = True
    out["wrong.tanh"] = NETWORKS[name][0](w, x)
    w.tanh = False
    if name == "vit_gated":             # it has no GELU
        assert torch.equal(out.pop("wrong.tanh"), right)
    for w.without in sorted(blocks):
        out["wrong." + w.without] = NETWORKS[name][0](w, x)
    w.without = None
    return out


# -- the Python of the manual, tried on a ViT of torch's modules with timm's names

LOADED = {"vit_top1": dict(top_k=1), "vit_renormalised": dict(top_k=2, renormalise=True)}


class Branches(torch.nn.Module):
    """A block: attention, and what fc1 and fc2 do."""
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.LayerNorm(dim, 1e-6), torch.nn.LayerNorm(dim, 1e-6)
        self.attn = torch.nn.ModuleDict(dict(qkv=torch.nn.Linear(dim, 3 * dim), proj=torch.nn.Linear(dim, dim)))
        self.mlp = torch.nn.Sequential(torch.nn.Linear(dim, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, dim))

    def forward(self, x):
        q, k, v = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + self.attn["proj"]((a @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class ViT(torch.nn.Module):
    def __init__(self, dim=16, heads=2, depth=2):
        super().__init__()
        self.patch_embed = torch.nn.ModuleDict(dict(proj=torch.nn.Conv2d(3, dim, 4, 4)))
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, (SIZE // 4) ** 2 + 1, dim))
        self.blocks = torch.nn.Sequential(*(Branches(dim, heads, 2 * dim) for _ in range(depth)))
        self.norm, self.head = torch.nn.LayerNorm(dim, 1e-6), torch.nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x)[:, 0]))


def manual_python():
    """The names that the ```python block of the manual defines."""
    text = (HERE.parent.parent / "runtime/program/README.md").read_text()
    names = {}
    exec(re.search(r"^```python\n(.*?)^```$", text, re.S | re.M)[1], names)
    return names


def check_loader(w, x, logits, settings):
    path, python = HERE / "networks" / "loaded.tmp", manual_python()
    write_safetensors(path, w.tensors)
    try:
        model = python["load"](ViT(), path, **settings).double()
        error = float((model(x) - logits).abs().max())
        assert error < 1e-12, f"the manual's Python is off by {error:.1e}"
    finally:
        path.unlink()


def record(name):
    for salt in range(1000):
        try:
            out = attempt(name, salt)
        except Close:
            continue
        write_safetensors(HERE / "networks" / f"{name}.safetensors", {n: t.double() for n, t in out.items()})
        print(f"{name}: salt {salt}, losses {out['steps.loss'][0]:.4f} .. {out['steps.loss'][-1]:.4f}", flush=True)
        return
    raise SystemExit(f"{name}: no salt without close choices")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[1:] or NETWORKS:
        record(wanted)
