"""What an image tells about the series it comes from, and so about its label's tolerance."""

import cv2
import numpy as np

from canet.geometry.candidates import CANDIDATES, Candidate, ShapeGeometry
from canet.geometry.graph import SkeletonGraph
from canet.geometry.masks import any_mask
from canet.geometry.metrics import f1_score
from canet.geometry.outline import Outline

GREY_BINS = (1, 2, 5, 10, 32, 64, 96, 128, 160, 192, 224, 245, 252, 255)
RUNS = (1, 2, 3, 4, 5)  # px
LONG_RUN = 8  # px
SMOOTHING = (2.0, 4.0, 8.0, 16.0)  # px along the outline
# How fast branches go as the tolerance grows tells a noisy outline from a detailed one.
PROBES = (Candidate("closed", 0.6), Candidate("closed", 1.5))
SHORT_SPURS = (6.0, 12.0)  # px


def features_of(geometry: ShapeGeometry) -> dict[str, float]:
    """211 numbers by name, the same names for every shape.

    Args:
        geometry: of a shape with at least one pixel.

    Returns:
        finite floats; lengths in px, shares 0 to 1.
    """
    found = _place(geometry) | _greys(geometry)
    found |= {f"closed {k}": v for k, v in _outline(geometry.outline("closed")).items()}
    filled = _outline(geometry.outline("filled"))
    found |= {f"filled {k}": filled[k] for k in ("length", "borders", "corners", "run 1", "run 2")}
    found |= _skeletons(geometry)
    return {k: float(v) if np.isfinite(v) else 0.0 for k, v in found.items()}


def _place(geometry: ShapeGeometry) -> dict[str, float]:
    """Size, place and holes."""
    height, width = geometry.shape.shape
    mask, closed, filled = any_mask(geometry.shape), *geometry.masks.values()
    left, top, w, h = cv2.boundingRect(mask.view(np.uint8))
    rows, columns = np.nonzero(mask)
    return {
        "left": left,
        "top": top,
        "right": width - left - w,
        "bottom": height - top - h,
        "width": w,
        "height": h,
        "area": mask.sum(),
        "fill": mask.sum() / (w * h),
        "centre x": columns.mean() - width / 2,
        "centre y": rows.mean() - height / 2,
        "pieces": cv2.connectedComponents(mask.view(np.uint8), connectivity=4)[0] - 1,
        "added by closing": (closed & ~mask).sum(),
        "lost at the edge": (mask & ~closed).sum(),
        "hole px": (filled & ~mask).sum(),
        "hole px after closing": (filled & ~closed).sum(),
    }


def _greys(geometry: ShapeGeometry) -> dict[str, float]:
    """How the edge is antialiased: every series was resized by another program."""
    grey, mask = geometry.shape, any_mask(geometry.shape)
    partial = mask & (grey < 255)
    levels = grey[partial] if partial.any() else np.zeros(1, np.uint8)
    counts = np.histogram(levels, GREY_BINS)[0] / len(levels)
    found = {f"grey {low}": c for low, c in zip(GREY_BINS, counts)}
    core, deep = (
        cv2.erode(mask.view(np.uint8), np.ones((k, k), np.uint8)).astype(bool) for k in (3, 5)
    )
    edge = max(1, (mask & ~core).sum())
    step_x, step_y = (np.abs(np.diff(grey.astype(int), axis=a)).sum() for a in (1, 0))
    return found | {
        "grey max": grey.max(),
        "grey levels": len(np.unique(grey)),
        "grey mean": levels.mean(),
        "grey spread": levels.std(),
        "partial px": partial.sum(),
        "partial of edge": partial.sum() / edge,
        "partial in core": (partial & core).sum() / max(1, partial.sum()),
        "partial in depth": (partial & deep).sum() / max(1, partial.sum()),
        "white of edge": ((grey == 255) & mask & ~core).sum() / edge,
        "contrast": (step_x + step_y) / 255 / edge,
        "contrast x of y": step_x / max(1, step_y),
    }


def _outline(outline: Outline) -> dict[str, float]:
    """Steps and bends of the longest border."""
    own = np.flatnonzero(outline.chain == outline.length.argmax())
    points = outline.points[own[np.argsort(outline.place[own])]]
    step = np.roll(points, -1, axis=0) - points
    turn = step[:, 0] * np.roll(step[:, 1], -1) - step[:, 1] * np.roll(step[:, 0], -1)
    corner = np.flatnonzero(turn)
    runs, side = np.diff(corner), turn[corner]
    bump = side[1:] == side[:-1]  # two turns to the same side: up and on, not a stair
    n = len(points)
    found = {
        "length": len(outline),
        "borders": len(outline.length),
        "corners": len(corner) / n,
        "longest run": runs.max(initial=0),
        "long runs": (runs > LONG_RUN).sum() / max(1, len(runs)),
        "on long runs": runs[runs > LONG_RUN].sum() / n,
        "bumps": bump.sum() / max(1, len(bump)),
        "run correlation 1": _correlation(runs[1:], runs[:-1]),
        "run correlation 2": _correlation(runs[2:], runs[:-2]),
    }
    for k in RUNS:
        found[f"run {k}"] = (runs == k).sum() / max(1, len(runs))
        found[f"bump {k}"] = (bump & (runs == k)).sum() / n
    for scale in SMOOTHING:
        found |= {f"{k} {scale:g}": v for k, v in _bends(points, scale).items()}
    return found


def _bends(points: np.ndarray, scale: float) -> dict[str, float]:
    """A closed outline against itself smoothed by a Gaussian of `scale` px."""
    reach = int(3 * scale)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / scale) ** 2)
    around = points[np.arange(-reach, len(points) + reach) % len(points)]
    smooth = np.stack([np.convolve(c, weight / weight.sum(), "valid") for c in around.T], axis=1)
    away = np.hypot(*(smooth - points).T)
    step = np.roll(smooth, -1, axis=0) - smooth
    bend = np.abs(np.diff(np.unwrap(np.arctan2(step[:, 1], step[:, 0]))))
    return {
        "rough": away.mean(),
        "roughest": away.max(),
        "bend": bend.sum(),
        "sharpest bend": bend.max(initial=0),
        "straight": (bend < 0.01).mean(),
        "shortening": np.hypot(*step.T).sum() / len(points),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _skeletons(geometry: ShapeGeometry) -> dict[str, float]:
    """Size of every candidate, and how alike any two are."""
    chosen = [*CANDIDATES, *PROBES]
    drawings = [geometry.drawing(c) for c in chosen]
    found = {}
    for candidate, drawing in zip(chosen, drawings):
        described = _skeleton(geometry.graph(candidate), int(drawing.sum()))
        found |= {f"{candidate.name} {k}": v for k, v in described.items()}
    for i, a in enumerate(chosen):
        for j, b in enumerate(chosen[:i]):
            found[f"{a.name} ~ {b.name}"] = f1_score(drawings[i], drawings[j])
    fine = CANDIDATES[0].name
    for coarse in (CANDIDATES[1].name, CANDIDATES[2].name):
        for what in ("ends", "px"):
            found[f"{what} {coarse} of {fine}"] = found[f"{coarse} {what}"] / max(
                1, found[f"{fine} {what}"]
            )
    found["ends by length"] = found[f"{fine} ends"] / len(geometry.outline("closed"))
    return found


def _skeleton(graph: SkeletonGraph, px: int) -> dict[str, float]:
    ending = [b for b in graph.branches if (graph.degree[b.nodes[[0, -1]]] == 1).any()]
    spurs = np.array([b.length_px for b in ending] or [0.0])
    tips = graph.salience[graph.degree == 1]
    tips = tips[np.isfinite(tips)] if np.isfinite(tips).any() else np.zeros(1)
    return {
        "px": px,
        "nodes": len(graph),
        "ends": (graph.degree == 1).sum(),
        "nodes by px": len(graph) / max(1, px),
        "shortest spur": spurs.min(),
        "median spur": np.median(spurs),
        "mean spur": spurs.mean(),
        **{f"spurs under {k:g}": (spurs < k).sum() for k in SHORT_SPURS},
        "largest radius": graph.radius.max(initial=0),
        "median radius": np.median(graph.radius) if len(graph) else 0,
        "smallest radius": graph.radius.min(initial=np.inf),
        "least salient tip": tips.min(),
        "median tip": np.median(tips),
    }
