"""The candidates of a shape: masks, tolerances, drawings."""

from blobs import blob

from canet.geometry import compact_skeleton
from canet.geometry.candidates import CANDIDATES, PLAIN, ShapeGeometry, plain_skeleton
from canet.geometry.metrics import component_count


def test_candidates_are_the_compact_skeletons_of_their_masks():
    geometry = ShapeGeometry(blob(1, noisy=True))
    for candidate, drawing in zip(CANDIDATES, geometry.drawings):
        mask = geometry.masks[candidate.mask]
        again = compact_skeleton(mask, candidate.tolerance_px, longest_piece=True)
        assert (drawing == again.draw(mask.shape)).all() and component_count(drawing) == 1
    assert (plain_skeleton(geometry.shape) == geometry.drawing(PLAIN)).all()
