"""Rooms: rendered colour and depth images of rooms with a class per pixel, offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torchvision.transforms import v2

from fdkd_lightning.data.embedded.dense import SCALES, DenseDataModule, DenseDataset, Maps
from fdkd_lightning.data.embedded.room_render import FIRST_OBJECT
from fdkd_lightning.data.embedded.room_scene import CLASSES
from fdkd_lightning.data.embedded.rooms_file import SPLITS, build_rooms, rooms_name
from fdkd_lightning.data.preparation.recipe.image import IMAGENET_MEAN, IMAGENET_STD
from fdkd_lightning.data.preparation.store import read_arrays
from fdkd_lightning.data.transforms.normalize_depth import NormalizeDepth
from fdkd_lightning.ops.checks import check_count, check_flags
from fdkd_lightning.ops.tensor_checks import check_tensor


class Rooms(DenseDataModule):
    """Rendered rooms in colour and depth: 600 scenes, 8 classes per pixel, made offline.

    A room has textured walls, tables, chairs, cabinets, pictures, mirrors and clutter, one lamp and
    a camera. Each modality sees what the other does not:

    - pictures and textures are in the image alone; in depth a picture is wall;
    - a third of the furniture is painted like a wall or the floor: depth alone tells it apart;
    - a mirror shows the room in the image; the sensor measures the reflected room or nothing;
    - depth has a structured-light sensor's noise, which grows with the distance, and holes (0): in
      the shadow of edges, on grazing surfaces and mirrors, and here and there.

    Clutter is not annotated (void, -100). The scenes are drawn by this package from ``build_seed``,
    in a few seconds, and stored in ``root``: there is no source and no licence but the package's.
    No scene is in two splits.

    Image, depth, labels and boxes of a sample share one view: a random scale, crop and mirroring in
    training, the whole image in evaluation. Distances are not scaled.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and rank.
        eval_batch_size: Samples per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: ``visual``, ``depth`` or both; None: both.
        seed: Draws views, the order, the training scenes and those that keep their labels.
        transforms: Modality -> module applied to its batch; None: normalisation by ImageNet's mean
            and standard deviation, and by the mean distance, with holes at 0.
        train_size: Number of training scenes, drawn by ``seed``; None: all. With one seed, a
            smaller set is a subset of a larger one.
        labelled: Number of training scenes that keep their label map; the others are void. None:
            all. A smaller number's are among those of a larger one.
        scales: Scale factors, of which one is drawn for each training view.
        crop: H and W of the training views, pixels; None: ``size``.
        mirror: Flip half of the training views horizontally.
        boxes: Give the objects' boxes too; see :meth:`detection_targets`.
        size: H and W of the images, pixels.
        scenes: Scenes to render for training, validation and test.
        build_seed: Draws the scenes.

    Shape:
        - batch["visual"]: [N, 3, H, W]
        - batch["depth"]: [N, 1, H, W], holes are 0
        - batch["label"]: [N, H, W] int64
        - batch["index"]: [N] int64
        - batch["boxes"]: [N, 16, 5] with ``boxes``: left, top, right and bottom in pixels, and the
          class; unused rows have class -100

    Raises:
        ValueError: If an argument is out of range.
        OSError: In ``prepare_data``, if ``root`` cannot be written.

    Example:
        >>> data = Rooms(modalities=["depth"], labelled=30)
        >>> data.num_classes, data.class_names[3]
        (8, 'picture')
    """

    class_names: tuple[str, ...] = CLASSES
    available_modalities: tuple[str, ...] = ("visual", "depth")

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        train_size: int | None = None,
        labelled: int | None = None,
        scales: tuple[float, ...] = SCALES,
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
        boxes: bool = False,
        size: tuple[int, int] = (48, 64),
        scenes: tuple[int, int, int] = (300, 60, 240),
        build_seed: int = 0,
    ) -> None:
        super().__init__(
            *(root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms),
            *(labelled, scales, crop, mirror),
        )
        self.views(size)  # checks the size
        if not isinstance(scenes, tuple | list) or len(scenes) != len(SPLITS):
            raise ValueError(f"scenes={scenes!r} must be three numbers, such as [300, 60, 240]")
        for count in scenes:
            check_count("scenes", count, example=300)
        if train_size is not None:
            check_count("train_size", train_size, 1, scenes[0])
        if labelled is not None:
            check_count("labelled", labelled, 1, train_size or scenes[0])
        check_flags(boxes=boxes)
        check_count("build_seed", build_seed, 0)
        self.train_size = train_size
        self.boxes = boxes
        self.size = (size[0], size[1])
        self.scenes = (scenes[0], scenes[1], scenes[2])
        self.build_seed = build_seed

    @property
    def path(self) -> Path:
        """Path of the stored file."""
        return self.root / rooms_name(self.size, self.scenes, self.build_seed)

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: normalisation by mean and standard deviation."""
        return {
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            "depth": NormalizeDepth(mean=3.0, std=0.9),
        }

    def prepare_data(self) -> None:
        """Render the scenes if the stored file does not exist."""
        if not self.path.exists():
            build_rooms(self.path, self.size, self.scenes, self.build_seed)

    def read_split(self, split: str) -> DenseDataset:
        """Load a split; of the training split, the scenes drawn by ``seed``."""
        names = [*self.modalities, "label", *(["boxes"] if self.boxes else [])]
        stored = read_arrays(self.path, [f"{split}_{name}" for name in names])
        number = SPLITS.index(split)
        rows = np.arange(self.scenes[number])
        if split == "train" and self.train_size is not None:
            drawn = np.random.default_rng(self.seed).permutation(rows)[: self.train_size]
            rows = np.sort(drawn)
        maps = {}
        if "visual" in self.modalities:
            visual = stored[f"{split}_visual"][rows]
            maps["visual"] = Maps(visual, 1 / 255, IMAGENET_MEAN, bilinear=True)
        if "depth" in self.modalities:
            maps["depth"] = Maps(stored[f"{split}_depth"][rows][..., None], 0.001)
        return DenseDataset(
            maps,
            stored[f"{split}_label"][rows],
            rows + sum(self.scenes[:number]),
            self.views(self.size),
            self.seed,
            stored[f"{split}_boxes"][rows] if self.boxes else None,
        )

    @staticmethod
    def detection_targets(boxes: Tensor) -> list[dict[str, Tensor]]:
        """Return ``batch["boxes"]`` as torchvision's detectors take them in training.

        The five classes are the last five of the pixels' classes, counted from 1: picture, mirror,
        table, chair, cabinet. 0 is a detector's background.

        Args:
            boxes: Left, top, right, bottom and class; unused rows have class -100.

        Shape:
            - boxes: [N, M, 5]
            - output: per image ``"boxes"`` [M', 4] and ``"labels"`` [M'] int64

        Raises:
            TypeError: If the boxes are no floating-point tensor.
            ValueError: If they have another shape.

        Example:
            >>> import torch
            >>> row = [4.0, 5.0, 9.0, 8.0, 6.0]
            >>> boxes = torch.tensor([[row, [0.0, 0.0, 0.0, 0.0, -100.0]]])
            >>> [target] = Rooms.detection_targets(boxes)
            >>> target["boxes"].tolist(), target["labels"].tolist()
            ([[4.0, 5.0, 9.0, 8.0]], [4])
        """
        check_tensor("boxes", boxes, "[N, M, 5]", 3)
        if boxes.shape[2] != 5:
            raise ValueError(f"boxes are {list(boxes.shape)}: pass [N, M, 5], those of a batch")
        return [
            {
                "boxes": rows[rows[:, 4] >= 0, :4],
                "labels": rows[rows[:, 4] >= 0, 4].long() - (FIRST_OBJECT - 1),
            }
            for rows in boxes
        ]
