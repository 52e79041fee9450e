"""Random rooms: walls, furniture, pictures, mirrors, light and a camera."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.recipe.label_map import VOID

CLASSES = ("wall", "floor", "ceiling", "picture", "mirror", "table", "chair", "cabinet")

Float = NDArray[np.float32]


class Boxes(NamedTuple):
    """Cuboids on the floor or above it, turned about the vertical axis.

    Args:
        centre: Centres, metres.
        half: Half of the lengths of the edges, metres.
        turn: Cosine and sine of the angles.
        surface: Number of the object that each is a part of, in the list of surfaces.

    Shape:
        - centre, half: [B, 3]
        - turn: [B, 2]
        - surface: [B]
    """

    centre: Float
    half: Float
    turn: Float
    surface: NDArray[np.int64]


class Plate(NamedTuple):
    """A rectangle on a wall, without thickness: a picture or a mirror.

    Args:
        wall: Number of the wall: 0 and 1 at the ends of x, 2 and 3 at the ends of y.
        low: Least position along the wall and height, metres.
        high: Largest position along the wall and height, metres.
        surface: Number of its surface.
    """

    wall: int
    low: tuple[float, float]
    high: tuple[float, float]
    surface: int


class Paint(NamedTuple):
    """The texture of each surface: two colours, mixed by a pattern.

    Args:
        first: The one colour, from 0 to 1.
        second: The other.
        pattern: 0: plain, 1: stripes, 2: a chess-board, 3: blobs.
        period: Length of a period of the pattern, metres.

    Shape:
        - first, second: [S, 3]
        - pattern, period: [S]
    """

    first: Float
    second: Float
    pattern: NDArray[np.int64]
    period: Float


class Scene(NamedTuple):
    """All that is seen, and from where.

    Surfaces 0 to 3 are the walls, 4 the floor and 5 the ceiling; one for each object follows.

    Args:
        room: Lengths of the room, metres.
        boxes: The parts of furniture and clutter.
        plates: Pictures and mirrors.
        paint: Textures of the surfaces.
        classes: Class of each surface, 255 for clutter, which is not annotated.
        eye: Position of the camera, metres.
        yaw: Direction of the camera about the vertical axis, radians.
        pitch: Its angle above the horizontal, radians.
        field: Its horizontal field of view, radians.
        lamp: Position of the lamp, metres.
        light: Colour and strength of the lamp.
    """

    room: Float
    boxes: Boxes
    plates: list[Plate]
    paint: Paint
    classes: NDArray[np.uint8]
    eye: Float
    yaw: float
    pitch: float
    field: float
    lamp: Float
    light: Float


Parts = list[tuple[tuple[float, float, float], tuple[float, float, float]]]

# Parts of furniture for a length of 1 along x, y and z: centre and half edges.
TABLE: Parts = [((0, 0, 0.96), (0.5, 0.5, 0.04))] + [
    ((0.43 * x, 0.43 * y, 0.46), (0.05, 0.05, 0.46)) for x in (-1, 1) for y in (-1, 1)
]
CHAIR: Parts = [((0, 0, 0.48), (0.5, 0.5, 0.04)), ((-0.45, 0, 0.76), (0.05, 0.5, 0.24))] + [
    ((0.43 * x, 0.43 * y, 0.22), (0.06, 0.06, 0.22)) for x in (-1, 1) for y in (-1, 1)
]
SOLID: Parts = [((0, 0, 0.5), (0.5, 0.5, 0.5))]
PARTS = {"table": TABLE, "chair": CHAIR, "cabinet": SOLID, "clutter": SOLID}
# Smallest and largest length, width and height in metres.
LENGTHS = {
    "table": ((0.8, 0.7, 0.5), (1.7, 1.0, 0.8)),
    "chair": ((0.4, 0.4, 0.8), (0.6, 0.6, 1.1)),
    "cabinet": ((0.4, 0.5, 0.7), (0.6, 1.4, 2.1)),
    "clutter": ((0.1, 0.1, 0.1), (0.4, 0.4, 0.4)),
}
KINDS = ("table", "table", "chair", "chair", "chair", "cabinet", "cabinet", "clutter")
# Mean colour of the first colour of a texture, and how far it strays.
COLOURS = {
    "wall": ((0.7, 0.68, 0.62), 0.25),
    "floor": ((0.5, 0.42, 0.35), 0.25),
    "ceiling": ((0.8, 0.8, 0.8), 0.12),
    "table": ((0.5, 0.35, 0.22), 0.25),
    "chair": ((0.42, 0.4, 0.42), 0.35),
    "cabinet": ((0.58, 0.5, 0.42), 0.3),
    "mirror": ((0.5, 0.5, 0.5), 0.1),
}
CAMOUFLAGE = 0.35
"""Probability that furniture has the texture of a wall or the floor: depth alone tells it apart."""


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a room and all that is in it.

    Args:
        rng: Generator of the scene.

    Example:
        >>> scene = draw_scene(np.random.default_rng(0))
        >>> [CLASSES[k] for k in scene.classes[:6]]
        ['wall', 'wall', 'wall', 'wall', 'floor', 'ceiling']
    """
    room = rng.uniform((3.0, 3.0, 2.3), (5.5, 5.5, 2.9))
    names = ["wall"] * 4 + ["floor", "ceiling"]
    # The camera stands near a wall and looks past the middle.
    angle = rng.uniform(0, 2 * np.pi)
    eye = room / 2 + 0.4 * room * (np.cos(angle), np.sin(angle), 0)
    eye[2] = rng.uniform(1.1, 1.7)
    yaw = angle + np.pi + rng.uniform(-0.5, 0.5)
    boxes = _furniture(rng, room, eye, names)
    plates = _plates(rng, room, names)
    classes = [CLASSES.index(name) if name in CLASSES else VOID for name in names]
    return Scene(
        room=room.astype(np.float32),
        boxes=boxes,
        plates=plates,
        paint=_paint(rng, names),
        classes=np.array(classes, np.uint8),
        eye=eye.astype(np.float32),
        yaw=float(yaw),
        pitch=float(rng.uniform(-0.4, 0.1)),
        field=float(rng.uniform(1.0, 1.3)),
        lamp=(room * (*rng.uniform(0.25, 0.75, 2), 0.93)).astype(np.float32),
        light=(rng.uniform(0.5, 1.3) * rng.uniform(0.85, 1.15, 3)).astype(np.float32),
    )


def _furniture(
    rng: np.random.Generator, room: NDArray[np.float64], eye: NDArray[np.float64], names: list[str]
) -> Boxes:
    """Draw furniture that neither overlaps nor hides the camera; add the names."""
    centre, half, turn, surface = [], [], [], []
    taken = [(eye[:2], 0.35)]
    for kind in rng.choice(KINDS, int(rng.integers(4, 9))):
        length, width, height = rng.uniform(*LENGTHS[kind])
        # Cabinets stand at a wall, their backs to it.
        quarter = int(rng.integers(4))
        angle = quarter * np.pi / 2 if kind == "cabinet" else rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        radius = 0.5 * float(np.hypot(length, width))
        for _ in range(8):
            middle = rng.uniform(radius, np.maximum(room[:2] - radius, radius + 0.1))
            if kind == "cabinet":
                axis = quarter % 2
                back = length / 2 + 0.01
                middle[axis] = back if quarter < 2 else room[axis] - back
            if all(np.hypot(*(middle - other)) > radius + far for other, far in taken):
                break
        else:
            continue
        taken.append((middle, radius))
        for place, edge in PARTS[kind]:
            x, y, z = np.multiply(place, (length, width, height))
            centre.append((middle[0] + cos * x - sin * y, middle[1] + sin * x + cos * y, z))
            half.append(np.multiply(edge, (length, width, height)))
            turn.append((cos, sin))
            surface.append(len(names))
        names.append(str(kind))
    return Boxes(
        np.array(centre, np.float32).reshape(-1, 3),
        np.array(half, np.float32).reshape(-1, 3),
        np.array(turn, np.float32).reshape(-1, 2),
        np.array(surface, np.int64),
    )


def _plates(rng: np.random.Generator, room: NDArray[np.float64], names: list[str]) -> list[Plate]:
    """Draw pictures and mirrors; add their names."""
    plates = []
    for kind in ["picture"] * int(rng.integers(2, 5)) + ["mirror"] * int(rng.integers(0, 3)):
        wall = int(rng.integers(4))
        length = room[1 - wall // 2]
        width, height = rng.uniform((0.5, 0.5), (1.3, 1.1))
        left = rng.uniform(0.1, length - width - 0.1)
        bottom = rng.uniform(0.8, room[2] - height - 0.2)
        plates.append(Plate(wall, (left, bottom), (left + width, bottom + height), len(names)))
        names.append(kind)
    return plates


def _paint(rng: np.random.Generator, names: list[str]) -> Paint:
    first, second = rng.uniform(0, 1, (2, len(names), 3))
    pattern = rng.integers(0, 4, len(names))
    period = rng.uniform(0.08, 0.6, len(names))
    for i, name in enumerate(names):
        if name in COLOURS:
            mean, spread = COLOURS[name]
            first[i] = np.clip(mean + spread * rng.uniform(-1, 1, 3), 0, 1)
            second[i] = np.clip(first[i] + rng.uniform(-0.3, 0.3), 0, 1)
        if name in ("table", "chair", "cabinet") and rng.random() < CAMOUFLAGE:
            like = int(rng.integers(5))
            first[i], second[i] = first[like], second[like]
            pattern[i], period[i] = pattern[like], period[like]
    return Paint(first.astype(np.float32), second.astype(np.float32), pattern, period.astype("f4"))
