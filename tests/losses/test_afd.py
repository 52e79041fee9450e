from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.losses.afd import AFDLoss, attention_distances
from fdkd_lightning.types import Output

OWN = (3, 8, 6), (4, 4, 6), (5, 3, 2)
ITS = (6, 4, 4), (5, 5, 3)


def output(shapes: tuple[tuple[int, ...], ...], n: int = 3, seed: int = 0) -> Output:
    generator = torch.Generator().manual_seed(seed)
    maps = (torch.randn(n, *shape, dtype=torch.float64, generator=generator) for shape in shapes)
    return Output(torch.zeros(n, 8), torch.zeros(n, 3), tuple(maps))


def value(stage: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """One sample's vector: mean square over channels, averaged over the cells of a grid, scaled."""
    activity = sum(channel**2 for channel in stage) / len(stage)
    cells = []
    for i, j in np.ndindex(*size):
        rows, columns = (
            slice(k * length // cuts, -(-(k + 1) * length // cuts))
            for k, length, cuts in zip((i, j), activity.shape, size, strict=True)
        )
        cells.append(activity[rows, columns].mean())
    return np.array(cells) / np.sqrt(sum(cell**2 for cell in cells))


def distances(student: Output, teacher: Output) -> np.ndarray:
    own, its = ([stage.detach().numpy() for stage in o.maps] for o in (student, teacher))
    found = np.zeros((len(own[0]), len(its), len(own)))
    for i, t, s in np.ndindex(*found.shape):
        size = its[t].shape[2:]
        difference = value(own[s][i], size) - value(its[t][i], size)
        found[i, t, s] = sum(difference**2) / len(difference)
    return found


def normed(layers: nn.Module, rows: list[np.ndarray]) -> list[np.ndarray]:
    """A linear layer, then BatchNorm over the rows."""
    linear, norm = layers[0], layers[1]  # type: ignore[index]
    weight, bias, scale, shift = (
        p.detach().numpy() for p in (linear.weight, linear.bias, norm.weight, norm.bias)
    )
    x = np.array([weight @ row + bias for row in rows])
    mean = sum(x) / len(x)
    variance = sum((row - mean) ** 2 for row in x) / len(x)
    return [(row - mean) / np.sqrt(variance + 1e-5) * scale + shift for row in x]


def by_hand(loss: AFDLoss, student: Output, teacher: Output) -> float:
    net: Any = loss.attention
    own, its = (
        [[sample.mean((1, 2)) for sample in stage.detach().numpy()] for stage in o.maps]
        for o in (student, teacher)
    )
    queries = [normed(layer, rows) for layer, rows in zip(net.queries, its, strict=True)]
    first = [
        [np.maximum(row, 0) for row in normed(layer, rows)]
        for layer, rows in zip(net.keys, own, strict=True)
    ]
    n, size = len(own[0]), loss.size
    # Sample by sample, its stages one after the other: the rows of one BatchNorm.
    rows = normed(net.shared, [first[s][i] for i in range(n) for s in range(len(own))])
    p_s, p_t = (p.detach().numpy() for p in (net.student_positions, net.teacher_positions))
    delta, total = distances(student, teacher), 0.0
    for t in range(len(its)):
        for i in range(n):
            score = np.array(
                [
                    rows[i * len(own) + s][t * size : (t + 1) * size] @ queries[t][i]
                    + p_t[t] @ p_s[s]
                    for s in range(len(own))
                ]
            ) / np.sqrt(size)
            weights = np.exp(score) / sum(np.exp(score))
            total += sum(weights * delta[i, t]) / n
    return loss.weight * total


@pytest.mark.parametrize("options", [{}, {"size": 5, "weight": 3.0}])
@pytest.mark.parametrize(("own", "its"), [(OWN, ITS), (ITS, OWN), (OWN[:1], ITS), (OWN, OWN)])
def test_all_pairs_of_stages_are_weighted_by_attention(
    own: tuple, its: tuple, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    student, teacher = output(own), output(its, seed=1)
    loss = AFDLoss(**options)
    loss.build(student, teacher)
    for parameter in loss.double().parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)
    term = loss(student, teacher, torch.zeros(3))["afd"]
    assert term.item() == pytest.approx(by_hand(loss, student, teacher), rel=1e-9)


def test_distances_are_those_of_unit_vectors_on_the_teacher_s_grid() -> None:
    student, teacher = output(OWN), output(ITS, seed=1)
    found = attention_distances(student.maps, teacher.maps)
    np.testing.assert_allclose(found.numpy(), distances(student, teacher), rtol=1e-10)


def test_values_worked_out_by_hand() -> None:
    # (1, 0) against (0, 1): 2 over two positions. (1, 1)/sqrt 2 against (0, 1): 2 - sqrt 2.
    # The 2x2 map has (1 + 1)/2 and (0 + 4)/2 in its columns: (1, 2)/sqrt 5.
    rows = [[1.0, 0.0]], [[-3.0, 3.0]], [[1.0, 0.0], [-1.0, 2.0]]
    student = [torch.tensor([[row]]) for row in rows]
    teacher = [torch.tensor([[[[0.0, 5.0]]]]), torch.tensor([[[[2.0]], [[4.0]]]])]
    found = attention_distances(student, teacher)[0]
    nearest = (2 - 4 / 5**0.5) / 2
    assert found[0].tolist() == pytest.approx([1, 1 - 0.5**0.5, nearest], abs=1e-6)
    # A teacher's single position is the whole vector: the same for all.
    assert found[1].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_distances_give_the_teacher_no_gradient(pair: Callable[..., tuple]) -> None:
    student, teacher, _ = pair()
    attention_distances(student.maps, teacher.maps).sum().backward()
    assert all(x.grad is None for x in teacher.maps)
    assert all(x.grad is not None for x in student.maps)


def silent(loss: AFDLoss) -> tuple[Tensor, Tensor]:
    """Without content only positions are left: those, set to 0."""
    net: Any = loss.attention
    for layers in net.queries:
        nn.init.zeros_(layers[1].weight)
    with torch.no_grad():
        return net.teacher_positions.zero_(), net.student_positions.zero_()


def test_attention_without_content_follows_positions() -> None:
    student, teacher = output(OWN), output(ITS, seed=1)
    delta = distances(student, teacher).mean(0)
    loss = AFDLoss(size=4)
    loss.build(student, teacher)
    loss.double()
    p_t, p_s = silent(loss)
    target = torch.zeros(3)
    even = 200 * delta.mean(1).sum()
    assert loss(student, teacher, target)["afd"].item() == pytest.approx(even, rel=1e-10)
    with torch.no_grad():
        p_s[2, 0], p_t[:, 0] = 100.0, 100.0
    last = 200 * delta[:, 2].sum()
    assert loss(student, teacher, target)["afd"].item() == pytest.approx(last, rel=1e-10)


def test_the_layers_are_the_official_ones() -> None:
    loss = AFDLoss()
    loss.build(output(OWN), output(ITS))
    shapes = {name: list(p.shape) for name, p in loss.attention.named_parameters()}  # type: ignore[union-attr]
    assert shapes["keys.0.0.weight"] == [128, 3]
    assert shapes["queries.1.0.bias"] == [128]
    assert shapes["shared.0.weight"] == [256, 128]
    assert shapes["student_positions"] == [3, 128]
    assert shapes["teacher_positions"] == [2, 128]
    # Linear and BatchNorm have two each: of 3 keys, 2 queries and what the keys share.
    assert len(shapes) == 4 * (3 + 2 + 1) + 2


def test_positions_start_with_the_spread_of_xavier() -> None:
    torch.manual_seed(0)
    loss = AFDLoss(size=4000)
    loss.build(output(OWN), output(ITS))
    net: Any = loss.attention
    for positions, stages in ((net.student_positions, 3), (net.teacher_positions, 2)):
        assert positions.std().item() == pytest.approx((2 / (stages + 4000)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("whose", ["student", "teacher", "both"])
def test_a_map_of_zeros_has_no_direction_and_no_gradient(whose: str) -> None:
    pair = [output(OWN), output(ITS, seed=1)]
    zeros = [tuple(x * 0 for x in o.maps) for o in pair]
    maps = [
        dead if whose in (role, "both") else o.maps
        for role, o, dead in zip(("student", "teacher"), pair, zeros, strict=True)
    ]
    own = [x.clone().requires_grad_() for x in maps[0]]
    found = attention_distances(own, maps[1])
    if whose == "both":
        assert found.tolist() == np.zeros((3, 2, 3)).tolist()
    else:
        # The other's unit vector is all there is.
        positions = torch.tensor([4 * 4, 5 * 3])
        assert (found * positions[:, None]).flatten().tolist() == pytest.approx([1] * 18)
    found.sum().backward()
    for x in own:
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert whose == "teacher" or not x.grad.count_nonzero()


def test_only_student_and_attention_learn(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    loss = AFDLoss()
    loss.build(student, teacher)
    loss(student, teacher, target)["afd"].backward()
    assert all(x.grad is None for x in teacher.maps)
    assert all(x.grad is not None for x in (*student.maps, *loss.parameters()))


def test_a_checkpoint_of_the_same_shapes_brings_the_weights_back(
    pair: Callable[..., tuple],
) -> None:
    student, teacher, target = pair()
    trained, loaded = AFDLoss(), AFDLoss()
    trained.build(student, teacher)
    trained(student, teacher, target)
    shapes = (o._replace(maps=tuple(x.to("meta") for x in o.maps)) for o in (student, teacher))
    loaded.build(*shapes)
    loaded.load_state_dict(trained.state_dict())
    terms = (loss.eval()(student, teacher, target)["afd"] for loss in (trained, loaded))
    assert torch.equal(*terms)


def test_a_second_build_leaves_the_weights(pair: Callable[..., tuple]) -> None:
    student, teacher, _ = pair()
    loss = AFDLoss()
    loss.build(student, teacher)
    before = list(loss.parameters())
    loss.build(student, teacher)
    assert before
    assert all(a is b for a, b in zip(before, loss.parameters(), strict=True))


def test_a_batch_of_one_is_an_error_in_training_alone() -> None:
    student, teacher = output(OWN, n=1), output(ITS, n=1)
    loss = AFDLoss()
    loss.build(student, teacher)
    loss.double()
    with pytest.raises(ValueError, match=r"a batch of 1, and needs at least 2: BatchNorm"):
        loss(student, teacher, torch.zeros(1))
    assert loss.eval()(student, teacher, torch.zeros(1))["afd"].isfinite()


def test_what_is_missing_is_an_error(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    with pytest.raises(RuntimeError, match="call build"):
        AFDLoss()(student, teacher, target)
    with pytest.raises(ValueError, match="no term without a teacher"):
        AFDLoss().build(student, None)
    with pytest.raises(ValueError, match=r"the 0 maps of the student.*return its stages' maps"):
        AFDLoss().build(student._replace(maps=()), teacher)
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        AFDLoss(size=0)


def test_maps_of_other_stages_than_at_build_are_named() -> None:
    loss = AFDLoss(size=4)
    loss.build(output(OWN), output(ITS))
    message = r"student's maps have \[3, 5, 4\] channels, but AFDLoss was built for \[3, 4, 5\]"
    with pytest.raises(ValueError, match=message):
        loss(output((OWN[0], OWN[2], OWN[1])), output(ITS), torch.zeros(3, dtype=torch.long))
