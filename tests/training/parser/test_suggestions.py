import pytest
import torch.optim.lr_scheduler  # noqa: F401  # only what is imported is proposed

import fdkd_lightning.data
from fdkd_lightning import KDLoss
from fdkd_lightning.training.parser.suggestions import argument_names, near, near_class


@pytest.mark.parametrize(
    ("class_path", "remedy"),
    [
        ("fdkd_lightning.RsNet", "did you mean fdkd_lightning.ResNet?"),
        ("torch.optim.SDG", "did you mean torch.optim.SGD?"),
        ("torch.optm.SGD", "did you mean torch.optim.SGD"),
        ("fdkd_lightnin.KDLoss", "did you mean fdkd_lightning.KDLoss?"),
        ("CosineAnealingLR", "did you mean torch.optim.lr_scheduler.CosineAnnealingLR"),
        ("fdkd_lightning.Xyzzyq", "fdkd_lightning has none of that name"),
        ("qqqqqqqq", "give an import path"),
        ("", "give an import path"),
    ],
)
def test_a_class_path_is_corrected(class_path: str, remedy: str) -> None:
    assert fdkd_lightning.data
    assert remedy in near_class(class_path)


def test_the_arguments_of_a_class_are_its_signature() -> None:
    assert KDLoss
    assert "temperature" in argument_names("fdkd_lightning.KDLoss")
    assert argument_names("fdkd_lightning.Nothing") == []
    assert argument_names("not_imported.Class") == []


def test_case_counts_little_and_a_long_list_is_left_out() -> None:
    assert near("MOMENTUM", ["momentum", "lr"]) == "did you mean momentum?"
    assert near("x", [str(i) for i in range(30)]) == ""
