"""Files of every kind that a pipeline may be handed: odd ones that are right, and broken ones.

PNGs are put together here chunk by chunk, independently of the code that takes them apart.
"""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

Content = bytes | Callable[[Path], object]  # what to write, or what writes it
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEEP = "[" * 5000 + "]" * 5000
Change = Callable[[bytes, Path], bytes]  # from content and where hostile code leaves its trace


def shape_mask() -> np.ndarray:
    """(40, 56) bool: a blob with an arm; its skeleton is neither empty nor symmetric."""
    mask = np.zeros((40, 56), np.uint8)
    cv2.ellipse(mask, (20, 20), (12, 9), 0, 0, 360, 1, -1)
    cv2.rectangle(mask, (20, 16), (48, 22), 1, -1)
    return mask > 0


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def header(width: int, height: int, depth: int, kind: int, *rest: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, *(rest or (0, 0, 0))))


def packed(samples: np.ndarray, depth: int) -> list[bytes]:
    """(H, W, C) → the bytes of each row."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    bits = (samples[..., 0, None] >> np.arange(depth)[::-1]) & 1  # (H, W, depth)
    return [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in bits]


def png(
    samples: np.ndarray,
    kind: int = GREY,
    depth: int = 8,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """A PNG of (H, W) or (H, W, C) samples, no filters; chunks `before` and `after` the pixels."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width = samples.shape[:2]
    parts = [samples]
    if interlaced:
        parts = [samples[::8, ::8], samples[::8, 4::8], samples[4::8, ::4], samples[::4, 2::4]]
        parts += [samples[2::4, ::2], samples[::2, 1::2], samples[1::2]]
    raw = b"".join(b"\0" + row for part in parts if part.size for row in packed(part, depth))
    pixels = chunk(b"IDAT", zlib.compress(raw))
    begin = SIGNATURE + header(width, height, depth, kind, 0, 0, int(interlaced))
    return begin + before + pixels + after + chunk(b"IEND", b"")


def with_pixels(content: bytes, width: int = 56, height: int = 40) -> bytes:
    """A grey PNG whose (compressed) pixels are these bytes, with right checksums."""
    begin = SIGNATURE + header(width, height, 8, GREY)
    return begin + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def planes(*values) -> np.ndarray:
    """(H, W, C) from arrays and numbers."""
    size = shape_mask().shape
    return np.stack([np.broadcast_to(np.asarray(v, np.uint32), size) for v in values], axis=2)


def encoded(extension: str) -> bytes:
    return cv2.imencode(extension, shape_mask().astype(np.uint8) * 255)[1].tobytes()


def saved_by_pillow(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def flipped(content: bytes, position: int, bit: int = 0) -> bytes:
    position %= len(content)
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def good_pngs() -> dict[str, bytes]:
    """The same silhouette in every way that PNG can say it."""
    m = shape_mask().astype(np.uint32)
    clear, full = 1 - m, 65535
    black_white = chunk(b"PLTE", bytes([0, 0, 0, 255, 255, 255]))
    same, two_blacks = bytes([255] * 6), bytes(6)
    rows = b"".join(b"\0" + row for row in packed((m * 255)[..., None], 8))
    pieces = zlib.compress(rows)
    many = b"".join(chunk(b"IDAT", pieces[i : i + 7]) for i in range(0, len(pieces), 7))
    many = SIGNATURE + header(56, 40, 8, GREY) + many + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    frame = struct.pack(">IIIIIHHBB", 0, 56, 40, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, 56, 40, 0, 0, 1, 10, 0, 0)
    animation = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame)
    moved = chunk(b"fcTL", second) + chunk(b"fdAT", b"\0\0\0\2" + zlib.compress(bytes(57 * 40)))
    turned = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    grey = Image.fromarray((m * 255).astype(np.uint8))
    return {
        "grey": png(m * 255),
        "grey of 0 and 1": png(m),
        "grey of 0 and 2": png(m * 2),
        "grey of 0 and 128": png(m * 128),
        "1 bit": png(m, depth=1),
        "2 bits": png(m * 3, depth=2),
        "2 bits of 0 and 1": png(m, depth=2),
        "4 bits": png(m * 15, depth=4),
        "4 bits of 0 and 1": png(m, depth=4),
        "16 bits": png(m * full, depth=16),
        "16 bits of 0 and 255": png(m * 255, depth=16),
        "16 bits of 0 and 1": png(m, depth=16),
        "16 bits of 0 and 1000": png(m * 1000, depth=16),
        "palette, 1 bit": png(m, PALETTE, 1, black_white),
        "palette, 8 bits": png(m, PALETTE, 8, black_white),
        "palette of black and red": png(m, PALETTE, 8, chunk(b"PLTE", bytes([0, 0, 0, 99, 0, 0]))),
        "palette, turned round": png(clear, PALETTE, 2, chunk(b"PLTE", bytes([255] * 3 + [0] * 3))),
        "palette, white on clear": png(
            m, PALETTE, 8, chunk(b"PLTE", same) + chunk(b"tRNS", b"\0\xff")
        ),
        "palette, black on clear": png(
            m, PALETTE, 8, chunk(b"PLTE", two_blacks) + chunk(b"tRNS", b"\0")
        ),
        "grey and alpha, white on black": png(planes(m * 255, 255), GREY_ALPHA),
        "grey and alpha, white on clear": png(planes(255, m * 255), GREY_ALPHA),
        "grey and alpha, black on clear": png(planes(0, m * 255), GREY_ALPHA),
        "grey and alpha, black on clear white": png(planes(clear * 255, m * 255), GREY_ALPHA),
        "grey and alpha, 16 bits": png(planes(full, m * full), GREY_ALPHA, 16),
        "RGB": png(planes(m * 255, m * 255, m * 255), RGB),
        "RGB of 0 and 1": png(planes(m, m, m), RGB),
        "RGB, yellow": png(planes(m * 255, m * 255, 0), RGB),
        "RGB, 16 bits": png(planes(m * full, m * full, m * full), RGB, 16),
        "RGB, white is clear": png(
            planes(clear * 255, clear * 255, clear * 255), RGB, 8, chunk(b"tRNS", b"\0\xff" * 3)
        ),
        "RGBA, white on clear": png(planes(255, 255, 255, m * 255), RGB_ALPHA),
        "RGBA, an icon": png(planes(0, 0, 0, m * 255), RGB_ALPHA),
        "RGBA, nearly black on clear": png(planes(1, 1, 1, m * 255), RGB_ALPHA),
        "RGBA, red on clear": png(planes(200, 0, 0, m * 255), RGB_ALPHA),
        "RGBA, 16 bits": png(planes(full, full, full, m * full), RGB_ALPHA, 16),
        "RGBA, an icon in 16 bits": png(planes(0, 0, 0, m * full), RGB_ALPHA, 16),
        "grey, white is clear": png(clear * 255, before=chunk(b"tRNS", b"\0\xff")),
        "1 bit, white is clear": png(clear, depth=1, before=chunk(b"tRNS", b"\0\1")),
        "16 bits, white is clear": png(clear * full, GREY, 16, chunk(b"tRNS", b"\xff\xff")),
        "interlaced": png(m * 255, interlaced=True),
        "interlaced, 1 bit": png(m, depth=1, interlaced=True),
        "interlaced, RGBA": png(planes(0, 0, 0, m * 255), RGB_ALPHA, interlaced=True),
        "interlaced, 16 bits": png(m * full, depth=16, interlaced=True),
        "in many pieces": many,
        "animated": png(m * 255, before=animation, after=moved),
        "to be turned": png(m * 255, before=chunk(b"eXIf", turned)),
        "with a broken profile": png(m * 255, before=chunk(b"iCCP", b"x\0\0no")),
        "with gamma": png(m * 255, before=chunk(b"gAMA", b"\0\0\0\1") + chunk(b"sBIT", b"\x01")),
        "with unknown chunks": png(m * 255, before=chunk(b"ABCD", b"?"), after=chunk(b"abcd", b"")),
        "with a tail": png(m * 255) + b"left over",
        "with a tail in the pixels": with_pixels(zlib.compress(rows) + b"left over"),
        "a useless tRNS": png(m * 255, before=chunk(b"tRNS", b"\1\2\3")),
        "by OpenCV": encoded(".png"),
        "by Pillow": saved_by_pillow(grey),
        "by Pillow, as a palette": saved_by_pillow(grey.convert("P")),
        "by Pillow, with text": saved_by_pillow(grey.convert("RGBA"), dpi=(72, 72)),
    }


def broken_pngs() -> dict[str, tuple[Content, str]]:
    """What is no shape, with what the message says."""
    good = good_pngs()["grey"]
    m = shape_mask().astype(np.uint8) * 255
    raw = b"".join(b"\0" + row.tobytes() for row in m)
    cases: dict[str, tuple[Content, str]] = {
        "empty": (b"", "is empty"),
        "text": (b"no image\n", "not a PNG"),
        "zeros": (bytes(4096), "not a PNG"),
        "HTML": (b"<!DOCTYPE html><title>404</title>", "not a PNG"),
        "JPEG": (encoded(".jpg"), "not a PNG"),
        "BMP": (encoded(".bmp"), "not a PNG"),
        "TIFF": (encoded(".tif"), "not a PNG"),
        "WebP": (encoded(".webp"), "not a PNG"),
        "GIF": (b"GIF89a" + bytes(20), "not a PNG"),
        "EXR": (b"\x76\x2f\x31\x01" + bytes(20), "not a PNG"),
        "PDF": (b"%PDF-1.7\n", "not a PNG"),
        "MNG": (b"\x8aMNG" + good[4:], "not a PNG"),
        "copied as text": (good.replace(b"\r\n", b"\n"), "not a PNG"),
        "a folder": (lambda path: path.mkdir(), "is no file"),
        "a pipe": (os.mkfifo, "is no file"),
        "a dangling link": (lambda path: path.symlink_to("nowhere.png"), "cannot be read"),
        "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
        "endless": (lambda path: path.symlink_to("/dev/zero"), "is no file"),
        "600 MB": (lambda path: _sparse(path, good, 600_000_000), "is too large"),
        "bomb in the header": (_claims(20_000, 20_000), "is 20000×20000; at most"),
        "one row too many": (_claims(8192, 8193), "at most"),
        "largest header": (_claims(2**31 - 1, 2**31 - 1), "at most"),
        "bomb in the pixels": (with_pixels(zlib.compress(bytes(50_000_000))), "is all black"),
        "no width": (_claims(0, 40), "damaged PNG"),
        "no height": (_claims(56, 0), "damaged PNG"),
        "3 bits": (SIGNATURE + header(8, 8, 3, GREY) + good[33:], "damaged PNG"),
        "kind 5": (SIGNATURE + header(8, 8, 8, 5) + good[33:], "damaged PNG"),
        "4 bits of RGB": (SIGNATURE + header(8, 8, 4, RGB) + good[33:], "damaged PNG"),
        "filter method 1": (
            SIGNATURE + header(56, 40, 8, 0, 0, 1, 0) + good[33:],
            "damaged PNG",
        ),
        "interlace 2": (
            SIGNATURE + header(56, 40, 8, 0, 0, 0, 2) + good[33:],
            "damaged PNG",
        ),
        "short header": (SIGNATURE + chunk(b"IHDR", b"\0" * 12) + good[33:], "damaged PNG"),
        "no header": (SIGNATURE + good[33:], "at most"),
        "no pixels": (good[:33] + chunk(b"IEND", b""), "damaged PNG"),
        "no palette": (png(m // 255, PALETTE, 8), "damaged PNG"),
        "half a colour": (png(m // 255, PALETTE, 8, chunk(b"PLTE", b"\0" * 4)), "is all black"),
        "pixels of noise": (with_pixels(b"no zlib at all"), "damaged PNG"),
        "wrong checksum of pixels": (with_pixels(flipped(zlib.compress(raw), -1)), "damaged PNG"),
        "filter 9": (with_pixels(zlib.compress(b"\x09" + raw[1:])), "damaged PNG"),
        "endless chunk": (good[:33] + b"\xff\xff\xff\xffIDAT" + good[41:], "damaged PNG"),
        "all black": (png(m * 0), "is all black"),
        "all clear": (png(planes(255, 255, 255, 0), RGB_ALPHA), "is all black"),
        "black and opaque": (png(planes(0, 0, 0, 255), RGB_ALPHA), "is all black"),
        "RGB, 16 bits of 0 and 255": (png(planes(m, m, m), RGB, 16), "is all black"),
        "black 1×1": (png(np.zeros((1, 1), np.uint8)), "is all black"),
    }
    ends = {1: "not a PNG", 7: "not a PNG", 8: "is cut off", 20: "is cut off"}
    ends |= dict.fromkeys([33, 40, len(good) // 2, len(good) - 13], "damaged PNG")
    cases |= {f"cut at {end}": (good[:end], said) for end, said in ends.items()}
    places = [0, 9, 13, 18, 24, 30, 36, 38, 45, len(good) // 2, -17, -14, -6]
    return cases | {f"bit flipped at {k}": (flipped(good, k, 3), "") for k in places}


def harmless_pngs() -> dict[str, bytes]:
    """Damage that leaves the pixels as they are."""
    good, m = good_pngs()["grey"], shape_mask().astype(np.uint8) * 255
    raw = b"".join(b"\0" + row.tobytes() for row in m)
    return {
        "compression 1": SIGNATURE + header(56, 40, 8, 0, 1, 0, 0) + good[33:],
        "two headers": good[:33] + good[8:],
        "twice the pixels": with_pixels(zlib.compress(raw * 2)),
        "no checksum of pixels": with_pixels(zlib.compress(raw)[:-4]),
        "cut in the last chunk": good[:-1],
        "bit flipped in the last chunk": flipped(good, -1, 3),
        "bit flipped in the last length": flipped(good, -10, 3),
    }


def _claims(width: int, height: int) -> bytes:
    return with_pixels(zlib.compress(b"\0\0"), width, height)


def _sparse(path: Path, content: bytes, size: int) -> None:
    path.write_bytes(content)
    os.truncate(path, size)


class Hostile:
    """Unpickled, it leaves a file: the proof that code was run."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch '{self.trace}'",)


def hostile_pickle(trace: Path) -> bytes:
    return pickle.dumps(Hostile(trace), protocol=2)  # torch's own


def hostile_checkpoint(trace: Path, like: bytes) -> bytes:
    """A torch file whose pickle runs code when it is loaded without care."""
    return rezipped(like, lambda name, old: hostile_pickle(trace) if "data.pkl" in name else old)


def torch_file(content: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays by name as an .npz; those of objects are pickled."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    """One array as an .npy."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def rezipped(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """A zip with changed members, None for those to leave out, and right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            member = change(name, old.read(name))
            if member is not None:
                new.writestr(name, member)
    return file.getvalue()


def zipped(members: list[tuple[str, bytes]], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def write(path: Path, content: Content) -> Path:
    """Put content, or let it be put, where something may lie already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path


BROKEN_JSON: dict[str, Change] = {
    "empty": lambda c, trace: b"",
    "a list": lambda c, trace: b"[]",
    "an empty object": lambda c, trace: b"{}",
    "null": lambda c, trace: b"null",
    "a number": lambda c, trace: b"17",
    "half": lambda c, trace: c[: len(c) // 2],
    "binary": lambda c, trace: bytes(range(256)),
    "UTF-16": lambda c, trace: c.decode().encode("utf-16"),
    "deep": lambda c, trace: DEEP.encode(),
    "deep objects": lambda c, trace: b'{"a":' * 5000,
    "a pickle": lambda c, trace: hostile_pickle(trace),
}
# of each kind of file; that all of them are understood alike is tested of `read_json`
SOME_BROKEN_JSON = {name: BROKEN_JSON[name] for name in ("an empty object", "a pickle")}


def edited(**values: object) -> Change:
    """JSON with other values; `...` leaves a key out."""

    def change(content: bytes, trace: Path) -> bytes:
        merged = json.loads(content) | values
        return json.dumps({k: v for k, v in merged.items() if v is not ...}).encode()

    return change


def recipe_with(section: str, **values: object) -> Change:
    """JSON with a recipe that differs."""

    def change(content: bytes, trace: Path) -> bytes:
        facts = json.loads(content)
        facts["recipe"][section] = facts["recipe"].get(section, {}) | values
        return json.dumps(facts).encode()

    return change
