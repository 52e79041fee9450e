import numpy as np
import pytest

from fdkd_lightning.data.embedded.room_scene import CLASSES, Scene, draw_scene

SCENES = 40


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(np.random.default_rng(i)) for i in range(SCENES)]


def test_every_class_occurs_and_the_first_surfaces_are_the_rooms(scenes: list[Scene]) -> None:
    assert {*np.concatenate([scene.classes for scene in scenes])} == {*range(8), 255}
    for scene in scenes:
        assert scene.classes[:6].tolist() == [0, 0, 0, 0, 1, 2]
        assert len(scene.paint.first) == len(scene.paint.pattern) == len(scene.classes)


def test_all_things_are_within_the_room_and_the_camera_not_within_a_thing(
    scenes: list[Scene],
) -> None:
    for scene in scenes:
        boxes = scene.boxes
        cos, sin = np.abs(boxes.turn.T)
        reach = np.stack(
            [
                cos * boxes.half[:, 0] + sin * boxes.half[:, 1],
                sin * boxes.half[:, 0] + cos * boxes.half[:, 1],
                boxes.half[:, 2],
            ],
            1,
        )
        assert (boxes.centre - reach > -1e-5).all()
        assert (boxes.centre + reach < scene.room + 1e-5).all()
        assert (scene.eye > 0.2).all()
        assert (scene.eye < scene.room - 0.2).all()
        away = np.hypot(*(boxes.centre[:, :2] - scene.eye[:2]).T)
        assert (away > 0.3).all()
        for plate in scene.plates:
            length = scene.room[1 - plate.wall // 2]
            assert 0 < plate.low[0] < plate.high[0] < length
            assert 0 < plate.low[1] < plate.high[1] < scene.room[2]
            assert CLASSES[scene.classes[plate.surface]] in ("picture", "mirror")


def test_some_furniture_is_painted_like_its_room(scenes: list[Scene]) -> None:
    like = [
        (scene.paint.first[i] == scene.paint.first[:5]).all(1).any()
        for scene in scenes
        for i in range(6, len(scene.classes))
        if scene.classes[i] in (5, 6, 7)
    ]
    assert 0.2 < np.mean(like) < 0.5
