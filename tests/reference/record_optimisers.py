#!/usr/bin/env python3
"""Records what optimisers, schedules, layer-wise decay and losses of PyTorch and timm compute, for test_optimisers.c and
test_recipe.c.

    python3 record_optimisers.py        needs torch (2.15 wrote what is here), timm (1.0.31) and numpy; takes seconds

All in double precision, into optimisers/:

    updates.safetensors         F32; CASE.NAME: weights of the network of optimisers/network.vmoe after 20 updates, every 7th of
                                small tensors, every 61st of others; CASE.ema.NAME: their average
    schedules.txt               a line each: name, kind, lr, warm-up, final, every and factor (schedule.h), then the rate of each
                                step of 30
    layer_decay.txt             a line each: network, tensor, factor on its learning rate for a decay of 0.75
    losses.safetensors          F32; logits, labels, targets; LOSS.TARGETS and LOSS.TARGETS.gradient

Weights and gradients are hashes, as in record_moe.py. Gradients are eight times smaller in each second step. The last expert
gets none in the first three steps; its second layer begins at zero, as does the last layer of the network.
"""
import math
import pathlib

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from timm.optim import Lamb, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler, StepLRScheduler
from timm.utils import ModelEmaV3

from twins import hash16, size_of
from record import write_safetensors

OUT = pathlib.Path(__file__).resolve().parent / "optimisers"
STEPS, ASLEEP, EXPERTS = 20, 3, 2


# -- the network's tensors

def shapes(dims=(16, 32), depths=(2, 1), hidden=544, classes=5):
    s = {"stem.0.weight": (dims[0], 3, 4, 4), "stem.0.bias": dims[:1], "stem.1.weight": dims[:1], "stem.1.bias": dims[:1]}
    for i, (dim, depth) in enumerate(zip(dims, depths)):
        if i > 0:
            down = f"stages.{i}.downsample."
            s.update({down + "0.weight": dims[i - 1:i], down + "0.bias": dims[i - 1:i],
                      down + "1.weight": (dim, dims[i - 1], 2, 2), down + "1.bias": (dim,)})
        for j in range(depth):
            b = f"stages.{i}.blocks.{j}."
            s.update({b + "conv_dw.weight": (dim, 1, 7, 7), b + "conv_dw.bias": (dim,), b + "norm.weight": (dim,),
                      b + "norm.bias": (dim,), b + "gamma": (dim,)})
            last = i == len(dims) - 1
            mlp, lead, h = (b + "mlp.experts.", (EXPERTS,), hidden) if last else (b + "mlp.", (), 2 * dim)
            s.update({mlp + "fc1.weight": lead + (h, dim), mlp + "fc1.bias": lead + (h,),
                      mlp + "fc2.weight": lead + (dim, h), mlp + "fc2.bias": lead + (dim,)})
            if last:
                s[b + "mlp.router.weight"] = (EXPERTS, dim)
    s.update({"head.norm.weight": dims[-1:], "head.norm.bias": dims[-1:], "head.fc.weight": (classes, dims[-1]),
              "head.fc.bias": (classes,)})
    return s


class Network(torch.nn.Module):
    """Nothing but tensors. Each expert's part is one of its own."""

    def __init__(self):
        super().__init__()
        self.names, self.shapes = [], shapes()
        self.parts = torch.nn.ParameterList()
        for name, shape in self.shapes.items():
            value, deviation = size_of(name, shape)
            x = torch.from_numpy(value + deviation * 2.0 ** -15 * hash16("0/" + name, math.prod(shape))).reshape(shape)
            if name == "head.fc.weight":
                x.zero_()
            if name.endswith("experts.fc2.weight"):
                x[-1].zero_()
            for part in self.cut(name, x):
                self.names.append(name)
                self.parts.append(torch.nn.Parameter(part.clone()))

    def cut(self, name, x):
        return x.unbind(0) if ".experts." in name else [x]

    def set_gradients(self, step):
        gradients = []
        for name, shape in self.shapes.items():
            g = hash16(f"0/{step}/{name}", math.prod(shape)) * 2.0 ** (-20 if step % 2 == 0 else -23)
            g = torch.from_numpy(g).reshape(shape)
            if ".experts." in name and step < ASLEEP:
                g[-1].zero_()
            gradients += self.cut(name, g)
        for part, g in zip(self.parts, gradients):
            part.grad = g.clone()

    def sampled(self, prefix):
        whole = {}
        for name, part in zip(self.names, self.parts):
            whole.setdefault(name, []).append(part.detach().flatten())
        for name, parts in whole.items():
            x = torch.cat(parts)
            yield prefix + name, x[::7 if len(x) < 2048 else 61]


# -- schedules

def rates(make, lr, steps, own=False):
    """Learning rates of steps 0, 1, ... by a scheduler of PyTorch, or of timm (own), which is told the step."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler, out = make(optimiser), []
    for step in range(steps):
        if own:
            scheduler.step_update(step)
        out.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if not own:
            scheduler.step()
    return out


def warmed(warmup, then):
    """A linear warm-up that ends at the full rate in its last step, then another schedule from its beginning."""
    lr = torch.optim.lr_scheduler
    if warmup == 0:
        return then
    return lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 1 / warmup, 1, max(warmup - 1, 1)), then(o)], [warmup])


def cosine(warmup, final, total):
    return warmed(warmup, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total - warmup, final))


def constant(warmup):
    return warmed(warmup, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1))


def stairs(every, factor):
    return lambda o: torch.optim.lr_scheduler.StepLR(o, every, factor)


def convnext_cosine(lr, final, warmup, total):
    """cosine_scheduler() of ConvNeXt's utils.py (Liu and others 2022), its loop of epochs and steps in one."""
    i = np.arange(total - warmup)
    fall = final + 0.5 * (lr - final) * (1 + np.cos(np.pi * i / len(i)))
    return np.concatenate([np.linspace(0, lr, warmup), fall]).tolist()


def timm_cosine(warmup, final, total):
    return lambda o: CosineLRScheduler(o, total - warmup, final, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False)


def timm_stairs(warmup, every, factor):
    return lambda o: StepLRScheduler(o, every, factor, warmup_t=warmup, warmup_prefix=False, t_in_epochs=False)


def record_schedules():
    rows = []

    def row(name, kind, warmup, final, every, factor, values):
        rows.append(" ".join([name, kind, *map(repr, (0.004, warmup, final, every, factor)), *map(repr, values)]))

    for warmup in (0, 1, 5):
        row(f"torch.warmup.{warmup}", "cosine", warmup, 1e-5, 30, 0.1, rates(cosine(warmup, 1e-5, 30), 0.004, 31))
        row(f"torch.constant.{warmup}", "constant", warmup, 0.0, 30, 0.1, rates(constant(warmup), 0.004, 30))
    row("torch.stairs", "step", 0, 0.0, 7, 0.5, rates(stairs(7, 0.5), 0.004, 30))
    row("timm.cosine.0", "cosine", 0, 1e-5, 30, 0.1, rates(timm_cosine(0, 1e-5, 30), 0.004, 30, True))
    row("timm.cosine.5", "cosine", 5, 1e-5, 30, 0.1, rates(timm_cosine(5, 1e-5, 30), 0.004, 30, True))
    row("timm.stairs.5", "step", 5, 0.0, 7, 0.5, rates(timm_stairs(5, 7, 0.5), 0.004, 30, True))
    row("convnext.cosine.0", "cosine", 0, 1e-5, 30, 0.1, convnext_cosine(0.004, 1e-5, 0, 30))
    row("convnext.cosine.5", "cosine", 5, 1e-5, 30, 0.1, convnext_cosine(0.004, 1e-5, 5, 30))
    (OUT / "schedules.txt").write_text("".join(r + "\n" for r in rows))


# -- updates

def adamw(groups):
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)


def lamb(groups):
    return Lamb(groups, betas=(0.9, 0.999), eps=1e-6, max_grad_norm=None)


def sgd(momentum, nesterov):
    return lambda groups: torch.optim.SGD(groups, lr=1, momentum=momentum, nesterov=nesterov)


COSINE = cosine(5, 1e-4, STEPS)
CASES = {                               # optimiser, learning rate, schedule, decay, and what not all have
    "adamw": (adamw, 0.004, COSINE, 0.05, {}),
    "adamw_groups": (adamw, 0.004, COSINE, 0.05, dict(experts=dict(weight_decay=0.5, lr_scale=0.25), stem=dict(lr_scale=0))),
    "adamw_clip": (adamw, 0.004, constant(3), 0.05, dict(clip=2.0)),
    "adamw_ema": (adamw, 0.004, stairs(7, 0.5), 0.05, dict(ema=0.5)),
    "lamb": (lamb, 0.02, COSINE, 0.05, {}),
    "lamb_clip": (lamb, 0.02, COSINE, 0.05, dict(lamb_clip=2.0)),
    "lamb_groups": (lamb, 0.02, stairs(7, 0.5), 0.05, dict(experts=dict(weight_decay=0.0, lr_scale=0.25))),
    "lamb_no_decay": (lamb, 0.02, COSINE, 0.0, {}),
    "lamb_ema": (lamb, 0.02, COSINE, 0.05, dict(ema=0.75)),
    "sgd": (sgd(0.9, False), 0.1, COSINE, 1e-3, {}),
    "sgd_nesterov": (sgd(0.9, True), 0.1, COSINE, 1e-3, dict(clip=2.0, ema=0.75)),
    "sgd_plain": (sgd(0, False), 0.1, stairs(7, 0.5), 1e-3, dict(experts=dict(weight_decay=0.01, lr_scale=0.5))),
}


def groups_of(net, decay, more):
    """As timm: what has one dimension does not decay; a bias of experts has one, too."""
    for name, part in zip(net.names, net.parts):
        own = more.get("experts", {}) if ".experts." in name else more.get("stem", {}) if name.startswith("stem.") else {}
        group = dict(dict(params=[part], weight_decay=decay, lr_scale=1), **own)
        yield group if part.dim() > 1 else dict(group, weight_decay=0.0)


def follow(make, lr, schedule, decay, more):
    net = Network()
    optimiser = make(list(groups_of(net, decay, more)))
    if "lamb_clip" in more:
        optimiser.defaults["max_grad_norm"] = more["lamb_clip"]
    average = ModelEmaV3(net, foreach=False) if "ema" in more else None
    clipped = []
    for step, rate in enumerate(rates(schedule, lr, STEPS)):
        net.set_gradients(step)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["lr_scale"]
        if "clip" in more:
            clipped.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), more["clip"])) > more["clip"])
        optimiser.step()
        if average:
            average.decay = min(more["ema"], (1 + step) / (10 + step))
            average.update(net)
    assert not clipped or {True, False} == set(clipped)
    out = dict(net.sampled(""))
    if average:
        out.update(average.module.sampled("ema."))
    return out


def record_updates():
    out = {}
    for name, case in CASES.items():
        out.update({f"{name}.{n}": t for n, t in follow(*case).items()})
    write_safetensors(OUT / "updates.safetensors", out)


# -- layer-wise decay

def record_layer_decay():
    models = {
        "deep_convnext": timm.models.ConvNeXt(num_classes=5, depths=(2, 1, 3, 1), dims=(8, 16, 24, 32)),
        "deep_vit": timm.models.VisionTransformer(img_size=16, patch_size=4, num_classes=5, embed_dim=16, depth=3, num_heads=2),
    }
    with open(OUT / "layer_decay.txt", "w") as out:
        for key, model in models.items():
            names = {id(p): n for n, p in model.named_parameters()}
            for group in param_groups_layer_decay(model, layer_decay=0.75):
                for p in group["params"]:
                    print(key, names[id(p)], repr(group["lr_scale"]), file=out)


# -- losses

def record_losses(images=8, classes=37, smoothing=0.1, share=0.3):
    logits = torch.from_numpy(2.0 ** -12 * hash16("logits", images * classes)).reshape(images, classes)
    logits[0] *= 16                                             # as far as +-128
    labels = torch.from_numpy((hash16("labels", images) + 32768) % classes)
    out = {"logits": logits, "labels": labels.double()}
    targets = {
        "hard": mixup_target(labels, classes),
        "smooth": mixup_target(labels, classes, smoothing=smoothing),
        "mixed": mixup_target(labels, classes, share, smoothing),
    }
    assert torch.allclose(BinaryCrossEntropy(smoothing)(logits, labels), BinaryCrossEntropy()(logits, targets["smooth"].double()))
    for name, target in targets.items():
        out["target." + name] = target
        for loss, f in (("cross_entropy", SoftTargetCrossEntropy()), ("binary_cross_entropy", BinaryCrossEntropy())):
            x = logits.clone().requires_grad_()
            value = f(x, target.double())
            if loss == "binary_cross_entropy":
                assert torch.equal(value, F.binary_cross_entropy_with_logits(x, target.double()))
            value.backward()
            out[f"{loss}.{name}"], out[f"{loss}.{name}.gradient"] = value.detach().reshape(1), x.grad
    write_safetensors(OUT / "losses.safetensors", out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    record_schedules()
    record_updates()
    record_layer_decay()
    record_losses()
