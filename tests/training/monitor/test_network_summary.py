from small import Norm, distilled
from torch import nn

from fdkd_lightning.training.monitor.network_summary import network_line


def test_trained_parts_and_frozen_teachers_are_counted() -> None:
    # Norm(w): 3 w + w, batch norm 2 w, w x 2 + 2.
    module = distilled(Norm(4))
    assert network_line(module) == ("trained parameters: Norm 34; frozen teachers: audio Norm 50")
    assert network_line(distilled(Norm(4), teachers={})) == "trained parameters: Norm 34"


def test_a_frozen_part_is_not_counted() -> None:
    frozen = nn.Linear(5, 5).requires_grad_(False)
    assert network_line(nn.Sequential(frozen, nn.Linear(1, 1))) == "trained parameters: Linear 2"
    assert network_line(nn.Sequential(frozen)) == "trained parameters: none"
