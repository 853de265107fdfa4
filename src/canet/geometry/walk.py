"""The walk of a circle along a shape's axis, compiled: `compact` says what it is for.

The outline's points lie in square cells, so that a skeleton takes time in proportion to its
outline: a circle that is known to be empty and the next one differ by a thin sickle, a circle
touches points near its rim alone, and only cells there are looked at. Which point is found does not
depend on that: ties go to the first in the outline's order, as if all points had been looked at in
that order.

All of it is in this file, since numba keeps what it has compiled until the file of the outermost
function changes.
"""

import math

import numpy as np

from canet.geometry.outline import compiled

TINY = np.finfo(np.float64).tiny
CELL = 8  # px


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
def _facing(points, following):
    """Where a shape touches itself in a corner, the pixel that each of the two points belongs to.

    (N, 2): from the corner towards that pixel's centre; 0 for all other points.
    """
    facing = np.zeros((len(points), 2))
    place = points[:, 0] * (points[:, 1].max() + 1) + points[:, 1]
    order = np.argsort(place)
    for k in range(1, len(order)):
        if place[order[k]] == place[order[k - 1]]:
            for i in (order[k], order[k - 1]):
                dx, dy = points[following[i]] - points[i]
                facing[i, 0], facing[i, 1] = dx - dy, dy + dx
    return facing


@compiled
def into_cells(points, following):
    """The points by cell, and what the search for them needs.

    Args:
        points: (N, 2) float64, whole numbers; N > 0.
        following: (N,) int64, of the outline.

    Returns:
        corner (2,) int64: the upper left corner of the first cell, px; begins (rows, columns + 1)
        int64: where a cell's points begin in members, those of its row end at the last; members
        (N,) int64: numbers of points, in each cell ascending; near (N,) int64: room for some;
        facing: see `_facing`.
    """
    left, top = int(points[:, 0].min()), int(points[:, 1].min())
    columns = (int(points[:, 0].max()) - left) // CELL + 1
    rows = (int(points[:, 1].max()) - top) // CELL + 1
    counts = np.zeros(rows * columns + 1, np.int64)
    for i in range(len(points)):
        row, column = (int(points[i, 1]) - top) // CELL, (int(points[i, 0]) - left) // CELL
        counts[row * columns + column + 1] += 1
    ends = np.cumsum(counts)
    begins = np.empty((rows, columns + 1), np.int64)
    for row in range(rows):
        begins[row] = ends[row * columns : (row + 1) * columns + 1]
    members = np.empty(len(points), np.int64)
    free = ends[:-1].copy()
    for i in range(len(points)):
        row, column = (int(points[i, 1]) - top) // CELL, (int(points[i, 0]) - left) // CELL
        members[free[row * columns + column]] = i
        free[row * columns + column] += 1
    return (
        np.array([left, top]),
        begins,
        members,
        np.empty(len(points), np.int64),
        _facing(points, following),
    )


@compiled
def slack(radius):
    """How near to a circle points are looked at: a centre is exact to about 1e-9 of the radius."""
    return 1e-6 * (1 + radius)


@compiled
def _half_chord(radius, near):
    """Half the width of a circle at a distance from its centre; negative where it is outside."""
    return math.sqrt(radius * radius - near * near) if near <= radius else -1.0


@compiled
def _spans(row, corner, columns, disc, inner):
    """Columns of a row of cells that meet a disc and do not lie within another: two ranges."""
    below = corner[1] + row * CELL
    above = below + CELL
    half = _half_chord(disc[2], max(below - disc[1], disc[1] - above, 0.0))
    if half < 0:
        return 0, 0, 0, 0
    first = min(columns, max(0, math.floor((disc[0] - half - corner[0]) / CELL)))
    last = min(columns, math.floor((disc[0] + half - corner[0]) / CELL) + 1)
    half = _half_chord(inner[2], max(abs(below - inner[1]), abs(above - inner[1])))
    begin = math.ceil((inner[0] - half - corner[0]) / CELL)
    end = math.floor((inner[0] + half - corner[0]) / CELL)
    if half < 0 or end <= begin:
        return first, last, 0, 0
    end = min(columns, max(first, end))
    return first, min(last, begin), end, last


@compiled
def _alive_near(cells, alive, disc, inner):
    """Fill `near` with the points in cells that meet a disc and do not lie within another.

    Discs are (x, y, radius); returns the number of points.
    """
    corner, begins, members, near, _ = cells
    rows, columns = begins.shape[0], begins.shape[1] - 1
    top = max(0, math.floor((disc[1] - disc[2] - corner[1]) / CELL))
    end = min(rows, math.floor((disc[1] + disc[2] - corner[1]) / CELL) + 1)
    count = 0
    for row in range(top, end):
        a, b, c, d = _spans(row, corner, columns, disc, inner)
        for first, last in ((a, b), (c, d)):
            for k in range(begins[row, first], begins[row, max(first, last)]):
                if alive[members[k]]:
                    near[count] = members[k]
                    count += 1
    return count


@compiled
def next_met(points, alive, cells, p, q, cx, cy):
    """The point that a circle through p and q meets first, or −1.

    The centre moves from (cx, cy) along the bisector of p and q, into the arc from p to q. On that
    side the circle around (cx, cy) has no point within.
    """
    near, facing = cells[3], cells[4]
    px, py = points[p, 0], points[p, 1]
    nx = points[q, 1] - py
    ny = -(points[q, 0] - px)
    if nx == 0 and ny == 0:
        return -1  # a corner where the shape touches itself: no circle goes on from there
    square = (cx - px) * (cx - px) + (cy - py) * (cy - py)
    empty = math.sqrt(square)
    far = 4.0 * CELL * sum(cells[1].shape) + empty  # beyond it a circle is a straight line
    step = CELL / 2 / math.sqrt(nx * nx + ny * ny)
    best, nearest, way, radius = -1, 0.0, step / 4, 0.0
    while radius <= far and (best < 0 or nearest > way):
        # what was found beyond a circle bounds the next one; else circles grow
        way = max(nearest, step) if best >= 0 else 4 * way
        x, y = cx + way * nx, cy + way * ny
        radius = math.sqrt((x - px) * (x - px) + (y - py) * (y - py))
        disc, inner = (x, y, radius + slack(radius)), (cx, cy, empty - slack(empty))
        if radius > far:
            disc, inner = (cx, cy, 2 * far), (cx, cy, -1.0)  # all points
        for k in range(_alive_near(cells, alive, disc, inner)):
            i = near[k]
            u, v = points[i, 0], points[i, 1]
            ahead = nx * (u - px) + ny * (v - py)  # whole numbers: exact
            if ahead <= 0:
                continue
            w = ((cx - u) * (cx - u) + (cy - v) * (cy - v) - square) / (2 * ahead)
            if (cx + w * nx - u) * facing[i, 0] + (cy + w * ny - v) * facing[i, 1] < 0:
                continue  # of the pixel on the other side of a corner
            if best < 0 or w < nearest or (w == nearest and i < best):
                best, nearest = i, w
    return best


@compiled
def touched(points, alive, cells, cx, cy, on, found, angle):
    """Radius of the circle at (cx, cy) and the number of points it touches, by their angle.

    Distances are compared in single precision, so that the points of one circle count as such.

    Args:
        points, alive, cells: of the outline.
        cx, cy: the centre.
        on: a point that is alive and on the circle, up to rounding; none lies within it.
        found, angle: are filled with the points and their angles.
    """
    near, facing = cells[3], cells[4]
    dx, dy = points[on, 0] - cx, points[on, 1] - cy
    most = math.sqrt(dx * dx + dy * dy)
    disc, inner = (cx, cy, most + slack(most)), (cx, cy, most - slack(most))
    radius = np.float32(np.inf)
    count = 0
    for k in range(_alive_near(cells, alive, disc, inner)):
        i = near[k]
        dx = points[i, 0] - cx
        dy = points[i, 1] - cy
        if dx * facing[i, 0] + dy * facing[i, 1] > 0:
            continue  # of the pixel on the other side of a corner
        distance = np.float32(np.sqrt(dx * dx + dy * dy))
        if distance < radius:
            radius = distance
            count = 0
        if distance == radius:
            found[count] = i
            count += 1
    for k in range(count):
        angle[k] = np.arctan2(points[found[k], 1] - cy, points[found[k], 0] - cx)
    for k in range(1, count):  # few: insertion sort; of equal angles the first point is first
        value, point, j = angle[k], found[k], k - 1
        while j >= 0 and (angle[j] > value or (angle[j] == value and found[j] > point)):
            angle[j + 1], found[j + 1] = angle[j], found[j]
            j -= 1
        angle[j + 1], found[j + 1] = value, point
    return np.float64(radius), count


@compiled
def _climb(points, alive, cells, following, first, found, angle):
    """From the outline at `first` to where the radius is largest: x, y and a point there or −1."""
    p = following[first]
    q = first
    mx = 0.5 * (points[p, 0] + points[q, 0])
    my = 0.5 * (points[p, 1] + points[q, 1])
    on = next_met(points, alive, cells, p, q, mx, my)
    if on < 0:
        return np.nan, np.nan, on
    cx, cy = _centre(points, p, q, on)
    radius = np.sqrt((points[p, 0] - cx) ** 2 + (points[p, 1] - cy) ** 2)
    for _ in range(4 * len(points)):
        _, count = touched(points, alive, cells, cx, cy, on, found, angle)
        higher = False
        for k in range(count):
            p, q = found[k], found[(k + 1) % count]
            if following[p] == q:
                continue  # a piece of the outline: beyond it lies the outside
            third = next_met(points, alive, cells, p, q, cx, cy)
            if third < 0:
                continue
            x, y = _centre(points, p, q, third)
            size = np.sqrt((points[p, 0] - x) ** 2 + (points[p, 1] - y) ** 2)
            if size > radius:
                cx, cy, radius, on, higher = x, y, size, third, True
                break
        if not higher:
            break
    return cx, cy, on


@compiled
def _close(points, following, alive, p, q, cx, cy, reach):
    """Erase what lies between p and q if all of it is within `reach` of the centre.

    Returns the largest distance of an erased point, 0 where there is none, −1 if the arc is open.
    """
    if not (alive[p] and alive[q]):
        return -1.0  # from there no way leads to the other, and its search would not end
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
def _meeting(latest, earlier, open_q, is_open, head, p, q):
    """The first open direction that looks from q to p, where another walk stands; −1 for none."""
    met, j = -1, latest[q]
    while j >= head:  # the later ones are before
        if is_open[j] and open_q[j] == p:
            met = j
        j = earlier[j]
    return met


@compiled
def walk(points, following, chain, place, length, tolerance):  # noqa: C901 (one state)
    """Nodes (x, y, radius, arc, chord, parent, inscribed) and the edges that close loops."""
    n = len(points)
    most = 2 * n + 8
    nodes = np.empty((most, 7))
    loops = np.empty((most, 2), np.int64)
    following = following.copy()
    alive = np.ones(n, np.bool_)
    found = np.empty(n, np.int64)
    angle = np.empty(n)
    # start where the longest border is nearest to the upper left corner of its bounding box
    own = np.flatnonzero(chain == length.argmax())
    left, top = points[own, 0].min(), points[own, 1].min()
    first = own[((points[own, 0] - left) ** 2 + (points[own, 1] - top) ** 2).argmin()]
    cells = into_cells(points, following)
    cx, cy, on = _climb(points, alive, cells, following, first, found, angle)
    if on < 0:
        return nodes[:0], loops[:0]
    size = 4 * n + 8
    open_p = np.empty(size, np.int64)
    open_q = np.empty(size, np.int64)
    open_node = np.empty(size, np.int64)
    is_open = np.zeros(size, np.bool_)
    latest = np.full(n, -1)  # open direction from each point, and the one before each
    earlier = np.empty(size, np.int64)
    head = tail = count = joined = 0
    parent = back_p = back_q = -1
    while True:
        radius, touching = touched(points, alive, cells, cx, cy, on, found, angle)
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
            j = _meeting(latest, earlier, open_q, is_open, head, p, q)
            if j >= 0:  # a loop closes
                loops[joined, 0], loops[joined, 1] = node, open_node[j]
                joined += 1
                is_open[j] = False
            elif tail < size:
                open_p[tail], open_q[tail], open_node[tail], is_open[tail] = p, q, node, True
                earlier[tail], latest[p] = latest[p], tail
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
        nodes[node, 6] = radius
        on = -1
        while head < tail and on < 0:
            j = head
            head += 1
            if not is_open[j]:
                continue
            back_p, back_q, parent = open_p[j], open_q[j], open_node[j]
            on = next_met(points, alive, cells, back_p, back_q, nodes[parent, 0], nodes[parent, 1])
        if on < 0 or count == most:
            return nodes[:count].copy(), loops[:joined].copy()
        cx, cy = _centre(points, back_p, back_q, on)
