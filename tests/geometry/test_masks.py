"""Which pixels are inside: the masks by name, closing and filling."""

import numpy as np

from canet.geometry import masks


def faint_edge() -> np.ndarray:
    """A square of 255 with a border of 1, and a hole of one pixel and one of 25."""
    shape = np.zeros((24, 24), np.uint8)
    shape[3:21, 3:21], shape[4:20, 4:20] = 1, 255
    shape[6, 6] = shape[10:15, 10:15] = 0
    return shape


def test_any_mask_takes_every_grey_level():
    assert masks.any_mask(np.array([0, 1, 2, 255], np.uint8)).tolist() == [False, True, True, True]


def test_closing_takes_gaps_of_two_pixels_and_no_wider_ones():
    mask = np.zeros((9, 20), bool)
    mask[2:7, 2:6] = mask[2:7, 8:12] = mask[2:7, 15:18] = True  # gaps of 2 and of 3 pixels
    closed = masks.closing(mask)
    assert closed[2:7, 6:8].all() and not closed[:, 12:15].any()
    assert (closed >= mask).all() and (masks.closing(closed) == closed).all()


def test_the_masks_of_a_shape_by_hand():
    shape = faint_edge()
    inside, core = shape > 0, shape > 1
    core[6, 6] = True  # closed
    assert (masks.label_mask(shape) == core).all()
    inside[6, 6] = True
    assert (masks.closed_mask(shape) == inside).all()
    inside[10:15, 10:15] = True
    assert (masks.filled_mask(shape) == inside).all()


def test_a_mask_of_0_and_1_has_no_fainter_level():
    shape = (faint_edge() > 0).astype(np.uint8)
    assert (masks.label_mask(shape) == masks.closed_mask(shape)).all()
    assert not masks.label_mask(np.zeros((5, 5), np.uint8)).any()


def test_holes_are_filled_and_rings_kept():
    mask = np.ones((30, 30), bool)
    mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = False
    mask[5, 5] = False  # a hole of one pixel
    mask[10:15, 10:15] = False  # of 25
    mask[20:26, 20:25] = False  # a ring's inside, 30
    filled = masks.fill_holes(mask, 25)
    assert filled[5, 5] and filled[12, 12]
    assert not filled[22, 22] and not filled[0, 0]
    assert (masks.fill_holes(mask, 0) == mask).all()
    assert masks.fill_holes(mask, 30)[22, 22]


def test_a_notch_at_the_border_is_no_hole():
    mask = np.ones((8, 8), bool)
    mask[0, 3] = False
    assert (masks.fill_holes(mask, 25) == mask).all()
