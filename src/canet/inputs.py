"""The network's input for a shape: the planes that `input_kinds` names, computed and stacked."""

import numpy as np

from canet.distance import (
    SCALE_PX,
    distance_map,
    edge_map,
    fill_holes,
    inside,
    soft_distance_map,
)
from canet.geometry.candidates import ShapeGeometry, label_mask
from canet.geometry.planes import candidate_planes, offset_planes, radius_plane, salience_plane
from canet.input_kinds import parts_of
from canet.recipe import Input


def input_map(shape: np.ndarray, settings: Input) -> np.ndarray:
    """The network's input for one shape.

    Args:
        shape: (H, W) uint8 grey.
        settings: the recipe's `input` section.

    Returns:
        (C, H, W) float32; distances and radii in units of 32 px, offsets in units of 8 px, all
        else 0 to 1.
    """
    geometry = ShapeGeometry(shape)  # shared: planes of one outline trace it once
    planes = [COMPUTE[name](geometry, settings) for name in parts_of(settings.kind)]
    return np.concatenate(
        [p.reshape(-1, *shape.shape).astype(np.float32, copy=False) for p in planes]
    )


def body(geometry: ShapeGeometry, settings: Input) -> np.ndarray:
    """The mask that the recipe asks for, (H, W) bool."""
    return label_mask(geometry.shape) if settings.mask == "label" else inside(geometry.shape)


# Each: geometry, settings → (H, W) or (channels, H, W).
COMPUTE = {
    "shape": lambda g, settings: body(g, settings),
    "grey": lambda g, _: g.shape / 255,
    "distance": lambda g, settings: distance_map(body(g, settings)) / SCALE_PX,
    "repaired_distance": lambda g, settings: (
        distance_map(fill_holes(body(g, settings), settings.max_hole_px)) / SCALE_PX
    ),
    "soft_distance": lambda g, settings: soft_distance_map(body(g, settings)) / SCALE_PX,
    "edge": lambda g, settings: edge_map(body(g, settings)),
    "candidates": lambda g, _: candidate_planes(g, "closed"),
    "raw_candidates": lambda g, _: candidate_planes(g, "filled"),
    "salience": lambda g, _: salience_plane(g),
    "radius": lambda g, _: radius_plane(g),
    "offset": lambda g, _: offset_planes(g),
}
