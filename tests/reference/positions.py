#!/usr/bin/env python3
"""Records learned positions resampled by PyTorch, for test_adapt.c.

    python3 positions.py                needs torch (1.13 wrote what is here); takes a second

The steps are those of timm's resample_abs_pos_embed: the rows of tokens before the grid are kept, the others seen as a
picture of `cols` channels and interpolated, bicubic with antialias, corners not aligned. The numbers to start from are
hashes of integers divided by a power of two, so that they are exact. positions.json holds a list of cases
    {"before", "cols", "old": [h, w], "new": [h, w], "from": [rows x cols numbers], "to": [rows x cols numbers]}
"""
import json
import pathlib

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
CASES = [                                       # rows before the grid, old grid, new grid
    (1, (7, 7), (12, 12)),                      # larger
    (1, (12, 12), (5, 5)),                      # smaller: the kernel widens
    (0, (6, 6), (4, 8)),                        # of another shape, without a class token
    (2, (3, 10), (10, 4)),                      # from another shape, both ways at once
    (1, (4, 4), (1, 1)),
    (0, (1, 2), (3, 5)),
    (1, (14, 14), (7, 24)),
]


def exact(i):
    i = i * 2654435761 % 2 ** 32
    i = (i ^ i >> 15) * 2246822519 % 2 ** 32
    return ((i >> 16) - 32768) / 2.0 ** 17


def resample(x, before, old, new):
    head, grid = x[:before], x[before:]
    grid = grid.reshape(1, *old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=new, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([head, grid.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1)])


def main():
    cases = []
    for number, (before, old, new) in enumerate(CASES):
        cols = 2 + number % 2
        count = (before + old[0] * old[1]) * cols
        x = torch.tensor([exact(1000 * number + i) for i in range(count)], dtype=torch.float32).reshape(-1, cols)
        y = resample(x, before, old, new)
        cases.append({"before": before, "cols": cols, "old": old, "new": new, "from": x.flatten().tolist(),
                      "to": [float("%.9g" % v) for v in y.flatten().tolist()]})
    text = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "positions.json").write_text("[" + text + "]\n")


main()
