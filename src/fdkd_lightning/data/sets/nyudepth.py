"""NYU Depth V2: indoor scenes in colour and depth, with a class per pixel."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe.base import Recipe
from fdkd_lightning.data.preparation.recipe.depth import DepthRecipe
from fdkd_lightning.data.preparation.recipe.image import IMAGENET_MEAN, IMAGENET_STD
from fdkd_lightning.data.preparation.recipe.label_map import LabelMapRecipe
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe
from fdkd_lightning.data.preparation.recipe.scene_image import SceneImageRecipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.sets.nyu_classes import NYU_13, NYU_40, coarse_class
from fdkd_lightning.data.sets.nyu_layouts import Layout, find_layout
from fdkd_lightning.data.transforms.normalize_depth import NormalizeDepth


class NYUDepthV2(PairedDataModule):
    """NYU Depth V2, 40 classes: 795 training and 654 test images of 480 x 640 pixels.

    ``root`` holds one of four layouts:

    - the official ``nyu_depth_v2_labeled.mat``, with the modalities ``visual``, ``depth`` (holes
      inpainted) and ``raw_depth`` (holes are 0), and ``splits.mat``
      (http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat);
    - the folders ``RGB``, ``HHA``, ``Depth`` and ``Label`` of SA-Gate, CMX and DFormer with
      ``train.txt`` and ``test.txt``, in ``root`` or in ``NYUDepthv2``: ``visual``, ``hha`` (depth
      as three channels) and ``depth`` (NPY files of metres; PNG files of copies have no documented
      unit and are not read). A line is the name of a sample, or the paths of its colour image and
      label map;
    - ESANet's folders ``train`` and ``test`` with ``rgb``, ``depth``, ``depth_raw`` and
      ``labels_40``: ``visual``, ``depth`` and ``raw_depth`` (PNG files of millimetres, whatever the
      ``unit`` of the recipe);
    - TokenFusion's ``train.txt`` and ``val.txt`` with the paths of colour, mask and depth, with
      ``visual`` and ``depth`` (16-bit PNG in units of 1/5000 m).

    The default of ``modalities`` is ``[visual, depth]``. A tenth of the training images becomes the
    validation split. The official layout names the scenes, and the split is drawn by whole scenes.
    The other layouts do not, so validation images resemble neighbouring training images.

    Colour, depth and labels of a sample share one view: a random scale, crop and mirroring in
    training, the whole image in evaluation. ``recipes`` must therefore have equal view arguments;
    the labels follow them. Unlabelled pixels are -100.

    Missing and damaged images are excluded and recorded. A sample that is listed twice, or in both
    splits, is an error.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["visual"], batch["hha"]: [N, 3, H, W], normalised by ImageNet's mean and standard
          deviation
        - batch["depth"], batch["raw_depth"]: [N, 1, H, W], normalised; holes are 0
        - batch["label"]: [N, H, W] int64

    Raises:
        FileNotFoundError: When the samples are read, if ``root`` holds none of the layouts.
        ValueError: If an argument is out of range or the recipes' views differ; when the samples
            are read, if a selected modality is not in the layout.

    Reference:
        Silberman et al., "Indoor Segmentation and Support Inference from RGBD Images" (ECCV 2012);
        the classes: Gupta et al. (CVPR 2013), see :mod:`fdkd_lightning.data.sets.nyu_classes`; the
        layouts: charlesCXK/RGBD_Semantic_Segmentation_PyTorch DATA/NYUDepthv2,
        huaaaliu/RGBX_Semantic_Segmentation dataloader/RGBXDataset.py, TUI-NICR/ESANet
        src/datasets/nyuv2, yikaiw/TokenFusion semantic_segmentation/config.py.

    Example:
        >>> data = NYUDepthV2("data/nyudepth")
        >>> data.num_classes, data.modalities
        (40, ('visual', 'depth'))
    """

    class_names: tuple[str, ...] = NYU_40
    own_val_fraction: ClassVar[float | None] = 0.1
    aligned: ClassVar[bool] = True

    def default_recipes(self) -> dict[str, Recipe]:
        """Return the recipes: whole images, scaled by 0.5 to 1.75 in training."""
        return {
            "visual": SceneImageRecipe(),
            "depth": DepthRecipe(unit=1 / 5000),
            "raw_depth": DepthRecipe(unit=1 / 5000),
            "hha": SceneImageRecipe(),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: normalisation by mean and standard deviation."""
        return {
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            "depth": NormalizeDepth(),
            "raw_depth": NormalizeDepth(),
            "hha": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def label_recipe(self) -> LabelMapRecipe:
        """Return the recipe of the label map, with the view arguments of the modalities."""
        views = {
            name: recipe.view_arguments
            for name, recipe in self.recipes.items()
            if isinstance(recipe, SceneRecipe)
        }
        first = next(iter(views), None)
        if first is None:
            raise ValueError(
                "recipes: give at least one SceneImageRecipe or DepthRecipe; the labels take its "
                "view"
            )
        for name, arguments in views.items():
            if arguments != views[first]:
                raise ValueError(
                    f"recipes: {name!r} has the view {arguments}, {first!r} has {views[first]}: "
                    "give both the same size, scales, crop and mirror"
                )
        return LabelMapRecipe(self.label_classes(), **views[first])

    def label_classes(self) -> tuple[int, ...]:
        """Return the class of each value in the label maps; -100 means unlabelled."""
        return self.layout.classes

    @cached_property
    def layout(self) -> Layout:
        """The file layout of ``root``."""
        return find_layout(self.root, self.find_list)

    @cached_property
    def _prepared(self) -> dict[str, Recipe]:
        recipes = dict(super()._prepared)
        for name, recipe in recipes.items():
            if isinstance(recipe, DepthRecipe) and self.layout.unit is not None:
                known = copy.copy(recipe)
                known.unit = self.layout.unit
                recipes[name] = known
        return recipes

    def read_samples(self) -> list[Sample]:
        """Read the samples of the layout, the training split first."""
        wanted = {self.views.get(name, name) for name in self.modalities}
        lacking = sorted(wanted - {*self.layout.modalities})
        if lacking:
            raise ValueError(
                f"modalities: {', '.join(map(repr, lacking))} is not in {self.root} (found "
                f"{self.layout.name}): choose from {list(self.layout.modalities)}"
            )
        return self.layout.read()

    def _select(self, modalities: Sequence[str] | None) -> tuple[str, ...]:
        # No layout has all four modalities.
        return super()._select(("visual", "depth") if modalities is None else modalities)


class NYUDepthV2Coarse(NYUDepthV2):
    """NYU Depth V2 with 13 classes, each a union of some of the 40.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Reference:
        Couprie et al., "Indoor Semantic Segmentation using depth information" (arXiv:1301.3572);
        the mapping from the 40 classes: ankurhanda/SceneNetv1.0.

    Example:
        >>> NYUDepthV2Coarse("data/nyudepth").num_classes
        13
    """

    class_names = NYU_13

    def label_classes(self) -> tuple[int, ...]:
        """Return the class of each value in the label maps; -100 means unlabelled."""
        return tuple(coarse_class(number) for number in super().label_classes())
