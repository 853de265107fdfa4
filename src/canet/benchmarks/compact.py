"""The steps of a compact skeleton against scikit-image's methods, and its cost over the size."""

import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage.morphology import medial_axis

from canet.benchmarks.skeletonize import vessels
from canet.benchmarks.timing import print_table, seconds_of_each
from canet.core.images import read_grey
from canet.geometry import compact_skeleton, label_mask, trace_outline
from canet.geometry.classical import METHODS
from canet.geometry.outline import piece_outlines

ENLARGED = (1, 2, 4, 8, 16)
VESSELS_PX = (1024, 2048, 4096)
TOLERANCE_PX = 2.0


def benchmark_compact(paths: list[Path]) -> None:
    """Outline, walk and drawing on one core; then one shape enlarged, and many thin lines."""
    cv2.setNumThreads(1)
    shapes = [read_grey(p) for p in paths]
    masks = [label_mask(s) for s in shapes]
    outlines = [trace_outline(m) for m in masks]
    walk = partial(compact_skeleton, tolerance_px=TOLERANCE_PX)
    drawn = list(zip([walk(o) for o in outlines], masks))
    rows = {
        "outline": seconds_of_each(trace_outline, masks),
        "compact, one more tolerance": seconds_of_each(walk, outlines),
        "drawing": seconds_of_each(lambda pair: pair[0].draw(pair[1].shape), drawn),
    }
    for name in ("compact", "salient_medial_axis", "medial_axis", "zhang_suen"):
        rows[name] = seconds_of_each(METHODS[name], shapes)
    print_table(rows, "medial_axis")
    print("   one shape enlarged: points of its outline, nodes and ms at 2 px and at 2 px enlarged")
    for factor in ENLARGED:
        print(_line_of_enlarged(shapes[0], factor), flush=True)
    print("   generated vessels in many pieces, a skeleton in each: points, pieces, seconds")
    for size in VESSELS_PX:
        print(_line_of_vessels(size), flush=True)


def _line_of_enlarged(shape: np.ndarray, factor: int) -> str:
    shape = cv2.resize(shape, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    mask = label_mask(shape)
    said = f"   {shape.shape[1]:5d} × {shape.shape[0]:<5d} {len(trace_outline(mask)):7d} points"
    for tolerance in (TOLERANCE_PX, TOLERANCE_PX * factor):
        began = time.perf_counter()
        graph = compact_skeleton(mask, tolerance)
        graph.draw(mask.shape)
        ms = (time.perf_counter() - began) * 1000
        said += f"   {tolerance:4g} px: {len(graph):6d} nodes {ms:8.1f} ms"
    return said


def _line_of_vessels(size: int) -> str:
    mask = vessels(size)
    outlines = list(piece_outlines(mask))
    said = (
        f"   {size:5d} × {size:<5d} {sum(map(len, outlines)):8d} points {len(outlines):6d} pieces"
    )
    began = time.perf_counter()
    graph = compact_skeleton(mask, TOLERANCE_PX)
    walked = time.perf_counter()
    graph.draw(mask.shape)
    drawn = time.perf_counter()
    medial_axis(mask, rng=0)
    other = time.perf_counter() - drawn
    return (
        f"{said}   graph {walked - began:6.2f} s, drawn {drawn - began:6.2f} s: "
        f"{(drawn - began) / other:5.2f} × medial_axis"
    )
