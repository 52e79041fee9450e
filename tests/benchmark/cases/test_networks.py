import torch

from fdkd_lightning.benchmark.cases.networks import SMALL, STUDENT, TEACHER, SyntheticPairs


def test_networks_of_one_seed_are_equal_and_the_teacher_another() -> None:
    first, second, teacher = SMALL.network(), SMALL.network(), SMALL.teacher()
    weights = [next(net.parameters()) for net in (first, second, teacher)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not any(p.requires_grad for p in teacher.parameters())


def test_the_student_s_samples_are_the_same_without_the_teacher_s_modality() -> None:
    batches = []
    for modalities in ((TEACHER, STUDENT), (STUDENT,)):
        data = SyntheticPairs(SMALL, batches=1, modalities=modalities)
        data.setup("fit")
        batches.append(next(iter(data.train_dataloader())))
    assert {TEACHER} == batches[0].keys() - batches[1].keys()
    assert torch.equal(batches[0]["index"], batches[1]["index"])
    assert batches[0][STUDENT].shape == (32, 3, 32, 32)


def test_a_skipped_modality_is_not_loaded() -> None:
    data = SyntheticPairs(SMALL, batches=1)
    data.setup("fit")
    data.skip_modalities([TEACHER])
    assert TEACHER not in data.datasets["train"][0]
