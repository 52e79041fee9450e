import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file
from small_networks import CONFIGS, TEXTS, example, tokens
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.transforms.tokenize import Tokenize
from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained
from fdkd_lightning.models.transformers_model import TransformersModel
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

POOLING = {"bert": "cls", "llama": "last", "wav2vec2": "mean", "ast": "cls", "vit": "cls"}
LENGTHS = {"bert": 6, "llama": 6, "wav2vec2": 39, "ast": 2 * 3 + 2, "vit": 4 + 1}
every_kind = pytest.mark.parametrize("kind", CONFIGS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small networks with weights."""
    folder = tmp_path_factory.mktemp("hub")
    for kind, config in CONFIGS.items():
        torch.manual_seed(1)
        transformers.AutoModel.from_config(config).save_pretrained(folder / kind)
    return folder


def network(hub: Path, kind: str, **arguments: Any) -> TransformersModel:
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_classes": 5, "pooling": POOLING[kind]} | arguments
    return TransformersModel(str(hub / kind), **options)


def loaded(hub: Path, kind: str, **arguments: Any) -> TransformersModel:
    model = network(hub, kind, **arguments).eval()
    model.load()
    return model


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@every_kind
def test_shapes_are_those_of_any_network(hub: Path, kind: str) -> None:
    output = loaded(hub, kind, layers=[0, 2, -1])(example(kind))
    assert output.features.shape == (2, 8)
    assert output.logits.shape == (2, 5)
    assert [tuple(stage.shape) for stage in output.maps] == [(2, 8, 1, LENGTHS[kind])] * 3


@every_kind
def test_features_are_pooled_from_what_transformers_itself_gives(hub: Path, kind: str) -> None:
    model, x = loaded(hub, kind, layers=[1]), example(kind)
    reference = transformers.AutoModel.from_pretrained(hub / kind).eval()
    inputs = x if kind in TEXTS else {reference.main_input_name: x}
    if kind == "ast":
        inputs = {"input_values": x[:, 0].transpose(1, 2)}  # [N, T, F] there
    with torch.no_grad():
        output = model(x)
        found = reference(**inputs, output_hidden_states=True)
    hidden = found.last_hidden_state
    expected = hidden[:, 0]
    if kind == "llama":
        expected = torch.stack([hidden[0, 5], hidden[1, 3]])
    elif kind == "wav2vec2":
        expected = hidden.mean(1)
    elif kind == "ast":
        expected = found.pooler_output
    torch.testing.assert_close(output.features, expected)
    torch.testing.assert_close(output.logits, model.fc(output.features))
    first = output.maps[0][0].squeeze(1).T
    torch.testing.assert_close(first, found.hidden_states[1][0])


@every_kind
@pytest.mark.parametrize("training", [True, False])
def test_all_weights_are_trained(hub: Path, kind: str, training: bool) -> None:
    model = loaded(hub, kind).train(training)
    model(example(kind)).logits.square().sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    # What a waveform is masked with, where training masks it.
    assert unused == (["net.masked_spec_embed"] if kind == "wav2vec2" and not training else [])


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_padding_changes_nothing(hub: Path, kind: str, pooling: str) -> None:
    if kind == "llama" and pooling == "cls":
        pooling = "mean"
    model = loaded(hub, kind, pooling=pooling, layers=[0, 1, 3])
    alone, filled = model(tokens(4, 6)), model(tokens(4, 6, total=11))
    short = {name: x[:1, :4] for name, x in tokens(4, 6).items()}
    torch.testing.assert_close(filled.features, alone.features)
    torch.testing.assert_close(filled.logits, alone.logits)
    single = model(short)
    torch.testing.assert_close(single.features, filled.features[:1])
    for stage, other in zip(filled.maps, single.maps, strict=True):
        torch.testing.assert_close(stage[:1, ..., :4], other)
        assert not stage[0, ..., 4:].any()
        assert not stage[1, ..., 6:].any()
        assert stage[1, ..., :6].all()


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_padding_before_a_text_is_not_pooled_either(hub: Path, pooling: str) -> None:
    model = loaded(hub, "bert", pooling=pooling)
    x = {"input_ids": torch.tensor([[0, 0, 7, 8]]), "attention_mask": torch.tensor([[0, 0, 1, 1]])}
    place = torch.tensor([[0, 0, 0, 1]])
    hidden = model.net(**x, position_ids=place).last_hidden_state
    mask = model._mask(x["attention_mask"], 4)
    expected = {"cls": hidden[:, 2], "mean": hidden[:, 2:].mean(1), "last": hidden[:, 3]}[pooling]
    torch.testing.assert_close(model._pool(hidden, mask), expected)


def test_padding_of_a_waveform_changes_nothing(hub: Path) -> None:
    model = loaded(hub, "wav2vec2", layers=[-1])
    clip = torch.randn(1, 300)
    filled = nn.functional.pad(clip, (0, 100), value=3.0)
    mask = (torch.arange(400) < 300).long().unsqueeze(0)
    with torch.no_grad():
        alone = model(clip)
        padded = model({"input_values": filled, "attention_mask": mask})
    frames = alone.maps[0].shape[3]
    torch.testing.assert_close(padded.features, alone.features)
    torch.testing.assert_close(padded.maps[0][..., :frames], alone.maps[0])
    assert not padded.maps[0][..., frames:].any()
    assert not torch.allclose(model(filled).features, alone.features)


def test_a_text_of_nothing_but_padding_gives_finite_features(hub: Path) -> None:
    for kind in TEXTS:
        for pooling in ("mean", "last"):
            output = loaded(hub, kind, pooling=pooling)(tokens(6, 0))
            assert torch.isfinite(output.features).all()


@every_kind
def test_weights_are_the_sources_in_float32(hub: Path, kind: str, tmp_path: Path) -> None:
    config = CONFIGS[kind]
    half = transformers.AutoModel.from_config(config).to(torch.bfloat16)
    half.save_pretrained(tmp_path / kind)
    stored = load_file(tmp_path / kind / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    model = loaded(tmp_path, kind)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    own = half.state_dict()
    for name, value in model.net.state_dict().items():
        torch.testing.assert_close(value, own[name].float(), rtol=0, atol=0)


def test_without_pretrained_weights_are_random_and_need_no_file(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    shutil.copy(hub / "bert/config.json", tmp_path / "bert")
    model = loaded(tmp_path, "bert", pretrained=False)
    again = loaded(tmp_path, "bert", pretrained=False)
    assert_same(weights(model), weights(again))
    assert model(example("bert")).logits.shape == (2, 5)
    name = "net.embeddings.word_embeddings.weight"
    assert not torch.equal(weights(model)[name], weights(loaded(hub, "bert"))[name])


def test_a_configuration_that_is_not_at_hand_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"the configuration of source='.*later' cannot .*HF_HOME"):
        TransformersModel(str(tmp_path / "later"), num_classes=5)


def test_only_load_needs_weights_that_are_not_there(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    shutil.copy(hub / "bert/config.json", tmp_path / "bert")
    model = network(tmp_path, "bert")
    assert all(part.training for part in model.modules())
    assert model(example("bert")).logits.shape == (2, 5)
    with pytest.raises(OSError, match=r"the weights of source='.*bert' cannot be read"):
        model.load()


@pytest.mark.parametrize("pretrained", [True, False])
def test_weights_that_are_read_consume_no_random_numbers(hub: Path, pretrained: bool) -> None:
    model = network(hub, "bert", pretrained=pretrained)
    drawn = torch.get_rng_state()
    model.load()
    assert torch.equal(torch.get_rng_state(), drawn)
    torch.manual_seed(0)
    classifier = nn.Linear(8, 5)
    assert torch.equal(model.fc.weight, classifier.weight) == pretrained
    assert torch.equal(torch.get_rng_state(), drawn) == pretrained


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_checkpoint_needs_the_configuration_alone(
    hub: Path, tmp_path: Path, pretrained: bool
) -> None:
    trained = loaded(hub, "bert")
    torch.save(trained.state_dict(), tmp_path / "own.pt")
    (tmp_path / "bert").mkdir()
    shutil.copy(hub / "bert/config.json", tmp_path / "bert")
    direct = network(tmp_path, "bert", pretrained=pretrained)
    direct.load_state_dict(trained.state_dict())
    through = network(tmp_path, "bert", pretrained=pretrained)
    load_pretrained(PretrainedModel(through, tmp_path / "own.pt"))
    for model in (direct, through):
        assert_same(weights(model), weights(trained))
        torch.testing.assert_close(model.eval()(example("bert")), trained(example("bert")))


def test_load_brings_the_sources_weights_back(hub: Path) -> None:
    model = loaded(hub, "bert")
    before = weights(model)
    parameters = list(model.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1)
    model.load()
    assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))
    after = weights(model)
    for name in before:
        assert torch.equal(after[name], before[name]) == name.startswith("net."), name


@pytest.mark.parametrize("before", [True, False])
def test_copies_do_what_the_original_does(hub: Path, before: bool) -> None:
    model = loaded(hub, "bert") if before else network(hub, "bert").eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        if not before:
            other.load()
        torch.testing.assert_close(other(example("bert")), loaded(hub, "bert")(example("bert")))


def test_rotary_positions_stay_exact_in_bfloat16(hub: Path) -> None:
    model = loaded(hub, "llama")
    exact = model.net.rotary_emb.inv_freq.clone()
    FrozenTeachers({"text": model}).to(torch.device("cpu"), torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model.net.rotary_emb.inv_freq, exact)
    assert not torch.equal(exact.to(torch.bfloat16).float(), exact)
    nn.Sequential(model).half().float()
    assert torch.equal(model.net.rotary_emb.inv_freq, exact)


def test_a_teacher_is_still_frozen_after_its_weights_are_read(hub: Path) -> None:
    teachers = FrozenTeachers({"text": network(hub, "bert")})
    teachers.load()
    assert {p.requires_grad for p in teachers["text"].parameters()} == {False}
    assert not any(part.training for part in teachers["text"].modules())


def test_code_of_a_repository_is_never_run(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # transformers would ask; nobody is asked.
    monkeypatch.setattr("builtins.input", lambda question: "y")
    shutil.copytree(hub / "bert", tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"},
    }
    (tmp_path / "bert/config.json").write_text(json.dumps(config))
    trace = tmp_path / "trace"
    (tmp_path / "bert/evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        network(tmp_path, "bert")
    assert not trace.exists()


def test_pickled_weights_are_not_read(hub: Path, tmp_path: Path) -> None:
    shutil.copytree(hub / "bert", tmp_path / "bert")
    stored = tmp_path / "bert/model.safetensors"
    torch.save(load_file(stored), tmp_path / "bert/pytorch_model.bin")
    stored.unlink()
    with pytest.raises(OSError, match=r"cannot be read .*model\.safetensors"):
        network(tmp_path, "bert").load()


def test_weights_that_lack_some_are_an_error_and_the_pooler_is_not_missed(
    hub: Path, tmp_path: Path
) -> None:
    shutil.copytree(hub / "bert", tmp_path / "bert")
    stored = tmp_path / "bert/model.safetensors"
    content = {k: v for k, v in load_file(stored).items() if not k.startswith("pooler.")}
    save_file(content, stored, {"format": "pt"})
    assert_same(weights(loaded(tmp_path, "bert").net), weights(loaded(hub, "bert").net))
    content = {k: v for k, v in content.items() if not k.startswith("encoder.layer.2.attention")}
    save_file(content, stored, {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 10 weights of a BertModel .*encoder\.layer\.2"):
        network(tmp_path, "bert").load()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("bert", {"layers": [4]}, r"layers=\[4\], but .* has 3 layers: choose from 0 to 3"),
        ("bert", {"layers": [-5]}, "has 3 layers"),
        (
            "llama",
            {"pooling": "cls"},
            "attends to no other: set pooling to 'mean' or 'last'",
        ),
        ("wav2vec2", {"pooling": "cls"}, "it has no class token: set pooling to 'mean'$"),
    ],
)
def test_what_the_network_does_not_have_is_named(
    hub: Path, kind: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(hub, kind, **arguments)


@every_kind
def test_what_contains_itself_needs_no_file(hub: Path, kind: str) -> None:
    x, model = example(kind), loaded(hub, kind)
    arguments = json.loads(json.dumps(model.self_contained()))
    again = TransformersModel(num_classes=5, pooling=POOLING[kind], **arguments).eval()
    again.load_state_dict(model.state_dict())
    for first, second in zip(model(x)[:2], again(x)[:2], strict=True):
        assert torch.equal(first, second)
    # Of itself it can tell no more than that.
    assert again.self_contained() == arguments


@pytest.mark.parametrize(
    ("source", "pretrained"),
    [({"model_type": "bert"}, True), ({"hidden_size": 8}, False), ({}, False)],
)
def test_a_configuration_as_source_has_no_weights_and_a_type(
    source: dict[str, Any], pretrained: bool
) -> None:
    with pytest.raises(ValueError, match="needs model_type, and pretrained: false"):
        TransformersModel(source, 5, pretrained)


def test_an_encoder_with_a_decoder_is_an_error(tmp_path: Path) -> None:
    transformers.T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a t5, not one stack of layers"):
        TransformersModel(str(tmp_path), num_classes=5)


def test_an_unknown_pooling_is_an_error() -> None:
    other: Any = "max"
    with pytest.raises(ValueError, match="pooling='max' is unknown: choose 'cls', 'mean' or"):
        TransformersModel("bert", num_classes=5, pooling=other)


def test_the_vocabulary_is_checked_on_the_first_batch_alone(hub: Path) -> None:
    model, x = loaded(hub, "bert"), tokens(6)
    x["input_ids"][0, 2] = 30
    with pytest.raises(ValueError, match=r"number is 30, .* has 30 tokens: give Tokenize"):
        model(x)
    model(tokens(6))
    with pytest.raises(IndexError):
        model(x)


class Pairs(MultimodalDataModule):
    """A text whose only word is the class, and images without information."""

    class_names = ("a", "b")
    available_modalities = ("text", "visual")

    def make_dataset(self, split: str) -> Any:
        return [
            {"text": "ab"[i % 2] + " x" * (i % 3), "visual": torch.randn(8), "label": i % 2}
            | {"index": i}
            for i in range(8)
        ]


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        return Output(features, self.fc(features))


class Seen(Callback):
    """Keeps what a step was given."""

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, i: int) -> None:
        self.batch = batch


def pairs(folder: Path) -> Pairs:
    numbers = {word: i for i, word in enumerate(["[PAD]", "a", "b", "x"])}
    words = Tokenizer(models.WordLevel(numbers, unk_token="[PAD]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]")
    fast.save_pretrained(folder / "words")
    return Pairs(batch_size=4, transforms={"text": Tokenize(str(folder / "words"))})


def trainer(folder: Path, precision: Any, *callbacks: Callback) -> Trainer:
    return Trainer(
        accelerator="cpu",
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("bert", "32-true"), ("llama", "bf16-mixed"), ("bert", "bf16-true"), ("llama", "bf16-true")],
)
def test_a_student_of_texts_is_trained_tested_and_predicts(
    hub: Path, tmp_path: Path, kind: str, precision: str
) -> None:
    data, seen = pairs(tmp_path), Seen()
    module = UnimodalModule(network(hub, kind, num_classes=2), "text")
    run = trainer(tmp_path, precision, seen)
    run.fit(module, datamodule=data)
    assert seen.batch["text"]["input_ids"].dtype == torch.int64
    assert all(part.training for part in module.model.modules())
    stored = load_file(hub / kind / "model.safetensors")
    name = "embed_tokens.weight" if kind == "llama" else "embeddings.word_embeddings.weight"
    assert not torch.equal(module.model.net.state_dict()[name].float(), stored[name])
    run.save_checkpoint(tmp_path / "student.ckpt")
    (accuracy,) = trainer(tmp_path, precision).validate(module, datamodule=data)
    assert 0 <= accuracy["val/accuracy"] <= 1
    first = trainer(tmp_path, precision).predict(module, datamodule=data)
    # Another process begins with the checkpoint alone.
    other = UnimodalModule(network(hub, kind, num_classes=2), "text")
    again = trainer(tmp_path, precision).predict(
        other, datamodule=pairs(tmp_path), ckpt_path=tmp_path / "student.ckpt"
    )
    assert first is not None
    assert again is not None
    for one, two in zip(first, again, strict=True):
        torch.testing.assert_close(one, two)
    (tested,) = trainer(tmp_path, precision).test(
        other, datamodule=pairs(tmp_path), ckpt_path=tmp_path / "student.ckpt"
    )
    assert tested["test/accuracy"] == accuracy["val/accuracy"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_texts_teach_and_learn(hub: Path, tmp_path: Path, role: str, precision: str) -> None:
    text = network(hub, "bert", num_classes=2)
    student, teachers = (
        (text, {"visual": Flat()}) if role == "student" else (Flat(), {"text": text})
    )
    module = DistillationModule(
        student,
        teachers,
        FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead()),
        student_modality="text" if role == "student" else "visual",
        projector=Projector(),
    )
    run = trainer(tmp_path, precision)
    run.fit(module, datamodule=pairs(tmp_path))
    assert any(name.startswith("model.net.") for name in module.state_dict()) == (role == "student")
    assert torch.isfinite(torch.tensor(float(run.callback_metrics["train/loss"])))
    stored = load_file(hub / "bert/model.safetensors")["embeddings.word_embeddings.weight"]
    own = text.net.state_dict()["embeddings.word_embeddings.weight"].float()
    if role == "teacher" and precision == "bf16-mixed":
        assert torch.equal(own, stored)
    if role == "student":
        assert not torch.equal(own, stored)


def test_waveforms_are_trained_in_bf16_true(hub: Path, tmp_path: Path) -> None:
    samples = [{"audio": torch.randn(400), "label": i % 2, "index": i} for i in range(4)]
    module = UnimodalModule(network(hub, "wav2vec2", num_classes=2), "audio")
    trainer(tmp_path, "bf16-true").fit(module, DataLoader(samples, batch_size=2))
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_wrong_numbers_are_named() -> None:
    source = CONFIGS["bert"].to_dict()
    with pytest.raises(ValueError, match="num_classes=-3 must be at least 1"):
        TransformersModel(source, -3, pretrained=False)
    with pytest.raises(TypeError, match=r"layers=1\.5 must be a whole number"):
        TransformersModel(source, 3, pretrained=False, layers=[1.5])  # type: ignore[list-item]
