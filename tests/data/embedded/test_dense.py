from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.data.embedded.dense import DenseDataModule, DenseDataset, Maps
from fdkd_lightning.data.preparation.recipe.label_map import LabelMapRecipe
from fdkd_lightning.data.sampling import EpochSampler

H, W = 17, 23


def dataset(boxes: bool = False, **views: Any) -> DenseDataset:
    """Maps whose values are their position, on odd sides; the second one is all void."""
    rows, columns = np.mgrid[:H, :W]
    place = (100 * rows + columns).astype(np.uint16)
    label = np.stack([(rows + columns) % 5, np.full((H, W), 255)]).astype(np.uint8)
    colour = np.stack([10 * rows, 10 * columns, 10 * (rows + columns) % 50], -1).astype(np.uint8)
    table = np.zeros((2, 3, 5), np.float32)
    table[:, :, 4] = -100
    table[0, :2] = [[0, 0, 4, 3, 1], [10, 8, 23, 17, 2]]
    return DenseDataset(
        {
            "depth": Maps(np.stack([place, place])[..., None], 0.5),
            "visual": Maps(np.stack([colour, colour]), 1 / 255, (0.2, 0.2, 0.2), bilinear=True),
        },
        label,
        np.array([7, 9]),
        LabelMapRecipe((0,), (H, W), **{"scales": (0.5, 1.0, 1.5), "crop": (9, 12)} | views),
        seed=3,
        boxes=table if boxes else None,
    )


def test_in_evaluation_all_is_there_as_it_is() -> None:
    whole = dataset(boxes=True)
    sample = whole[0]
    assert torch.equal(sample["depth"][0, 2], 0.5 * (200.0 + torch.arange(W)))
    assert torch.allclose(255 * sample["visual"][0, :, 5], 10.0 * torch.arange(H))
    assert torch.equal(sample["label"][0], torch.arange(W) % 5)
    assert sample["index"] == 7
    assert sample["boxes"].tolist()[:2] == [[0, 0, 4, 3, 1], [10, 8, 23, 17, 2]]
    assert (whole[1]["label"] == -100).all()
    assert {x.dtype for x in (sample["depth"], sample["visual"])} == {torch.float32}


def test_in_training_depth_labels_and_colours_are_of_the_same_positions() -> None:
    whole = dataset()
    inside = 0
    for epoch in range(20):
        sample = whole[(epoch, 0)]
        assert sample["label"].shape == (9, 12)
        place = (2 * sample["depth"][0]).long()
        seen = place > 0  # beyond the image there is no measurement
        rows, columns = place // 100, place % 100
        assert torch.equal(sample["label"][seen], ((rows + columns) % 5)[seen])
        # The first pixel of the image has the value 0, too.
        assert int((sample["label"][~seen] != -100).sum()) <= 4
        red, green = 25.5 * sample["visual"][0], 25.5 * sample["visual"][1]
        assert (red - rows)[seen].abs().max() <= 1.1
        assert (green - columns)[seen].abs().max() <= 1.1
        inside += int(seen.sum())
    assert inside > 20 * 40


def test_views_follow_seed_epoch_and_sample_and_nothing_else() -> None:
    whole = dataset(scales=(1.0,))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    views = [whole[(epoch, 0)]["depth"] for epoch in range(6)]
    torch.manual_seed(1)
    again = [dataset(scales=(1.0,))[(epoch, 0)]["depth"] for epoch in range(6)]
    assert all(map(torch.equal, views, again))
    assert len({view.numpy().tobytes() for view in views}) > 3
    assert not torch.equal(whole[(0, 1)]["depth"], whole[(0, 0)]["depth"])


def test_boxes_surround_what_they_surrounded() -> None:
    """A map that is 1 within the box: its view has its ones within the box's view."""
    whole = dataset(boxes=True)
    inside = np.zeros((2, H, W, 1), np.float32)
    inside[:, 8:17, 10:23] = 1
    whole.maps["depth"] = Maps(inside)
    found = 0
    for epoch in range(30):
        sample = whole[(epoch, 0)]
        mask = sample["depth"][0] > 0
        boxes = [box for box in sample["boxes"].tolist() if box[4] == 2]
        if boxes:
            [(left, top, right, bottom, _)] = boxes
            y, x = mask.nonzero(as_tuple=True)
            # Pixels whose centres are within: half a pixel at each side.
            edges = torch.tensor([left, top, right, bottom])
            reach = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert (edges - reach).abs().max() <= 0.5 + 1e-4
            found += 1
        else:
            assert mask.any(0).sum() <= 1 or mask.any(1).sum() <= 1
        unused = sample["boxes"][sample["boxes"][:, 4] < 0]
        assert (unused == torch.tensor([0, 0, 0, 0, -100.0])).all()
    assert found > 10


@pytest.mark.parametrize("position", [2, -1, (0, 2)])
def test_other_positions_are_refused(position: Any) -> None:
    with pytest.raises(IndexError, match="out of range: there are 2 samples"):
        dataset()[position]


class Two(DenseDataModule):
    class_names = ("a", "b", "c", "d", "e")
    available_modalities = ("visual", "depth")

    def read_split(self, split: str) -> DenseDataset:
        return dataset()


def test_loaders_draw_training_views_by_epoch_and_whole_maps_else() -> None:
    data = Two(batch_size=1, num_workers=0)
    data.setup("fit")
    loader = data.train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    assert next(iter(loader))["label"].shape == (1, 9, 12)
    assert next(iter(data.val_dataloader()))["label"].shape == (1, H, W)


def test_only_training_labels_are_removed_and_void_maps_cannot_be_kept() -> None:
    data = Two(labelled=1)
    assert (data.make_dataset("train").label[0] != 255).any()
    with pytest.raises(ValueError, match="labelled=2 must be from 1 to 1"):
        Two(labelled=2).make_dataset("train")
    assert (Two(labelled=2).make_dataset("val").label[0] != 255).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labelled": 0}, "labelled=0 must be at least 1"),
        ({"scales": [0.0]}, r"scales=0\.0 must be above 0"),
        ({"crop": [3]}, r"crop=\[3\] must be height and width"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Two(**arguments)


def test_a_flag_must_be_one() -> None:
    with pytest.raises(TypeError, match="mirror=1 must be True or False"):
        Two(mirror=1)  # type: ignore[arg-type]
