"""Depth teaches the visual tokens of a small vision-language model, which says what is in a room.

The model is transformers' LLaVA with random weights, in a LightningModule that stays as it is. Of
240 colour images 60 have a caption: the language model learns from these, the image encoder from
all pairs. Both images are of one camera, so each visual token is compared with the teacher's of the
same place; class token, text and padding take no part. The criterion trains no classifier, so the
module alone is the teacher-free control; the other control pairs each image with another's depth.
``--full`` measures; without it, this shows in seconds how it is done.
"""

import sys
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MultilabelF1Score
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import fdkd_lightning as fdkd
from fdkd_lightning.study.paired_difference import transfer_lines

OBJECTS = fdkd.data.Rooms.class_names[3:]  # picture, mirror, table, chair, cabinet
PAD, IMAGE, START, END, WORDS = range(5)  # the words of the objects follow
GRID = (6, 6)
SMALLEST = 20  # pixels of an object that is named


class Captioner(LightningModule):
    """A project's module, which knows nothing of distillation."""

    def __init__(self, modality: str, channels: int) -> None:
        super().__init__()
        self.modality = modality
        size: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        size["intermediate_size"] = 128
        image = {"image_size": 48, "patch_size": 8, "num_channels": channels}
        text: dict[str, Any] = {"vocab_size": WORDS + len(OBJECTS), "pad_token_id": PAD}
        text |= {"bos_token_id": START, "eos_token_id": END}
        config = LlavaConfig(
            vision_config=CLIPVisionConfig(**size, **image),
            text_config=LlamaConfig(**size, **text),
            image_token_index=IMAGE,
            vision_feature_layer=-1,
        )
        self.net = LlavaForConditionalGeneration(config)
        self.score = MultilabelF1Score(len(OBJECTS))

    def caption(self, label: Tensor) -> Tensor:
        """Words of the objects in view, then the end; -100 after it, and without a label map."""
        rows = []
        for classes in label.flatten(1):
            pixels = torch.bincount(classes[classes >= 0], minlength=3 + len(OBJECTS))[3:]
            words = [*(WORDS + (pixels >= SMALLEST).nonzero().flatten()), END]
            words = words if (classes >= 0).any() else []
            rows.append([*words, *[-100] * (len(OBJECTS) + 1 - len(words))])
        return torch.tensor(rows, device=label.device)

    def present(self, words: Tensor) -> Tensor:
        return (words[:, :, None] == torch.arange(len(OBJECTS), device=words.device) + WORDS).any(1)

    def prompt(self, samples: int) -> Tensor:
        return torch.tensor([[IMAGE] * (GRID[0] * GRID[1]) + [START]] * samples, device=self.device)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        words = self.caption(batch["label"])
        prompt = self.prompt(len(words))
        ids = torch.cat([prompt, words[:, :-1].clamp_min(PAD)], 1)
        logits = self.net(input_ids=ids, pixel_values=batch[self.modality]).logits
        logits = logits[:, prompt.shape[1] - 1 :]
        return cross_entropy(logits.mT, words, reduction="sum") / max(1, int((words >= 0).sum()))

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        words, prompt = self.caption(batch["label"]), self.prompt(len(batch["label"]))
        said = self.net.generate(
            input_ids=prompt,
            pixel_values=batch[self.modality],
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=words.shape[1],
            do_sample=False,
        )
        self.score.update(self.present(said[:, prompt.shape[1] :]).int(), self.present(words).int())
        self.log("F1", self.score)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
        return [optimizer], [fdkd.PolyLR(optimizer, self.trainer.max_epochs)]


def f1(module: Captioner, data: Any, epochs: int, *callbacks: Any) -> float:
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False}
    options |= {"enable_checkpointing": False, "enable_model_summary": False}
    options["limit_test_batches"] = 1.0 if epochs > 1 else 1
    trainer = Trainer(max_epochs=epochs, callbacks=[*callbacks], **options)
    trainer.fit(module, data)
    return trainer.test(module, data, verbose=False)[0]["F1"]


def main(full: bool) -> None:
    options: dict[str, Any] = {"size": (48, 48), "scales": (1.0,), "batch_size": 16}
    options |= {"scenes": (240, 30, 240) if full else (64, 8, 16), "eval_batch_size": 240}
    epochs = 60 if full else 1
    seed_everything(0, verbose=False)
    depth = Captioner("depth", 1)
    seen = f1(depth, fdkd.data.Rooms(**options), epochs)
    print(f"teacher, on depth: F1 {seen:.1%}")
    layer = "multi_modal_projector"
    tokens: dict[str, Any] = {"tokens": "all", "grid": GRID, "logits": False}
    of_teacher, student = (
        fdkd.Layers(name, maps=[name], **tokens) for name in (f"net.{layer}", f"net.model.{layer}")
    )
    teacher = fdkd.FeatureModel(VisualTokens(depth.net), of_teacher)
    scores: dict[str, list[float]] = {"alone": [], "other depth": [], "depth": []}
    for seed in range(1, 4 if full else 2):
        for arm, of_arm in scores.items():
            sums = fdkd.SumOverChannels()
            bands = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), channel_reduction=sums)
            loss: Any = fdkd.LayerwiseLoss(bands, stages=[0], positions="resize")
            loss = fdkd.ShuffledPairs(loss) if "other" in arm else loss
            kd = fdkd.DistillationCallback({"depth": teacher}, loss, student, target=None)
            seed_everything(seed, verbose=False)
            data = fdkd.data.Rooms(seed=seed, labelled=options["scenes"][0] // 4, **options)
            module = Captioner("visual", 3)
            of_arm.append(f1(module, data, epochs, *([] if arm == "alone" else [kd])))
        print(f"seed {seed}:", ", ".join(f"{arm} {x[-1]:.1%}" for arm, x in scores.items()))
    for line in transfer_lines(scores, "depth"):
        print(line)


class VisualTokens(torch.nn.Module):
    """The part of the teacher that sees: no text is needed to distil it."""

    def __init__(self, net: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.net = net.model

    def forward(self, image: Tensor) -> Any:
        return self.net.get_image_features(image)


if __name__ == "__main__":
    main("--full" in sys.argv)
