"""What a network may see: the planes of an input kind and their channels.

A kind is one plane or several, joined by `+`. This is the one table that says how many channels
each has; `data.input_maps` computes them. Nothing heavy is imported, since recipes are checked
against it.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Plane:
    """A part of an input kind.

    Attributes:
        channels: how many it has.
        is_solid: it is above 0 all over the shape, so that a picture of it shows the shape.
    """

    channels: int = 1
    is_solid: bool = True


PLANES = {
    "shape": Plane(),
    "grey": Plane(),
    "distance": Plane(),
    "repaired_distance": Plane(),
    "soft_distance": Plane(),
    "edge": Plane(is_solid=False),
    "candidates": Plane(3, is_solid=False),
    "salience": Plane(is_solid=False),
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


def channels_at(kind: str, name: str) -> slice | None:
    """Where a plane's channels are in those of a kind; None where the kind has not this plane."""
    parts = parts_of(kind)
    if name not in parts:
        return None
    first = sum(PLANES[before].channels for before in parts[: parts.index(name)])
    return slice(first, first + PLANES[name].channels)


def shown_channel(kind: str) -> int:
    """The channel that stands for the shape in pictures: the last of the first two solid ones.

    A distance behind the shape itself tells more; where nothing is solid, the first channel.
    """
    first, solid = 0, []
    for name in parts_of(kind):
        if PLANES[name].is_solid:
            solid.append(first)
        first += PLANES[name].channels
    return solid[:2][-1] if solid else 0
