"""NYU Depth V2: rooms in colour and depth, with a class for each pixel."""

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
    """NYU Depth V2, 40 classes: 795 pictures to train with, 654 to test with, 480 x 640 pixels.

    ``root`` holds it in one of three forms:

    - the owner's ``nyu_depth_v2_labeled.mat`` and ``splits.mat``, with the modalities ``visual``,
      ``depth`` (holes painted in) and ``raw_depth`` (holes are 0);
    - CMX's folders ``RGB``, ``HHA`` and ``Label`` with ``train.txt`` and ``test.txt``, there or in
      ``NYUDepthv2``, with ``visual`` and ``hha`` (depth as three channels). What a folder ``Depth``
      of such a copy holds is not settled, and it is not read;
    - TokenFusion's ``train.txt`` and ``val.txt``, lines of the paths of colour, mask and depth,
      with ``visual`` and ``depth`` (16-bit PNG, 1/5000 m).

    ``modalities`` is ``[visual, depth]`` where it is left out. A tenth of the training pictures
    becomes the validation split: of the owner's form whole scenes, whose pictures follow upon each
    other; the other forms name no scenes, and their validation split is of pictures whose
    neighbours are trained with.

    Colour, depth and labels of a sample get the same view: ``recipes`` must agree in what they
    draw, and the labels follow them. In training that is a random scale, part and mirroring, in
    evaluation the whole picture. Unlabelled pixels are -100.

    A picture that a list names and that is not there, or is damaged, is left out and recorded. A
    sample that is named twice, or in both splits, is an error.

    Shape:
        - batch["visual"], batch["hha"]: [N, 3, H, W], normalised by ImageNet's mean and deviation
        - batch["depth"], batch["raw_depth"]: [N, 1, H, W], normalised; holes are 0
        - batch["label"]: [N, H, W] int64

    Raises:
        FileNotFoundError: Once the samples are read, if ``root`` holds none of the forms.
        ValueError: As :class:`~fdkd_lightning.data.paired.PairedDataModule`; if a selected modality
            is not in the form, or the recipes' views differ.

    Reference:
        Silberman et al., "Indoor Segmentation and Support Inference from RGBD Images" (ECCV 2012);
        the classes: Gupta et al. (CVPR 2013), see :mod:`fdkd_lightning.data.sets.nyu_classes`; the
        forms: huaaaliu/RGBX_Semantic_Segmentation dataloader/RGBXDataset.py, yikaiw/TokenFusion
        semantic_segmentation/config.py.

    Example:
        >>> data = NYUDepthV2("data/nyudepth")
        >>> data.num_classes, data.modalities
        (40, ('visual', 'depth'))
    """

    class_names: tuple[str, ...] = NYU_40
    own_val_fraction: ClassVar[float | None] = 0.1
    aligned: ClassVar[bool] = True

    def default_recipes(self) -> dict[str, Recipe]:
        """Whole pictures, scaled by 0.5 to 1.75 in training."""
        return {
            "visual": SceneImageRecipe(),
            "depth": DepthRecipe(unit=1 / 5000),
            "raw_depth": DepthRecipe(unit=1 / 5000),
            "hha": SceneImageRecipe(),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Normalisation."""
        return {
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            "depth": NormalizeDepth(),
            "raw_depth": NormalizeDepth(),
            "hha": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def label_recipe(self) -> LabelMapRecipe:
        """Classes, seen as the modalities are."""
        views = {
            name: recipe.view_arguments
            for name, recipe in self.recipes.items()
            if isinstance(recipe, SceneRecipe)
        }
        first = next(iter(views), None)
        if first is None:
            raise ValueError(
                "recipes: give at least one SceneImageRecipe or DepthRecipe, whose view the labels "
                "follow"
            )
        for name, arguments in views.items():
            if arguments != views[first]:
                raise ValueError(
                    f"recipes: {name!r} is seen as {arguments}, {first!r} as {views[first]}: give "
                    "both the same size, scales, crop and mirror"
                )
        return LabelMapRecipe(self.label_classes(), **views[first])

    def label_classes(self) -> tuple[int, ...]:
        """The class of each value of the label maps; -100 is void."""
        return self.layout.classes

    @cached_property
    def layout(self) -> Layout:
        """The form that ``root`` has."""
        return find_layout(self.root)

    def read_samples(self) -> list[Sample]:
        """The form's samples, those to train with first."""
        wanted = {self.views.get(name, name) for name in self.modalities}
        lacking = sorted(wanted - {*self.layout.modalities})
        if lacking:
            raise ValueError(
                f"modalities: {', '.join(map(repr, lacking))} is not in {self.root} (found "
                f"{self.layout.name}); choose of {list(self.layout.modalities)}"
            )
        return self.layout.read()

    def _select(self, modalities: Sequence[str] | None) -> tuple[str, ...]:
        # No form has all four.
        return super()._select(("visual", "depth") if modalities is None else modalities)


class NYUDepthV2Coarse(NYUDepthV2):
    """:class:`NYUDepthV2` with 13 classes, each made of some of the 40.

    Reference:
        Couprie et al., "Indoor Semantic Segmentation using depth information" (arXiv:1301.3572);
        which of the 40 make one: ankurhanda/SceneNetv1.0.

    Example:
        >>> NYUDepthV2Coarse("data/nyudepth").num_classes
        13
    """

    class_names = NYU_13

    def label_classes(self) -> tuple[int, ...]:
        """The class of each value of the label maps; -100 is void."""
        return tuple(coarse_class(number) for number in super().label_classes())
