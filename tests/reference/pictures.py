#!/usr/bin/env python3
"""Records the pixels that Pillow and timm give, as hashes, for test_pictures.c.

    python3 -m venv venv && venv/bin/pip install 'pillow>=9.4,<13' xxhash
    venv/bin/python pictures.py PHOTOS          writes pictures.txt: the files of pictures/ and 200 photos; a minute
    venv/bin/python pictures.py PHOTOS --timm   compares the geometry below with timm's own transforms; needs timm, too
    venv/bin/python pictures.py --generate      writes the files of pictures/ again (Pillow 11.1 wrote what is here)

PHOTOS is ../shared/data/imagenet-sample, seen from the project. Pillow 13 runs the vertical pass first on tall pictures, which
moves the last bits of some, so it is refused; all from 9.4 to 12.2 give the same file.

A row of pictures.txt: the file, its size as decoded, then a hash (XXH3-64) for each column: the pixels of convert("RGB")
and of convert("L"), then FILTER/WIDTHxHEIGHT/CROP/FIT/MODE, what an evaluation sees. Geometry is written here from the
definitions of torchvision's Resize and CenterCrop and of timm's transforms for evaluation. MODE `float` hashes the
network's input, float32 (H,W,C), normalised with ImageNet's mean and std. (For a size that is not square timm 0.9 resizes
bilinearly whatever is asked for; here and in vmoe the filter is the one that was asked for.)
"""
import array
import ctypes
import io
import math
import pathlib
import struct
import sys
import zlib

import PIL
import xxhash
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PICTURES = HERE / "pictures"
SHAPES = [(224, 224, 0.875, "crop"), (224, 224, 0.9, "crop"), (288, 288, 1.0, "crop"), (224, 224, 1.0, "squash"),
          (256, 256, 1.0, "squash")]
COLUMNS = [(kernel, *shape, "RGB") for shape in SHAPES for kernel in ("bicubic", "bilinear")] + [
    ("bicubic", 224, 224, 0.875, "squash", "RGB"),
    ("bicubic", 200, 136, 0.9, "crop", "RGB"),
    ("bicubic", 136, 200, 0.9, "squash", "RGB"),
    ("bicubic", 224, 224, 0.875, "crop", "L"),
    ("bilinear", 224, 224, 0.95, "crop", "L"),
    ("bicubic", 224, 224, 0.875, "crop", "float"),
]
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# -- what an evaluation sees

def resized_size(width, height, scale_w, scale_h, fit):
    if fit == "squash":
        return scale_w, scale_h
    if scale_w == scale_h:              # torchvision: the short side, then the long one truncated
        short, long = min(width, height), max(width, height)
        new_long = int(scale_w * long / short)
        return (scale_w, new_long) if width <= height else (new_long, scale_w)
    ratio = min(height / scale_h, width / scale_w)
    return round(width / ratio), round(height / ratio)      # timm, of a size that is not square


def evaluate(image, kernel, width, height, crop, fit):
    size = resized_size(*image.size, math.floor(width / crop), math.floor(height / crop), fit)
    if size != image.size:
        image = image.resize(size, FILTERS[kernel])
    left, top = int(round((size[0] - width) / 2.0)), int(round((size[1] - height) / 2.0))
    assert left >= 0 and top >= 0
    return image.crop((left, top, left + width, top + height))


def f32(x):
    """x rounded to float32: a double is precise enough that +, - and / of floats are rounded as if once."""
    return ctypes.c_float(x).value


NORMAL = [[f32(f32(f32(v / 255) - f32(MEAN[c])) / f32(STD[c])) for v in range(256)] for c in range(3)]


def normalised(image):
    pixels = image.tobytes()
    return array.array("f", (NORMAL[i % 3][v] for i, v in enumerate(pixels))).tobytes()


def hashed(data):
    return f"{xxhash.xxh3_64_intdigest(data):016x}"


def row(path):
    """One picture: its size and a hash a column. RGB and L are converted first, as the data sets of timm do it."""
    with Image.open(path) as opened:
        rgb, gray = opened.convert("RGB"), opened.convert("L")
    cells = [f"{rgb.width}x{rgb.height}", hashed(rgb.tobytes()), hashed(gray.tobytes())]
    for kernel, width, height, crop, fit, mode in COLUMNS:
        seen = evaluate(gray if mode == "L" else rgb, kernel, width, height, crop, fit)
        cells.append(hashed(normalised(seen) if mode == "float" else seen.tobytes()))
    return cells


def record(photos):
    if not (9, 4) <= tuple(map(int, PIL.__version__.split(".")[:2])) < (13, 0):
        sys.exit(f"Pillow {PIL.__version__}: 9.4 to 12 are needed, see the top of this file")
    files = [("pictures", p, p.name) for p in sorted(PICTURES.iterdir())]
    files += [("photos", p, f"{p.parent.name}/{p.name}") for p in sorted(photos.glob("*/*.JPEG"))]
    names = [f"{f}/{w}x{h}/{crop}/{fit}/{mode}" for f, w, h, crop, fit, mode in COLUMNS]
    with open(HERE / "pictures.txt", "w") as out:
        print("picture", "size", "RGB", "L", *names, file=out)
        for kind, path, name in files:
            assert " " not in name
            print(f"{kind}/{name}", *row(path), file=out)
    print(f"{len(files)} pictures, {len(names) + 2} hashes each, Pillow {PIL.__version__}")


def compare_with_timm(photos):
    import numpy
    from timm.data.transforms_factory import transforms_imagenet_eval
    from torchvision.transforms import InterpolationMode
    files = sorted(PICTURES.iterdir()) + sorted(photos.glob("*/*.JPEG"))[::4]
    for kernel, width, height, crop, fit, mode in COLUMNS:
        if mode == "L":
            continue
        theirs = transforms_imagenet_eval(width if width == height else (height, width), crop_pct=crop,
                                          crop_mode="squash" if fit == "squash" else "center", interpolation=kernel,
                                          use_prefetcher=mode != "float", mean=MEAN, std=STD)
        theirs.transforms[0].interpolation = InterpolationMode(kernel)
        for path in files:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            seen = evaluate(image, kernel, width, height, crop, fit)
            wanted = numpy.ascontiguousarray(numpy.asarray(theirs(image)).transpose(1, 2, 0)).tobytes()
            if wanted != (normalised(seen) if mode == "float" else seen.tobytes()):
                sys.exit(f"{path} differs in {kernel}/{width}x{height}/{crop}/{fit}/{mode}")
    print(f"{len(files)} pictures as timm makes them")


# -- pictures/: a few KB each

def drawn(width, height, mode="RGB"):
    """Slopes, waves and an edge."""
    image = Image.new(mode, (width, height))
    bands = len(image.getbands())
    image.putdata([tuple(pixel(x, y, c) for c in range(bands)) if bands > 1 else pixel(x, y, 0)
                   for y in range(height) for x in range(width)])
    return image


def pixel(x, y, c):
    wave = 60 * math.sin(x / (7 + 2 * c)) * math.cos(y / 9) + 50 * ((x + 2 * y) // 40 % 2)
    return int(80 + 15 * c + wave + (x + y) % 61) & 255


def jpeg(name, image, **options):
    held = io.BytesIO()
    image.save(held, "JPEG", **options)
    return write(name, held.getvalue())


def write(name, data):
    (PICTURES / name).write_bytes(data)
    return bytearray(data)


def patched_sampling(name, data, sampling):
    """Another factor for the luma of a 64 x 64 picture, where as many blocks stand in as many groups."""
    data = bytearray(data)
    data[data.index(b"\xff\xc0") + 11] = sampling
    write(name, data)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, width, height, depth, colour, between=b"", interlaced=False):
    """A PNG of any kind. Samples are those of pixel(), cut to `depth` bits; at 16 bits the low byte is another."""
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lines = b""
    for left, top, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        for y in range(top, height, dy):
            xs = range(left, width, dx)
            if len(xs) == 0:
                continue
            samples = [pixel(x, y, c) for x in xs for c in range(bands)]
            if depth == 16:
                line = b"".join(bytes([s, 255 - s]) for s in samples)
            else:
                bits = "".join(format(s >> (8 - depth), f"0{depth}b") for s in samples)
                bits += "0" * (-len(bits) % 8)
                line = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
            lines += b"\0" + line
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    write(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", zlib.compress(lines, 9)) +
          chunk(b"IEND", b""))


def palette(count):
    return chunk(b"PLTE", bytes(v for i in range(count) for v in (i * 7 & 255, 255 - i * 5 & 255, i * 11 + 40 & 255)))


def generate():
    PICTURES.mkdir(exist_ok=True)
    cmyk = jpeg("cmyk.jpg", drawn(90, 61, "CMYK"), quality=70)
    cmyk[cmyk.index(b"Adobe") + 11] = 2             # the same numbers, said to be YCCK
    write("ycck.jpg", cmyk)
    jpeg("gray.jpg", drawn(75, 50, "L"), quality=70)
    jpeg("rgb.jpg", drawn(61, 47), quality=70, keep_rgb=True)
    jpeg("420_odd.jpg", drawn(91, 67), quality=70, subsampling=2)
    jpeg("422_odd.jpg", drawn(67, 91), quality=70, subsampling=1)
    jpeg("444.jpg", drawn(80, 60), quality=70, subsampling=0)
    patched_sampling("440.jpg", jpeg("422.jpg", drawn(64, 64), quality=70, subsampling=1), 0x12)
    patched_sampling("411.jpg", jpeg("420.jpg", drawn(64, 64), quality=70, subsampling=2), 0x41)
    jpeg("restart.jpg", drawn(97, 50), quality=70, restart_marker_blocks=3)
    jpeg("progressive.jpg", drawn(403, 269), quality=30, progressive=True)
    jpeg("progressive_gray.jpg", drawn(51, 70, "L"), quality=50, progressive=True)
    turned = Image.Exif()
    turned[0x0112] = 6                              # lies on its side, as cameras say; nobody turns it
    jpeg("exif_rotated.jpg", drawn(120, 50), quality=60, exif=turned)
    jpeg("short_side_256.jpg", drawn(256, 301), quality=25)
    jpeg("short_side_248.jpg", drawn(300, 248), quality=25)
    jpeg("exact_224.jpg", drawn(224, 224), quality=25)
    jpeg("wide.jpg", drawn(900, 20), quality=30)
    jpeg("one_high.jpg", drawn(37, 1), quality=70)
    jpeg("one_wide.jpg", drawn(1, 53), quality=70)
    png("one_wide.png", 1, 41, 8, 2)
    png("one_pixel.png", 1, 1, 8, 2)
    png("gray_1.png", 43, 31, 1, 0)
    png("gray_2.png", 43, 31, 2, 0)
    png("gray_4.png", 43, 31, 4, 0)
    png("gray_8_interlaced.png", 43, 31, 8, 0, interlaced=True)
    png("gray_alpha.png", 37, 29, 8, 4)
    png("rgb_gamma.png", 41, 33, 8, 2, chunk(b"gAMA", struct.pack(">I", 100000)))
    png("rgb_transparent.png", 41, 33, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 80, 95, 110)))
    png("rgb_16.png", 29, 31, 16, 2)
    png("rgb_interlaced.png", 41, 33, 8, 2, interlaced=True)
    png("rgba.png", 41, 33, 8, 6)
    png("rgba_interlaced.png", 31, 43, 8, 6, interlaced=True)
    png("palette_1.png", 43, 31, 1, 3, palette(2))
    png("palette_2.png", 43, 31, 2, 3, palette(4))
    png("palette_4_interlaced.png", 43, 31, 4, 3, palette(16), interlaced=True)
    png("palette_8.png", 53, 37, 8, 3, palette(256))
    png("palette_alpha.png", 53, 37, 8, 3, palette(256) + chunk(b"tRNS", bytes(range(200))))


if __name__ == "__main__":
    if sys.argv[1:] == ["--generate"]:
        generate()
    elif len(sys.argv) == 2:
        record(pathlib.Path(sys.argv[1]))
    elif sys.argv[2:] == ["--timm"]:
        compare_with_timm(pathlib.Path(sys.argv[1]))
    else:
        sys.exit(__doc__)
