from fdkd_lightning.analysis.band_curves import BandPoint
from fdkd_lightning.analysis.calibration import Bin
from fdkd_lightning.analysis.confusion import Confusion
from fdkd_lightning.analysis.figure_rows import (
    BandRow,
    CalibrationRow,
    ConfusionRow,
    GradientRow,
    LayerRow,
)
from fdkd_lightning.analysis.gradients import TermGradient
from fdkd_lightning.analysis.layer_similarity import LayerPair


def test_rows_are_their_values_after_the_networks() -> None:
    assert BandRow._fields == ("teacher", "student", *BandPoint._fields)
    assert CalibrationRow._fields == ("student", *Bin._fields)
    assert ConfusionRow._fields == ("student", *Confusion._fields)
    assert GradientRow._fields == ("student", "criterion", "batch", *TermGradient._fields)
    # A layer pair's first is the teacher's.
    assert LayerRow._fields[4:] == LayerPair._fields[2:]
