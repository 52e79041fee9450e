"""How each modality is decoded, kept and loaded."""

from fdkd_lightning.data.recipe.audio import AudioRecipe
from fdkd_lightning.data.recipe.base import MediaRecipe, Part, Recipe
from fdkd_lightning.data.recipe.depth import DepthRecipe
from fdkd_lightning.data.recipe.frames import FramesRecipe
from fdkd_lightning.data.recipe.label_map import LabelMapRecipe
from fdkd_lightning.data.recipe.picture import IMAGENET_MEAN, IMAGENET_STD, ImageRecipe
from fdkd_lightning.data.recipe.scene_image import SceneImageRecipe
from fdkd_lightning.data.recipe.text import TextRecipe

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "AudioRecipe",
    "DepthRecipe",
    "FramesRecipe",
    "ImageRecipe",
    "LabelMapRecipe",
    "MediaRecipe",
    "Part",
    "Recipe",
    "SceneImageRecipe",
    "TextRecipe",
]
