"""The file layouts in which NYU Depth V2 is distributed, and their lists of samples."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.matlab import read_numbers, read_shape, read_texts
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.paths import within
from fdkd_lightning.data.preparation.sample import LABEL_MAP, Sample
from fdkd_lightning.data.sets.nyu_classes import NYU_40, SAME_NAME, classes_of_894
from fdkd_lightning.types import IGNORE_INDEX

LABELED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"


class Layout(NamedTuple):
    """One file layout of the data set.

    Args:
        name: The file or folder that identifies it.
        modalities: Modalities that it contains.
        classes: For each value of its label maps, the class among the 40, or -100.
        read: Function that lists its samples.
    """

    name: str
    modalities: tuple[str, ...]
    classes: tuple[int, ...]
    read: Callable[[], list[Sample]]


def find_layout(root: Path) -> Layout:
    """Find the layout of the data set in a folder; of several, prefer the official one.

    Args:
        root: The folder.

    Raises:
        FileNotFoundError: If the folder holds none of the layouts.
    """
    if (root / LABELED).is_file():
        return Layout(
            LABELED, ("visual", "depth", "raw_depth"), classes_of_894(), partial(_labeled, root)
        )
    for folder in ("", "NYUDepthv2/"):
        if (root / folder / "RGB").is_dir() and (root / folder / "Label").is_dir():
            # CMX's loader subtracts 1, so that 0 becomes void.
            classes = (IGNORE_INDEX, *range(40))
            return Layout(
                f"{folder}RGB", ("visual", "hha"), classes, partial(_unpacked, root, folder)
            )
    if (root / "train.txt").is_file() and (root / "val.txt").is_file():
        # TokenFusion's loss ignores 255, its metric every value that is not a class.
        classes = (*range(40), *216 * (IGNORE_INDEX,))
        return Layout("train.txt", ("visual", "depth"), classes, partial(_listed, root))
    raise FileNotFoundError(
        f"root={str(root)!r} holds none of the supported layouts of NYU Depth V2: the official "
        f"{LABELED} with {SPLITS} (cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html); CMX's folders "
        "RGB, HHA and Label with train.txt and test.txt (also within NYUDepthv2); or TokenFusion's "
        "train.txt and val.txt with the paths of colour, mask and depth"
    )


def _labeled(root: Path) -> list[Sample]:
    path = within(root, LABELED)
    try:
        count = read_shape(path, "images")[0]
        scenes = read_texts(path, "scenes")
        names = read_texts(path, "names")
    except MediaError as error:
        raise ValueError(f"{path}: {error}") from error
    for number, value in enumerate(SAME_NAME):
        if value > len(names) or names[value - 1] != NYU_40[number]:
            found = names[value - 1] if value <= len(names) else "nothing"
            raise ValueError(
                f"{path} does not have the official class numbers: value {value} is {found!r}, "
                f"not {NYU_40[number]!r}. Use the official file, version 2"
            )
    try:
        parts = read_numbers(within(root, SPLITS), ("trainNdxs", "testNdxs"))
    except MediaError as error:
        raise ValueError(
            f"{root / SPLITS}: {error}; download it from the official page of {LABELED}"
        ) from error
    samples = []
    arrays = {"visual": "images", "depth": "depths", "raw_depth": "rawDepths", LABEL_MAP: "labels"}
    for split, name in (("train", "trainNdxs"), ("test", "testNdxs")):
        for number in parts[name]:
            if not 1 <= number <= count:
                raise ValueError(
                    f"{root / SPLITS}: {name} has {number}, but there are {count} images"
                )
            sample = Sample(
                id=f"{number:04d}",
                split=split,
                label="",
                sources=dict.fromkeys(arrays, LABELED),
                members={modality: f"{array}/{number - 1}" for modality, array in arrays.items()},
                group=scenes[number - 1],
                where=f"{root / SPLITS}, {name}",
            )
            samples.append(sample)
    return samples


def _unpacked(root: Path, folder: str) -> list[Sample]:
    samples = []
    for split in ("train", "test"):
        for where, name in _lines(within(root, f"{folder}{split}.txt")):
            sources = {
                "visual": f"{folder}RGB/{name}.jpg",
                "hha": f"{folder}HHA/{name}.jpg",
                LABEL_MAP: f"{folder}Label/{name}.png",
            }
            samples.append(Sample(name, split, "", sources, where=where))
    return samples


def _listed(root: Path) -> list[Sample]:
    samples = []
    # TokenFusion's validation list is the test split.
    for split, table in (("train", "train.txt"), ("test", "val.txt")):
        for where, line in _lines(within(root, table)):
            paths = line.split("\t")
            if len(paths) != 3:
                raise ValueError(
                    f"{where}: expected the paths of colour, mask and depth, separated by tabs, "
                    f"got {line[:80]!r}"
                )
            sources = dict(zip(("visual", LABEL_MAP, "depth"), paths, strict=True))
            samples.append(Sample(paths[0], split, "", sources, where=where))
    return samples


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return the file and number of each non-empty line, and the line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it lists the samples of a split")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(f"{path}, line {i}", line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
