"""The file layouts in which NYU Depth V2 is distributed, and their lists of samples."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.matlab import read_numbers, read_shape, read_texts
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.paths import level_hint
from fdkd_lightning.data.preparation.sample import LABEL_MAP, Sample
from fdkd_lightning.data.sets.nyu_classes import NYU_40, SAME_NAME, classes_of_894
from fdkd_lightning.files.read_file import read_text
from fdkd_lightning.types import IGNORE_INDEX

LABELED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
PAGE = "cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
SPLITS_URL = "horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat"

DEPTHS = {"depth": "depth", "raw_depth": "depth_raw"}
"""Modality -> ESANet's folder of depth maps in millimetres."""

IMAGES = (".jpg", ".png", ".npy")


class Layout(NamedTuple):
    """One file layout of the data set.

    Args:
        name: The file or folder that identifies it.
        modalities: Modalities that it contains.
        classes: For each value of its label maps, the class among the 40, or -100.
        read: Function that lists its samples.
        unit: Metres of one step of its integer depth maps; None: that of the recipe.
    """

    name: str
    modalities: tuple[str, ...]
    classes: tuple[int, ...]
    read: Callable[[], list[Sample]]
    unit: float | None = None


FindList = Callable[..., Path]
"""Function of the possible names of a list, and ``advice``, that returns its path."""


def find_layout(root: Path, find: FindList) -> Layout:
    """Find the layout of the data set in a folder; of several, prefer the official one.

    Raises:
        FileNotFoundError: If the folder holds none of the layouts; the error names the folder that
            does, if it is one or two levels off.
    """
    if (root / LABELED).is_file():
        return Layout(
            LABELED,
            ("visual", "depth", "raw_depth"),
            classes_of_894(),
            partial(_labeled, root, find),
        )
    # 0 is void in the label maps of SA-Gate, whose loader subtracts 1, and of ESANet.
    void_first = (IGNORE_INDEX, *range(40))
    for folder in ("", "NYUDepthv2/"):
        if (root / folder / "RGB").is_dir() and (root / folder / "Label").is_dir():
            modalities = tuple(_suffixes(root / folder))
            read = partial(_unpacked, root, folder, find)
            return Layout(f"{folder}RGB", modalities, void_first, read)
    if (root / "train/rgb").is_dir() and (root / "test/rgb").is_dir():
        modalities = ("visual", *(n for n, f in DEPTHS.items() if (root / "train" / f).is_dir()))
        read = partial(_split_folders, find, modalities)
        return Layout("train/rgb", modalities, void_first, read, unit=0.001)
    if (root / "train.txt").is_file() and (root / "val.txt").is_file():
        # TokenFusion's loss ignores 255, its metric every value that is not a class.
        classes = (*range(40), *216 * (IGNORE_INDEX,))
        return Layout("train.txt", ("visual", "depth"), classes, partial(_listed, find))
    raise FileNotFoundError(
        f"root={str(root)!r} holds none of the supported layouts of NYU Depth V2"
        f"{level_hint(root, (LABELED, 'RGB', 'NYUDepthv2', 'train/rgb', 'val.txt'))}: the official "
        f"{LABELED} with {SPLITS} ({PAGE}; {SPLITS_URL}); SA-Gate's and CMX's folders RGB, HHA and "
        "Label with train.txt and test.txt (also within NYUDepthv2); ESANet's folders train and "
        "test; or TokenFusion's train.txt and val.txt with the paths of colour, mask and depth"
    )


def _labeled(root: Path, find: FindList) -> list[Sample]:
    path = root / LABELED
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
    splits = find(SPLITS, advice=f"download {SPLITS_URL} and put it beside {LABELED}")
    try:
        parts = read_numbers(splits, ("trainNdxs", "testNdxs"))
    except MediaError as error:
        raise ValueError(f"{splits}: {error}; download it again: {SPLITS_URL}") from error
    samples = []
    arrays = {"visual": "images", "depth": "depths", "raw_depth": "rawDepths", LABEL_MAP: "labels"}
    for split, name in (("train", "trainNdxs"), ("test", "testNdxs")):
        for number in parts[name]:
            if not 1 <= number <= count:
                raise ValueError(f"{splits}: {name} has {number}, but there are {count} images")
            sample = Sample(
                id=f"{number:04d}",
                split=split,
                label="",
                sources=dict.fromkeys(arrays, LABELED),
                members={modality: f"{array}/{number - 1}" for modality, array in arrays.items()},
                group=scenes[number - 1],
                where=f"{splits}, {name}",
            )
            samples.append(sample)
    return samples


def _suffixes(folder: Path) -> dict[str, str]:
    """Return modality -> file extension, for the modalities that SA-Gate's folders hold."""
    found = {}
    # Published depth maps in PNG have various units; those in NPY are float32 metres.
    folders = {"visual": ("RGB", ".jpg"), "hha": ("HHA", ".jpg"), "depth": ("Depth", ".npy")}
    for modality, (name, default) in folders.items():
        suffixes = {path.suffix.lower() for path in (folder / name).glob("*")}
        if modality == "depth" and default not in suffixes:
            continue
        others = [suffix for suffix in IMAGES if suffix in suffixes]
        if (folder / name).is_dir():
            found[modality] = default if default in suffixes or not others else others[0]
    return found


def _unpacked(root: Path, folder: str, find: FindList) -> list[Sample]:
    samples = []
    suffixes = _suffixes(root / folder)
    names = {"visual": "RGB", "hha": "HHA", "depth": "Depth"}
    for split in ("train", "test"):
        for where, line in _lines(find, f"{folder}{split}.txt", f"{split}.txt"):
            # SA-Gate's lists have the paths of colour and label, CMX's the bare name.
            stems = {_stem(path) for path in line.replace("\\", "/").split()}
            if len(stems) > 1:
                raise ValueError(
                    f"{where}: expected one name, or the paths of the colour image and the label "
                    f"map of this name, got {line[:80]!r}"
                )
            name = stems.pop()
            sources = {m: f"{folder}{names[m]}/{name}{suffix}" for m, suffix in suffixes.items()}
            sources[LABEL_MAP] = f"{folder}Label/{name}.png"
            samples.append(Sample(name, split, "", sources, where=where))
    return samples


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return next((name[: -len(end)] for end in IMAGES if name.lower().endswith(end)), name)


def _split_folders(find: FindList, modalities: Sequence[str]) -> list[Sample]:
    samples = []
    folders = {"visual": "rgb", LABEL_MAP: "labels_40"} | DEPTHS
    for split in ("train", "test"):
        for where, name in _lines(find, f"{split}.txt"):
            sources = {m: f"{split}/{folders[m]}/{name}.png" for m in (*modalities, LABEL_MAP)}
            samples.append(Sample(name, split, "", sources, where=where))
    return samples


def _listed(find: FindList) -> list[Sample]:
    samples = []
    # TokenFusion's validation list is the test split.
    for split, table in (("train", "train.txt"), ("test", "val.txt")):
        for where, line in _lines(find, table):
            paths = line.split("\t")
            if len(paths) != 3:
                raise ValueError(
                    f"{where}: expected the paths of colour, mask and depth, separated by tabs, "
                    f"got {line[:80]!r}"
                )
            sources = dict(zip(("visual", LABEL_MAP, "depth"), paths, strict=True))
            samples.append(Sample(paths[0], split, "", sources, where=where))
    return samples


def _lines(find: FindList, *names: str) -> list[tuple[str, str]]:
    """Return the file and number of each non-empty line of a list, and the line."""
    path = find(*names, advice="it lists the samples of a split")
    lines = read_text(path).splitlines()
    return [(f"{path}, line {i}", line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
