"""Figure of band similarities: a group of bars per frequency band."""

from collections.abc import Mapping
from pathlib import Path

from fdkd_lightning.analysis.similarity import Similarity
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require


def plot_similarity(path: Path, similarities: Mapping[str, Similarity]) -> None:
    """Draw similarities as grouped bars: low band, high band and whole features.

    Args:
        path: The image file to write.
        similarities: Legend label -> similarity.

    Raises:
        ValueError: If ``similarities`` is empty.
        ImportError: If matplotlib is not installed: the extra ``plots``.

    Example:
        >>> import tempfile
        >>> from fdkd_lightning.analysis import Similarity
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_similarity(Path(folder, "bands.png"), {"a": Similarity(0.9, 0.0, 0.8)})
    """
    if not similarities:
        raise ValueError("similarities is empty: give at least one")
    matplotlib = require("matplotlib.figure", extra="plots", purpose="drawing the similarities")
    figure = matplotlib.Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(similarities)
    for i, (name, similarity) in enumerate(similarities.items()):
        offset = (i - (len(similarities) - 1) / 2) * width
        bars = axes.bar([band + offset for band in range(3)], similarity, width, label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_xticks(range(3), ["low band", "high band", "whole"])
    axes.set_ylabel("mean cosine of the pairs")
    axes.margins(y=0.15)
    axes.legend(fontsize=8)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=150)
