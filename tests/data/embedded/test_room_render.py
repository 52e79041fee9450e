import numpy as np
import pytest

from fdkd_lightning.data.embedded.room_render import MAX_BOXES, View, render
from fdkd_lightning.data.embedded.room_scene import Boxes, Paint, Plate, Scene, draw_scene

ROOM = (4.0, 6.0, 3.0)
SIZE = (21, 31)


def scene(
    plates: tuple[tuple[int, int], ...] = (), cube: tuple[float, float, float] | None = None
) -> Scene:
    """A plain room seen from its middle along x, with plates (class, wall) and one cube."""
    classes = [0, 0, 0, 0, 1, 2]
    placed = []
    for number, wall in plates:
        length = ROOM[1 - wall // 2]
        placed.append(Plate(wall, (length / 2 - 0.5, 1.0), (length / 2 + 0.5, 2.0), len(classes)))
        classes.append(number)
    centre = np.zeros((0, 3), np.float32) if cube is None else np.array([cube], np.float32)
    boxes = Boxes(
        centre,
        np.full_like(centre, 0.25),
        np.tile(np.array([1, 0], np.float32), (len(centre), 1)),
        np.full(len(centre), len(classes)),
    )
    classes += [6] * len(centre)
    colours = 0.2 + 0.03 * np.arange(3 * len(classes), dtype=np.float32).reshape(-1, 3)
    paint = Paint(colours, colours, np.zeros(len(classes), int), np.ones(len(classes), np.float32))
    middle = np.array([2.0, 3.0, 1.5], np.float32)
    light = np.ones(3, np.float32)
    lamp = np.array([2.0, 3.0, 2.8], np.float32)
    return Scene(
        np.array(ROOM, np.float32),
        boxes,
        placed,
        paint,
        np.array(classes, np.uint8),
        middle,
        *(0.0, 0.0, 1.2),
        lamp,
        light,
    )


def seen(of: Scene, size: tuple[int, int] = SIZE) -> View:
    return render(of, size, np.random.default_rng(0))


def centre(view: View) -> tuple[int, float]:
    """Class and median distance in metres of the middle of the image."""
    part = view.depth[9:12, 14:17]
    return int(view.label[10, 15]), float(np.median(part)) / 1000


def test_the_wall_in_front_has_one_depth_along_the_axis_and_lies_above_the_floor() -> None:
    view = seen(scene())
    wall = view.label == 0
    assert centre(view)[0] == 0
    # Along the optical axis, not along the ray.
    in_front = view.depth[10][view.depth[10] > 0].astype(float)
    assert in_front == pytest.approx(2000, abs=40)
    assert wall[10].all()
    wide = seen(scene()._replace(field=2.0), (40, 40))
    assert (wide.label[-1] == 1).all()
    assert (wide.label[0] == 2).all()


def test_a_cube_hides_the_wall_and_has_a_box() -> None:
    view = seen(scene(cube=(3.0, 3.0, 1.5)))
    # Its front is a quarter of a metre nearer than its centre, one metre away.
    assert centre(view) == (6, pytest.approx(0.75, abs=0.02))
    y, x = np.nonzero(view.label == 6)
    box = [x.min(), y.min(), x.max() + 1, y.max() + 1, 6]
    assert view.boxes[0].tolist() == box
    assert (view.boxes[1:, 4] == -100).all()
    # 0.5 m at 0.75 m: the focal length times 2/3.
    assert box[2] - box[0] == pytest.approx(31 / 2 / np.tan(0.6) * 2 / 3, abs=1)


def test_a_cube_turned_by_an_eighth_shows_its_edge() -> None:
    turned = scene(cube=(3.0, 3.0, 1.5))
    half = np.float32(np.sqrt(0.5))
    turned.boxes.turn[:] = half, half
    assert centre(seen(turned)) == (6, pytest.approx(1 - 0.25 * 2**0.5, abs=0.04))


def test_what_lies_to_the_right_is_on_the_right_and_what_is_low_is_low() -> None:
    # Looking along x with z upwards, -y is on the right.
    y, x = np.nonzero(seen(scene(cube=(3.5, 2.4, 1.0))).label == 6)
    assert x.mean() > 15
    assert y.mean() > 10


def test_a_picture_is_in_the_image_and_not_in_the_depth() -> None:
    with_picture, without = seen(scene(plates=((3, 1),))), seen(scene())
    assert centre(with_picture)[0] == 3
    assert np.array_equal(with_picture.depth, without.depth)
    difference = with_picture.visual.astype(int) - without.visual
    picture = with_picture.label == 3
    assert np.abs(difference[picture]).mean() > 20
    assert np.abs(difference[~picture]).max() == 0


def test_a_mirror_shows_the_room_behind_and_the_sensor_sees_through_it_or_nothing() -> None:
    view = seen(scene(plates=((4, 1), (3, 0))))
    mirror = view.label == 4
    assert mirror[10, 15]
    depth = view.depth[mirror]
    assert 0.2 < (depth == 0).mean() < 0.8
    # To the wall at x = 4 and back to that at x = 0.
    assert np.median(depth[depth > 0]) == pytest.approx(6000, abs=150)
    # The picture on the wall behind the camera is seen in it.
    plain = seen(scene(plates=((4, 1),)))
    assert np.abs(view.visual.astype(int) - plain.visual)[10, 15].max() > 20
    assert np.array_equal(view.label == 4, plain.label == 4)


def test_the_sensors_noise_grows_with_the_distance() -> None:
    near = seen(scene()._replace(eye=np.array([3.0, 3, 1.5], np.float32), field=0.3), (60, 60))
    far = seen(scene()._replace(eye=np.array([0.1, 3, 1.5], np.float32), field=0.3), (60, 60))
    noise = [float(np.std(view.depth[view.depth > 0])) for view in (near, far)]
    assert noise[0] == pytest.approx(1000 * (0.0012 + 0.0019 * 0.6**2), rel=0.1)
    assert noise[1] == pytest.approx(1000 * (0.0012 + 0.0019 * 3.5**2), rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (25, 33)])
def test_any_size_and_bounds_of_boxes(size: tuple[int, int]) -> None:
    for i in range(3):
        rng = np.random.default_rng(i)
        view = render(draw_scene(rng), size, rng)
        assert view.visual.shape == (*size, 3)
        assert view.depth.shape == view.label.shape == size
        boxes = view.boxes[view.boxes[:, 4] >= 0]
        assert len(boxes) < MAX_BOXES
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:4] <= (size[1], size[0])).all()
        for left, top, right, bottom, number in boxes.astype(int):
            assert (view.label[top:bottom, left:right] == number).sum() >= 6
