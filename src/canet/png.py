"""PNG files from anywhere: checked before they are decoded, and brought to one kind of grey.

OpenCV's decoder reserves memory for whatever size a header claims, prints its complaints past
Python, and drops transparency or the low bits when asked for 8-bit grey. So the file is taken
apart here: size, checksums and the amount of pixel data are verified, and only what the pixels
need is handed on. Unpacking them once more takes half of the decoder's time, 0.1 ms a shape.
"""

import struct
import zlib

import cv2
import numpy as np

MOST_PIXELS = 8192 * 8192
MOST_BYTES = 8 * MOST_PIXELS  # what so many pixels take at their largest, 16-bit RGBA
SIGNATURE = b"\x89PNG\r\n\x1a\n"
OTHERS = {b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP", b"II*": "TIFF"}
OTHERS |= {b"MM\0*": "TIFF", b"\x76\x2f\x31\x01": "EXR", b"%PDF": "PDF"}
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}  # of the others: 8 and 16
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
PASSES += [(0, 1, 1, 2)]  # of an interlaced image: first column and row, steps between them
LAST_FILTER = 4


class Unreadable(ValueError):
    """Why a file cannot be used as an image, and what to do."""


def decode_grey(content: bytes) -> np.ndarray:
    """A PNG file's content as (H, W) uint8 grey; see `files.read_grey` for what becomes of what.

    Raises:
        Unreadable: no PNG, damaged, or larger than `MOST_PIXELS`.
    """
    chunks = _read_chunks(content)
    header = _Header(chunks[b"IHDR"])
    pixels = _checked_pixels(chunks[b"IDAT"], header)
    palette = chunks[b"PLTE"][: 3 * 2**header.depth] if header.kind == PALETTE else b""
    if header.kind == PALETTE and (not palette or len(palette) % 3):
        raise Unreadable("damaged PNG (no palette); export it again")
    transparent = _transparency(chunks[b"tRNS"], header, len(palette) // 3)
    rebuilt = [
        SIGNATURE,
        _chunk(b"IHDR", chunks[b"IHDR"]),
        _chunk(b"PLTE", palette) if palette else b"",
        _chunk(b"tRNS", transparent) if transparent else b"",
        _chunk(b"IDAT", pixels),
        _chunk(b"IEND", b""),
    ]
    plain = header.depth < 16 and header.kind in (GREY, RGB, PALETTE) and not transparent
    flag = cv2.IMREAD_GRAYSCALE if plain else cv2.IMREAD_UNCHANGED
    image = cv2.imdecode(np.frombuffer(b"".join(rebuilt), np.uint8), flag)
    if image is None:
        raise Unreadable("not a readable PNG; export it again")
    return _normalised(*_grey_and_alpha(image, transparent, header))


class _Header:
    """The size and kind of pixels that an IHDR chunk names, checked."""

    def __init__(self, content: bytes):
        if len(content) != 13:
            raise Unreadable("damaged PNG (its header); export it again")
        self.width, self.height, self.depth, self.kind, *rest = struct.unpack(">IIBBBBB", content)
        known = self.depth in DEPTHS.get(self.kind, (8, 16)) and self.kind in CHANNELS
        if not known or rest[:2] != [0, 0] or rest[2] > 1 or not self.width or not self.height:
            raise Unreadable("damaged PNG (its header names no valid image); export it again")
        if self.width * self.height > MOST_PIXELS:
            raise Unreadable(
                f"is {self.width}×{self.height}; at most {MOST_PIXELS:,} pixels are read "
                f"(8192×8192), make it smaller"
            )
        self.interlaced = rest[2] == 1

    def parts(self) -> list[tuple[int, int]]:
        """(rows, bytes a row) of the image, or of each pass of an interlaced one."""
        bits = self.depth * CHANNELS[self.kind]
        passes = PASSES if self.interlaced else [(0, 0, 1, 1)]
        sizes = [
            (-(-(self.height - y) // dy), -(-(self.width - x) // dx)) for x, y, dx, dy in passes
        ]
        return [(rows, 1 + (wide * bits + 7) // 8) for rows, wide in sizes if rows and wide]


def _read_chunks(content: bytes) -> dict[bytes, bytes]:
    """The chunks that pixels depend on, by name; those of one name are joined."""
    if not content.startswith(SIGNATURE):
        kind = next((name for magic, name in OTHERS.items() if content.startswith(magic)), None)
        said = f"a {kind}, not a PNG" if kind else "not a PNG" if content else "empty, not a PNG"
        raise Unreadable(f"is {said}; export it as PNG")
    parts: dict[bytes, list[bytes]] = {b"IHDR": [], b"PLTE": [], b"tRNS": [], b"IDAT": []}
    view, position = memoryview(content), len(SIGNATURE)
    while True:
        if position + 12 > len(content):
            raise Unreadable("is cut off; copy or export it again")
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 12 + length
        if end > len(content):
            raise Unreadable("is cut off; copy or export it again")
        name = content[position + 4 : position + 8]
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise Unreadable("damaged PNG (a checksum differs); copy or export it again")
        if name in parts:
            parts[name].append(content[position + 8 : end - 4])
        if name == b"IEND":
            return {name: b"".join(found) for name, found in parts.items()}
        position = end


def _checked_pixels(content: bytes, header: _Header) -> bytes:
    """Compressed rows that unpack to just what the header implies; what lies behind is cut."""
    parts = header.parts()
    length = sum(rows * size for rows, size in parts)
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(content, length + 1)
    except zlib.error:
        raise Unreadable("damaged PNG (its pixels); export it again") from None
    if len(raw) != length or not unpacking.eof:
        raise Unreadable("damaged PNG (too few or too many pixels); export it again")
    levels, start = np.frombuffer(raw, np.uint8), 0
    for rows, size in parts:
        if levels[start : start + rows * size : size].max() > LAST_FILTER:
            raise Unreadable("damaged PNG (its rows); export it again")
        start += rows * size
    return content[: len(content) - len(unpacking.unused_data)]


def _transparency(content: bytes, header: _Header, colours: int) -> bytes:
    """What a tRNS chunk says: the opacity of each colour of a palette, or one that is clear."""
    wanted = {GREY: 2, RGB: 6, PALETTE: colours}.get(header.kind, 0)
    if header.kind == PALETTE:
        return content[:wanted]
    return content if len(content) == wanted else b""


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _grey_and_alpha(
    image: np.ndarray, transparent: bytes, header: _Header
) -> tuple[np.ndarray, np.ndarray | None]:
    """What OpenCV decoded, as brightness and opacity, both (H, W) of the image's own depth."""
    if image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY), image[..., 3]
    if image.ndim == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None
    if header.kind == GREY and transparent:  # which OpenCV leaves to us
        most = np.iinfo(image.dtype).max
        clear = int.from_bytes(transparent) * most // (2**header.depth - 1)
        return image, np.where(image == clear, 0, most).astype(image.dtype)
    return image, None


def _normalised(grey: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """8-bit grey in which 255 is white, whatever it was written with."""
    if alpha is not None:
        seen = cv2.multiply(grey, alpha, scale=1 / np.iinfo(grey.dtype).max)
        is_silhouette = not seen.any() and alpha.min() < alpha.max()
        grey = alpha if is_silhouette else seen
    if grey.dtype == np.uint16:
        fits = grey.max() <= 255  # 8-bit levels that something stored in 16
        grey = grey.astype(np.uint8) if fits else cv2.convertScaleAbs(grey, alpha=1 / 257)
    return grey * np.uint8(255) if grey.max() == 1 else grey
