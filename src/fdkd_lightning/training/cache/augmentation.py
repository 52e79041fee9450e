"""Whether training would show a teacher another input than its cache was made from."""

from fdkd_lightning.training.cache.cache_store import EVALUATION
from fdkd_lightning.training.cache.claims import batch_loader
from fdkd_lightning.training.cache.describe import describe
from fdkd_lightning.training.cache.shard_plan import Section
from fdkd_lightning.training.cache.teacher_run import TeacherRun
from fdkd_lightning.training.probe import modality_input

SAMPLES, DRAWS = 4, 3
"""Samples compared, and repeats: some augmentations change one batch of several."""


def is_augmented(run: TeacherRun, training: Section) -> bool:
    """Return whether training views of the teacher's input differ from that of evaluation."""
    size = min(SAMPLES, len(training.dataset))

    def seen(view: int, seed: int) -> object:
        section = training._replace(view=view)
        [batch] = batch_loader(section, [[section.item(p) for p in range(size)]], workers=0)
        return describe(modality_input(run.input(batch, view, seed), run.modality))

    as_in_evaluation = seen(EVALUATION, 0)
    return any(seen(draw, draw) != as_in_evaluation for draw in range(1, DRAWS + 1))
