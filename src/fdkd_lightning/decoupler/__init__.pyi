from .base import Decoupler as Decoupler
from .dct import DCTDecoupler as DCTDecoupler
from .frequency import FrequencyDecoupler as FrequencyDecoupler, frequency_split as frequency_split
from .haar import HaarDecoupler as HaarDecoupler
from .learnable import LearnableFrequencyDecoupler as LearnableFrequencyDecoupler
from .permuted import PermutedDecoupler as PermutedDecoupler
from .random_orthogonal import RandomOrthogonalDecoupler as RandomOrthogonalDecoupler
from .spatial_frequency import SpatialFrequencyDecoupler as SpatialFrequencyDecoupler
from .whole import WholeDecoupler as WholeDecoupler
