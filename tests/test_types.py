import torch

from fdkd_lightning.types import IGNORE_INDEX, Bands, Output


def test_the_ignored_label_is_torchs_own() -> None:
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORE_INDEX


def test_an_output_needs_features_and_logits_only() -> None:
    features, logits = torch.ones(2, 8), torch.zeros(2, 3)
    output = Output(features, logits)
    assert output.features is features
    assert output.logits is logits
    assert output.maps == ()
    assert output.index is None


def test_bands_unpack_low_first() -> None:
    bands = Bands(low=torch.zeros(1), high=torch.ones(1))
    low, high = bands
    assert low is bands.low
    assert high is bands.high
