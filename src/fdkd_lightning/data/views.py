"""Names of modalities, and views: entries of the batch that show a modality a second time."""

from collections.abc import Collection, Mapping, Sequence

from fdkd_lightning.data.preparation.sample import LABEL_MAP, Sample

RESERVED = (
    *("duration", "id", "index", "label", LABEL_MAP),
    *("present", "reason", "split", "start", "status"),
)
"""Names with another meaning in tables, manifests or batches."""


def check_names(names: Collection[str]) -> None:
    """Check that names can be those of modalities."""
    for name in names:
        if name in RESERVED or not name.isidentifier():
            raise ValueError(
                f"recipes: {name!r} cannot be the name of a modality: use one word, none of "
                f"{', '.join(RESERVED)}"
            )
    if not names:
        raise ValueError("recipes={}: name at least one modality")


def select_modalities(
    modalities: Sequence[str] | None, available: Sequence[str]
) -> tuple[str, ...]:
    """Return the chosen ones of the modalities that are available; by default all.

    Example:
        >>> select_modalities(["audio", "audio"], ["audio", "visual"])
        ('audio',)
    """
    if modalities is None:
        return tuple(available)
    unknown = [modality for modality in modalities if modality not in available]
    if isinstance(modalities, str) or unknown or not modalities:
        raise ValueError(
            f"modalities={modalities!r} must be a list of one or more of {list(available)}"
        )
    return tuple(dict.fromkeys(modalities))


def check_views(views: Mapping[str, str], modalities: Sequence[str]) -> None:
    """Check that views have new names and show selected modalities."""
    for name, modality in views.items():
        if name in modalities or modality not in modalities:
            raise ValueError(
                f"views={dict(views)}: {name!r} must be a new name, and {modality!r} one of the "
                f"modalities {list(modalities)}"
            )


def add_views(sample: Sample, views: Mapping[str, str]) -> Sample:
    """Return the sample with the sources of its views.

    Example:
        >>> sample = Sample("a", "train", "", {"audio": "a.wav"})
        >>> add_views(sample, {"audio_teacher": "audio"}).sources
        {'audio': 'a.wav', 'audio_teacher': 'a.wav'}
    """
    sources, members = dict(sample.sources), dict(sample.members)
    for name, modality in views.items():
        for entries in (sources, members):
            if modality in entries:
                entries[name] = entries[modality]
    return sample._replace(sources=sources, members=members)
