from .base import Decoupler as Decoupler
from .control import (
    PermutedDecoupler as PermutedDecoupler,
    RandomOrthogonalDecoupler as RandomOrthogonalDecoupler,
    WholeDecoupler as WholeDecoupler,
)
from .dct import DCTDecoupler as DCTDecoupler
from .frequency import FrequencyDecoupler as FrequencyDecoupler, frequency_split as frequency_split
from .haar import HaarDecoupler as HaarDecoupler
from .learnable import LearnableFrequencyDecoupler as LearnableFrequencyDecoupler
