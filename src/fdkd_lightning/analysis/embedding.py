"""Features in two dimensions: t-SNE and UMAP, with settings that are the same for all figures."""

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from fdkd_lightning.analysis.row_checks import check_features
from fdkd_lightning.ops.optional import require

PERPLEXITY = 30
NEIGHBOURS = 15
MIN_ROWS = 5
"""Fewer have no neighbourhood to keep."""


def tsne(x: Tensor, seed: int = 0) -> Tensor:
    """Embed features in two dimensions by t-SNE.

    Scikit-learn's defaults: perplexity 30 (a third of the rows, if there are fewer than 90),
    Euclidean distances, initialised by PCA. Distances between clusters have no meaning.

    Args:
        x: Features, of both modalities if they are to share one space.
        seed: Seed of the random numbers.

    Shape:
        - x: [N, D], N at least 5
        - output: [N, 2] float64

    Raises:
        ImportError: If scikit-learn is not installed: the extra ``tsne``.
        ValueError: If the features are not finite, or of fewer than five rows.

    Reference:
        van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008.
    """
    x = _checked(x)
    manifold = require("sklearn.manifold", extra="tsne", purpose="t-SNE")
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    found = manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return torch.from_numpy(found.fit_transform(x.cpu().numpy())).double()


def umap(x: Tensor, seed: int = 0) -> Tensor:
    """Embed features in two dimensions by UMAP.

    umap-learn's defaults: 15 neighbours, least distance 0.1, Euclidean distances.

    Args:
        x: Features, of both modalities if they are to share one space.
        seed: Seed of the random numbers.

    Shape:
        - x: [N, D], N at least 5
        - output: [N, 2] float64

    Raises:
        ImportError: If umap-learn is not installed.
        ValueError: If the features are not finite, or of fewer than five rows.

    Reference:
        McInnes, Healy and Melville, UMAP (arXiv:1802.03426).
    """
    x = _checked(x)
    package = require_umap()
    with warnings.catch_warnings():
        # That it runs on one thread because of the seed.
        warnings.filterwarnings("ignore", message=".*n_jobs value")
        found = package.UMAP(n_neighbors=min(NEIGHBOURS, len(x) - 1), random_state=seed)
        return torch.from_numpy(found.fit_transform(x.cpu().numpy())).double()


def require_umap() -> Any:
    """Import the package of UMAP, which no extra holds: it brings a compiler, for one figure.

    Raises:
        ImportError: If it cannot be imported; it gives the command that installs it.
    """
    try:
        return import_module("umap")
    except ImportError as error:
        raise ImportError(
            f'UMAP needs the package umap-learn: pip install "umap-learn>=0.5.9" ({error})'
        ) from error


def _checked(x: Tensor) -> Tensor:
    x = check_features("x", x)
    if len(x) < MIN_ROWS:
        raise ValueError(f"x has shape {list(x.shape)}: give at least {MIN_ROWS} rows")
    return x
