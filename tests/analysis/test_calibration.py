import pytest
import torch

from fdkd_lightning.analysis.calibration import calibration_bins, calibration_error


def test_bins_by_hand() -> None:
    # Confidences 0.75 (right), 0.625 (right), 0.75 (wrong) and 1 (right).
    probabilities = torch.tensor(
        [[0.75, 0.25, 0.0], [0.125, 0.625, 0.25], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]]
    )
    label = torch.tensor([0, 1, 1, 0])
    places = [(9 / 15, 1, 0.625, 1.0), (11 / 15, 2, 0.75, 0.5), (1.0, 1, 1.0, 1.0)]
    bins = calibration_bins(probabilities, label)
    assert [(x.samples, x.confidence, x.accuracy, x.share) for x in bins] == [
        (n, confidence, accuracy, n / 4) for _, n, confidence, accuracy in places
    ]
    assert [x.low for x in bins] == pytest.approx([low for low, *_ in places])
    by_hand = 1 / 4 * 0.375 + 2 / 4 * 0.25
    assert calibration_error(probabilities, label) == pytest.approx(by_hand, abs=1e-6)


def test_the_error_is_that_of_the_bins() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = (8 * torch.randn(500, 5, generator=generator)).softmax(1)
    shares = (1e6 * shares).round() / 1e6  # as in a table; some are exactly 1
    label = torch.randint(5, (500,), generator=generator)
    assert (shares == 1).any()
    bins = calibration_bins(shares, label)
    assert sum(x.samples for x in bins) == 500
    error = sum(x.share * abs(x.accuracy - x.confidence) for x in bins)
    assert calibration_error(shares, label) == pytest.approx(error, abs=1e-6)
    assert all(x.low <= x.confidence <= x.high for x in bins)
