from .array import ArrayRecipe as ArrayRecipe
from .audio import AudioRecipe as AudioRecipe
from .base import MediaRecipe as MediaRecipe, Part as Part, Recipe as Recipe
from .depth import DepthRecipe as DepthRecipe
from .frames import FramesRecipe as FramesRecipe
from .image import (
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
    ImageRecipe as ImageRecipe,
)
from .label_map import LabelMapRecipe as LabelMapRecipe
from .scene_image import SceneImageRecipe as SceneImageRecipe
from .text import TextRecipe as TextRecipe
