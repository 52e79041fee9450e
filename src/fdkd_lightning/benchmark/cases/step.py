"""The whole training step: live and cached, by hand, with the module and with the callback."""

import tempfile
from functools import partial

from lightning.pytorch import Trainer

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.cases.networks import (
    RESNET_18,
    SMALL,
    STUDENT,
    TEACHER,
    Setting,
    SyntheticPairs,
)
from fdkd_lightning.benchmark.cases.step_loops import QUIET, HandLoop, OwnModule, fit_seconds
from fdkd_lightning.benchmark.measure import Limits, interleave
from fdkd_lightning.benchmark.row import Row, timed_rows
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.cache.build import build_cache
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.callback.callback import DistillationCallback

S, BOUND = "S: student alone", "S + T: student, teacher forward"
BY_HAND, MODULE, CALLBACK, CACHED = "by hand", "module", "callback", "module, cached teacher"
AGAINST = {BY_HAND: BOUND, MODULE: BY_HAND, CALLBACK: MODULE, CACHED: S}


def measure_steps(setting: Setting, limits: Limits) -> list[Row]:
    """Time a step in each of the ways, in turn.

    All read the same samples from memory; the student alone and the cached run read those of the
    student's modality.
    """
    data = SyntheticPairs(setting)
    student_data = SyntheticPairs(setting, modalities=(STUDENT,))
    for each in (data, student_data):
        each.setup("fit")
    loader, steps = data.train_dataloader(), setting.steps
    network, teacher = setting.network, setting.teacher()
    alone = HandLoop(student_data.train_dataloader(), network())
    bound = HandLoop(loader, network(), teacher)
    by_hand = HandLoop(loader, network(), teacher, setting.criterion())
    callback = DistillationCallback(
        *({TEACHER: teacher}, setting.criterion()),
        Layers(features="network.net.fc:input", logits="network.net.fc"),
        student_input=STUDENT,
        teacher_check_batches=0,
    )
    own = OwnModule(network())
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(**QUIET)
        settings = TeacherCache(folder)
        built = build_cache(teacher, TEACHER, data, settings, trainer, progress=False)
        cached = setting.module(CachedTeacher(built, network=teacher))
        timings = interleave(
            {
                S: partial(alone, steps),
                BOUND: partial(bound, steps),
                BY_HAND: partial(by_hand, steps),
                MODULE: partial(fit_seconds, setting.module(teacher), data, steps),
                CALLBACK: partial(fit_seconds, own, data, steps, [callback]),
                CACHED: partial(fit_seconds, cached, student_data, steps),
            },
            limits,
        )
    return timed_rows("step", setting.name, timings, AGAINST)


CASE = Case(
    "step",
    "A whole training step. S is the student's step on the task loss, T the teacher's forward "
    "pass: no live step can beat S + T, no cached one S.",
    tuple(partial(measure_steps, setting) for setting in (RESNET_18, SMALL)),
)
