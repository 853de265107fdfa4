"""Skeletons of anybody's masks against scikit-image's, over the size: seconds and memory."""

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import psutil

from canet.core.console import progress
from canet.skeletons import skeletonize
from canet.skeletons.methods import SCIKIT_IMAGE

SIZES_PX = (256, 512, 1024, 2048, 4096)
LARGEST_THIN_PX = 1024  # beyond it scikit-image's `thin` takes minutes
MB = 2**20


def benchmark_skeletonize() -> None:
    """Two kinds of masks: one silhouette, and vessels in thousands of pieces."""
    cv2.setNumThreads(1)
    ours = {
        "compact, pixels": lambda mask: skeletonize(mask).pixels,
        "compact, with all tables": lambda mask: skeletonize(mask).summary,
    }
    for kind, make in (("silhouette", silhouette), ("vessels", vessels)):
        for size in progress(SIZES_PX, desc=kind, unit="size"):
            mask = make(size)
            methods = ours | {k: m for k, m in SCIKIT_IMAGE.items() if k != "thin"}
            if size <= LARGEST_THIN_PX:
                methods["thin"] = SCIKIT_IMAGE["thin"]
            measured = {name: _measured(method, mask) for name, method in methods.items()}
            pieces = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)[0] - 1
            print(f"   {kind} {size} × {size}: {mask.sum():,} pixels in {pieces:,} pieces")
            for name, (seconds, memory_mb) in measured.items():
                ratio = seconds / measured["medial_axis"][0]
                print(f"     {name:26} {seconds:8.3f} s {ratio:7.2f} × {memory_mb:7.0f} MB")


def silhouette(size: int) -> np.ndarray:
    """A smooth blob with arms, (size, size) bool."""
    field = cv2.resize(np.random.default_rng(4).normal(size=(9, 9)), (size, size))
    y, x = np.mgrid[:size, :size] / size - 0.5
    return field - 6 * np.hypot(y, x) > -2.2


def vessels(size: int) -> np.ndarray:
    """Lines some pixels wide, with loops and gaps, (size, size) bool."""
    field = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(size, size)), (0, 0), 3)
    return np.abs(field) < 0.35 * field.std()


def _measured(method: Callable[[np.ndarray], object], mask: np.ndarray) -> tuple[float, float]:
    """Seconds, the better of two calls, and what memory the process took beyond what it had."""
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], process.memory_info().rss)

    before, took = process.memory_info().rss, []
    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(2):
        began = time.perf_counter()
        method(mask)
        took.append(time.perf_counter() - began)
    done.set()
    watcher.join()
    return min(took), max(0, peak[0] - before) / MB
