"""The numbers that the forest looks at."""

import numpy as np
import pytest
from blobs import blob

from canet.geometry.candidates import ShapeGeometry
from canet.selection.features import features_of


@pytest.mark.parametrize("kind", ["pixel", "line", "full", "touching", "faint"])
def test_features_are_the_same_numbers_for_any_shape(kind):
    shape = np.zeros((40, 56), np.uint8)
    if kind == "pixel":
        shape[7, 9] = 255
    elif kind == "line":
        shape[20, 5:50] = 255
    elif kind == "full":
        shape[:] = 255
    elif kind == "touching":
        shape[:10, :10] = shape[10:20, 10:20] = 200
    else:
        shape[4:30, 4:40] = 1
    found = features_of(ShapeGeometry(shape))
    assert list(found) == list(features_of(ShapeGeometry(blob(0, noisy=False))))
    assert np.isfinite(list(found.values())).all()


def test_place_and_greys_are_counted_as_by_hand():
    shape = np.zeros((40, 56), np.uint8)
    shape[10:20, 6:36] = 255
    shape[10, 6:36] = 100  # a grey edge above
    shape[14, 20] = 0  # a pinhole
    found = features_of(ShapeGeometry(shape))
    place = {"left": 6, "top": 10, "right": 20, "bottom": 20, "width": 30, "height": 10}
    assert {key: found[key] for key in place} == place
    assert found["area"] == 299 and found["fill"] == pytest.approx(299 / 300)
    assert found["pieces"] == 1 and found["hole px"] == 1 and found["hole px after closing"] == 0
    assert found["partial px"] == 30 and found["grey 96"] == 1 and found["grey max"] == 255
    assert found["grey levels"] == 3 and found["grey mean"] == 100
