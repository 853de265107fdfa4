"""Skeletons of shapes with the Context Attention Network (CANet), and by geometry.

    >>> canet.skeletonize(mask).branches

Each folder imports only those before it (`tests/test_layers.py`):

`geometry` (masks, distances, compact skeletons, scores) → `core` (recipes, command line, files) →
`data` (images, folds, input maps) → `network` → `postprocess` → `inference` → `evaluation` →
`training` → `tables` → `search` → `selection` (a forest in place of a network) → `submission` →
`skeletons` (of anybody's masks) → `report` → `benchmarks` → `app` (a page to try it).
"""

from importlib import import_module

__all__ = ["Options", "Skeleton", "skeletonize"]


def __getattr__(name: str) -> object:
    """What `canet.skeletons` offers, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("canet.skeletons"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
