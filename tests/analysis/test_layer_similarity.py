import pytest
import torch

from fdkd_lightning.analysis.cka import linear_cka
from fdkd_lightning.analysis.layer_similarity import layer_similarities


def test_a_layer_is_like_itself_and_pairs_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = {"a": torch.randn(60, 4, generator=generator), "b": torch.randn(60, 6)}
    found = {(pair.first, pair.second): pair for pair in layer_similarities(layers, layers)}
    assert [*found] == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    for name in layers:
        assert found[name, name].cka == pytest.approx(1)
        assert found[name, name].shuffled < 0.4
    assert found["a", "b"].cka == pytest.approx(linear_cka(layers["a"], layers["b"]))
    assert found["a", "b"].cka == pytest.approx(found["b", "a"].cka)
