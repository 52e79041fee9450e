from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.types import Output

ONE, TWO = (torch.full((2, 3), value) for value in (1.0, 2.0))


class Gives(nn.Module):
    """Hands its input to a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def read(model: nn.Module, layers: Layers, *args: Any, **kwargs: Any) -> Output:
    reader = LayerReader(model, layers)
    with reader.reading():
        returned = model(*args, **kwargs)
    return reader.take(returned)


def test_a_layer_is_read_before_or_after_it() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    x = torch.randn(2, 3)
    hidden = model[0](x)
    assert torch.equal(read(model, Layers("1:input"), x).features, hidden)
    assert torch.equal(read(model, Layers("0:output"), x).features, hidden)
    assert torch.equal(read(model, Layers("1"), x).features, hidden.tanh())
    assert torch.equal(read(model, Layers(":input"), x).features, x)
    assert torch.equal(read(model, Layers(""), x).features, hidden.tanh())


def test_the_network_itself_is_not_its_classifiers_input() -> None:
    # "" is a name, and not none at all.
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    x = torch.randn(2, 3)
    assert torch.equal(read(model, Layers(), x).features, model[0](x))
    assert torch.equal(read(model, Layers(""), x).features, model(x))


def test_maps_are_in_the_order_asked_for() -> None:
    model = nn.Sequential(*(nn.Conv2d(c, c + 1, 1) for c in (1, 2, 3)), nn.Flatten())
    maps = read(model, Layers("", maps=["2", "[01]"]), torch.randn(2, 1, 4, 4)).maps
    assert [tuple(stage.shape) for stage in maps] == [(2, 4, 4, 4), (2, 2, 4, 4), (2, 3, 4, 4)]


def test_logits_may_be_a_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Softmax(1))
    output = read(model, Layers("0:input", logits="0"), torch.randn(2, 3))
    assert output.logits.shape == (2, 4)
    assert not output.logits.sum(1).allclose(torch.ones(2))


def test_what_returns_a_loss_has_its_classifiers_logits() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    reader = LayerReader(model, Layers(), returns_logits=False)
    x = torch.randn(2, 3)
    with reader.reading():
        model(x).sum()
    output = reader.take()
    assert torch.equal(output.features, model[0](x))
    assert torch.equal(output.logits, model(x))
    with pytest.raises(ValueError, match=r"features='0' is no classifier's input.* logits='model"):
        LayerReader(model, Layers("0"), returns_logits=False)


def test_a_network_without_class_scores_has_no_logits() -> None:
    # What a detector returns would otherwise be read as logits.
    model = nn.Sequential(nn.Linear(3, 4), Gives(lambda x: [{"boxes": x}, {"boxes": x}]))
    output = read(model, Layers("0", logits=False), torch.randn(2, 3))
    assert (output.features.shape, output.logits.shape) == ((2, 4), (2, 0))
    reader = LayerReader(model, Layers("0", logits=False), returns_logits=False)
    with reader.reading():
        model(torch.randn(2, 3))
    assert reader.take().logits.shape == (2, 0)


def test_without_an_input_no_tokens_are_selected_by_their_ids() -> None:
    with pytest.raises(ValueError, match=r"tokens=7 selects by the input_ids .* tokens='all'"):
        LayerReader(nn.Linear(3, 4), Layers(tokens=7), returns_logits=False)


def test_named_arguments_are_read_too_the_hidden_states_first() -> None:
    layer = Gives(lambda attention_mask, hidden_states: hidden_states)
    layers = Layers(":input")
    assert torch.equal(read(layer, layers, attention_mask=ONE, hidden_states=TWO).features, TWO)
    # Tokens and masks are whole numbers.
    layer = Gives(lambda input_ids, embedded: embedded)
    assert torch.equal(read(layer, layers, input_ids=ONE.long(), embedded=TWO).features, TWO)
    layer = Gives(lambda x, mask: x)
    assert torch.equal(read(layer, layers, x=TWO, mask=ONE).features, TWO)


class Shift(nn.Module):
    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(0.5) if self.inplace else x + 0.5


def shifted(inplace: bool) -> nn.Sequential:
    """Layers that work in place after others that do, as in a residual network, and in one."""
    acts = nn.Sequential(Shift(inplace), nn.ReLU(inplace))
    return nn.Sequential(nn.Linear(3, 4), Shift(inplace), acts, nn.Linear(4, 2)).double()


@pytest.mark.parametrize("layer", ["0", "1:input", "1", "2:input", "2.0", "2.1:input", "2", "2.1"])
def test_layers_in_place_change_neither_what_was_read_nor_gradients(layer: str) -> None:
    torch.manual_seed(0)
    plain, inplace = shifted(False), shifted(True)
    inplace.load_state_dict(plain.state_dict())
    x = torch.randn(5, 3, dtype=torch.float64)
    first = plain[0](x)
    expected = {
        "0": first,
        "1:input": first,
        "1": first + 0.5,
        "2:input": first + 0.5,
        "2.0": first + 0.5 + 0.5,
        "2.1:input": first + 0.5 + 0.5,
        "2": (first + 0.5 + 0.5).relu(),
        "2.1": (first + 0.5 + 0.5).relu(),
    }[layer]
    output = read(inplace, Layers(layer), x)
    assert torch.equal(output.features, expected)

    (output.features.square().sum() + output.logits.sin().sum()).backward()
    (expected.square().sum() + plain(x).sin().sum()).backward()
    for own, its in zip(inplace.parameters(), plain.parameters(), strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad, its.grad)


def test_a_layer_that_runs_twice_is_read_the_last_time() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.shared(self.shared(x))
            return out

    model, x = Twice(), torch.randn(2, 3)
    assert torch.equal(read(model, Layers("shared"), x).features, model(x))
    assert torch.equal(read(model, Layers("shared:input"), x).features, model.shared(x))


def test_nothing_is_read_outside_of_reading_and_nothing_twice() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    reader = LayerReader(model, Layers("0", maps=[]))
    model(torch.randn(2, 3))
    with pytest.raises(RuntimeError, match="layer '0' did not run"):
        reader.take(ONE)
    with reader.reading():
        logits = model(torch.randn(2, 3))
    assert reader.has_gradient()
    reader.take(logits)
    assert not reader.has_gradient()
    with pytest.raises(RuntimeError, match="did not run"):
        reader.take(logits)


def test_what_a_batch_left_is_not_the_next_ones() -> None:
    runs = iter([True, False])
    model = nn.Sequential(nn.Linear(3, 3))
    model.forward = lambda x: model[0](x) if next(runs) else x  # type: ignore[method-assign]
    reader = LayerReader(model, Layers("0"))
    for _ in range(2):
        with reader.reading():
            model(ONE)
    with pytest.raises(RuntimeError, match="did not run"):
        reader.take(ONE)


def test_an_error_in_the_network_leaves_nothing() -> None:
    def fail(x: Tensor) -> Tensor:
        raise FloatingPointError

    model = nn.Sequential(nn.Linear(3, 3), Gives(fail))
    reader = LayerReader(model, Layers("0"))
    with pytest.raises(FloatingPointError), reader.reading():
        model(ONE)
    assert not reader.has_gradient()
    model[0](ONE)
    with pytest.raises(RuntimeError, match="did not run"):
        reader.take(ONE)


def test_an_error_of_one_layer_leaves_nothing_of_the_others() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    reader = LayerReader(model, Layers("0", maps=["1"]))
    with reader.reading():
        logits = model(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"^layer '1': a layer gives \[2, 2\], which is no map"):
        reader.take(logits)
    assert all(tap.value is None for tap in (reader.features, *reader.maps))


def test_removed_hooks_are_gone() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    LayerReader(model, Layers("0", logits="0:input", maps=["0"])).remove()
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_without_anything_returned_there_are_no_classes() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    reader = LayerReader(model, Layers("0"))
    with reader.reading():
        model(ONE)
    assert reader.take().logits.shape == (2, 0)


def test_what_holds_no_tensor_says_what_is_there() -> None:
    layers = Layers("")
    with pytest.raises(TypeError, match=r"the network itself returns NoneType, .*no hidden state"):
        read(Gives(lambda x: None), layers, ONE)
    with pytest.raises(
        TypeError, match=r"returns SequenceClassifierOutput of logits, which holds no hidden state"
    ):
        read(Gives(lambda x: SequenceClassifierOutput(logits=x)), layers, ONE)
    with pytest.raises(
        TypeError, match=r"layer '0' gets tuple of str, which holds no hidden state"
    ):
        read(nn.Sequential(Gives(lambda x: ONE)), Layers("0:input"), "text")


def test_the_numbers_of_tokens_are_no_features() -> None:
    model = nn.Sequential(nn.Embedding(9, 3))
    with pytest.raises(TypeError, match=r"layer '0' gets tuple of torch.int64, which holds no hi"):
        read(model, Layers("0:input"), torch.tensor([[1, 2]]))


def test_a_network_without_logits_says_how_to_get_some() -> None:
    net = Gives(lambda x: BaseModelOutput(last_hidden_state=x))
    with pytest.raises(
        TypeError, match=r"returned BaseModelOutput of last_hidden_state, .* classifier=nn.Linear\("
    ):
        read(net, Layers(""), ONE)


def test_layers_with_the_places_first_are_an_error() -> None:
    encoder = nn.TransformerEncoderLayer(4, 2, 8)  # [L, N, D], torch's default
    model = Gives(lambda x: encoder(x).mean(0))
    model.encoder = encoder
    with pytest.raises(ValueError, match=r"\[7, 4, 1, 2\] and logits \[2, 4\].* not \[L, N, D\]"):
        read(model, Layers("encoder"), torch.randn(7, 2, 4))


def test_a_layer_that_is_no_module_call_is_an_error() -> None:
    # Its weights are used, and the module is never called.
    model = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    with pytest.raises(RuntimeError, match=r"layer 'self_attn.out_proj' did not run: name one"):
        read(model, Layers("self_attn.out_proj"), torch.randn(2, 7, 4))


@pytest.mark.parametrize("layer", ["layers.0", "layers.1.linear1", "layers.1"])
def test_torchs_fast_path_passes_no_layer_by(layer: str) -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    x, padding = torch.randn(2, 5, 4), torch.arange(5) > torch.tensor([[4], [2]])
    slow = read(model.train(), Layers(layer), x, None, padding).features
    with torch.no_grad():
        fast = read(model.eval(), Layers(layer), x, None, padding).features
    torch.testing.assert_close(fast, slow)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tokens_packed_by_torch_say_how_to_unpack_them() -> None:
    block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.TransformerEncoder(block, 2).eval()
    padding = torch.arange(5) > torch.tensor([[4], [2]])
    with (
        torch.no_grad(),
        pytest.raises(TypeError, match=r"layer 'layers.0' returns a nested .*tensor=False"),
    ):
        read(model, Layers("layers.0"), torch.randn(2, 5, 4), None, padding)


def test_a_networks_of_transformers_returns_tuples_if_it_is_told_so() -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=9, intermediate_size=8, num_labels=3, **sizes)
    model = transformers.BertForSequenceClassification(config).eval()
    inputs = {"input_ids": torch.tensor([[1, 2, 3]]), "labels": torch.tensor([0])}
    by_name, by_place = (
        read(model, Layers("bert", pooling="mean"), **inputs, return_dict=flag)
        for flag in (True, False)
    )
    assert torch.equal(by_name.features, by_place.features)
    assert by_name.logits.shape == (1, 3)
    assert torch.equal(by_name.logits, by_place.logits)
