import torch
from lightning.pytorch import Trainer
from made_up_pairs import ROWS, Data, Net
from torch import Tensor, nn

from fdkd_lightning.analysis.loading.batches import collect, evaluation_batches, training_batches


class Jitter(nn.Module):
    """Doubles in training alone, as an augmentation."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if self.training else x


def test_batches_of_training_are_augmented_and_of_evaluation_are_not(trainer: Trainer) -> None:
    data = Data(batch_size=7, transforms={"audio": Jitter()})
    data.setup("fit")
    plain = torch.stack([data.datasets["train"][i]["audio"] for i in range(ROWS)])
    ordered = torch.cat([b["audio"] for b in evaluation_batches(data, "train", trainer, "")])
    torch.testing.assert_close(ordered, plain)
    batches = [*training_batches(data, 2, trainer, "")]
    assert [len(batch["label"]) for batch in batches] == [7, 7]
    for batch in batches:
        torch.testing.assert_close(batch["audio"], 2 * plain[batch["index"]])
    assert data.trainer is None
    assert not trainer.training


def test_outputs_are_those_of_the_networks(trainer: Trainer, data: Data) -> None:
    networks = {"student": ("visual", Net().eval()), "audio teacher": ("audio", Net(1).eval())}
    split = collect(data, "val", networks, trainer)
    x = torch.stack([data.datasets["val"][i]["audio"] for i in range(ROWS)])
    torch.testing.assert_close(split.outputs["audio teacher"].features, x.roll(1, 1))
    assert split.label.tolist() == [i % 3 for i in range(ROWS)]
