"""Generate the stored file of the rooms."""

from pathlib import Path

import numpy as np

from fdkd_lightning.data.embedded.room_render import render
from fdkd_lightning.data.embedded.room_scene import draw_scene
from fdkd_lightning.data.preparation.store import Arrays, require_folder, write_arrays

FORMAT_VERSION = 1
"""Version of the stored file; increase it if the same arguments would give other contents."""

SPLITS = ("train", "val", "test")


def rooms_name(size: tuple[int, int], scenes: tuple[int, int, int], seed: int) -> str:
    """Return the name of the file, which states all that determines its content.

    Args:
        size: H and W of the images, pixels.
        scenes: Scenes of the training, validation and test split.
        seed: Seed of all scenes.

    Example:
        >>> rooms_name((48, 64), (300, 60, 240), seed=0)
        'rooms-v1-48x64-300-60-240-seed0.npz'
    """
    counts = "-".join(map(str, scenes))
    return f"rooms-v{FORMAT_VERSION}-{size[0]}x{size[1]}-{counts}-seed{seed}.npz"


def build_rooms(
    path: Path, size: tuple[int, int], scenes: tuple[int, int, int], seed: int = 0
) -> None:
    """Render the scenes; the same arguments give the same bytes on the same platform.

    The arrays of a split, ``train_visual`` and so on, are those of
    :class:`~fdkd_lightning.data.embedded.room_render.View`, stacked. A scene depends on the seed,
    its split and its number alone: a split of fewer scenes is the beginning of a larger one.

    Args:
        path: The file to write; its folder is created.
        size: H and W of the images, pixels.
        scenes: Scenes of the training, validation and test split.
        seed: Seed of all scenes.

    Raises:
        OSError: If the folder cannot be written.
    """
    require_folder(path.parent)
    arrays: Arrays = {}
    for number, (split, count) in enumerate(zip(SPLITS, scenes, strict=True)):
        views = []
        for i in range(count):
            rng = np.random.default_rng((seed, number, i))
            views.append(render(draw_scene(rng), size, rng))
        for name, values in zip(views[0]._fields, zip(*views, strict=True), strict=True):
            arrays[f"{split}_{name}"] = np.stack(values)
    write_arrays(path, arrays)
