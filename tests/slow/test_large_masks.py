"""The guarantees of `tests/skeletons/test_guarantees.py` at 256² to 1024²."""

import pytest
from foreign_masks import all_kinds
from guarantees import check_topology, misses_px

import canet


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_large_masks(size):
    for name, mask in all_kinds(size):
        if name.startswith("noise") and size > 256:
            continue  # a thousand by a thousand single pixels
        skeleton = canet.skeletonize(mask)
        check_topology(skeleton, mask)
        if size == 256:
            assert max(misses_px(skeleton)) <= 3, name
