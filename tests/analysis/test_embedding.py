from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis.embedding import tsne, umap


def embed(name: str) -> Callable[[Tensor], Tensor]:
    pytest.importorskip({"tsne": "sklearn", "umap": "umap"}[name])
    return {"tsne": tsne, "umap": umap}[name]


@pytest.mark.parametrize("name", ["tsne", "umap"])
def test_two_distant_clusters_stay_apart_and_the_seed_decides(name: str) -> None:
    method = embed(name)
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    x[20:] += 50
    found = method(x)
    assert found.shape == (40, 2)
    assert found.isfinite().all()
    distance = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert ((distance.argmin(1) >= 20) == (torch.arange(40) >= 20)).all()
    torch.testing.assert_close(method(x), found)


def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 rows"):
        tsne(torch.randn(4, 3))
    with pytest.raises(ValueError, match="NaN or infinite"):
        umap(torch.full((8, 3), torch.nan))
