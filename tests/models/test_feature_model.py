import copy
import dataclasses
import gc
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import timm
import torch
import torchaudio
import torchvision
import transformers
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss, LayerwiseLoss
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 5,
    # As after training: 0.02 would leave all tokens alike.
    "initializer_range": 0.5,
}
BERT = transformers.BertConfig(vocab_size=30, **SIZES)
LLAMA = transformers.LlamaConfig(vocab_size=30, pad_token_id=0, **SIZES)
VIT = transformers.ViTConfig(image_size=16, patch_size=8, **SIZES)
WAV2VEC2 = transformers.Wav2Vec2Config(
    conv_dim=(8, 8),
    conv_stride=(5, 2),
    conv_kernel=(10, 3),
    num_feat_extract_layers=2,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    feat_extract_norm="layer",
    classifier_proj_size=6,
    **SIZES,
)
AST = transformers.ASTConfig(
    num_mel_bins=16, max_length=24, patch_size=8, frequency_stride=8, time_stride=8, **SIZES
)
TEXT = {
    "input_ids": torch.tensor([[3, 4, 5, 6, 7, 8], [9, 8, 7, 6, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}


def seeded(make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(*args, **kwargs).eval()


def cnn() -> nn.Sequential:
    """1: a map, 3: a vector."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 6)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Linear(6, 3))


X = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def pictures(side: int = 32) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def timm_swin() -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        num_classes=5,
        img_size=32,
        window_size=2,
        embed_dim=8,
        depths=(1, 1),
        num_heads=(1, 1),
    )


def torchaudio_wav2vec2() -> nn.Module:
    return torchaudio.models.wav2vec2_model(
        "group_norm",
        [(8, 10, 5), (8, 3, 2)],
        False,
        *(8, 0.0, 4, 2, 2, 2, 0.0, 16, 0.0, 0.0, False, 0.0, None),
    )


def timm_of(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=5, **options)


def torchvision_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5)


def torchvision_deeplab() -> nn.Module:
    return torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5
    )


VIT_TIMM = timm_of("vit_tiny_patch16_224", img_size=32, embed_dim=8, depth=2, num_heads=2)
DEIT = timm_of("deit_tiny_distilled_patch16_224", img_size=32, embed_dim=8, depth=2, num_heads=2)
SOUND = torch.randn(2, 200, generator=torch.Generator().manual_seed(0))
FBANK = torch.randn(2, 24, 16, generator=torch.Generator().manual_seed(0))

# Network, layers, input -> the shape of the features: the rows of the table in FeatureModel.
READY: list[tuple[str, Callable[[], nn.Module], Layers, Any, list[int]]] = [
    ("timm cnn", timm_of("resnet10t"), Layers(), pictures(), [2, 512]),
    ("timm cnn map", timm_of("resnet10t"), Layers("layer4"), pictures(64), [2, 512, 2, 2]),
    ("timm mobilenet", timm_of("mobilenetv2_050"), Layers(), pictures(), [2, 1280]),
    ("timm vit", VIT_TIMM, Layers(), pictures(), [2, 8]),
    ("timm vit tokens", VIT_TIMM, Layers("norm", prefix_tokens=1), pictures(), [2, 8, 1, 4]),
    (
        "timm vit grid",
        VIT_TIMM,
        Layers("norm", prefix_tokens=1, grid=(2, 2)),
        pictures(),
        [2, 8, 2, 2],
    ),
    ("timm deit", DEIT, Layers(), pictures(), [2, 8]),
    (
        "timm deit grid",
        DEIT,
        Layers("norm", prefix_tokens=2, grid=(2, 2)),
        pictures(),
        [2, 8, 2, 2],
    ),
    ("timm swin", timm_swin, Layers(), pictures(), [2, 16]),
    ("timm swin map", timm_swin, Layers("norm", channel_dim=-1), pictures(), [2, 16, 4, 4]),
    (
        "torchvision resnet",
        lambda: torchvision.models.resnet18(num_classes=5),
        Layers(),
        pictures(),
        [2, 512],
    ),
    (
        "torchvision resnet avgpool",
        lambda: torchvision.models.resnet18(num_classes=5),
        Layers("avgpool"),
        pictures(),
        [2, 512],
    ),
    (
        "torchvision resnet map",
        lambda: torchvision.models.resnet18(num_classes=5),
        Layers("layer4"),
        pictures(64),
        [2, 512, 2, 2],
    ),
    ("torchvision vit", torchvision_vit, Layers(), pictures(), [2, 8]),
    (
        "torchvision vit tokens",
        torchvision_vit,
        Layers("encoder", prefix_tokens=1, grid=(2, 2)),
        pictures(),
        [2, 8, 2, 2],
    ),
    (
        "torchvision deeplab",
        torchvision_deeplab,
        Layers("backbone"),
        pictures(),
        [2, 960, 2, 2],
    ),
    (
        "torchvision deeplab vector",
        torchvision_deeplab,
        Layers("backbone", pooling="mean"),
        pictures(),
        [2, 960],
    ),
    ("bert", lambda: transformers.BertForSequenceClassification(BERT), Layers(), TEXT, [2, 8]),
    (
        "bert tokens",
        lambda: transformers.BertForSequenceClassification(BERT),
        Layers("bert"),
        TEXT,
        [2, 8, 1, 6],
    ),
    (
        "llama",
        lambda: transformers.LlamaForSequenceClassification(LLAMA),
        Layers("model", pooling="last"),
        TEXT,
        [2, 8],
    ),
    (
        "llama causal",
        lambda: transformers.LlamaForCausalLM(LLAMA),
        Layers("model", pooling="last"),
        TEXT,
        [2, 8],
    ),
    (
        "llama causal tokens",
        lambda: transformers.LlamaForCausalLM(LLAMA),
        Layers("model"),
        TEXT,
        [2, 8, 1, 6],
    ),
    ("vit", lambda: transformers.ViTForImageClassification(VIT), Layers(), pictures(16), [2, 8]),
    (
        "vit tokens",
        lambda: transformers.ViTForImageClassification(VIT),
        Layers("vit", prefix_tokens=1, grid=(2, 2)),
        pictures(16),
        [2, 8, 2, 2],
    ),
    (
        "wav2vec2",
        lambda: transformers.Wav2Vec2ForSequenceClassification(WAV2VEC2),
        Layers(),
        SOUND,
        [2, 6],
    ),
    (
        "wav2vec2 tokens",
        lambda: transformers.Wav2Vec2ForSequenceClassification(WAV2VEC2),
        Layers("wav2vec2"),
        SOUND,
        [2, 8, 1, 19],
    ),
    ("ast", lambda: transformers.ASTForAudioClassification(AST), Layers(), FBANK, [2, 8]),
    (
        "ast tokens",
        lambda: transformers.ASTForAudioClassification(AST),
        Layers("audio_spectrogram_transformer", prefix_tokens=2, grid=(2, 3)),
        FBANK,
        [2, 8, 2, 3],
    ),
]


@pytest.mark.parametrize(
    ("make", "layers", "x", "shape"), [row[1:] for row in READY], ids=[row[0] for row in READY]
)
def test_the_ready_names_are_those_of_the_networks(
    make: Callable[[], nn.Module], layers: Layers, x: Any, shape: list[int]
) -> None:
    net = seeded(make)
    with torch.no_grad():
        own = net(**x) if isinstance(x, dict) else net(x)
        output = FeatureModel(net, layers)(x)
    assert list(output.features.shape) == shape
    assert output.features.std() > 0
    logits = own if isinstance(own, Tensor) else own["out" if "out" in own else "logits"]
    assert torch.equal(output.logits, logits.mT.unsqueeze(2) if logits.ndim == 3 else logits)


@pytest.mark.parametrize(
    "make",
    [
        timm_of("resnet10t"),
        VIT_TIMM,
        DEIT,
        timm_swin,
        lambda: torchvision.models.resnet18(num_classes=5),
        torchvision_vit,
        lambda: transformers.BertForSequenceClassification(BERT),
        lambda: transformers.ViTForImageClassification(VIT),
        lambda: transformers.Wav2Vec2ForSequenceClassification(WAV2VEC2),
        lambda: transformers.ASTForAudioClassification(AST),
    ],
    ids=[
        "cnn",
        "vit",
        "deit",
        "swin",
        "torchvision",
        "torchvision-vit",
        "bert",
        "hf-vit",
        "wav2vec2",
        "ast",
    ],
)
def test_without_a_name_features_are_what_the_classifier_makes_logits_of(
    make: Callable[[], nn.Module],
) -> None:
    net = seeded(make)
    x: Any = {"BertForSequenceClassification": TEXT, "ViTForImageClassification": pictures(16)}.get(
        type(net).__name__
    )
    if x is None:
        x = {"Wav2Vec2": SOUND, "ASTForAu": FBANK}.get(type(net).__name__[:8], pictures())
    with torch.no_grad():
        output = FeatureModel(net)(x)
        heads = {id(net.get_submodule(n)): n for n, _ in net.named_modules() if n != "head_dist"}
        classifier = [
            net.get_submodule(name)
            for name in heads.values()
            if isinstance(net.get_submodule(name), nn.Linear)
        ][-1]
        logits = classifier(output.features)
        if hasattr(net, "head_dist"):
            # Distilled: logits are the mean of two classifiers' on two tokens.
            normed = FeatureModel(net, Layers("norm"))(x).features
            logits = (logits + net.head_dist(normed[:, :, 0, 1])) / 2
    torch.testing.assert_close(output.logits, logits)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: transformers.BertModel(BERT), TEXT),
        (lambda: transformers.LlamaModel(LLAMA), TEXT),
        (lambda: transformers.ViTModel(VIT), pictures(16)),
        (lambda: transformers.ASTModel(AST), FBANK),
        (lambda: transformers.Wav2Vec2Model(WAV2VEC2), SOUND),
        (torchaudio_wav2vec2, SOUND),
    ],
    ids=["bert", "llama", "vit", "ast", "wav2vec2", "torchaudio"],
)
def test_encoders_get_a_classifier_here(make: Callable[[], nn.Module], x: Any) -> None:
    net = seeded(make)
    name = "encoder" if make is torchaudio_wav2vec2 else ""
    classifier = nn.Linear(8, 5)
    model = FeatureModel(net, Layers(name, pooling="mean"), classifier)
    with torch.no_grad():
        own = net(**x) if isinstance(x, dict) else net(x)
        hidden = own[0] if isinstance(own, tuple) else own.last_hidden_state
        mask = x["attention_mask"] if isinstance(x, dict) else torch.ones(hidden.shape[:2])
        output = model(x)
    # torchaudio's returns its encoder's output, having no classifier of its own.
    mean = (hidden * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(output.features, mean)
    assert torch.equal(output.logits, classifier(output.features))
    assert {n.partition(".")[0] for n, _ in model.named_parameters()} == {"model", "classifier"}


def test_a_waveforms_padding_is_told_by_a_mask_of_samples() -> None:
    net = seeded(transformers.Wav2Vec2ForSequenceClassification, WAV2VEC2)
    mask = torch.ones(2, 200, dtype=torch.int64)
    mask[1, 120:] = 0
    x = {"input_values": SOUND * mask, "attention_mask": mask}
    # Convolutions of kernel 10 and stride 5, then of 3 and 2: 39 and 19 of 200; 23 and 11 of 120.
    with torch.no_grad():
        hidden = net.get_submodule("wav2vec2")(**x).last_hidden_state
        mean = FeatureModel(net, Layers("wav2vec2", pooling="mean"))(x).features
        tokens = FeatureModel(net, Layers("wav2vec2"))(x).features
    assert hidden.shape == (2, 19, 8)
    torch.testing.assert_close(mean, torch.stack([hidden[0].mean(0), hidden[1, :11].mean(0)]))
    assert tokens[1, :, 0, 11:].eq(0).all()
    assert torch.equal(tokens[1, :, 0, :11], hidden[1, :11].T)


def test_several_arguments_come_as_a_tuple_and_named_ones_as_a_dict() -> None:
    net = nn.Bilinear(3, 4, 2)
    x = torch.randn(2, 3), torch.randn(2, 4)
    model = FeatureModel(net, Layers(":input"))
    for given in (x, {"input1": x[0], "input2": x[1]}):
        output = model(given)
        assert torch.equal(output.logits, net(*x))
        assert torch.equal(output.features, x[0])


def test_our_own_networks_can_be_read_too() -> None:
    net = ResNet(3, in_chans=1, layers=(1, 1, 1, 1), channels=(4, 4, 4, 8)).eval()
    x = torch.randn(2, 1, 32, 32)
    output = FeatureModel(net, Layers("net.layer4.0.bn2", maps=["net.layer[12]"]))(x)
    own = net(x)
    assert torch.equal(output.logits, own.logits)
    assert output.features.shape == (2, 8)  # a map of one place
    assert all(map(torch.equal, output.maps, own.maps[:2]))


@pytest.mark.parametrize(
    "network",
    [
        {"class_path": "torchvision.models.resnet18", "init_args": {"num_classes": 5}},
        {
            "class_path": "timm.create_model",
            "init_args": {"model_name": "resnet10t"},
            "dict_kwargs": {"num_classes": 5},
        },
    ],
    ids=["torchvision", "timm"],
)
def test_a_configuration_names_the_function_that_makes_the_network(network: Any) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=nn.Module)
    layers = {"features": "layer4", "maps": ["layer[34]"], "pooling": "mean"}
    arguments = {"model": network, "layers": layers}
    spec = {"class_path": "fdkd_lightning.FeatureModel", "init_args": arguments}
    model = parser.instantiate(parser.parse_object({"model": spec})).model
    output = model.eval()(pictures())
    assert output.features.shape == (2, 512)
    assert output.logits.shape == (2, 5)
    assert [stage.shape[1] for stage in output.maps] == [256, 512]


# What is done to networks.


def loss_of(output: Output) -> Tensor:
    return output.features.square().sum() + output.logits.sin().sum()


def test_copies_are_independent_and_both_read() -> None:
    model = FeatureModel(cnn(), Layers("1"))
    twin = copy.deepcopy(model)
    before = model(X)
    assert torch.equal(twin(X).features, before.features)
    with torch.no_grad():
        twin.model[0].weight.zero_()
        twin.model[0].bias.fill_(7)
    assert twin(X).features.eq(7).all()
    assert torch.equal(model(X).features, before.features)
    twin._reader.remove()
    with pytest.raises(RuntimeError, match="did not run"):
        twin(X)
    assert torch.equal(model(X).features, before.features)


@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_a_stored_network_is_read_as_before(tmp_path: Path, how: str) -> None:
    model = FeatureModel(cnn(), Layers("1", maps=["0"]), None)
    if how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        torch.save(model, tmp_path / "model.pt")
        twin = torch.load(tmp_path / "model.pt", weights_only=False)
    own, its = model(X), twin(X)
    for a, b in zip((*own[:2], *own.maps), (*its[:2], *its.maps), strict=True):
        assert torch.equal(a, b)


def test_its_weights_are_those_of_the_network() -> None:
    net = cnn()
    model = FeatureModel(net)
    assert {*model.state_dict()} == {f"model.{name}" for name in net.state_dict()}


@pytest.mark.parametrize("inner", [False, True], ids=["whole", "network"])
def test_a_compiled_network_is_read_without_a_graph_break(inner: bool) -> None:
    # Traced as for "eager", and its backward pass besides.
    backend = "aot_eager"
    torch.compiler.reset()
    plain, model = (FeatureModel(cnn(), Layers("1", maps=["0"])) for _ in range(2))
    if inner:
        model.model.compile(backend=backend, fullgraph=True)
        compiled: nn.Module = model
    else:
        compiled = torch.compile(model, backend=backend, fullgraph=True)  # type: ignore[assignment]  # mypy: a callable
    for x in (X, X + 1):
        own, its = plain(x), compiled(x)
        assert own.features.shape == (4, 4, 2, 2)
        torch.testing.assert_close(its.features, own.features)
        torch.testing.assert_close(its.logits, own.logits)
        torch.testing.assert_close(its.maps, own.maps)
        loss_of(own).backward()
        loss_of(its).backward()
    for a, b in zip(plain.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert all(tap.value is None for tap in model._reader._taps())


def test_a_network_that_was_compiled_and_run_before_says_so() -> None:
    torch.compiler.reset()
    net = cnn()
    net.compile(backend="eager")
    net(X)
    with pytest.raises(RuntimeError, match=r"'1' did not run.*compiled network must be given"):
        FeatureModel(net, Layers("1"))(X)
    torch.compiler.reset()
    assert FeatureModel(net, Layers("1"))(X).features.shape == (4, 4, 2, 2)


DDP = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fdkd_lightning.models import FeatureModel, Layers

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
net, x = torch.load(f"{folder}/net.pt", weights_only=False)
model = DistributedDataParallel(FeatureModel(net, Layers("1")))
for _ in range(2):
    model.zero_grad()
    output = model(x[rank::2])
    (output.features.square().sum() + output.logits.sin().sum()).backward()
torch.save([p.grad for p in model.parameters()], f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_get_the_gradients_of_one(
    in_processes: Callable[..., None], tmp_path: Path
) -> None:
    net = cnn()
    torch.save((net, X), tmp_path / "net.pt")
    in_processes(DDP, tmp_path)
    model = FeatureModel(net, Layers("1"))
    (loss_of(model(X)) / 2).backward()
    for rank in range(2):
        gradients = torch.load(tmp_path / f"{rank}.pt")
        for own, its in zip(model.parameters(), gradients, strict=True):
            torch.testing.assert_close(own.grad, its)


class Checkpointed(nn.Module):
    def __init__(self, net: nn.Sequential, reentrant: bool) -> None:
        super().__init__()
        self.net = net
        self.reentrant = reentrant
        self.calls = 0
        net[1].register_forward_hook(self._count)

    def _count(self, *args: Any) -> None:
        self.calls += 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.net, x, use_reentrant=self.reentrant)
        return out


@pytest.mark.parametrize("layer", ["1", "3:input"])
def test_what_is_run_again_in_backward_leaves_nothing_and_the_same_gradients(layer: str) -> None:
    plain = FeatureModel(cnn(), Layers(layer))
    again = FeatureModel(Checkpointed(cnn(), False), Layers(f"net.{layer}"))
    for model in (plain, again):
        loss_of(model(X)).backward()
    assert again.model.calls == 2
    for a, b in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert all(tap.value is None for tap in again._reader._taps())


def test_checkpoints_of_the_old_kind_keep_no_gradient_of_what_is_read_in_them() -> None:
    # As LayerReader says of use_reentrant=True, which hides its inside from autograd.
    net = Checkpointed(cnn(), True)
    x = X.clone().requires_grad_()
    assert not FeatureModel(net, Layers("net.1"))(x).features.requires_grad
    assert FeatureModel(net, Layers(""))(x).features.requires_grad


def test_an_error_in_the_network_leaves_it_as_it_was() -> None:
    model = FeatureModel(cnn(), Layers("1"))
    expected = model(X).features
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        model(torch.zeros(4, 1, 9, 9))
    assert all(tap.value is None and not tap.on for tap in model._reader._taps())
    assert torch.equal(model(X).features, expected)


def test_nothing_is_kept_after_the_forward_pass() -> None:
    model = FeatureModel(cnn(), Layers("1", maps=["0"], logits="5"))
    output = model(X)
    alive = [weakref.ref(t) for t in (output.features, output.logits, *output.maps)]
    del output
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_take_the_type_of_the_weights(dtype: torch.dtype) -> None:
    model = FeatureModel(cnn(), Layers("1")).to(dtype)
    output = model(X)
    assert output.features.dtype == output.logits.dtype == dtype
    single = FeatureModel(cnn(), Layers("1"))(X)
    torch.testing.assert_close(output.features.float(), single.features, atol=0.02, rtol=0.02)


def test_tokens_stay_whole_numbers_where_weights_are_half() -> None:
    net = seeded(transformers.BertModel, BERT).bfloat16()
    output = FeatureModel(net, Layers("", pooling="mean"), nn.Linear(8, 5))(TEXT)
    # The encoder is loaded in half precision, the new classifier trained in single.
    assert (output.features.dtype, output.logits.dtype) == (torch.bfloat16, torch.float32)


def test_a_frozen_network_without_gradients_is_read() -> None:
    model = FeatureModel(cnn(), Layers("1"))
    with torch.no_grad():
        assert not model(X).features.requires_grad
    with torch.inference_mode():
        assert model(X).features.is_inference()


# Weights that come from elsewhere.


def trained(tmp_path: Path, net: nn.Module) -> Path:
    """A checkpoint of UnimodalModule."""
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    rows = [{"visual": x, "label": i % 3, "index": i} for i, x in enumerate(X)]
    loader = torch.utils.data.DataLoader(rows, batch_size=2)  # type: ignore[arg-type, var-annotated]  # a list
    trainer.fit(UnimodalModule(net, "visual"), loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize("classifier", [False, True])
def test_a_trained_one_is_read_from_its_checkpoint(tmp_path: Path, classifier: bool) -> None:
    def make() -> FeatureModel:
        torch.manual_seed(1)
        layers = Layers("1", pooling="mean")
        return FeatureModel(cnn(), layers, nn.Linear(4, 3) if classifier else None)

    model = make()
    path = trained(tmp_path, model)
    teacher = PretrainedModel(make(), path)
    assert not torch.equal(teacher(X).logits, model(X).logits)
    load_pretrained(teacher)
    assert torch.equal(teacher(X).logits, model(X).logits)
    assert torch.equal(teacher(X).features, model(X).features)


def test_a_network_with_a_checkpoint_is_read(tmp_path: Path) -> None:
    model = FeatureModel(cnn(), Layers("1"))
    path = trained(tmp_path, model)
    fresh = FeatureModel(PretrainedModel(cnn(), path), Layers("model.1"))
    load_pretrained(fresh)
    assert torch.equal(fresh(X).logits, model(X).logits)
    assert torch.equal(fresh(X).features, model(X).features)
    with pytest.raises(ValueError, match=r"'1' is no layer of PretrainedModel.* 'model\.1'"):
        FeatureModel(PretrainedModel(cnn(), path), Layers("1"))


def test_a_network_of_transformers_with_a_checkpoint_takes_named_arguments() -> None:
    net = seeded(transformers.Wav2Vec2ForSequenceClassification, WAV2VEC2)
    mask = torch.ones(2, 200, dtype=torch.int64)
    mask[1, 120:] = 0
    x = {"input_values": SOUND, "attention_mask": mask}
    plain = FeatureModel(net, Layers("wav2vec2", pooling="mean"))
    inside = FeatureModel(
        PretrainedModel(net, "none.ckpt"), Layers("model.wav2vec2", pooling="mean")
    )
    with torch.no_grad():
        assert torch.equal(inside(x).features, plain(x).features)


# What a newcomer gets wrong.


def test_a_classifier_must_be_the_only_one_and_have_a_vector() -> None:
    with pytest.raises(ValueError, match="logits='5' too: leave one of them out"):
        FeatureModel(cnn(), Layers("1", logits="5"), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"they are \[4, 4, 2, 2\]: set pooling='mean'"):
        FeatureModel(cnn(), Layers("1"), nn.Linear(4, 3))(X)
    with pytest.raises(
        ValueError, match=r"takes 5 features, but there are 4: make it nn.Linear\(4"
    ):
        FeatureModel(cnn(), Layers("1", pooling="mean"), nn.Linear(5, 3))(X)


def test_a_name_alone_is_no_layers() -> None:
    with pytest.raises(TypeError, match=r"layers='layer4' must be a Layers, such as Layers\('avg"):
        FeatureModel(cnn(), "layer4")  # type: ignore[arg-type]  # what is tested


def test_an_encoder_without_a_classifier_says_how_to_give_one() -> None:
    model = FeatureModel(transformers.BertModel(BERT), Layers("", pooling="mean"))
    with pytest.raises(TypeError, match=r"holds no logits: give FeatureModel a classifier"):
        model(TEXT)


def test_logits_are_not_taken_for_features() -> None:
    model = FeatureModel(transformers.BertForSequenceClassification(BERT), Layers(""))
    with pytest.raises(TypeError, match=r"SequenceClassifierOutput of logits.* no hidden state"):
        model(TEXT)


def test_a_mask_of_samples_does_not_fit_other_layers() -> None:
    net = transformers.Wav2Vec2ForSequenceClassification(WAV2VEC2).eval()
    x = {"input_values": SOUND, "attention_mask": torch.ones(2, 200, dtype=torch.int64)}
    layers = Layers("wav2vec2.feature_extractor.conv_layers.0", channel_dim=1)
    with pytest.raises(ValueError, match=r"attention_mask is of 19 tokens, but a layer gives"):
        FeatureModel(net, layers)(x)


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(TypeError, match="model='resnet18' is of type str: give a torch"):
        FeatureModel("resnet18")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classifier=3 is of type int"):
        FeatureModel(nn.Linear(2, 2), classifier=3)  # type: ignore[arg-type]


IMAGE_TOKEN = 7
# A class token and a grid of 2 x 2; four visual tokens among the words.
LLAVA = {
    "projector": Layers("model.multi_modal_projector", tokens="all", grid=(2, 2)),
    "encoder": Layers("model.vision_tower", tokens="all", prefix_tokens=1, grid=(2, 2)),
    "decoder": Layers("model.language_model", tokens=IMAGE_TOKEN),
}


def llava(channels: int) -> nn.Module:
    sizes = {key: value for key, value in SIZES.items() if key != "num_labels"}
    vision = {"image_size": 16, "patch_size": 8, "num_channels": channels}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**sizes, **vision, projection_dim=8),
        text_config=transformers.LlamaConfig(vocab_size=30, pad_token_id=0, **sizes),
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-1,
    )
    torch.manual_seed(channels)
    return transformers.LlavaForConditionalGeneration(config).eval()


def question(channels: int, padding: int = 0) -> dict[str, Tensor]:
    ids = torch.tensor([[1, 7, 7, 7, 7, 3, 4], [1, 2, 7, 7, 7, 7, 0]])
    mask = torch.tensor([[1] * 7, [1] * 6 + [0]])
    generator = torch.Generator().manual_seed(channels)
    return {
        "input_ids": nn.functional.pad(ids, (0, padding)),
        "attention_mask": nn.functional.pad(mask, (0, padding)),
        "pixel_values": torch.randn(2, channels, 16, 16, generator=generator),
    }


def visual(model: nn.Module, layers: Layers, x: dict[str, Tensor]) -> Output:
    maps = [str(layers.features)]
    layers = dataclasses.replace(layers, maps=maps, logits=False)
    return FeatureModel(model, layers)(x)


@pytest.mark.parametrize("kind", LLAVA)
def test_visual_tokens_are_distilled_without_class_token_text_and_padding(kind: str) -> None:
    student, teacher = (visual(llava(c), LLAVA[kind], question(c)) for c in (3, 1))
    bands = FDKDLoss(FrequencyDecoupler())
    terms = LayerwiseLoss(bands, stages=[0], positions="resize")(student, teacher, torch.zeros(2))
    grids = []
    for c in (3, 1):
        net, x = llava(c), question(c)
        hidden = net.model(**x, output_hidden_states=True)
        if kind == "decoder":
            tokens = hidden.last_hidden_state[x["input_ids"] == IMAGE_TOKEN].view(2, 4, 8)
        else:
            tokens = net.model.vision_tower(x["pixel_values"]).last_hidden_state[:, 1:]
            tokens = net.model.multi_modal_projector(tokens) if kind == "projector" else tokens
        grids.append(Output(tokens.mT.view(2, 8, 2, 2), torch.zeros(2, 0)))
    if kind == "decoder":  # in their place among the words, which are zero
        for output, grid, c in zip((student, teacher), grids, (3, 1), strict=True):
            is_visual = question(c)["input_ids"] == IMAGE_TOKEN
            row = output.maps[0][:, :, 0].mT
            torch.testing.assert_close(row[is_visual], grid.features.flatten(2).mT.flatten(0, 1))
            assert not row[~is_visual].any()
    else:
        expected = bands(*grids, torch.zeros(2))
        torch.testing.assert_close(terms, {f"stage0/{k}": v for k, v in expected.items()})
    # Of pooled tokens, too; more padding changes nothing.
    pooled = dataclasses.replace(LLAVA[kind], pooling="mean")
    for c, grid in zip((3, 1), grids, strict=True):
        mean = visual(llava(c), pooled, question(c, padding=3)).features
        torch.testing.assert_close(mean, grid.features.mean((2, 3)))


def test_an_image_without_visual_tokens_is_refused() -> None:
    layers = Layers("model.language_model", logits=False, tokens=IMAGE_TOKEN)
    model = FeatureModel(llava(3), layers)
    x = question(3)
    with pytest.raises(ValueError, match="a sample has no token 7 in its input_ids"):
        model({"input_ids": torch.ones(2, 7, dtype=torch.int64)})
    with pytest.raises(ValueError, match=r"tokens=7 is an id of input_ids, which the input lacks"):
        model({"pixel_values": x["pixel_values"]})
    # The mask is of the text's tokens.
    layers = Layers("model.multi_modal_projector", logits=False)
    with pytest.raises(ValueError, match=r"attention_mask is of 7 tokens.* tokens='all'"):
        FeatureModel(llava(3), layers)(x)


def test_detectors_have_levels_and_no_logits() -> None:
    net = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )
    layers = Layers("backbone", logits=False, pooling="mean")
    output = FeatureModel(net.eval(), layers)([torch.rand(3, 32, 32), torch.rand(3, 40, 32)])
    assert (output.features.shape, output.logits.shape) == ((2, 672), (2, 0))
