"""What a network may see: the planes of an input kind, their channels, and how they turn.

A kind is one plane or several, joined by `+`. This is the one table that says how many channels
each has; `inputs` computes them. Nothing heavy is imported, since recipes are checked against it.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Plane:
    """A part of an input kind.

    Attributes:
        channels: how many it has.
        is_vector: they are a vector, x to the right and y downwards, that turns with its pixel.
        is_solid: it is above 0 all over the shape, so that a picture of it shows the shape.
    """

    channels: int = 1
    is_vector: bool = False
    is_solid: bool = False


PLANES = {
    "shape": Plane(is_solid=True),
    "grey": Plane(is_solid=True),
    "distance": Plane(is_solid=True),
    "repaired_distance": Plane(is_solid=True),
    "soft_distance": Plane(is_solid=True),
    "edge": Plane(),
    "candidates": Plane(3),
    "raw_candidates": Plane(2),
    "salience": Plane(),
    "radius": Plane(),
    "offset": Plane(2, is_vector=True),
}


def parts_of(kind: str) -> list[str]:
    """The names of a kind's planes, in the order of its channels."""
    return kind.split("+")


def problem_of(kind: str) -> str | None:
    """What is wrong with a kind, and what to write instead; None where nothing is."""
    parts = parts_of(kind)
    for k, name in enumerate(parts):
        if name not in PLANES:
            near = difflib.get_close_matches(name, PLANES, 1)
            hint = f", did you mean {near[0]}?" if near else ";"
            return f"no plane {name!r}{hint} join any of {', '.join(PLANES)} by +"
        if name in parts[:k]:
            return f"{name} is there twice; name every plane once"
    return None


def channels_of(kind: str) -> int:
    """Number of channels of an input kind."""
    return sum(PLANES[name].channels for name in parts_of(kind))


def _first_channels(kind: str) -> dict[str, int]:
    first, found = 0, {}
    for name in parts_of(kind):
        found[name] = first
        first += PLANES[name].channels
    return found


def vectors_of(kind: str) -> tuple[int, ...]:
    """The channels at which a vector starts: that one is its x, the next its y."""
    return tuple(k for name, k in _first_channels(kind).items() if PLANES[name].is_vector)


def is_solid(kind: str) -> bool:
    """Whether a plane of the kind is above 0 all over the shape."""
    return any(PLANES[name].is_solid for name in parts_of(kind))


def shown_channel(kind: str) -> int:
    """The channel that stands for the shape in pictures: the last of the first two solid ones.

    A distance behind the shape itself tells more; where nothing is solid, the first channel.
    """
    solid = [k for name, k in _first_channels(kind).items() if PLANES[name].is_solid]
    return solid[:2][-1] if solid else 0


def turned(turns: int, flip: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """The matrix that takes a vector's old x and y to its new ones; see `turn_vectors`."""
    sign = -1 if flip else 1
    # a turn takes (x, y) to (y, −x), y pointing down
    return (
        ((sign, 0), (0, 1)),
        ((0, 1), (-sign, 0)),
        ((-sign, 0), (0, -1)),
        ((0, -1), (sign, 0)),
    )[turns % 4]


def turn_vectors(maps, vectors: tuple[int, ...], turns: int, flip: bool) -> None:
    """Turn vectors, in place, with pixels that have been moved: flipped, then turned.

    Args:
        maps: (…, C, H, W), an array or a tensor, whose pixels are where they belong already.
        vectors: see `vectors_of`.
        turns: quarter turns counter-clockwise, as in `np.rot90`.
        flip: whether left and right were swapped before.
    """
    (a, b), (c, d) = turned(turns, flip)
    for k in vectors:
        x, y = maps[..., k, :, :], maps[..., k + 1, :, :]
        maps[..., k, :, :], maps[..., k + 1, :, :] = a * x + b * y, c * x + d * y
