"""Teachers and students of other modality, width, grid, rank, type and library, two steps each."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchaudio
import torchvision
import transformers
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models import DeepLabV3Plus, FeatureModel, Layers, NgramNet, ResNet
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.types import Output

CLASSES = 3
SIZES = {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": CLASSES,
    "initializer_range": 0.5,
}

# What networks take, one sample.


def tokens(length: int) -> dict[str, Tensor]:
    mask = (torch.arange(length) < torch.randint(2, length + 1, ())).long()
    return {"input_ids": torch.randint(1, 30, (length,)) * mask, "attention_mask": mask}


def padded_wave() -> dict[str, Tensor]:
    mask = (torch.arange(300) < torch.randint(100, 301, ())).long()
    return {"input_values": torch.randn(300) * mask, "attention_mask": mask}


INPUTS: dict[str, Callable[[], Any]] = {
    "picture": lambda: torch.randn(3, 32, 32),
    "depth": lambda: torch.randn(1, 32, 32),
    "spectrogram": lambda: torch.randn(1, 32, 32),
    "fbank": lambda: torch.randn(24, 16),
    "wave": lambda: torch.randn(400),
    "padded wave": padded_wave,
    "sound": lambda: torch.randn(1, 100),
    "text": lambda: tokens(6),
    "caption": lambda: tokens(9),
    "bytes": lambda: torch.randint(1, 200, (10,)),
    "vector": lambda: torch.randn(10),
}


# Networks, each with a width of its own.


def timm_cnn(layers: Layers) -> nn.Module:
    return FeatureModel(timm.create_model("resnet10t", num_classes=CLASSES), layers)


def timm_vit(layers: Layers, name: str = "vit_tiny_patch16_224") -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    return FeatureModel(timm.create_model(name, num_classes=CLASSES, **sizes), layers)


def timm_swin(layers: Layers) -> nn.Module:
    sizes = {"img_size": 32, "window_size": 2, "embed_dim": 8, "depths": (1, 1)}
    net = timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=CLASSES, num_heads=(1, 1), **sizes
    )
    return FeatureModel(net, layers)


def torchvision_resnet(layers: Layers) -> nn.Module:
    block = torchvision.models.resnet.BasicBlock
    net = torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=CLASSES)
    return FeatureModel(net, layers)


def torchvision_vit() -> nn.Module:
    net = torchvision.models.VisionTransformer(32, 16, 1, 2, 10, 16, num_classes=CLASSES)
    return FeatureModel(net)


def torchvision_lraspp() -> nn.Module:
    net = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    return FeatureModel(net, Layers("classifier.cbr"))


def bert(layers: Layers) -> nn.Module:
    config = transformers.BertConfig(vocab_size=30, hidden_size=14, **SIZES)
    return FeatureModel(transformers.BertForSequenceClassification(config), layers)


def bert_encoder() -> nn.Module:
    config = transformers.BertConfig(vocab_size=30, hidden_size=18, **SIZES)
    net = transformers.BertModel(config, add_pooling_layer=False)
    return FeatureModel(net, Layers("", pooling="mean"), nn.Linear(18, CLASSES))


def llama(layers: Layers) -> nn.Module:
    config = transformers.LlamaConfig(vocab_size=30, hidden_size=20, pad_token_id=0, **SIZES)
    return FeatureModel(transformers.LlamaForSequenceClassification(config), layers)


def wav2vec2(layers: Layers) -> nn.Module:
    config = transformers.Wav2Vec2Config(
        hidden_size=22,
        conv_dim=(8, 8),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=6,
        apply_spec_augment=False,
        layerdrop=0.0,
        **SIZES,
    )
    return FeatureModel(transformers.Wav2Vec2ForSequenceClassification(config), layers)


def torchaudio_wav2vec2(pooling: bool) -> nn.Module:
    net = torchaudio.models.wav2vec2_model(
        "group_norm",
        [(8, 10, 5), (8, 3, 2)],
        False,
        *(24, 0.0, 4, 2, 1, 2, 0.0, 16, 0.0, 0.0, False, 0.0, CLASSES),
    )
    # Its own classifier is one of tokens.
    if pooling:
        return FeatureModel(net, Layers("encoder", pooling="mean"), nn.Linear(24, CLASSES))
    return Pooled(FeatureModel(net, Layers("encoder")))


def ast(layers: Layers) -> nn.Module:
    config = transformers.ASTConfig(
        hidden_size=26,
        num_mel_bins=16,
        max_length=24,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
        **SIZES,
    )
    return FeatureModel(transformers.ASTForAudioClassification(config), layers)


def convnext() -> nn.Module:
    config = transformers.ConvNextConfig(
        hidden_sizes=[4, 4, 4, 9], depths=[1, 1, 1, 1], num_labels=CLASSES, image_size=32
    )
    return FeatureModel(transformers.ConvNextForImageClassification(config))


def sequential() -> nn.Module:
    layers = [nn.Linear(10, 16), nn.ReLU(inplace=True), nn.Linear(16, 16), nn.ReLU(inplace=True)]
    return FeatureModel(nn.Sequential(*layers, nn.Linear(16, CLASSES)))


def conv1d(layers: Layers) -> nn.Module:
    convolutions = [nn.Conv1d(1, 8, 5, 3), nn.ReLU(), nn.Conv1d(8, 13, 5, 3), nn.ReLU()]
    average = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(13, CLASSES)]
    return FeatureModel(nn.Sequential(*convolutions, *average), layers)


def own_resnet(in_chans: int = 1) -> nn.Module:
    return ResNet(CLASSES, in_chans, layers=(1, 1, 1, 1), channels=(4, 4, 4, 28))


class Pooled(nn.Module):
    """A network whose logits of tokens are averaged to those of the sample."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Output:
        output: Output = self.net(x)
        return output._replace(logits=output.logits.mean((2, 3)))


class Side(NamedTuple):
    """A network and the name of what it takes."""

    takes: str
    make: Callable[[], nn.Module]


class Case(NamedTuple):
    """A teacher and a student, and the shape beyond N in which their features meet."""

    teacher: Side
    student: Side
    meet: tuple[int, ...]
    dtype: torch.dtype = torch.float32


VIT_GRID = Layers("norm", prefix_tokens=1, grid=(4, 4))
DEIT_GRID = Layers("norm", prefix_tokens=2, grid=(4, 4))
SWIN_MAP = Layers("norm", channel_dim=-1)
AST_GRID = Layers("audio_spectrogram_transformer", prefix_tokens=2, grid=(2, 3))
LAST = Layers("model", pooling="last")

CASES = {
    # Vectors of other widths.
    "timm cnn -> ast": Case(
        Side("picture", partial(timm_cnn, Layers())), Side("fbank", partial(ast, Layers())), (512,)
    ),
    "timm vit -> bert": Case(
        Side("picture", partial(timm_vit, Layers())), Side("text", partial(bert, Layers())), (12,)
    ),
    "llama -> ngrams": Case(
        Side("caption", partial(llama, LAST)), Side("bytes", partial(NgramNet, CLASSES)), (20,)
    ),
    "sequential -> timm vit": Case(
        Side("vector", sequential), Side("picture", partial(timm_vit, Layers())), (16,)
    ),
    "ngrams -> own resnet": Case(
        Side("bytes", partial(NgramNet, CLASSES, width=30)), Side("spectrogram", own_resnet), (30,)
    ),
    "ast -> torchvision vit": Case(
        Side("fbank", partial(ast, Layers())), Side("picture", torchvision_vit), (26,)
    ),
    "wav2vec2 -> llama": Case(
        Side("padded wave", partial(wav2vec2, Layers("wav2vec2", pooling="mean"))),
        Side("text", partial(llama, LAST)),
        (22,),
    ),
    "torchaudio -> sequential": Case(
        Side("wave", partial(torchaudio_wav2vec2, True)), Side("vector", sequential), (24,)
    ),
    # A vector and positions, which are averaged.
    "swin map -> bert encoder": Case(
        Side("picture", partial(timm_swin, SWIN_MAP)), Side("text", bert_encoder), (16,)
    ),
    "own resnet -> torchvision map": Case(
        Side("spectrogram", own_resnet),
        Side("picture", partial(torchvision_resnet, Layers("layer3"))),
        (28,),
    ),
    "convnext -> conv1d": Case(
        Side("picture", convnext),
        Side("sound", partial(conv1d, Layers("3", channel_dim=1))),
        (9,),
    ),
    # A grid and a sequence, both averaged.
    "swin map -> torchaudio tokens": Case(
        Side("picture", partial(timm_swin, SWIN_MAP)),
        Side("wave", partial(torchaudio_wav2vec2, False)),
        (16,),
    ),
    "wav2vec2 tokens -> torchvision map": Case(
        Side("padded wave", partial(wav2vec2, Layers("wav2vec2"))),
        Side("picture", partial(torchvision_resnet, Layers("layer3"))),
        (22,),
    ),
    # Positions of one kind, the student's brought to the teacher's.
    "vit grid -> timm map": Case(
        Side("picture", partial(timm_vit, VIT_GRID)),
        Side("picture", partial(timm_cnn, Layers("layer3"))),
        (12, 4, 4),
    ),
    "torchvision map -> deit grid": Case(
        Side("picture", partial(torchvision_resnet, Layers("layer3"))),
        Side("picture", partial(timm_vit, DEIT_GRID, "deit_tiny_distilled_patch16_224")),
        (256, 2, 2),
    ),
    "ast grid -> swin map": Case(
        Side("fbank", partial(ast, AST_GRID)),
        Side("picture", partial(timm_swin, SWIN_MAP)),
        (26, 2, 3),
    ),
    "bert tokens -> llama tokens": Case(
        Side("caption", partial(bert, Layers("bert"))),
        Side("text", partial(llama, Layers("model"))),
        (14, 1, 9),
    ),
    "torchaudio tokens -> wav2vec2 tokens": Case(
        Side("wave", partial(torchaudio_wav2vec2, False)),
        Side("padded wave", partial(wav2vec2, Layers("wav2vec2"))),
        (24, 1, 39),
    ),
    # A label for each pixel.
    "deeplab -> torchvision lraspp": Case(
        Side("depth", partial(DeepLabV3Plus, CLASSES, in_chans=1)),
        Side("picture", torchvision_lraspp),
        (256, 8, 8),
    ),
    # Teachers of other types.
    "bfloat16 vit -> sequential": Case(
        Side("picture", partial(timm_vit, Layers())),
        Side("vector", sequential),
        (12,),
        torch.bfloat16,
    ),
    "float16 bert -> ngrams": Case(
        Side("caption", bert_encoder),
        Side("bytes", partial(NgramNet, CLASSES)),
        (18,),
        torch.float16,
    ),
    "bfloat16 map -> timm map": Case(
        Side("picture", partial(torchvision_resnet, Layers("layer2"))),
        Side("picture", partial(timm_cnn, Layers("layer3"))),
        (128, 4, 4),
        torch.bfloat16,
    ),
    "float64 sequential -> own resnet": Case(
        Side("vector", sequential), Side("spectrogram", own_resnet), (16,), torch.float64
    ),
}


MIXED = (torch.bfloat16, torch.float64)


class Recorded(FDKDLoss):
    """The paper's loss, which notes what meets in it."""

    def __init__(self) -> None:
        super().__init__(FrequencyDecoupler(), SharedAlignmentHead())
        self.met: set[tuple[torch.Size, torch.Size]] = set()

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        self.met.add((student.features.shape[1:], teacher.features.shape[1:]))
        return super().forward(student, teacher, target)


def rows(case: Case, dense: bool) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    size = (32, 32) if dense else ()
    return [
        {side.takes: INPUTS[side.takes]() for side in case[:2]}
        | {"label": torch.randint(0, CLASSES, size), "index": i}
        for i in range(8)
    ]


def stored(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> list[bool]:
    return [not torch.equal(p, before[name]) for name, p in module.named_parameters()]


@pytest.mark.parametrize(
    ("case", "precision"),
    [
        # A teacher stays in its own (on CPUs torch's autocast to bfloat16 knows no float16).
        pytest.param(case, precision, id=f"{name}, {precision}")
        for name, case in CASES.items()
        for precision in ("32-true", *(["bf16-mixed"] if case.dtype in MIXED else []))
    ],
)
def test_a_teacher_teaches_a_student(case: Case, precision: Any) -> None:
    dense = isinstance(case.teacher.make, partial) and case.teacher.make.func is DeepLabV3Plus
    data = rows(case, dense)
    torch.manual_seed(1)
    teacher, student = case.teacher.make().to(case.dtype), case.student.make()
    criterion = Recorded()
    module = DistillationModule(
        student,
        {case.teacher.takes: teacher},
        criterion,
        case.student.takes,
        projector=Projector(positions="mean" if len(case.meet) == 1 else "resize"),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        teacher_check_batches=0,
    )
    before = stored(teacher), stored(student)
    first: dict[str, Tensor] = {}
    module.on_train_start = lambda: first.update(stored(module.distiller))  # type: ignore[method-assign]
    trainer = Trainer(
        max_steps=2,
        precision=precision,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, batch_size=4))  # type: ignore[arg-type]  # a list

    assert trainer.global_step == 2
    assert criterion.met == {(case.meet, case.meet)}
    now = stored(teacher)
    assert {p.dtype for p in teacher.parameters()} == {case.dtype}
    # Buffers too: batch norm's statistics move in a teacher that is left in train mode.
    assert all(torch.equal(now[name], value.to(now[name])) for name, value in before[0].items())
    assert all(changed(module.distiller, first))
    assert len(first) == 6  # the projector's map and two heads
    moved = changed(student, before[1])
    assert sum(moved) > len(moved) / 2
    assert all(p.isfinite().all() for p in module.parameters())

    # What is taught, without the task, reaches the student's early layers.
    batch = torch.utils.data.default_collate(data[:4])
    own = module(batch[case.student.takes])
    its = module.teachers(batch)[case.teacher.takes]
    module.zero_grad()
    terms = module.distiller([Pair(own, its, batch["label"])])
    assert set(terms) == {"low", "high", "align"}
    sum(terms.values()).backward()  # type: ignore[union-attr]  # tensors
    reached = [p.grad is not None and bool(p.grad.any()) for p in student.parameters()]
    assert sum(reached) > len(reached) / 2
    assert all(p.grad is None for p in teacher.parameters())
