import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import pytest

import fdkd_lightning

PUBLIC = [
    "AFDLoss",
    "ATLoss",
    "AVDigits",
    "AtomicCheckpointIO",
    "AudioRecipe",
    "Bands",
    "Batch",
    "BinaryKDLoss",
    "C2KDLoss",
    "CIRKDLoss",
    "CIRKDv2Loss",
    "CRDLoss",
    "CachedTeacher",
    "ChannelReduction",
    "CompositeLoss",
    "ConfidenceWeights",
    "ConvNet1d",
    "CosineDecay",
    "DCTDecoupler",
    "DISTLoss",
    "DKDLoss",
    "Decoupler",
    "DenseC2KDLoss",
    "DenseEvaluation",
    "DistillationCallback",
    "DistillationLoss",
    "DistillationModule",
    "Emoji",
    "ExportedStudent",
    "FDKDLoss",
    "FeatureLoss",
    "FeatureModel",
    "FixedWeights",
    "FramesRecipe",
    "FreeKDLoss",
    "FrequencyDecoupler",
    "FrozenTeachers",
    "GlobalBatch",
    "GradientShares",
    "HaarDecoupler",
    "HintLoss",
    "IGNORE_INDEX",
    "ImageRecipe",
    "InfoNCELoss",
    "KDLoss",
    "LabelSmoothingLoss",
    "Layers",
    "LayerwiseLoss",
    "LearnableFrequencyDecoupler",
    "LearnedWeights",
    "LiveProgress",
    "LogMSELoss",
    "MFHLoss",
    "MeanOverChannels",
    "MultiLabelTask",
    "MultimodalDataModule",
    "MutualLoss",
    "NgramNet",
    "OneClassTask",
    "OnlineKNN",
    "OnlineLinearProbe",
    "Output",
    "PKDLoss",
    "PairedManifest",
    "PermutedDecoupler",
    "PolyLR",
    "PredictionTable",
    "PretrainedModel",
    "ProbedLinear",
    "Projector",
    "RKDLoss",
    "RandomOrthogonalDecoupler",
    "RecallAtK",
    "RegressionKDLoss",
    "RegressionTask",
    "ResNet",
    "SPLoss",
    "SamplePredictions",
    "SegmentationImages",
    "SharedAlignmentHead",
    "ShuffledPairs",
    "SignedLog1p",
    "SpatialFrequencyDecoupler",
    "Standardizer",
    "SumOverChannels",
    "TeacherCache",
    "TeacherWarning",
    "Task",
    "TeacherWeights",
    "TextRecipe",
    "TimmModel",
    "TrainedTeachers",
    "TransformersModel",
    "UnimodalModule",
    "UnitLength",
    "UnitVariance",
    "Unstandardized",
    "WarmUp",
    "Watch",
    "WeightSchedule",
    "WholeDecoupler",
    "WrapperLoss",
    "alignment_loss",
    "at_loss",
    "attention_distances",
    "build_cache",
    "cross_entropy",
    "binary_kd_loss",
    "dist_loss",
    "dkd_loss",
    "export_student",
    "feature_loss",
    "freekd_prompts",
    "frequency_split",
    "haar_dwt",
    "haar_idwt",
    "info_nce_loss",
    "kd_loss",
    "l2_normalize",
    "load_student",
    "log_mse_loss",
    "mfh_saliency",
    "non_target_kl",
    "pkd_loss",
    "rank_agreement",
    "recall_at_k",
    "regression_kd_loss",
    "require_teacher",
    "rkd_loss",
    "signed_log1p",
    "soft_alignment_loss",
    "sp_loss",
    "standardize",
]

WITHOUT_EXAMPLE = {"TeacherWarning"}

ROOMS = [
    importlib.import_module(f"fdkd_lightning{room}")
    for room in ("", ".analysis", ".data", ".decoupler", ".losses", ".models")
]
OBJECTS = {
    name: value
    for name in fdkd_lightning.__all__
    if inspect.isclass(value := getattr(fdkd_lightning, name)) or inspect.isfunction(value)
}
every_object = pytest.mark.parametrize("name", OBJECTS)
every_room = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)


def arguments(value: Any) -> list[str]:
    """Names of the arguments that it declares itself."""
    if inspect.isclass(value) and not {"__init__", "_fields"} & vars(value).keys():
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(value).parameters.values()
    return [p.name for p in parameters if p.kind not in variadic]


def section(value: Any, title: str) -> str | None:
    """The text of a section of the docstring; None where there is no such section."""
    found = re.search(
        rf"^{title}:\n((?:    .*\n|\n)+)", inspect.cleandoc(value.__doc__) + "\n", re.M
    )
    return found and found[1]


def test_no_public_name_vanishes_and_a_new_one_is_pinned_here() -> None:
    rooms = {
        name for name in fdkd_lightning.__all__ if inspect.ismodule(getattr(fdkd_lightning, name))
    }
    assert {*fdkd_lightning.__all__} - rooms == {*PUBLIC}


@every_room
def test_each_public_name_can_be_imported(room: ModuleType) -> None:
    assert [name for name in room.__all__ if not hasattr(room, name)] == []


@every_room
def test_a_name_means_the_same_in_its_room_and_in_the_package(room: ModuleType) -> None:
    for name in {*room.__all__} & {*fdkd_lightning.__all__}:
        assert getattr(room, name) is getattr(fdkd_lightning, name)


@every_object
def test_a_docstring_begins_with_a_sentence(name: str) -> None:
    summary = (OBJECTS[name].__doc__ or "").split("\n\n")[0]
    assert re.search(r"[.:`]$", summary.strip())


@every_object
def test_an_example_shows_its_use(name: str) -> None:
    example = section(OBJECTS[name], "Example")
    assert (example is None) == (name in WITHOUT_EXAMPLE)
    if example is not None:
        assert ">>>" in example
        assert name in example


@every_object
def test_args_are_the_arguments_in_their_order(name: str) -> None:
    documented = re.findall(r"^    (\w+): ", section(OBJECTS[name], "Args") or "", re.M)
    assert documented == arguments(OBJECTS[name])


def test_a_section_ends_where_the_next_begins() -> None:
    def example(x: int) -> None:
        """A sentence.

        Args:
            x: A number,
                and more: of it.

            y: Another.

        Shape:
            - x: []
        """

    assert re.findall(r"^    (\w+): ", section(example, "Args") or "", re.M) == ["x", "y"]
    assert section(example, "Shape") == "    - x: []\n"
    assert section(example, "Raises") is None
