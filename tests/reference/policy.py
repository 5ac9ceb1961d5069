#!/usr/bin/env python3
"""Records what timm and Pillow make of small pictures, for ../unit/test_policy.c.

    python3 policy.py                   writes policy.txt; needs timm (1.0.31 and Pillow 13.0 wrote what is here); a minute
    python3 policy.py AUTO_AUGMENT.PY   the same without torch, from that file of timm, and without erasing: Pillow 11.1 gives
                                        the same rows

A row `pixels` is PICTURE OPERATION INCREASING LEVEL SIGN FILTER HASH: the operation's name in timm without "Increasing",
then an FNV-1a hash (64 bits) of the bytes of the result. More names: none, the picture itself; grayscale; blur, by a radius
in the place of the level; three of the letters b, c and s, a jitter in this order by the factors b, c = 2 - b, s = b b.
Pillow 12 and later refuse to keep 0 bits of a value; here, as in earlier ones, that gives black.

A row `erase` tells of random erasing: HEIGHT WIDTH N, then mean and standard deviation over the N rectangles of area
(a share of the picture), logarithm of height to width, centre from the top and centre from the left (shares of the sides).
"""
import importlib.util
import math
import pathlib
import sys

from PIL import Image, ImageEnhance, ImageFilter

HERE = pathlib.Path(__file__).resolve().parent
FILL = (124, 116, 104)
LEVELS = (0.0, 1.7, 5.0, 9.0, 10.0)
SIGNED = ("Rotate", "Shear", "Translate", "Color", "Contrast", "Brightness", "Sharpness")
WARPS = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


# -- the pictures: folded slopes and noise, in whole numbers

def value(x, y, c):
    fold = (x * x * (3 + c) + y * y * (5 - c) + 7 * x * y) // 16 % 512
    noise = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) >> 5 & 15
    return 20 + min(fold, 511 - fold) * 200 // 255 + noise


def picture(width, height, channels):
    data = bytes(value(x, y, c) for y in range(height) for x in range(width) for c in range(channels))
    return Image.frombytes("RGB" if channels == 3 else "L", (width, height), data)


PICTURES = {"wide": picture(48, 37, 3), "square": picture(64, 64, 3), "gray": picture(48, 37, 1)}


def hashed(image):
    h = 0xcbf29ce484222325
    for byte in image.tobytes():
        h = (h ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{h:016x}"


# -- timm's operations

def load(path):
    spec = importlib.util.spec_from_file_location("auto_augment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(timm, image, name, level, sign, kernel):
    timm._randomly_negate = lambda v: sign * v
    told = timm.LEVEL_TO_ARG[name](level, {}) if timm.LEVEL_TO_ARG[name] else ()
    if name.startswith("Posterize") and told[0] == 0:
        return Image.new(image.mode, image.size)
    fill = FILL if image.mode == "RGB" else FILL[0]
    return timm.NAME_TO_OP[name](image, *told, fillcolor=fill, resample=FILTERS[kernel])


def operations(timm, picture_name, image):
    for increasing, names in ((1, timm._RAND_INCREASING_TRANSFORMS), (0, timm._RAND_TRANSFORMS)):
        for name in names:
            if not increasing and name in timm._RAND_INCREASING_TRANSFORMS:
                continue
            short = name.removesuffix("Increasing")
            for level in LEVELS:
                for sign in (1, -1) if increasing and short.startswith(SIGNED) else (1,):
                    for kernel in FILTERS if short in WARPS else ("bicubic",):
                        result = changed(timm, image, name, level, sign, kernel)
                        yield f"{picture_name} {short} {increasing} {level} {sign} {kernel} {hashed(result)}"


# -- what stands outside of RandAugment

def jittered(image, order, factor):
    enhancers = {"b": (ImageEnhance.Brightness, factor), "c": (ImageEnhance.Contrast, 2 - factor),
                 "s": (ImageEnhance.Color, factor * factor)}
    for letter in order:
        enhancer, by = enhancers[letter]
        image = enhancer(image).enhance(by)
    return image


def others(picture_name, image):
    results = [("none", 0, image), ("grayscale", 0, image.convert("L").convert(image.mode))]
    results += [("blur", r, image.filter(ImageFilter.GaussianBlur(r))) for r in (0.1, 0.35, 1.0, 1.4, 2.0, 30.0)]
    results += [(order, factor, jittered(image, order, factor))
                for order in ("bcs", "bsc", "cbs", "csb", "sbc", "scb") for factor in (0.7, 1.25)]
    for name, level, result in results:
        yield f"{picture_name} {name} 0 {level} 1 bicubic {hashed(result)}"


def erased(height, width, n):
    import torch
    from timm.data.random_erasing import RandomErasing
    erase = RandomErasing(probability=1.0, mode="pixel", max_count=1, device="cpu")
    columns = [[] for _ in range(4)]
    for _ in range(n):
        where = (erase(torch.full((1, height, width), 1000.0))[0] != 1000).nonzero()
        if len(where) == 0:
            continue
        (top, left), (bottom, right) = where.min(0).values.tolist(), (where.max(0).values + 1).tolist()
        h, w = bottom - top, right - left
        for column, x in zip(columns, (h * w / (height * width), math.log(h / w), (top + bottom) / 2 / height,
                                       (left + right) / 2 / width)):
            column.append(x)
    cells = []
    for column in columns:
        mean = sum(column) / len(column)
        cells += [mean, math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))]
    return f"{height} {width} {len(columns[0])} " + " ".join(f"{c:.6f}" for c in cells)


def main():
    if len(sys.argv) > 1:
        timm, extra = load(sys.argv[1]), []
    else:
        from timm.data import auto_augment as timm
        extra = [erased(40, 56, 100000)]
    with open(HERE / "policy.txt", "w") as out:
        for name, image in PICTURES.items():
            for row in [*others(name, image), *operations(timm, name, image)]:
                print("pixels", row, file=out)
        for row in extra:
            print("erase", row, file=out)


main()
