"""Generated silhouettes with known skeletons, to run everything without the real data set.

A class is a plan: limbs (curves whose radius varies along them) and straight-sided panels, with
random proportions and pose. The plan's union is rounded, its outline made slightly uneven, and
drawn with antialiasing. The skeleton is made as the real labels are: it is the compact skeleton of
the closed shape at a tolerance of 2 px, the most frequent one there (`geometry.candidates`).
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from canet.geometry.candidates import plain_skeleton

SIZE = 256  # side of an image, px
FINE = 2  # outlines are traced on a grid this many times finer than the image
TWIN_SHARE = 0.15
PINHOLE_SHARE = 0.12
BLOCKY_SHARE = 0.25
ATTEMPTS = 20
MIN_OUTLINE_PX = 12  # shorter outlines are specks and pinholes
POCKET_PX = 8  # regions that the drawn line encloses by accident are smaller
LOOPED = ("key",)  # the only classes that may have a hole

# Parts: (N, 3) is a limb, x, y, radius at N knots; (N, 2) a panel, its corners. y points down.
Plan = list[np.ndarray]


# ---- classes ----------------------------------------------------------------------------------


def _limb(*knots: tuple[float, float, float]) -> np.ndarray:
    return np.array(knots, dtype=float)


def _mirrored(profile: list[tuple[float, float]]) -> np.ndarray:
    """Panel symmetric about x = 0, from its right-hand corners listed downwards."""
    right = np.array(profile, dtype=float)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _fish(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    girth, stem, fin = u(0.28, 0.5), u(0.06, 0.1), u(-0.3, 0.2)
    tail, sweep = u(0.28, 0.5), u(0.2, 0.45)
    front = ((-1, 0, 0.06), (-0.65, 0, 0.7 * girth), (-0.1, 0, girth))
    plan = [_limb(*front, (0.5, 0, 0.5 * girth), (0.9, 0, stem))]
    for side, length in ((-1, tail), (1, tail * u(0.8, 1.1))):
        edge = side * (girth + u(0.05, 0.25))
        middle, tip = (0.9 + sweep / 2, side * length / 2, 0.1), (0.9 + sweep, side * length, 0.04)
        plan.append(_limb((0.85, 0, stem), middle, tip))
        middle, tip = (fin + 0.2, side * girth, 0.11), (fin + 0.45, edge, 0.035)
        plan.append(_limb((fin, side * 0.5 * girth, 0.14), middle, tip))
    return plan


def _bird(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    girth, neck, head, beak = u(0.27, 0.4), u(0.4, 0.95), u(0.12, 0.17), u(0.2, 0.5)
    top, left, foot = -0.1 - neck, -0.6 - u(0.1, 0.4), 0.15 + girth + u(0.4, 0.8)
    crown, rump = (left, top, head), (1.1, u(0.15, 0.4), 0.06)
    body = ((-0.5, -0.1, 0.7 * girth), (-0.1, 0, girth), (0.35, 0.08, 0.75 * girth))
    throat = ((-0.4, -0.08, 0.6 * girth), (-0.58, -0.35, 0.14), (left + 0.1, top + 0.1, 0.1))
    bill = ((left - 0.05 - beak / 2, top + 0.04, 0.055), (left - 0.05 - beak, top + 0.12, 0.02))
    plan = [_limb(*body, (0.8, 0.2, 0.12), rump), _limb(*throat, crown), _limb(crown, *bill)]
    for x in (-0.05 - u(0.08, 0.2), 0.05 + u(0.08, 0.2)):
        knee = x + u(-0.06, 0.06)
        shin = ((knee, 0.1 + girth, 0.08), (knee, foot - 0.2, 0.045), (x, foot, 0.045))
        plan.append(_limb((x, 0.1, 0.15), *shin))
        plan.append(_limb((x, foot, 0.045), (x - u(0.15, 0.25), foot + 0.03, 0.03)))
    return plan


def _quadruped(rng: np.random.Generator, leg: float, tail: float, snout: float, ears: int) -> Plan:
    """Body with four legs, a tail that may rise, hang or curl, a neck and a head."""
    u = rng.uniform
    girth, rise, rear = u(0.24, 0.33), u(0.15, 0.45), u(-0.8, 0.5)
    x, y, floor = -1 - u(0, 0.12), -0.2 - rise, 0.1 + girth + leg
    plan = [
        _limb((-0.6, 0, girth * 1.05), (0, 0, girth * u(0.8, 1)), (0.6, -0.02, girth)),
        _limb((-0.55, -0.05, girth), (-0.82, -0.12 - rise / 2, 0.2), (x, y, 0.17)),
        _limb((x, y, 0.17), (x - 0.13, y + 0.04, 0.12), (x - snout, y + u(0.06, 0.14), 0.08)),
        _limb(
            (0.68, -0.08, 0.17),
            (0.9, -0.15, 0.08),
            (0.92 + tail / 2, 0.6 * rear, 0.065),
            (0.92 + tail * u(0.5, 1), 1.2 * rear, 0.045),
        ),
    ]
    for ear in (x + 0.13, x - 0.11)[:ears]:
        tip = (ear + 0.02, y - u(0.24, 0.3), 0.025)
        plan.append(_limb((x, y, 0.1), (ear, y - 0.15, 0.07), tip))
    for hip, knee in ((-0.76, -0.03), (-0.44, -0.02), (0.42, 0.05), (0.76, 0.07)):
        foot = hip + u(-0.1, 0.1)
        thigh = ((hip * 0.85, 0.05, 0.2), (hip, 0.7 * girth, 0.14))
        shin = (((hip + foot) / 2 + knee, floor - leg / 2, 0.085), (foot, floor, 0.065))
        plan.append(_limb(*thigh, *shin, (foot - 0.08, floor + 0.02, 0.055)))
    return plan


def _dog(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    return _quadruped(rng, leg=u(0.4, 0.7), tail=u(0.3, 0.6), snout=u(0.25, 0.38), ears=1)


def _cat(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    return _quadruped(rng, leg=u(0.3, 0.5), tail=u(0.5, 0.9), snout=0.17, ears=2)


def _hand(rng: np.random.Generator) -> Plan:
    u, spread = rng.uniform, rng.uniform(0.7, 1.2)
    palm = u(0.33, 0.42)
    plan = [_limb((0, 0.8, 0.26), (0, 0.5, 0.3), (0, 0, palm), (0, -0.15, palm))]
    for angle, length in ((-0.42, 0.75), (-0.13, 0.9), (0.13, 0.87), (0.43, 0.65)):
        side, tip = angle * 0.75, angle * spread + u(-0.05, 0.05)
        x, y = length * u(0.75, 1.1) * np.array((np.sin(tip), -np.cos(tip)))
        root = ((side * 0.6, -0.05, 0.12), (side, -0.38, 0.11))
        plan.append(_limb(*root, (side + x / 2, -0.4 + y / 2, 0.1), (side + x, -0.4 + y, 0.075)))
    root = ((0.1, 0.25, 0.2), (0.42, 0.05, 0.14), (0.64, -0.2, 0.12))
    return [*plan, _limb(*root, (0.72 + u(0, 0.1), -0.45, 0.085))]


def _snake(rng: np.random.Generator) -> Plan:
    x = np.linspace(-1.2, 1.2, 15)
    phase = np.pi * rng.uniform(1, 2.2) * (x + 1.2) / 1.2 + rng.uniform(0, 2 * np.pi)
    y = rng.uniform(0.25, 0.5) * np.linspace(0.5, 1, 15) * np.sin(phase)
    taper = np.interp(x, (-1.2, -1.05, -0.8, 0.2, 1.2), (0.6, 1.25, 0.8, 1, 0.25))
    return [np.stack([x, y, rng.uniform(0.08, 0.14) * taper], axis=1)]


def _tree(rng: np.random.Generator) -> Plan:
    """A fir of three or four tiers."""
    u, tiers, width = rng.uniform, int(rng.integers(3, 5)), rng.uniform(0.35, 0.65)
    profile = [(0.02, -1.0)]
    for k in range(1, tiers + 1):
        y, reach = -1 + 1.6 * k / tiers, width * (k / tiers) ** 0.7 * u(0.9, 1.1)
        profile += [(reach, y), (reach * u(0.35, 0.55), y - u(0, 0.06))]
    stem = u(0.07, 0.12)
    return [_mirrored(profile + [(stem, 0.6), (stem, 1.0)])]


def _bottle(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    body, neck, shoulder = u(0.28, 0.55), u(0.1, 0.17), u(-0.5, 0)
    rim = [(neck * 1.2, -1), (neck * 1.2, -0.88), (neck, -0.86), (neck * 1.05, shoulder - 0.2)]
    flank = [(body * 0.75, shoulder), (body, shoulder + 0.25), (body * u(0.75, 1), 0.5)]
    return [_mirrored([*rim, *flank, (body, 0.85), (body * 0.93, 1)])]


def _glass(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    bowl, stem, foot, depth = u(0.5, 0.85), u(0.06, 0.13), u(0.4, 0.7), u(-0.3, 0)
    cup = [(bowl, -1), (bowl * u(0.95, 1.05), -0.8), (bowl * 0.8, depth - 0.25)]
    neck = [(stem * 1.5, depth), (stem, depth + 0.15), (stem, 0.8)]
    return [_mirrored([*cup, *neck, (foot, 0.94), (foot, 1)])]


def _key(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    bow, thick, turn = u(0.26, 0.36), u(0.08, 0.12), np.linspace(0, 2 * np.pi, 17)
    x, y = bow * np.cos(turn) - 0.8, u(0.8, 1.1) * bow * np.sin(turn)
    ring = np.stack([x, y, np.full(17, thick)], axis=1)
    plan = [ring, _limb((-0.8 + bow, 0, thick), (0.2, 0, thick * 0.8), (1, 0, thick * 0.8))]
    for x in (0.92, 0.92 - u(0.27, 0.4))[: int(rng.integers(1, 3))]:
        plan.append(_limb((x, 0, thick * 0.8), (x, u(0.24, 0.38), thick * 0.8)))
    return plan


def _star(rng: np.random.Generator) -> Plan:
    count, inner = int(rng.integers(4, 9)), rng.uniform(0.35, 0.6)
    radius = np.tile([1.0, inner], count) * rng.uniform(0.92, 1.08, 2 * count)
    angle = np.arange(2 * count) * np.pi / count
    return [np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)]


def _teddy(rng: np.random.Generator) -> Plan:
    u, belly = rng.uniform, rng.uniform(0.4, 0.5)
    trunk = ((0, 0.3, belly), (0, 0, belly * 0.95), (0, -0.4, 0.26), (0, -0.65, u(0.28, 0.36)))
    plan = [_limb(*trunk)]
    for side in (-1, 1):
        ear = (side * u(0.28, 0.36), -1, u(0.11, 0.15))
        hand = (side * u(0.68, 0.85), u(-0.4, 0.35), 0.14)
        foot = (side * u(0.4, 0.65), 0.92, u(0.16, 0.2))
        plan.append(_limb((0, -0.65, 0.1), (side * 0.2, -0.87, 0.11), ear))
        plan.append(_limb((side * 0.2, -0.1, 0.18), (side * 0.5, u(-0.25, 0.2), 0.16), hand))
        plan.append(_limb((side * 0.15, 0.45, 0.2), (side * 0.33, 0.7, 0.19), foot))
    return plan


def _ray(rng: np.random.Generator) -> Plan:
    u, span, curl = rng.uniform, rng.uniform(0.7, 1), rng.uniform(-0.5, 0.5)
    wing = [(span, -0.03), (span * 0.97, 0.05)]
    body = _mirrored([(0.02, -0.9), (0.27, -0.52), *wing, (0.42, 0.36), (0.2, 0.6)])
    root = ((0, 0.3, 0.2), (0, 0.6, 0.13), (curl * 0.3, 0.9, 0.06))
    return [body, _limb(*root, (curl, 1.2, 0.045), (curl * u(0, 1.6), 1.6, 0.03))]


def _hammer(rng: np.random.Generator) -> Plan:
    u = rng.uniform
    thick, face, top, base = u(0.08, 0.14), u(0.35, 0.5), -0.75 - u(0.14, 0.2), -0.75 + u(0.14, 0.2)
    handle = _mirrored([(thick, -0.7), (thick * u(0.7, 1), 0.2), (thick * 1.2, 1), (thick, 1.1)])
    block = np.array([(-face, top), (0.25, top), (0.25, base), (-face, base)])
    claw = _limb((0.1, -0.75, 0.15), (0.35, -0.78, 0.12), (u(0.55, 0.7), u(-0.75, -0.5), 0.04))
    return [handle, block, claw]


CLASSES: dict[str, Callable[[np.random.Generator], Plan]] = {
    "bird": _bird, "bottle": _bottle, "cat": _cat, "dog": _dog, "fish": _fish, "glass": _glass,
    "hammer": _hammer, "hand": _hand, "key": _key, "ray": _ray, "snake": _snake, "star": _star,
    "teddy": _teddy, "tree": _tree,
}  # fmt: skip


# ---- from plan to outline ---------------------------------------------------------------------


def _spline(knots: np.ndarray, per_span: int) -> np.ndarray:
    """Catmull-Rom curve through (N, C) knots, sampled: ((N - 1) * per_span + 1, C)."""
    closed = np.allclose(knots[0], knots[-1])
    before = knots[-2] if closed else 2 * knots[0] - knots[1]
    after = knots[1] if closed else 2 * knots[-1] - knots[-2]
    padded = np.concatenate([before[None], knots, after[None]])
    p0, p1, p2, p3 = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    t = (np.arange(per_span) / per_span)[None, :, None]
    square, cube = 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + square * t**2 + cube * t**3)
    return np.concatenate([curve.reshape(-1, knots.shape[1]), knots[-1:]])


def _posed(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan's parts as curves, bent, flipped and turned, in the plan's units."""
    bend, flip = rng.uniform(-0.12, 0.12), rng.choice((-1, 1))
    turn = rng.normal(0, 0.15) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    curves = [_spline(part, 24) if part.shape[1] == 3 else part.copy() for part in plan]
    for curve in curves:
        curve[:, 1] += bend * curve[:, 0] ** 2
        curve[:, :2] = (curve[:, :2] * (flip, 1)) @ rotation.T
    return curves


def _placed(curves: Plan, rng: np.random.Generator) -> Plan:
    """The curves scaled and moved into the frame, in fine pixels; some reach the frame's border."""
    radii = [curve[:, 2:].sum(1, keepdims=True) for curve in curves]  # 0 for panels
    low = np.min([(c[:, :2] - r).min(0) for c, r in zip(curves, radii)], axis=0)
    high = np.max([(c[:, :2] + r).max(0) for c, r in zip(curves, radii)], axis=0)
    frame_share = 1.0 if rng.random() < 0.22 else rng.triangular(0.3, 0.95, 0.98)
    scale = FINE * SIZE * frame_share / (high - low).max()
    offset = (FINE * SIZE - (high - low) * scale) * rng.beta(3, 3, 2) - low * scale
    scaled = [curve * scale for curve in curves]
    for curve in scaled:
        curve[:, :2] += offset
    return scaled


def _paint(parts: Plan) -> np.ndarray:
    """Union of the parts with its corners rounded: (FINE * SIZE, FINE * SIZE) uint8, 0 or 255."""
    mask = np.zeros((FINE * SIZE, FINE * SIZE), np.uint8)
    for part in parts:
        fixed = np.round(part * 16).astype(np.int32)
        if part.shape[1] == 2:
            cv2.fillPoly(mask, [fixed], 255, shift=4)
            continue
        for x, y, radius in fixed.tolist():
            cv2.circle(mask, (x, y), max(radius, 4 * 16), 255, -1, shift=4)
    blurred = cv2.GaussianBlur(mask, (0, 0), 3.0, borderType=cv2.BORDER_REPLICATE)
    return np.where(blurred > 110, 255, 0).astype(np.uint8)


def _trace(mask: np.ndarray, spacing_px: float) -> list[np.ndarray]:
    """Smoothed outlines of a fine mask, each (N, 2) float x, y in px, the longest one first."""
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = []
    for contour in sorted(found, key=len, reverse=True):
        points = (contour[:, 0] + 0.5) / FINE
        if len(points) < MIN_OUTLINE_PX * FINE:
            continue
        smooth = uniform_filter1d(points, 5, axis=0, mode="wrap")
        outlines.append(smooth[:: max(1, round(spacing_px * FINE))])
    return outlines


def _roughen(outline: np.ndarray, rng: np.random.Generator, amplitude_px: float) -> np.ndarray:
    """The outline moved along its normals by smooth noise."""
    noise = rng.normal(size=len(outline))
    for _ in range(2):
        noise = uniform_filter1d(noise, 9, mode="wrap")
    tangent = np.roll(outline, -2, 0) - np.roll(outline, 2, 0)
    normal = tangent[:, ::-1] * (1, -1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6)
    shift_px = amplitude_px * noise / (noise.std() + 1e-6)
    return np.clip(outline + shift_px[:, None] * normal, 0, SIZE)


def _outlines(class_name: str, rng: np.random.Generator) -> list[np.ndarray]:
    outlines = _trace(_paint(_placed(_posed(CLASSES[class_name](rng), rng), rng)), spacing_px=1.0)
    amplitude_px = rng.uniform(0.1, 0.7)
    return [_roughen(outline, rng, amplitude_px) for outline in outlines]


# ---- from outline to picture and label --------------------------------------------------------


def _render(outlines: list[np.ndarray], blocks: int | None) -> np.ndarray:
    """(SIZE, SIZE) uint8 with antialiased edges, enlarged from `blocks` a side where given."""
    canvas = np.zeros((4 * SIZE, 4 * SIZE), np.uint8)
    # 4 canvas pixels to a pixel, 16 steps to each (shift=4), counted from a canvas pixel's centre
    fixed = [np.round(outline * 64 - 8).astype(np.int32) for outline in outlines]
    cv2.fillPoly(canvas, fixed, 255, cv2.LINE_AA, shift=4)
    if blocks is not None:
        coarse = cv2.resize(canvas, (blocks, blocks), interpolation=cv2.INTER_AREA)
        canvas = np.where(coarse > 127, 255, 0).astype(np.uint8)
    return cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _with_pinholes(shape: np.ndarray, skeleton: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shape, sometimes with a few spots of 1 to 25 px zeroed, off the skeleton and the edge."""
    depth = cv2.distanceTransform((shape > 0).astype(np.uint8), cv2.DIST_L2, 3)
    rows, columns = np.nonzero((depth > 4) & ~skeleton)
    if rng.random() >= PINHOLE_SHARE or not len(rows):
        return shape
    pierced = shape.copy()
    for _ in range(int(rng.integers(1, 5))):
        k, side = rng.integers(len(rows)), int(rng.choice((1, 2, 3, 5), p=(0.7, 0.15, 0.1, 0.05)))
        pierced[rows[k] : rows[k] + side, columns[k] : columns[k] + side] = 0
    return np.where(skeleton, shape, pierced)


def _sound(shape: np.ndarray, skeleton: np.ndarray, loops: int) -> bool:
    """Both are one piece, the skeleton lies inside the shape and encloses `loops` regions."""
    pieces = [cv2.connectedComponents(m.astype(np.uint8))[0] - 1 for m in (shape > 0, skeleton)]
    outside = (~skeleton).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    regions = (stats[1:, cv2.CC_STAT_AREA] > POCKET_PX).sum()
    return pieces == [1, 1] and regions == 1 + loops and not (skeleton & (shape == 0)).any()


def _sound_drawing(
    outline: Callable[[], list[np.ndarray]], loops: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Outlines, shape and skeleton of the first drawing whose label is right."""
    for _ in range(ATTEMPTS):
        outlines = outline()
        blocks = int(rng.integers(85, 170)) if rng.random() < BLOCKY_SHARE else None
        shape = _render(outlines, blocks)
        skeleton = plain_skeleton(shape)
        if _sound(shape, skeleton, loops):
            return outlines, shape, skeleton
    raise RuntimeError(
        f"{ATTEMPTS} drawings in a row were in pieces or had limbs grown together; mend the plan"
    )


def _original(
    class_name: str, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    loops = int(class_name in LOOPED)
    return _sound_drawing(lambda: _outlines(class_name, rng), loops, rng)


def draw(class_name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one silhouette of a class with its skeleton.

    Args:
        class_name: a key of `CLASSES`.
        rng: decides proportions, pose, place and style.

    Returns:
        shape: (256, 256) uint8, grey with antialiased edges, 0 outside.
        skeleton: (256, 256) bool, 1 px wide, one 8-connected component inside the shape.
    """
    _, shape, skeleton = _original(class_name, rng)
    return _with_pinholes(shape, skeleton, rng), skeleton


# ---- data sets --------------------------------------------------------------------------------


def source_of(seed: int, index: int) -> int:
    """The image that image `index` is a near-twin of; itself, if it is an original."""
    rng = np.random.default_rng([seed, index, 0])
    if index == 0 or rng.random() >= TWIN_SHARE:
        return index
    return source_of(seed, int(rng.integers(index)))


def _class_and_rng(seed: int, index: int) -> tuple[str, np.random.Generator]:
    rng = np.random.default_rng([seed, index, 1])
    return str(rng.choice(list(CLASSES))), rng


def _vary(outlines: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The outlines flipped, quarter-turned, a little smaller and a little rougher."""
    flip, turns, scale = rng.choice((-1, 1)), int(rng.integers(4)), rng.uniform(0.93, 1)
    rotation = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns)
    varied = [(o - SIZE / 2) * scale * (flip, 1) @ rotation + SIZE / 2 for o in outlines]
    return [_roughen(outline, rng, 0.3) for outline in varied]


def _draw_twin(
    class_name: str, source_rng: np.random.Generator, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    outlines, _, _ = _original(class_name, source_rng)
    loops = int(class_name in LOOPED)
    _, shape, skeleton = _sound_drawing(lambda: _vary(outlines, rng), loops, rng)
    return _with_pinholes(shape, skeleton, rng), skeleton


def name_of(seed: int, index: int) -> str:
    """File name of image `index`, `<class>-<number>.png`, without drawing it."""
    return f"{_class_and_rng(seed, source_of(seed, index))[0]}-{index + 1}.png"


def example(seed: int, index: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Image `index` of the set with this seed, whatever else is drawn of the set.

    Args:
        seed: 0 or greater, names the set.
        index: 0 or greater.

    Returns:
        File name `<class>-<number>.png`, and shape and skeleton as from `draw`.
    """
    source = source_of(seed, index)
    class_name, source_rng = _class_and_rng(seed, source)
    if source == index:
        shape, skeleton = draw(class_name, source_rng)
    else:
        rng = np.random.default_rng([seed, index, 2])
        shape, skeleton = _draw_twin(class_name, source_rng, rng)
    return name_of(seed, index), shape, skeleton
