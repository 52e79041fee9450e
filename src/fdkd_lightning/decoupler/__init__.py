"""Splitting features into a low and a high band, one way a file."""

from fdkd_lightning.decoupler.base import Decoupler
from fdkd_lightning.decoupler.control import (
    PermutedDecoupler,
    RandomOrthogonalDecoupler,
    WholeDecoupler,
)
from fdkd_lightning.decoupler.dct import DCTDecoupler
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler, frequency_split
from fdkd_lightning.decoupler.haar import HaarDecoupler
from fdkd_lightning.decoupler.learnable import LearnableFrequencyDecoupler

__all__ = [
    "DCTDecoupler",
    "Decoupler",
    "FrequencyDecoupler",
    "HaarDecoupler",
    "LearnableFrequencyDecoupler",
    "PermutedDecoupler",
    "RandomOrthogonalDecoupler",
    "WholeDecoupler",
    "frequency_split",
]
