"""Input maps against merely reading and decoding the PNGs."""

from functools import partial
from pathlib import Path

import cv2

from canet.benchmarks.timing import print_table, seconds_of_each
from canet.core.images import read_grey
from canet.core.input_planes import PLANES
from canet.core.recipe import Input
from canet.data.input_maps import input_map

JOINED = ("shape+distance+edge", "repaired_distance+candidates")


def benchmark_maps(paths: list[Path]) -> None:
    """Every plane and some kinds on one core."""
    cv2.setNumThreads(1)
    shapes = [read_grey(p) for p in paths]
    rows = {"read and decode": seconds_of_each(read_grey, paths)}
    for kind in [*PLANES, *JOINED]:
        rows[kind] = seconds_of_each(partial(input_map, settings=Input(kind=kind)), shapes)
    print_table(rows, "read and decode")
