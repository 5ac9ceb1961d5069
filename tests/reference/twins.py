"""Twins of the layers that networks with experts are made of: plain functions in double precision, each written from its
formula, whose source stands with it. Nothing is shared with the compiler but the numbers that go in, and these are computed on
both sides:

    weights, pictures   hash16() below, scaled by powers of two: equal bits
    noise, masks        Philox4x32-10 (Salmon and others 2011), counters as nodes.def says; keys count up from 16 in the order
                        of the layers that draw

A choice must not turn by rounding: where two candidates are closer than MARGIN, Close is raised.
"""
import itertools
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "numeric"))
from record import layernorm, linear  # noqa: E402

SEED = 0x9E3779B97F4A7C15
MARGIN = 1e-4                           # between logarithms of probabilities, or sums of probability and bias


# -- numbers that both sides compute

def hash16(text, n):
    """n integers from -32768 to 32767: FNV-1a of the text, plus i times the golden ratio, through Murmur3's last mixer."""
    h = 2166136261
    for c in text.encode():
        h = (h ^ c) * 16777619 & 0xFFFFFFFF
    x = (np.arange(n, dtype=np.uint64) * 0x9E3779B1 + h & 0xFFFFFFFF).astype(np.uint32)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return ((x ^ x >> np.uint32(16)) >> np.uint32(16)).astype(np.int64) - 32768


KINDS = (                               # end of the name, value, largest deviation from it
    (".temperature", 0.5, 2.0 ** -2),
    ("router.scale", 2.0, 2.0 ** -1),
    ("gamma", 0.3125, 2.0 ** -3),
    (".bias", 0.0, 2.0 ** -4),
    ("balance_bias", 0.0, 2.0 ** -4),
    ("cls_token", 0.0, 2.0 ** -3),
    ("pos_embed", 0.0, 2.0 ** -3),
)


def size_of(name, shape):
    """Value and largest deviation of a weight; matrices keep the size of what they multiply, roughly."""
    for end, value, deviation in KINDS:
        if name.endswith(end):
            return value, deviation
    if len(shape) < 2:
        return 1.0, 2.0 ** -2
    fan_in = shape[1] * shape[2] * shape[3] if len(shape) == 4 else shape[-1]
    return 0.0, 2.0 ** (1 - (int(math.log2(fan_in)) + 1) // 2)


def philox(c0, c1, c2, c3):
    """Philox4x32-10 under SEED: four arrays of words."""
    c = [np.broadcast_to(np.asarray(v, np.uint64), np.broadcast(c0, c1).shape) for v in (c0, c1, c2, c3)]
    k0, k1, low = SEED & 0xFFFFFFFF, SEED >> 32, np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), q & low, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def uniform(words):
    """[0, 1) in steps of 2^-24."""
    return torch.from_numpy((words >> np.uint64(8)).astype(np.float64) * 2.0 ** -24)


# -- one run of a network: weights, and what is gathered on the way

class Close(Exception):
    """A choice that rounding could turn."""


class Twin:
    def __init__(self, salt, drop_rate):
        self.salt, self.drop_rate = salt, drop_rate
        self.tensors, self.biases = {}, {}      # learned ones; balance biases
        self.tanh, self.without = False, None   # wrong networks: another GELU, a block less
        self.begin(False, 0)

    def begin(self, training, step):
        self.training, self.step, self.next_key = training, step, 16
        self.balance = torch.zeros((), dtype=torch.double)
        self.loads = []                         # of each MoE layer
        return self

    def get(self, name, shape, *_, **__):
        if name not in self.tensors:
            value, deviation = size_of(name, shape)
            x = torch.from_numpy(value + deviation * 2.0 ** -15 * hash16(f"{self.salt}/{name}", math.prod(shape)))
            assert torch.equal(x, x.float().double()), name
            self.tensors[name] = x.reshape(shape).requires_grad_()
        assert tuple(self.tensors[name].shape) == tuple(shape), name
        return self.tensors[name]

    def balance_bias(self, name, experts):
        if name not in self.biases:
            self.biases[name] = torch.from_numpy(2.0 ** -19 * hash16(f"{self.salt}/{name}", experts))
        return self.biases[name]

    def key(self):
        self.next_key += 1
        return self.next_key - 1

    def apart(self, larger, smaller):
        if float(larger) - float(smaller) < MARGIN:
            raise Close


def drop_path(w, x, share):
    """Stochastic depth (Huang and others 2016): a branch of a picture counts 1 / (1 - p) or not at all."""
    if not w.training or share == 0:
        return x
    p = share * w.drop_rate
    u = uniform(philox(np.arange(len(x)), 0, w.key(), w.step)[0])
    return x * ((u >= p) / (1 - p)).reshape(-1, 1, 1)


def dropout(w, key, rate, x, token, choice):
    """Of rows (R,C): which token each one is of, and by which of its choices."""
    if not w.training:
        return x
    cols = np.arange(x.shape[1])
    words = philox(token.numpy()[:, None], cols[None] // 4 + (x.shape[1] + 3) // 4 * choice, key, w.step)
    u = torch.stack([uniform(v) for v in words])[torch.from_numpy(cols % 4), :, torch.from_numpy(cols)].T
    return x * (u >= rate) / (1 - rate)


def gelu(w, x):
    return F.gelu(x, approximate="tanh" if w.tanh else "none")


def mlp(w, name, x, hidden):
    return linear(w, name + ".fc2", gelu(w, linear(w, name + ".fc1", x, hidden)), x.shape[-1])


# -- experts: made once for a layer, then called with an expert's number, rows, and what these are rows of

def expert_linear(w, name, count, e, x, out):
    weight, bias = w.get(name + ".weight", (count, out, x.shape[-1])), w.get(name + ".bias", (count, out))
    return x @ weight[e].T + bias[e]


def mlp_experts(ratio, rate=0.0):
    """fc2(dropout(GELU(fc1 x))), with dropout again behind; the keys of both are drawn here."""
    def make(w, name, count):
        keys = [w.key(), w.key()] if rate and w.training else [0, 0]

        def run(e, x, token, choice):
            h = gelu(w, expert_linear(w, name + ".fc1", count, e, x, int(ratio * x.shape[1])))
            h = dropout(w, keys[0], rate, h, token, choice) if rate else h
            y = expert_linear(w, name + ".fc2", count, e, h, x.shape[1])
            return dropout(w, keys[1], rate, y, token, choice) if rate else y
        return run
    return make


def gated_experts(ratio):
    """down(SiLU(gate x) * up x): SwiGLU of Shazeer 2020 with biases."""
    def make(w, name, count):
        def run(e, x, token, choice):
            h = int(ratio * x.shape[1])
            gate, up = (expert_linear(w, name + part, count, e, x, h) for part in (".gate", ".up"))
            return expert_linear(w, name + ".down", count, e, F.silu(gate) * up, x.shape[1])
        return run
    return make


def own_experts(w, name, count):
    """x + dropped(gamma * SiLU(fc(norm x))): layers of a user's own, the branch dropped at half of the rate."""
    key = w.key() if w.training else 0

    def run(e, x, token, choice):
        d = x.shape[1]
        y = F.layer_norm(x, (d,), eps=1e-6) * w.get(name + ".norm.weight", (count, d))[e]
        y = y + w.get(name + ".norm.bias", (count, d))[e]
        y = F.silu(expert_linear(w, name + ".fc", count, e, y, d)) * w.get(name + ".gamma", (count, d))[e]
        if w.training:
            p = 0.5 * w.drop_rate
            y = y * (uniform(philox(token.numpy() // w.tokens, 0, key, w.step)[0]) >= p)[:, None] / (1 - p)
        return x + y
    return run


def identity_experts(w, name, count):
    return lambda e, x, token, choice: x


def bank(w, name, kinds):
    """Experts of all kinds in one row: kinds are (label or None, count, maker)."""
    runs = []
    for label, count, maker in kinds:
        run = maker(w, name + ".experts" + (f".{label}" if label else ""), count)
        runs += [lambda x, token, choice, run=run, e=e: run(e, x, token, choice) for e in range(count)]
    return runs


def shared_expert(w, name, maker, x):
    """An expert that meets all tokens. Its tensors have no leading dimension: a view with one is made of them."""
    class One:
        training, step, tanh, key = w.training, w.step, w.tanh, w.key

        @staticmethod
        def get(name, shape, *_, **__):
            return w.get(name, shape[1:])[None]
    flat = x.reshape(-1, x.shape[-1])
    return maker(One, name + ".shared", 1)(0, flat, torch.arange(len(flat)), 0).reshape(x.shape)


# -- routers: (..., D) to (..., logits)

def linear_router(bias=False):
    return lambda w, name, x, out: linear(w, name, x, out, bias)


def cosine_router(width, bias=False):
    """cos(P x, c_e) exp(min(t, log 100)): Chi and others 2022."""
    def run(w, name, x, out):
        x, codes = linear(w, name + ".proj", x, width, bias), w.get(name + ".codes", (out, width))
        cos = (x @ codes.T) / (x.norm(dim=-1, keepdim=True) * codes.norm(dim=-1))
        return cos * w.get(name + ".temperature", (1,)).clamp(max=math.log(100)).exp()
    return run


def l2_router(width, bias=False):
    """-|P x - c_e|^2 exp(t)."""
    def run(w, name, x, out):
        x, codes = linear(w, name + ".proj", x, width, bias), w.get(name + ".codes", (out, width))
        return -(x[..., None, :] - codes).square().sum(-1) * w.get(name + ".temperature", (1,)).exp()
    return run


def soft_router(w, name, x, out):
    """Cosine similarity times one learned scale: Puigcerver and others 2024."""
    codes = w.get(name + ".codes", (out, x.shape[-1]))
    return F.normalize(x, dim=-1) @ F.normalize(codes, dim=-1).T * w.get(name + ".scale", (1,))


def own_router(w, name, x, out):
    """fc(norm x): layers of a user's own."""
    return linear(w, name + ".fc", layernorm(w, name + ".norm", x), out)


def noisy(w, clean, noise):
    """clean (items, E) + N(0, noise^2), by Box and Muller; the layer's key is drawn in any case."""
    key = w.key()
    if not w.training or noise == 0:
        return clean
    u = [uniform(v) for v in philox(np.arange(clean.shape[0])[:, None], np.arange(clean.shape[1])[None], key, w.step)[:2]]
    return clean + noise * (-2 * (1 - u[0]).log()).sqrt() * (2 * math.pi * u[1]).cos()


# -- balance losses of one group: clean and noisy logits (S,E), choices (S,k)

def spread(x):
    """The squared coefficient of variation: Shazeer and others 2017, eq. 7."""
    return x.var(unbiased=False) / x.mean() ** 2


def importance_loss(clean, z, index, noise):
    """Shazeer and others 2017, section 4: the sum of each expert's weights."""
    return spread(clean.softmax(-1).sum(0))


def load_loss(clean, z, index, noise):
    """Riquelme and others 2021: the probability that new noise lifts a logit over the last one chosen."""
    threshold = z.gather(1, index[:, -1:])
    return spread((0.5 * (1 + torch.erf((clean - threshold) / noise / math.sqrt(2)))).sum(0))


def switch_loss(clean, z, index, noise):
    """Fedus and others 2022, eq. 4 to 6: E sum of f_e P_e."""
    experts = clean.shape[1]
    f = torch.stack([(index[:, 0] == e).double().mean() for e in range(experts)])
    return experts * (f * clean.softmax(-1).mean(0)).sum()


def z_loss(clean, z, index, noise):
    """Zoph and others 2022, eq. 5."""
    return clean.logsumexp(-1).square().mean()


LOSSES = dict(importance=importance_loss, load=load_loss, switch=switch_loss, z=z_loss)


# -- who takes what

def choose(w, scores, top_k):
    """The k largest of each row, by falling score."""
    ranked, index = scores.detach().sort(-1, descending=True)
    w.apart((ranked[:, :-1] - ranked[:, 1:])[:, :top_k].min(), 0)
    return index[:, :top_k]


def fill(w, p, index, capacity, order):
    """Which choices (S,k) of a group find room: Riquelme and others 2021. Ranks one after the other."""
    experts, room = p.shape[1], math.ceil(index.numel() * capacity / p.shape[1])
    first = p.gather(1, index[:, :1]).squeeze(1).log()
    line = sorted(range(len(p)), key=lambda s: -float(first[s])) if order == "batch_priority" else range(len(p))
    kept, taken = torch.zeros_like(index, dtype=torch.bool), [0] * experts
    for j in range(index.shape[1]):
        for e in range(experts):
            wanting = [s for s in line if int(index[s, j]) == e]
            n = min(len(wanting), room - taken[e])
            kept[wanting[:n], j] = True
            taken[e] += n
            if 0 < n < len(wanting) and order == "batch_priority":
                w.apart(first[wanting[n - 1]], first[wanting[n]])
    return kept


def token_choice(w, name, x, kinds, top_k, router=linear_router(), renormalise=False, noise=0.0, capacity=None,
                 eval_capacity=None, order="batch_priority", group=4, bias=0.0, per_image=False, **losses):
    """y = sum over the chosen experts of G(x)_e E_e(x), G the softmax over all experts; Shazeer and others 2017, eq. 1. A bias
    (Wang and others 2024) counts in the choice only."""
    b, t, d = x.shape
    experts = sum(count for _, count, _ in kinds)
    items = x.mean(1, keepdim=True) if per_image else x
    clean = router(w, name + ".router", items, experts).reshape(-1, experts)
    z = noisy(w, clean, noise)
    p = z.softmax(-1)
    w.tokens, runs = t, bank(w, name, kinds)
    moving = w.balance_bias(name + ".router.balance_bias", experts) if bias else None
    index = choose(w, p.log() if moving is None else p + moving, top_k)
    gates = p.gather(1, index)
    if renormalise:
        gates = gates / gates.sum(1, keepdim=True)
    kept = torch.ones_like(index, dtype=torch.bool)
    limit = capacity if w.training else eval_capacity
    of_group = group * items.shape[1]
    starts = range(0, len(p), of_group)
    for s in (slice(i, i + of_group) for i in starts):
        if limit is not None:
            kept[s] = fill(w, p[s].detach(), index[s], limit, order)
        if w.training:
            w.balance = w.balance + sum(weight * LOSSES[loss](clean[s], z[s], index[s], noise) / len(starts)
                                        for loss, weight in losses.items())
    item = torch.arange(b * t) // (t if per_image else 1)
    flat, y = x.reshape(-1, d), torch.zeros(b * t, d, dtype=torch.double)
    for j, e in itertools.product(range(top_k), range(experts)):
        s = ((index[item, j] == e) & kept[item, j]).nonzero().squeeze(1)
        y = y.index_add(0, s, gates[item[s], j:j + 1] * runs[e](flat[s], s, j))
    made = torch.bincount(index.flatten(), minlength=experts)
    w.loads.append(made.tolist() + torch.bincount(index[~kept], minlength=experts).tolist() + [len(p)])
    if bias and w.training:
        w.after = getattr(w, "after", []) + [(name + ".router.balance_bias", bias * (made.double().mean() - made).sign())]
    return y.reshape(b, t, d)


def expert_choice(w, name, x, kinds, capacity, eval_capacity=None, router=linear_router(), noise=0.0, group=1):
    """Each expert takes the ceil(S f / E) tokens of a group that weigh most for it: Zhou and others 2022."""
    b, t, d = x.shape
    experts = sum(count for _, count, _ in kinds)
    p = noisy(w, router(w, name + ".router", x, experts).reshape(-1, experts), noise).softmax(-1)
    runs = bank(w, name, kinds)
    flat, y, made = x.reshape(-1, d), torch.zeros(b * t, d, dtype=torch.double), [0] * experts
    factor = eval_capacity if eval_capacity and not w.training else capacity
    for start in range(0, b * t, group * t):
        end = min(start + group * t, b * t)
        most = math.ceil((end - start) * factor / experts)
        for e in range(experts):
            ranked, order = p[start:end, e].detach().log().sort(descending=True)
            if most < end - start:
                w.apart(ranked[most - 1], ranked[most])
            s = start + order[:most].sort().values
            y = y.index_add(0, s, p[s, e:e + 1] * runs[e](flat[s], s, e))
            made[e] += len(s)
    w.loads.append(made + [0] * experts + [b * t])
    return y.reshape(b, t, d)


def soft(w, name, x, kinds, slots, router=linear_router()):
    """Slots D^T x with D the softmax of the logits over the tokens, results mixed by C, the softmax over the slots:
    Puigcerver and others 2024."""
    b, t, d = x.shape
    experts = sum(count for _, count, _ in kinds)
    logits = router(w, name + ".router", x, experts * slots)
    w.key()
    runs = bank(w, name, kinds)
    mixed = torch.einsum("bts,btd->bsd", logits.softmax(1), x)
    number = torch.arange(b * experts * slots).reshape(b, -1)
    parts = []
    for e in range(experts):
        s = slice(e * slots, (e + 1) * slots)
        parts.append(runs[e](mixed[:, s].reshape(-1, d), number[:, s].reshape(-1), 0).reshape(b, slots, d))
    w.loads.append([b * slots] * experts + [0] * experts + [b * experts * slots])
    return torch.einsum("bts,bsd->btd", logits.softmax(2), torch.cat(parts, 1))
