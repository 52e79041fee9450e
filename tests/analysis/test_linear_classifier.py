import math

import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis import probe_accuracy
from fdkd_lightning.analysis.linear_classifier import fit_logistic


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_optimum_by_hand() -> None:
    # x = 1 of class 0 and -1 of class 1: u = 2 (1 - sigmoid(2 u)) by both samples.
    weight, bias = fit_logistic(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), 2)
    u = float(weight[0, 0])
    assert u == pytest.approx(2 / (1 + math.exp(2 * u)), abs=1e-8)
    assert weight[0, 1] == pytest.approx(-u, abs=1e-8)
    assert float(bias[0] - bias[1]) == pytest.approx(0, abs=1e-8)


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, label = normal(60, 5), torch.arange(60) % 3
    x[:, 0] += label
    weight, bias = fit_logistic(x, label, 3)
    theirs = linear_model.LogisticRegression(tol=1e-10, max_iter=10_000).fit(x, label)
    torch.testing.assert_close(weight.T, torch.tensor(theirs.coef_), atol=1e-5, rtol=0)
    ours = x @ weight + bias
    logits = torch.tensor(theirs.predict_proba(x))
    torch.testing.assert_close(ours.softmax(1), logits, atol=1e-5, rtol=0)


def test_scale_and_offset_of_features_do_not_count() -> None:
    x, label = normal(40, 4), torch.arange(40) % 2
    x[:, 1] += 0.7 * label
    other = normal(40, 4, seed=1)
    other[:, 1] += 0.7 * label
    found = probe_accuracy(x, label, other, label, 2)
    assert 0.5 < found < 1
    scale = torch.tensor([1e-3, 1e3, 1, 7]).double()
    assert probe_accuracy(x * scale + 5, label, other * scale + 5, label, 2) == found


def test_unlabelled_rows_scale_the_features_and_are_not_scored() -> None:
    x, label = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    held_out, wanted = torch.tensor([[0.2], [0.9], [0.9], [5.0]]), torch.tensor([0, 1, 0, -100])
    assert probe_accuracy(x, label, held_out, wanted, 2) == pytest.approx(2 / 3)
    more = torch.cat([x, torch.tensor([[0.5], [0.5]])]), torch.tensor([0, 1, -100, -100])
    assert probe_accuracy(*more, held_out, wanted, 2) == pytest.approx(2 / 3)


def test_a_class_without_label_is_never_named() -> None:
    x = torch.tensor([[-1.0], [1.0]])
    assert probe_accuracy(x, torch.tensor([0, 2]), x, torch.tensor([1, 2]), 3) == 0.5


def test_a_constant_feature_is_no_fault() -> None:
    x = torch.tensor([[-1.0, 3.0], [1.0, 3.0]])
    assert probe_accuracy(x, torch.tensor([0, 1]), x, torch.tensor([0, 1]), 2) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": torch.tensor([0, 3])}, "label ranges from 0 to 3"),
        ({"label": torch.tensor([-100, -100])}, "label holds -100 alone"),
        ({"held_out_label": torch.tensor([-100, -100])}, "held_out_label holds -100 alone"),
        ({"held_out_features": torch.zeros(2, 3)}, "give one width"),
        ({"num_classes": 0}, "num_classes=0"),
    ],
)
def test_what_cannot_be_probed_is_refused(changed: dict[str, object], message: str) -> None:
    x, label = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    good = {"features": x, "label": label, "held_out_features": x, "held_out_label": label}
    with pytest.raises(ValueError, match=message):
        probe_accuracy(**{**good, "num_classes": 2, **changed})  # type: ignore[arg-type]
