"""Masks unlike the benchmark's: noise, blobs, lines, rings, letters, a hand; and what they have."""

from collections.abc import Iterator
from functools import cache

import cv2
import matplotlib.font_manager
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

AROUND = np.ones((3, 3))


def pieces_and_holes(mask: np.ndarray) -> tuple[int, int]:
    """8-connected pieces and 4-connected holes."""
    return ndimage.label(mask, AROUND)[1], ndimage.label(~np.pad(mask, 1))[1] - 1


def noise(size: int, density: float) -> np.ndarray:
    return np.random.default_rng(size).random((size, size)) < density


def blobs(size: int, smooth: float, share: float = 0.5) -> np.ndarray:
    field = np.random.default_rng(size).normal(size=(size, size))
    field = ndimage.gaussian_filter(field, smooth)
    return field < np.quantile(field, share)


def lines(size: int, width: int, count: int = 5) -> np.ndarray:
    rng, mask = np.random.default_rng(size + width), np.zeros((size, size), np.uint8)
    for _ in range(count):
        x0, y0, x1, y1 = rng.integers(0, size, 4).tolist()
        cv2.line(mask, (x0, y0), (x1, y1), 1, width)
    return mask > 0


def ring(size: int, radius: float, width: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    away = np.hypot(y, x)
    return (away < radius) & (away >= radius - width)


def letter(text: str, size: int) -> np.ndarray:
    font = ImageFont.truetype(_font(), round(0.8 * size))
    picture = Image.new("L", (size, size))
    ImageDraw.Draw(picture).text((size / 2, size / 2), text, 255, font, anchor="mm")
    return np.array(picture) > 127


@cache
def _font() -> str:
    return matplotlib.font_manager.findfont("DejaVu Sans")  # comes with matplotlib


def eight(size: int = 240) -> np.ndarray:
    upper, lower = np.zeros((2, size, size), bool)
    y, x = np.mgrid[:size, :size]
    for mask, centre in ((upper, 0.3), (lower, 0.7)):
        away = np.hypot(y - centre * size, x - size / 2)
        mask[(away < 0.24 * size) & (away > 0.15 * size)] = True
    return upper | lower


def cross(size: int = 200, width: int = 9) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    a, b = size // 10, size - size // 10
    cv2.line(mask, (a, a), (b, b), 1, width)
    cv2.line(mask, (b, a), (a, b), 1, width)
    return mask > 0


def hand(size: int = 256) -> np.ndarray:
    """A palm with five fingers and a wrist."""
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (size // 2, round(0.62 * size)), (round(0.2 * size), round(0.22 * size)), 0,
                0, 360, 1, -1)  # fmt: skip
    for angle, length in ((-75, 0.36), (-22, 0.5), (-5, 0.53), (12, 0.5), (30, 0.42)):
        turned = np.deg2rad(angle)
        tip = (
            round(size / 2 + length * size * np.sin(turned)),
            round(0.62 * size - length * size * np.cos(turned)),
        )
        cv2.line(mask, (size // 2, round(0.6 * size)), tip, 1, round(0.055 * size))
    cv2.line(mask, (size // 2, round(0.7 * size)), (size // 2, size - 8), 1, round(0.22 * size))
    return mask > 0


def all_kinds(size: int) -> Iterator[tuple[str, np.ndarray]]:
    """By name; 28 pixels and more."""
    for density in (0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 0.97):
        yield f"noise {density}", noise(size, density)
    for smooth in (1, 2, size / 16):
        for share in (0.3, 0.5, 0.8):
            yield f"blobs {smooth:g} {share}", blobs(size, smooth, share)
    for width in (1, 2, 3, 5, 9):
        yield f"lines {width}", lines(size, width)
    for radius, width in ((0.1, 1), (0.3, 1), (0.3, 2), (0.45, 0.1 * size)):
        yield f"ring {radius} {width:g}", ring(size, radius * size, width)
    for text in "agR8&%ö漢":
        yield f"letter {text}", letter(text, size)
