"""A skeleton to look at: outline, branches, circles and a table, as HTML."""

from html import escape

from canet.app.shapes import to_url
from canet.skeletons.formats import COLOURS, overlay, svg
from canet.skeletons.skeleton import Skeleton

MOST_ROWS = 100
MOST_PATHS = 2000
COLUMNS = {
    "branch-distance": "length",
    "mean-radius": "mean radius",
    "min-radius": "min radius",
    "max-radius": "max radius",
    "tortuosity": "tortuosity",
}
TYPES = ("end to end", "junction to end", "junction to junction", "ring")  # by `branch-type`


def picture(skeleton: Skeleton, *, circles: bool) -> str:
    """The skeleton over its mask; of very many branches pixels, which browsers still can show."""
    said = f"Skeleton: {summary(skeleton)}"
    if len(skeleton.graph.branches) > MOST_PATHS:
        return f'<img src="{to_url(overlay(skeleton))}" alt="{escape(said)}">'
    return f'<div role="img" aria-label="{escape(said)}">{svg(skeleton, circles=circles)}</div>'


def summary(skeleton: Skeleton) -> str:
    """Its size in words."""
    facts = skeleton.summary
    counts = ", ".join(
        f"{facts[key]} {key if facts[key] != 1 else singular}"
        for key, singular in (
            ("branches", "branch"),
            ("ends", "end"),
            ("junctions", "junction"),
            ("rings", "ring"),
        )
    )
    return f"{counts}; length {facts['length']:.1f} px, width {facts['mean-width']:.1f} px"


def table(skeleton: Skeleton) -> str:
    """A row for each branch, the longest first, with its colour in the picture."""
    branches = skeleton.branches.sort_values("branch-distance", ascending=False, kind="stable")
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("", "kind", *COLUMNS.values()))
    rows = [
        f'<tr><td><svg width="12" height="12"><rect width="12" height="12" '
        f'fill="rgb{COLOURS[k % len(COLOURS)]}"/></svg></td><td>{TYPES[row["branch-type"]]}</td>'
        + "".join(f"<td>{row[name]:.2f}</td>" for name in COLUMNS)
        + "</tr>"
        for k, row in branches.head(MOST_ROWS).to_dict("index").items()
    ]
    rest = len(branches) - MOST_ROWS
    more = f"<p>… and {rest:,} shorter ones; the CSV has all</p>" if rest > 0 else ""
    return (
        f"<table><caption>Branches, px</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{more}"
    )
