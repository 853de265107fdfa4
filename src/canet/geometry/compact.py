"""One-step compact skeletonization: few branches, all of them needed up to a tolerance.

Durix, Morin, Chambon, Mari & Leonard, "One-step Compact Skeletonization", Eurographics 2019. A
circle walks along the shape's axis from Voronoi vertex to Voronoi vertex. Where all of an arc of
the outline between two of the points that the circle touches lies near the circle, the arc is
erased: no branch goes there, and no later circle meets its points. What remains has no spurs, so
nothing has to be pruned.

The labels of Pixel SkelNetOn are drawings of these skeletons. An even-width part of a shape has
its axis exactly on the border between two pixels, and the last bit of a coordinate decides on
which side it is drawn. The arithmetic here is therefore part of the method: every division,
product and comparison is done in the order that gives the authors' drawings.
"""

import cv2
import numpy as np

from canet.geometry.graph import SkeletonGraph
from canet.geometry.outline import Outline, compiled, trace_outline

TINY = np.finfo(np.float64).tiny


@compiled
def _reflect(a, k):
    """Householder reflection that clears column k of a (3, 3) matrix below its diagonal."""
    head = a[k, k]
    tail = 0.0
    for i in range(k + 1, 3):
        tail += a[i, k] * a[i, k]
    if tail <= TINY:
        return  # it is clear
    beta = np.sqrt(head * head + tail)
    if head >= 0:
        beta = -beta
    for i in range(k + 1, 3):
        a[i, k] = a[i, k] / (head - beta)
    tau = (beta - head) / beta
    a[k, k] = beta
    for j in range(k + 1, 3):
        dot = 0.0
        for i in range(k + 1, 3):
            dot += a[i, k] * a[i, j]
        dot += a[k, j]
        a[k, j] -= tau * dot
        for i in range(k + 1, 3):
            a[i, j] -= (tau * a[i, k]) * dot


@compiled
def _centre(points, p, q, third):
    """Centre of the circle through three points.

    The three bisector equations, solved by least squares through a column-pivoted Householder QR
    (Golub & Van Loan, "Matrix Computations", 5.4). A closed formula would be shorter, and differ
    in the last bit.
    """
    a = np.empty((3, 3))  # the equations; their right sides are the third column
    for row in range(3):
        i = p if row == 0 else q if row == 1 else third
        j = q if row == 0 else third if row == 1 else p
        x, y = points[i, 0], points[i, 1]
        dx, dy = points[j, 0] - x, points[j, 1] - y
        a[row, 0], a[row, 1] = dx, dy
        a[row, 2] = 0.5 * (dx * dx + dy * dy) + (dx * x + dy * y)
    swapped = (a[:, 1] ** 2).sum() > (a[:, 0] ** 2).sum()  # whole numbers: exact
    if swapped:
        for row in range(3):
            a[row, 0], a[row, 1] = a[row, 1], a[row, 0]
    for k in range(2):
        _reflect(a, k)
    second = a[1, 2] / a[1, 1]
    first = (a[0, 2] - a[0, 1] * second) / a[0, 0]
    return (second, first) if swapped else (first, second)


@compiled
def _next_met(points, alive, p, q, cx, cy):
    """The point that a circle through p and q meets first, or −1.

    The centre moves from (cx, cy) along the bisector of p and q, into the arc from p to q.
    """
    px, py = points[p, 0], points[p, 1]
    nx = points[q, 1] - py
    ny = -(points[q, 0] - px)
    square = (cx - px) * (cx - px) + (cy - py) * (cy - py)
    best = -1
    nearest = 0.0
    for i in range(len(points)):
        if not alive[i]:
            continue
        x, y = points[i, 0], points[i, 1]
        ahead = nx * (x - px) + ny * (y - py)  # whole numbers: exact
        if ahead <= 0:
            continue
        way = ((cx - x) * (cx - x) + (cy - y) * (cy - y) - square) / (2 * ahead)
        if best < 0 or way < nearest:
            best, nearest = i, way
    return best


@compiled
def _touched(points, alive, cx, cy, found, angle):
    """Radius of the circle at (cx, cy) and the number of points it touches, by their angle.

    Distances are compared in single precision, so that the points of one circle count as such.
    """
    radius = np.float32(np.inf)
    count = 0
    for i in range(len(points)):
        if not alive[i]:
            continue
        dx = points[i, 0] - cx
        dy = points[i, 1] - cy
        distance = np.float32(np.sqrt(dx * dx + dy * dy))
        if distance < radius:
            radius = distance
            count = 0
        if distance == radius:
            found[count] = i
            count += 1
    for k in range(count):
        angle[k] = np.arctan2(points[found[k], 1] - cy, points[found[k], 0] - cx)
    for k in range(1, count):  # few: insertion sort
        value, point, j = angle[k], found[k], k - 1
        while j >= 0 and angle[j] > value:
            angle[j + 1], found[j + 1] = angle[j], found[j]
            j -= 1
        angle[j + 1], found[j + 1] = value, point
    return np.float64(radius), count


@compiled
def _climb(points, alive, following, first, found, angle):
    """From the outline at `first` to a local maximum of the radius: x, y, or nan."""
    p = following[first]
    q = first
    mx = 0.5 * (points[p, 0] + points[q, 0])
    my = 0.5 * (points[p, 1] + points[q, 1])
    third = _next_met(points, alive, p, q, mx, my)
    if third < 0:
        return np.nan, np.nan
    cx, cy = _centre(points, p, q, third)
    radius = np.sqrt((points[p, 0] - cx) ** 2 + (points[p, 1] - cy) ** 2)
    for _ in range(4 * len(points)):
        _, count = _touched(points, alive, cx, cy, found, angle)
        higher = False
        for k in range(count):
            p, q = found[k], found[(k + 1) % count]
            if following[p] == q:
                continue  # a piece of the outline: beyond it lies the outside
            third = _next_met(points, alive, p, q, cx, cy)
            if third < 0:
                continue
            x, y = _centre(points, p, q, third)
            size = np.sqrt((points[p, 0] - x) ** 2 + (points[p, 1] - y) ** 2)
            if size > radius:
                cx, cy, radius, higher = x, y, size, True
                break
        if not higher:
            break
    return cx, cy


@compiled
def _close(points, following, alive, p, q, cx, cy, reach):
    """Erase what lies between p and q if all of it is within `reach` of the centre.

    Returns the largest distance of an erased point, 0 where there is none, −1 if the arc is open.
    """
    depth = 0.0
    i = following[p]
    while i != q:
        dx, dy = points[i, 0] - cx, points[i, 1] - cy
        distance = np.sqrt(dx * dx + dy * dy)
        if i == p or distance > reach:
            return -1.0
        depth = max(depth, distance)
        i = following[i]
    i = following[p]
    while i != q:
        alive[i] = False
        i = following[i]
    following[p] = q
    return depth


@compiled
def _meeting(open_p, open_q, is_open, head, tail, p, q):
    """The open direction that looks from q to p, where another walk stands; −1 for none."""
    for j in range(head, tail):
        if is_open[j] and open_p[j] == q and open_q[j] == p:
            return j
    return -1


@compiled
def _walk(points, following, chain, place, length, tolerance):  # noqa: C901 (one state)
    """The skeleton's nodes (x, y, radius, arc, chord, parent) and the edges that close loops."""
    n = len(points)
    most = 2 * n + 8
    nodes = np.empty((most, 6))
    loops = np.empty((most, 2), np.int64)
    following = following.copy()
    alive = np.ones(n, np.bool_)
    found = np.empty(n, np.int64)
    angle = np.empty(n)
    # start where the longest border is nearest to the upper left corner of its bounding box
    own = np.flatnonzero(chain == length.argmax())
    left, top = points[own, 0].min(), points[own, 1].min()
    first = own[((points[own, 0] - left) ** 2 + (points[own, 1] - top) ** 2).argmin()]
    cx, cy = _climb(points, alive, following, first, found, angle)
    if np.isnan(cx):
        return nodes[:0], loops[:0]
    size = 4 * n + 8
    open_p = np.empty(size, np.int64)
    open_q = np.empty(size, np.int64)
    open_node = np.empty(size, np.int64)
    is_open = np.zeros(size, np.bool_)
    head = tail = count = joined = 0
    parent = back_p = back_q = -1
    while True:
        radius, touching = _touched(points, alive, cx, cy, found, angle)
        node = count
        count += 1
        reach = radius + 2 * tolerance
        farthest = radius
        for k in range(touching):
            p, q = found[k], found[(k + 1) % touching]
            if p == back_q and q == back_p:
                continue  # where this circle came from
            depth = _close(points, following, alive, p, q, cx, cy, reach)
            if depth >= 0:
                farthest = max(farthest, depth)
                continue
            j = _meeting(open_p, open_q, is_open, head, tail, p, q)
            if j >= 0:  # a loop closes
                loops[joined, 0], loops[joined, 1] = node, open_node[j]
                joined += 1
                is_open[j] = False
            elif tail < size:
                open_p[tail], open_q[tail], open_node[tail], is_open[tail] = p, q, node, True
                tail += 1
        arc = chord = 0.0
        if parent >= 0:
            dx, dy = points[back_p, 0] - points[back_q, 0], points[back_p, 1] - points[back_q, 1]
            chord = np.sqrt(dx * dx + dy * dy)
            arc = np.inf  # between two borders: a ring
            if chain[back_p] == chain[back_q]:
                arc = (place[back_q] - place[back_p]) % length[chain[back_p]]
        nodes[node, 0], nodes[node, 1], nodes[node, 2] = cx, cy, 0.5 * (radius + farthest)
        nodes[node, 3], nodes[node, 4], nodes[node, 5] = arc, chord, parent
        third = -1
        while head < tail and third < 0:
            j = head
            head += 1
            if not is_open[j]:
                continue
            back_p, back_q, parent = open_p[j], open_q[j], open_node[j]
            third = _next_met(points, alive, back_p, back_q, nodes[parent, 0], nodes[parent, 1])
        if third < 0 or count == most:
            return nodes[:count].copy(), loops[:joined].copy()
        cx, cy = _centre(points, back_p, back_q, third)


def compact_skeleton(
    shape: np.ndarray | Outline, tolerance_px: float, *, every_piece: bool = False
) -> SkeletonGraph:
    """The compact skeleton of a shape.

    The labels of Pixel SkelNetOn are `compact_skeleton(label_mask(shape), ε).draw(shape.shape)`
    with ε of 1.05, 2 or 3 px, up to what EXPERIMENTS.md lists.

    Args:
        shape: (H, W) bool, True inside; or its outline, where several tolerances are wanted.
        tolerance_px: ε ≥ 0: the shape drawn again from the skeleton's circles differs from the
            shape by about this at most. Larger is simpler; 0 keeps the whole medial axis.
        every_piece: of a mask in several pieces (4-connected), cover each; else the one with the
            longest border, since every label is one piece.

    Returns:
        the graph; empty for an empty mask.

    Raises:
        ValueError: not a 2-D bool mask, a negative tolerance, or every piece of an outline.

    Source: Durix et al., "One-step Compact Skeletonization", Eurographics 2019.
    """
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px is {tolerance_px}; expected 0 or more")
    if every_piece:
        if isinstance(shape, Outline):
            raise ValueError("every_piece needs the mask; an outline does not know its pieces")
        count, piece = cv2.connectedComponents(shape.astype(np.uint8), connectivity=4)
        return SkeletonGraph.union(
            [compact_skeleton(piece == k, tolerance_px) for k in range(1, count)]
        )
    outline = shape if isinstance(shape, Outline) else trace_outline(shape)
    if not len(outline):
        return SkeletonGraph.empty()
    nodes, loops = _walk(
        outline.points,
        outline.following,
        outline.chain,
        outline.place,
        outline.length,
        float(tolerance_px),
    )
    parent = nodes[:, 5].astype(np.int64)
    own = np.arange(1, len(nodes))
    tree = np.stack([parent[1:], own], axis=1) if len(nodes) else np.empty((0, 2), np.int64)
    return SkeletonGraph(
        xy=nodes[:, :2].copy(),
        radius=nodes[:, 2].copy(),
        edges=np.concatenate([tree, loops]).astype(np.int64),
        arc=nodes[:, 3].copy(),
        chord=nodes[:, 4].copy(),
    )
