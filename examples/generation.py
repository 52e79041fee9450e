"""Spoken digits teach the encoder of a network that spells handwritten ones, letter by letter.

Encoder and decoder are transformers', in a LightningModule that stays as it is. Of 1,000 images 300
have a name: the decoder learns from these, the encoder from all pairs. The criterion trains no
classifier, so the module alone is the teacher-free control; the other control pairs each image with
another sound. ``--full`` measures; without it, this shows in seconds how it is done.
"""

import sys
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertLMHeadModel,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTModel,
)

import fdkd_lightning as fdkd
from fdkd_lightning.study.paired_difference import transfer_lines

START, END = 0, 11  # padding, and the byte of a line's end


class Speller(LightningModule):
    """A project's module, which knows nothing of distillation."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        size: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        size["intermediate_size"] = 128
        encoder = ViTModel(ViTConfig(**size, image_size=32, patch_size=8, num_channels=1))
        text: dict[str, Any] = {"vocab_size": 257, "max_position_embeddings": 16, "pad_token_id": 0}
        config = BertConfig(**size, **text, is_decoder=True, add_cross_attention=True)
        self.net = VisionEncoderDecoderModel(encoder=encoder, decoder=BertLMHeadModel(config))
        for config in (self.net.config, self.net.generation_config):
            config.decoder_start_token_id = config.pad_token_id = START

    def names(self, label: Tensor) -> Tensor:
        """Characters of the digits' names; -100 after the end, and where there is no label."""
        words = [f"{fdkd.AVDigits.class_names[i]}\n" if i >= 0 else "" for i in label.tolist()]
        tokens: Tensor = fdkd.data.ByteTokens()([*words, "seven\n"])[:-1].to(label.device)
        return tokens.masked_fill(tokens == 0, -100)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        names = self.names(batch["label"])
        logits = self.net(batch[self.modality], labels=names).logits
        return cross_entropy(logits.mT, names, reduction="sum") / max(1, int((names >= 0).sum()))

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        names = self.names(batch["label"]).clamp_min(0)
        spelt = self.net.generate(
            batch[self.modality], max_new_tokens=names.shape[1], eos_token_id=END, do_sample=False
        )
        spelt = torch.nn.functional.pad(spelt[:, 1:], (0, names.shape[1] - spelt.shape[1] + 1))
        self.log("spelt", (spelt == names).all(1).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3)
        return [optimizer], [fdkd.PolyLR(optimizer, self.trainer.max_epochs)]


def spelt(module: Speller, data: Any, epochs: int, *callbacks: Any) -> float:
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False}
    options |= {"enable_checkpointing": False, "enable_model_summary": False}
    options["limit_test_batches"] = 1.0 if epochs > 1 else 1
    trainer = Trainer(max_epochs=epochs, callbacks=[*callbacks], **options)
    trainer.fit(module, data)
    return trainer.test(module, data, verbose=False)[0]["spelt"]


def main(full: bool) -> None:
    options: dict[str, Any] = {"image_noise": 0.3, "audio_snr": None, "batch_size": 64}
    options |= {"train_size": 1000 if full else 200, "eval_batch_size": 500}
    epochs = 40 if full else 1
    seed_everything(0, verbose=False)
    audio = Speller("audio")
    heard = spelt(audio, fdkd.AVDigits(**options), epochs)
    print(f"teacher, on sounds: {heard:.1%} of the names are right")
    tokens: dict[str, Any] = {"pooling": "mean", "prefix_tokens": 1, "logits": False}
    teacher = fdkd.FeatureModel(audio.net.encoder, fdkd.Layers("", **tokens))
    student = fdkd.Layers("net.encoder", **tokens)
    scores: dict[str, list[float]] = {"alone": [], "other sounds": [], "sound": []}
    for seed in range(1, 4 if full else 2):
        for arm, of_arm in scores.items():
            sums = fdkd.SumOverChannels()
            loss: Any = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), channel_reduction=sums)
            loss = fdkd.ShuffledPairs(loss) if "other" in arm else loss
            kd = fdkd.DistillationCallback({"audio": teacher}, loss, student, target=None)
            seed_everything(seed, verbose=False)
            data = fdkd.AVDigits(seed=seed, labelled=options["train_size"] * 3 // 10, **options)
            of_arm.append(spelt(Speller("visual"), data, epochs, *([] if arm == "alone" else [kd])))
        print(f"seed {seed}:", ", ".join(f"{arm} {x[-1]:.1%}" for arm, x in scores.items()))
    for line in transfer_lines(scores, "sound"):
        print(line)


if __name__ == "__main__":
    main("--full" in sys.argv)
