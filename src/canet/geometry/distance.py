"""Distance maps of masks and their kin: soft distances, edges.

Every map turns and flips with its shape exactly, so augmentation may act on cached ones.
"""

import cv2
import numpy as np

# Distances are divided by this: half of the real shapes have their largest radius below it.
SCALE_PX = 32.0
SOFT_TEMPERATURE_PX = 1.0
SOFT_RADIUS_PX = 3


def distance_map(mask: np.ndarray) -> np.ndarray:
    """Euclidean distance from each shape pixel to the nearest background pixel.

    What lies beyond the image counts as background: the labels of shapes that touch the border
    treat it as outline, and a full image has a distance too.

    Args:
        mask: (H, W) bool, True inside the shape.

    Returns:
        (H, W) float32, in pixels; 0 outside the shape.

    Raises:
        ValueError: `mask` is not 2-D bool.

    Source: Felzenszwalb & Huttenlocher, "Distance Transforms of Sampled Functions", 2012.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask is {mask.ndim}-D {mask.dtype}; expected 2-D bool")
    distance = np.zeros(mask.shape, np.float32)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width == 0:
        return distance
    box = slice(top, top + height), slice(left, left + width)  # half the image, half the time
    padded = cv2.copyMakeBorder(mask[box].view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    whole = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's roots are off by a last digit that depends on where the arrays lie in memory; squares
    # of distances are whole numbers
    np.rint(np.square(whole, out=whole), out=whole)
    distance[box] = np.sqrt(whole, out=whole)[1:-1, 1:-1]
    return distance


def soft_distance_map(mask: np.ndarray) -> np.ndarray:
    """A distance map whose ridges are rounded: a local soft minimum of the distances.

    For each shape pixel −T·log of the mean of exp(−d/T) over the 7×7 pixels around it, T = 1 px.
    The smooth distance of the paper's reference [13] is not given by formula in public; this is
    this project's reading of "smooth distance estimation".

    Args:
        mask: (H, W) bool, True inside the shape.

    Returns:
        (H, W) float32, in pixels; 0 outside the shape.
    """
    near = np.exp(-distance_map(mask).astype(np.float64) / SOFT_TEMPERATURE_PX)
    side = 2 * SOFT_RADIUS_PX + 1
    mean = cv2.blur(near, (side, side), borderType=cv2.BORDER_CONSTANT)
    soft = -SOFT_TEMPERATURE_PX * np.log(np.maximum(mean, 1e-30))
    return np.where(mask, np.maximum(soft, 0), 0).astype(np.float32)


def edge_map(mask: np.ndarray) -> np.ndarray:
    """The shape's outline by Canny, (H, W) bool → (H, W) float32 of 0 and 1.

    Canny's non-maximum suppression prefers a side on a two-pixel-wide edge, so the union over
    the eight flips and turns is taken: it turns with the shape. Along the image's border, which it
    does not look beyond, a shape has no edge.
    """
    edges = np.zeros(mask.shape, bool)
    image = mask.astype(np.uint8) * 255
    for turns in range(4):
        for flip in (False, True):
            view = np.rot90(image, turns)
            view = np.ascontiguousarray(view[:, ::-1] if flip else view)
            found = cv2.Canny(view, 100, 200) > 0
            edges |= np.rot90(found[:, ::-1] if flip else found, -turns)
    return edges.astype(np.float32)
