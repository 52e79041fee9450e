"""A ray caster for rooms: what a camera and a depth sensor see, and the annotation."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.embedded.room_scene import CLASSES, Float, Scene
from fdkd_lightning.data.preparation.recipe.label_map import VOID
from fdkd_lightning.types import IGNORE_INDEX

MAX_BOXES = 16
"""Rows of an image's table of boxes; a room has fewer objects."""

LEAST_PIXELS = 6
"""Objects of which fewer pixels are seen have no box."""

MIRROR = CLASSES.index("mirror")
FIRST_OBJECT = CLASSES.index("picture")


class Hits(NamedTuple):
    """Where rays end.

    Args:
        distance: Distance in lengths of the ray's direction.
        surface: Number of the surface.
        normal: The surface's normal, towards the ray.
        u: Position on the surface, metres, for its texture.
        v: The same, across.

    Shape:
        - distance, surface, u, v: [R]
        - normal: [3, R]
    """

    distance: Float
    surface: NDArray[np.int64]
    normal: Float
    u: Float
    v: Float


class View(NamedTuple):
    """The stored arrays of a scene.

    Args:
        visual: Colours.
        depth: Distance along the optical axis in millimetres; 0: no measurement.
        label: Class of each pixel; 255: not annotated.
        boxes: Left, top, right and bottom of the objects in pixels, and their class; unused rows
            have class -100.

    Shape:
        - visual: [H, W, 3]
        - depth, label: [H, W]
        - boxes: [16, 5]
    """

    visual: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    label: NDArray[np.uint8]
    boxes: Float


def render(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> View:
    """Render a scene.

    Pictures and textures are in the image alone. A mirror shows the room in the image; the depth
    sensor sees through it into the reflected room, or nothing. Where something stands before
    another thing, on grazing surfaces and here and there the sensor measures nothing.

    Args:
        scene: The scene.
        size: H and W of the image, pixels.
        rng: Generator of the noise.

    Example:
        >>> from fdkd_lightning.data.embedded.room_scene import draw_scene
        >>> rng = np.random.default_rng(0)
        >>> render(draw_scene(rng), (6, 8), rng).depth.shape
        (6, 8)
    """
    rays = _rays(scene, size)
    eye = np.repeat(scene.eye[:, None], rays.shape[1], 1)
    hits = _cast(scene, eye, rays)
    classes = scene.classes[hits.surface]
    colour = _shade(scene, eye, rays, hits)
    distance = hits.distance.copy()
    mirrored = np.flatnonzero(classes == MIRROR)
    if len(mirrored):
        ray, normal = rays[:, mirrored], hits.normal[:, mirrored]
        point = eye[:, mirrored] + hits.distance[mirrored] * ray + 1e-3 * normal
        reflected = ray - 2 * (ray * normal).sum(0) * normal
        second = _cast(scene, point, reflected)
        colour[:, mirrored] = 0.8 * _shade(scene, point, reflected, second)
        distance[mirrored] += second.distance
    noisy = colour * 255 + 12 * rng.standard_normal(colour.shape, np.float32)
    visual = np.rint(noisy.clip(0, 255)).astype(np.uint8).T.reshape(*size, 3)
    label = classes.reshape(size)
    return View(
        np.ascontiguousarray(visual),
        _sense(distance, hits, rays, mirrored, size, rng),
        label,
        _boxes(hits.surface.reshape(size), scene.classes),
    )


def _rays(scene: Scene, size: tuple[int, int]) -> Float:
    """Return the directions [3, R]; along the optical axis each has a length of 1."""
    height, width = size
    focal = width / 2 / np.tan(scene.field / 2)
    right = (np.arange(width) + 0.5 - width / 2) / focal
    down = (np.arange(height) + 0.5 - height / 2) / focal
    right, down = np.tile(right, height), np.repeat(down, width)
    cos, sin = np.cos(scene.pitch), np.sin(scene.pitch)
    # In the vertical plane of the camera: forwards and upwards.
    forward, up = cos + sin * down, sin - cos * down
    x = np.cos(scene.yaw) * forward + np.sin(scene.yaw) * right
    y = np.sin(scene.yaw) * forward - np.cos(scene.yaw) * right
    return np.stack([x, y, up]).astype(np.float32)


def _cast(scene: Scene, origin: Float, rays: Float) -> Hits:
    """Return the first hit of each ray; origin and rays are [3, R]."""
    rays = np.where(np.abs(rays) < 1e-6, np.float32(1e-6), rays)
    # From within, the first wall, floor or ceiling that is reached.
    ends = np.where(rays > 0, scene.room[:, None], np.float32(0))
    times = (ends - origin) / rays
    axis = times.argmin(0)
    number = np.arange(rays.shape[1])
    distance = times[axis, number]
    far = rays[axis, number] > 0
    surface = 2 * axis + far
    normal = np.zeros_like(rays)
    normal[axis, number] = np.where(far, np.float32(-1), np.float32(1))
    point = origin + distance * rays
    u = np.where(axis == 0, point[1], point[0])
    v = np.where(axis == 2, point[1], point[2])
    for plate in scene.plates:
        inside = (surface == plate.wall) & (u > plate.low[0]) & (u < plate.high[0])
        inside &= (v > plate.low[1]) & (v < plate.high[1])
        surface[inside] = plate.surface
    if len(scene.boxes.half):
        _cast_boxes(scene, origin, rays, Hits(distance, surface, normal, u, v))
    return Hits(distance, surface, normal, u, v)


def _cast_boxes(scene: Scene, origin: Float, rays: Float, hits: Hits) -> None:
    """Replace the hits where a box is nearer."""
    centre, half, turn, surface = scene.boxes
    cos, sin = turn[:, 0, None], turn[:, 1, None]
    # To the coordinates of each box: [B, R] for each axis.
    x, y, z = (origin[k] - centre[:, k, None] for k in range(3))
    starts = (cos * x + sin * y, cos * y - sin * x, z)
    steps = [cos * rays[0] + sin * rays[1], cos * rays[1] - sin * rays[0], rays[2][None]]
    steps = [np.where(np.abs(step) < 1e-6, np.float32(1e-6), step) for step in steps]
    enter = np.full(x.shape, -np.inf, np.float32)
    leave = np.full(x.shape, np.inf, np.float32)
    face = np.zeros(x.shape, np.int8)
    for k, (start, step) in enumerate(zip(starts, steps, strict=True)):
        middle = -start / step
        extent = half[:, k, None] / np.abs(step)
        entry = middle - extent
        face[entry > enter] = k
        np.maximum(enter, entry, out=enter)
        np.minimum(leave, middle + extent, out=leave)
    enter[(enter > leave) | (enter < 1e-4)] = np.inf
    nearest = enter.argmin(0)
    number = np.arange(rays.shape[1])
    first = enter[nearest, number]
    hit = np.flatnonzero(first < hits.distance)
    if not len(hit):
        return
    box = nearest[hit]
    hits.distance[hit] = first[hit]
    hits.surface[hit] = surface[box]
    which = face[box, hit]
    local = [
        starts[k][box, hit] + first[hit] * np.broadcast_to(steps[k], x.shape)[box, hit]
        for k in range(3)
    ]
    hits.u[hit] = np.where(which == 0, local[1], local[0])
    hits.v[hit] = np.where(which == 2, local[1], local[2])
    side = [
        np.where(which == k, -np.sign(np.broadcast_to(steps[k], x.shape)[box, hit]), 0)
        for k in range(3)
    ]
    c, s = turn[box].T
    hits.normal[:, hit] = np.stack([c * side[0] - s * side[1], s * side[0] + c * side[1], side[2]])


def _shade(scene: Scene, origin: Float, rays: Float, hits: Hits) -> Float:
    """Return the colours [3, R]: textures in the light of the lamp."""
    paint = scene.paint
    u, v = hits.u / paint.period[hits.surface], hits.v / paint.period[hits.surface]
    stripes = np.floor(2 * u) % 2
    patterns = (
        np.zeros_like(u),
        stripes,
        (stripes + np.floor(2 * v)) % 2,
        0.5 + 0.5 * np.sin(6.3 * u + np.sin(4 * v)) * np.sin(6.3 * v + np.sin(3 * u)),
    )
    mix = np.choose(paint.pattern[hits.surface], patterns).astype(np.float32)
    colour = paint.first[hits.surface].T * (1 - mix) + paint.second[hits.surface].T * mix
    towards = scene.lamp[:, None] - (origin + hits.distance * rays)
    squared = (towards * towards).sum(0)
    facing = (towards * hits.normal).sum(0).clip(0) / np.sqrt(squared)
    strength = 0.3 + 0.9 * facing / (1 + 0.12 * squared)
    lit: Float = colour * strength * scene.light[:, None]
    return lit


def _sense(
    distance: Float,
    hits: Hits,
    rays: Float,
    mirrored: NDArray[np.int64],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Return millimetres as a structured-light sensor measures them."""
    grazing = np.abs((rays * hits.normal).sum(0)) / np.sqrt((rays * rays).sum(0)) < 0.12
    missing = np.full(distance.shape, 0.01, np.float32)
    missing[grazing] = 0.5
    missing[mirrored] = 0.5
    deep = distance.reshape(size)
    jump = np.zeros(size, bool)
    # The emitter stands beside the camera: what is near throws a shadow to its left.
    jump[:, :-1] |= deep[:, :-1] - deep[:, 1:] > 0.15
    missing[jump.ravel()] = 0.7
    noise = 0.0012 + 0.0019 * (distance - 0.4) ** 2
    metres = distance + noise * rng.standard_normal(distance.shape, np.float32)
    metres[rng.random(distance.shape, np.float32) < missing] = 0
    millimetres: NDArray[np.uint16] = np.rint(1000 * metres.clip(0, 65)).astype(np.uint16)
    return millimetres.reshape(size)


def _boxes(surface: NDArray[np.int64], classes: NDArray[np.uint8]) -> Float:
    """Return the boxes around what is seen of each annotated object."""
    boxes = np.zeros((MAX_BOXES, 5), np.float32)
    boxes[:, 4] = IGNORE_INDEX
    row = 0
    for number in range(6, len(classes)):
        y, x = np.nonzero(surface == number)
        if classes[number] != VOID and len(y) >= LEAST_PIXELS:
            boxes[row] = x.min(), y.min(), x.max() + 1, y.max() + 1, classes[number]
            row += 1
    return boxes
