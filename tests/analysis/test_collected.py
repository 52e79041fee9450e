import pytest
import torch

from fdkd_lightning.analysis.collected import Collector
from fdkd_lightning.types import Output


def output(*classes: int) -> Output:
    logits = torch.nn.functional.one_hot(torch.tensor(classes), 3).float()
    return Output(10 * logits, logits)


def test_positions_count_on_over_batches_of_samples_that_lack_a_modality() -> None:
    collector = Collector(["student", "audio teacher"])
    everyone = torch.tensor([True, True])
    collector.add("student", output(0, 1), everyone)
    collector.add("audio teacher", output(2), torch.tensor([False, True]))
    collector.end_batch(torch.tensor([0, 2]))
    collector.add("student", output(2, 2), everyone)
    collector.end_batch(torch.tensor([-100, 2]))
    collector.add("student", output(0), everyone[:1])
    collector.add("audio teacher", output(1), everyone[:1])
    collector.end_batch(torch.tensor([0]))
    split = collector.join([5, 5, 6, 6, 7])
    assert split.label.tolist() == [0, 2, -100, 2, 0]
    assert split.groups is not None
    assert split.groups.tolist() == [5, 5, 6, 6, 7]
    assert split.outputs["student"].position.tolist() == [0, 1, 2, 3, 4]
    assert split.outputs["audio teacher"].position.tolist() == [1, 4]
    assert split.labels_of("audio teacher").tolist() == [2, 0]
    assert split.outputs["audio teacher"].features.tolist() == [[0, 0, 10], [0, 10, 0]]
    assert split.accuracy("student") == 3 / 4
    assert split.accuracy("audio teacher") == 1 / 2


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (Output(torch.zeros(2, 4, 3, 3), torch.zeros(2, 3)), "features"),
        (Output(torch.zeros(2, 4), torch.zeros(2, 3, 8, 8)), "logits"),
    ],
)
def test_maps_are_refused_by_name(given: Output, named: str) -> None:
    with pytest.raises(ValueError, match=rf"the depth teacher's {named} .*does no segmentation"):
        Collector(["depth teacher"]).add("depth teacher", given, torch.ones(2, dtype=torch.bool))


def test_a_modality_that_nobody_has_and_wrong_groups_are_refused() -> None:
    collector = Collector(["student", "audio teacher"])
    collector.add("student", output(0), torch.tensor([True]))
    collector.end_batch(torch.tensor([0]))
    with pytest.raises(ValueError, match="no sample has the modality of the audio teacher"):
        collector.join(None)
    collector.add("audio teacher", output(0), torch.tensor([True]))
    with pytest.raises(ValueError, match="groups has 2 entries for 1 samples"):
        collector.join([1, 2])
