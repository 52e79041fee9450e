"""Pictures of emoji learn to be found by their names: InfoNCE on low bands, recall@k both ways."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning import Trainer, seed_everything

import fdkd_lightning as fdkd


def adamw(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.05)


def trainer(epochs: int) -> Trainer:
    return Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False)


@torch.no_grad()
def show(title: str, pictures: Any, names: Any, data: fdkd.Emoji, split: str) -> None:
    """Recall among 400 pairs of a split."""
    low = fdkd.FrequencyDecoupler()
    batch = next(iter(torch.utils.data.DataLoader(data.make_dataset(split), batch_size=400)))
    seen = low(pictures.eval()(batch["visual"]).features).low
    read = low(names.eval()(fdkd.data.ByteTokens()(batch["text"])).features).low
    for way, query, gallery in (("picture -> name", seen, read), ("name -> picture", read, seen)):
        found = [f"@{k} {fdkd.recall_at_k(query, gallery, k):5.1%}" for k in (1, 5, 10)]
        print(f"{title:17} {split:5} {way}: {'  '.join(found)}")


def main() -> None:
    seed_everything(0)
    data = fdkd.Emoji(batch_size=100)
    names = fdkd.NgramNet(8, width=64)
    trainer(6).fit(fdkd.UnimodalModule(names, "text", optimizer=adamw), data)
    pictures = fdkd.ResNet(8, 3, (1, 1, 1, 1), channels=(16, 32, 64, 64))
    student = fdkd.DistillationModule(
        pictures,
        teachers={"text": names},
        criterion=fdkd.InfoNCELoss(decoupler=fdkd.FrequencyDecoupler()),
        student_modality="visual",
        task_weight=None,  # no label is needed to find one's pair
        optimizer=adamw,
        lr_scheduler=fdkd.PolyLR,
    )
    for title, parts in (("chance", 1), ("knowing the group, of 8, and no more", 8)):
        print(f"{title}: {'  '.join(f'@{k} {parts * k / 400:.1%}' for k in (1, 5, 10))}")
    for split in ("train", "test"):
        show("before", pictures, names, data, split)
    pictures.train()
    trainer(10).fit(student, data)
    for split in ("train", "test"):
        show("after", pictures, names, data, split)


if __name__ == "__main__":
    main()
