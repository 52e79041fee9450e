"""Bad tensors and arguments for every public function, loss, split and network part."""

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fdkd_lightning as fdkd
from fdkd_lightning import analysis, decoupler, losses
from fdkd_lightning.losses.alignment import alignment_loss, soft_alignment_loss
from fdkd_lightning.types import Bands, Output

N, D, K = 4, 8, 3


def features() -> Tensor:
    return torch.randn(N, D)


def logits() -> Tensor:
    return torch.randn(N, K)


def a_map() -> Tensor:
    return torch.randn(N, D, 4, 4)


def score_map() -> Tensor:
    return torch.randn(N, K, 4, 4)


def target() -> Tensor:
    return torch.tensor([0, 1, 2, 0])


Spec = tuple[Callable[..., Any], Callable[[], dict[str, Any]]]


def function(call: Callable[..., Any], **factories: Any) -> Spec:
    """A function and factories or values of its arguments."""
    return call, lambda: {k: v() if inspect.isfunction(v) else v for k, v in factories.items()}


def pairs(call: Callable[..., Any], kind: Callable[[], Tensor], **more: Any) -> Spec:
    return function(call, student=kind, teacher=kind, **more)


def on(cls: Callable[..., Any], kind: Callable[[], Tensor], **options: Any) -> Spec:
    """A module of one input."""

    def call(x: Tensor, **arguments: Any) -> Any:
        return cls(**arguments)(x)

    return function(call, x=kind, **options)


def loss(cls: Callable[..., Any], **options: Any) -> Spec:
    """A loss on outputs of a student and a teacher."""

    def call(
        student_features: Any,
        student_logits: Any,
        student_map: Any,
        teacher_features: Any,
        teacher_logits: Any,
        teacher_map: Any,
        target: Any,
        **arguments: Any,
    ) -> Any:
        criterion = cls(**arguments)
        student = Output(student_features, student_logits, (student_map,), torch.arange(N))
        teacher = Output(teacher_features, teacher_logits, (teacher_map,))
        built = Output(features(), logits(), (a_map(),), torch.arange(N))
        criterion.build(built, built)
        return criterion(student, teacher, target)

    return function(
        call,
        student_features=features,
        student_logits=logits,
        student_map=a_map,
        teacher_features=features,
        teacher_logits=logits,
        teacher_map=a_map,
        target=target,
        **options,
    )


def dense(cls: Callable[..., Any], **options: Any) -> Spec:
    """A loss on maps of a student and a teacher."""

    def call(
        student_features: Any,
        student_logits: Any,
        teacher_features: Any,
        teacher_logits: Any,
        target: Any,
        **arguments: Any,
    ) -> Any:
        criterion = cls(**arguments)
        built = Output(a_map(), score_map())
        criterion.build(built, built)
        student = Output(student_features, student_logits)
        return criterion(student, Output(teacher_features, teacher_logits), target)

    return function(
        call,
        student_features=a_map,
        student_logits=score_map,
        teacher_features=a_map,
        teacher_logits=score_map,
        target=lambda: torch.arange(N * 16).view(N, 4, 4) % K,
        **options,
    )


def fdkd_loss(threshold: Any, **options: Any) -> Any:
    split = fdkd.FrequencyDecoupler(threshold)
    return fdkd.FDKDLoss(split, fdkd.SharedAlignmentHead(), **options)


def wrapped(cls: Any, **fixed: Any) -> Any:
    return lambda **options: cls(fdkd.FeatureLoss(), **fixed, **options).eval()


def composite(weight: Any) -> Any:
    return fdkd.CompositeLoss({"feature": fdkd.FeatureLoss()}, {"feature": weight})


def poly(**options: Any) -> Any:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    return fdkd.PolyLR(optimizer, **options).get_last_lr()


def recall(query: Tensor, gallery: Tensor, k: Any) -> Any:
    metric = fdkd.RecallAtK(k)
    metric.update(query, gallery)
    return metric.compute()


def project(student: Tensor, teacher: Tensor, **options: Any) -> Any:
    projector = fdkd.Projector(**options)
    projector.build(student, teacher)
    return projector(student, teacher)


def heads(low: Tensor, high: Tensor, **options: Any) -> Any:
    return fdkd.SharedAlignmentHead(**options)(Bands(low, high))


def soft(prediction: Tensor, target: Tensor, temperature: float) -> Any:
    bands = Bands(logits(), logits())
    return soft_alignment_loss(bands, bands, prediction, target, None, temperature)


def align(low: Tensor, high: Tensor, target: Tensor) -> Any:
    return alignment_loss(Bands(low, high), Bands(low, high), target)


def labels() -> Tensor:
    return (torch.randn(N, K) > 0).float()


def task(cls: Any, argument: str) -> Any:
    def call(outputs: Any, target: Any, weight: Any) -> Any:
        return cls(**{argument: [weight, 1.0, 1.0]})(outputs, target)

    return call


split = {"threshold": 0.5, "dim": 1, "keep_dc": False}
bands = {"low": features, "high": features}
cirkd = {
    "lambda_kd": 1.0,
    "lambda_pixel_pairs": 1.0,
    "lambda_pixel_memory": 0.1,
    "lambda_region_memory": 0.1,
    "kd_temperature": 1.0,
    "temperature": 0.1,
    "pixel_memory_size": 8,
    "region_memory_size": 4,
    "pixel_samples": 12,
    "region_samples": 6,
    "pixels_per_class": 4,
    "pixel_positions": "class",
    "void": "exclude",
    "pixel_pooling": 1,
}


def rows() -> Tensor:
    return torch.randn(24, D)


def classes() -> Tensor:
    return torch.arange(24) % K


def fold() -> Tensor:
    return torch.arange(24) % 5


SPECS: dict[str, Spec] = {
    "AFDLoss": loss(fdkd.AFDLoss, size=4, weight=1.0),
    "ATLoss": loss(fdkd.ATLoss, p=2.0, distance="squared", stages=(0,), weight=1.0),
    "BinaryKDLoss": loss(fdkd.BinaryKDLoss, temperature=1.0, weight=1.0),
    "C2KDLoss": loss(
        fdkd.C2KDLoss, stage=0, threshold=0.0, non_target="zero", train_teacher=False, weight=1.0
    ),
    "CIRKDLoss": dense(fdkd.CIRKDLoss, **cirkd),
    "CIRKDv2Loss": dense(
        fdkd.CIRKDv2Loss,
        **cirkd,
        lambda_channel_pairs=1.0,
        lambda_channel_memory=0.1,
        lambda_channel_mse=1.0,
        lambda_fitnet=1.0,
        channel_memory_size=8,
        channel_samples=5,
        non_local=True,
    ),
    "CRDLoss": loss(
        fdkd.CRDLoss,
        negatives=4,
        memory_size=8,
        dim=4,
        temperature=0.07,
        momentum=0.5,
        weight=0.8,
    ),
    "CompositeLoss": loss(composite, weight=1.0),
    "ConvNet1d": on(
        lambda channels, kernel_sizes, **options: fdkd.ConvNet1d(
            channels=channels, kernel_sizes=kernel_sizes, **options
        ),
        lambda: torch.randn(2, 3, 40),
        num_classes=K,
        in_chans=3,
        channels=(4, 8),
        kernel_sizes=(5, 3),
    ),
    "CosineDecay": function(
        lambda epochs, final: losses.CosineDecay(epochs, final)(1), epochs=9, final=0.5
    ),
    "DCTDecoupler": on(fdkd.DCTDecoupler, features, **split),
    "DISTLoss": loss(fdkd.DISTLoss, beta=1.0, gamma=1.0, temperature=1.0, weight=2.0),
    "DKDLoss": loss(fdkd.DKDLoss, alpha=1.0, beta=8.0, temperature=4.0, warmup=2, weight=1.0),
    "DenseC2KDLoss": dense(
        fdkd.DenseC2KDLoss,
        threshold=0.0,
        non_target="zero",
        selection="pixel",
        train_teacher=False,
        void="exclude",
        weight=1.0,
    ),
    "FDKDLoss": loss(
        fdkd_loss,
        threshold=0.5,
        lambda_low=1.0,
        lambda_high=1.0,
        lambda_soft=1.0,
        soft_temperature=1.0,
        void="keep",
    ),
    "FeatureLoss": loss(fdkd.FeatureLoss, weight=1.0),
    "FixedWeights": function(
        lambda a, b: fdkd.FixedWeights({"a": a, "b": b})({"a": None, "b": None}), a=1.0, b=2.0
    ),
    "FreeKDLoss": loss(fdkd.FreeKDLoss, stage=0, levels=2, weight=1.0),
    "FrequencyDecoupler": on(fdkd.FrequencyDecoupler, features, **split),
    "GlobalBatch": loss(wrapped(fdkd.GlobalBatch)),
    "HaarDecoupler": on(fdkd.HaarDecoupler, features, levels=1, dim=1, keep_dc=False),
    "HintLoss": loss(fdkd.HintLoss, stage=0, weight=1.0),
    "InfoNCELoss": loss(fdkd.InfoNCELoss, temperature=0.07, weight=1.0),
    "KDLoss": loss(fdkd.KDLoss, temperature=4.0, weight=1.0),
    "LabelSmoothingLoss": loss(fdkd.LabelSmoothingLoss, smoothing=0.1),
    "LayerwiseLoss": loss(
        wrapped(fdkd.LayerwiseLoss), stages=(0,), weights=(1.0,), positions="mean"
    ),
    "LearnableFrequencyDecoupler": on(
        fdkd.LearnableFrequencyDecoupler,
        features,
        **split,
        temperature=0.05,
        margin=0.05,
        strength=0.1,
    ),
    "LogMSELoss": pairs(lambda student, teacher: fdkd.LogMSELoss()(student, teacher), features),
    "MFHLoss": loss(
        fdkd.MFHLoss, drop=0.75, joint_epochs=0, repeats=2, temperature=1.0, weight=1.0
    ),
    "MeanOverChannels": function(lambda size: fdkd.MeanOverChannels()(8), size=8),
    "MultiLabelTask": function(
        task(fdkd.MultiLabelTask, "pos_weight"), outputs=logits, target=labels, weight=1.0
    ),
    "MutualLoss": loss(wrapped(fdkd.MutualLoss), task_weight=1.0),
    "OneClassTask": function(
        task(fdkd.OneClassTask, "weight"), outputs=logits, target=target, weight=1.0
    ),
    "PKDLoss": loss(fdkd.PKDLoss, weight=6.0, resize="student"),
    "PermutedDecoupler": on(
        lambda seed: fdkd.PermutedDecoupler(fdkd.FrequencyDecoupler(), seed), features, seed=0
    ),
    "PolyLR": function(poly, max_epochs=10, power=0.9, min_lr=1e-4),
    "ProbedLinear": on(fdkd.ProbedLinear, features, in_features=D, out_features=2),
    "Projector": pairs(project, features, out_features=6, positions="mean"),
    "PublishedPermutations": function(lambda size: losses.PublishedPermutations()(size), size=3),
    "PublishedNegatives": function(
        lambda index, count: losses.PublishedNegatives([0, 1, 2, 0])(index, count),
        index=target,
        count=3,
    ),
    "RKDLoss": loss(fdkd.RKDLoss, distance_weight=1.0, angle_weight=1.0, squared=False),
    "RandomOrthogonalDecoupler": on(fdkd.RandomOrthogonalDecoupler, features, **split, seed=0),
    "RecallAtK": function(recall, query=features, gallery=features, k=1),
    "RegressionKDLoss": loss(fdkd.RegressionKDLoss, weight=1.0),
    "RegressionTask": function(fdkd.RegressionTask(), outputs=logits, target=logits),
    "ResNet": on(
        lambda layers, channels, **options: fdkd.ResNet(
            layers=layers, channels=channels, **options
        ),
        lambda: torch.randn(2, 3, 32, 32),
        num_classes=K,
        in_chans=3,
        layers=(1, 1, 1, 1),
        channels=(4, 4, 4, 8),
        stem_pool=True,
        frames="average",
    ),
    "SPLoss": loss(fdkd.SPLoss, stage=0, weight=1.0),
    "SharedAlignmentHead": function(heads, **bands, in_features=D, num_classes=K),
    "ShuffledPairs": loss(wrapped(fdkd.ShuffledPairs), within="all"),
    "SignedLog1p": on(fdkd.SignedLog1p, features),
    "SpatialFrequencyDecoupler": on(
        fdkd.SpatialFrequencyDecoupler, a_map, threshold=0.5, keep_dc=False
    ),
    "UnitLength": on(fdkd.UnitLength, features),
    "UnitVariance": on(fdkd.UnitVariance, features),
    "WarmUp": function(lambda epochs: fdkd.WarmUp(epochs)(3), epochs=9),
    "WholeDecoupler": on(fdkd.WholeDecoupler, features, dim=1),
    "alignment_loss": function(align, low=logits, high=logits, target=target),
    "at_loss": pairs(
        lambda student, teacher, **options: fdkd.at_loss([student], [teacher], **options),
        a_map,
        p=2.0,
        distance="squared",
    ),
    "attention_distances": pairs(
        lambda student, teacher: fdkd.attention_distances([student], [teacher]), a_map
    ),
    "band_similarity": function(
        analysis.band_similarity, x=features, y=features, threshold=0.5, keep_dc=False
    ),
    "band_curves": function(
        lambda **arguments: torch.tensor([p[3:] for p in analysis.band_curves(**arguments)]),
        x=features,
        y=features,
        groups=target,
        seed=0,
    ),
    "binary_kd_loss": pairs(fdkd.binary_kd_loss, logits, temperature=1.0),
    "cross_entropy": function(
        fdkd.cross_entropy, logits=logits, target=target, label_smoothing=0.1
    ),
    "dist_loss": pairs(fdkd.dist_loss, logits, temperature=1.0),
    "dkd_loss": pairs(fdkd.dkd_loss, logits, target=target, temperature=4.0),
    "feature_loss": pairs(fdkd.feature_loss, features),
    "freekd_prompts": function(
        lambda x, **options: fdkd.freekd_prompts([x], progress=False, **options),
        x=a_map,
        num_tokens=2,
        levels=2,
        steps=1,
        lr=0.01,
        diversity=1.0,
        seed=0,
    ),
    "compare_pairs": function(
        lambda **arguments: analysis.compare_pairs(**arguments).r2,
        teacher=rows,
        student=rows,
        label=classes,
        threshold=0.5,
        seed=0,
    ),
    "frequency_split": function(fdkd.frequency_split, x=features, **split),
    "haar_dwt": function(fdkd.haar_dwt, x=a_map, levels=2),
    "haar_idwt": function(
        lambda low, detail, height: fdkd.haar_idwt(low, [detail], (height, 4)),
        low=lambda: torch.randn(N, D, 2, 2),
        detail=lambda: torch.randn(N, D, 3, 2, 2),
        height=4,
    ),
    "info_nce_loss": pairs(fdkd.info_nce_loss, features, temperature=0.07),
    "kd_loss": pairs(fdkd.kd_loss, logits, temperature=4.0),
    "l2_normalize": function(fdkd.l2_normalize, x=features, dim=1),
    "linear_cka": function(analysis.linear_cka, x=rows, y=rows),
    "log_mse_loss": pairs(fdkd.log_mse_loss, features),
    "make_folds": function(analysis.make_folds, label=classes, groups=fold, folds=4, seed=0),
    "mfh_saliency": function(
        fdkd.mfh_saliency,
        student_logits=logits,
        teacher_features=features,
        weight=lambda: torch.randn(K, D),
        bias=lambda: torch.randn(K),
        repeats=2,
    ),
    "non_target_kl": pairs(
        fdkd.non_target_kl,
        logits,
        target=target,
        selected=lambda: torch.ones(N, dtype=torch.bool),
        non_target="zero",
    ),
    "pkd_loss": pairs(fdkd.pkd_loss, features, resize="student"),
    "probe_accuracy": function(
        analysis.probe_accuracy,
        features=rows,
        label=classes,
        held_out_features=rows,
        held_out_label=classes,
        num_classes=K,
    ),
    "rank_agreement": function(fdkd.rank_agreement, a=logits, b=logits),
    "recall_at_k": function(fdkd.recall_at_k, query=features, gallery=features, k=1),
    "regression_kd_loss": pairs(fdkd.regression_kd_loss, logits),
    "ridge_r2": function(
        analysis.ridge_r2, x=rows, y=rows, label=classes, fold=fold, shuffles=2, seed=0
    ),
    "rkd_loss": pairs(fdkd.rkd_loss, features, squared=False),
    "signed_log1p": function(fdkd.signed_log1p, x=features),
    "soft_alignment_loss": function(soft, prediction=logits, target=target, temperature=1.0),
    "sp_loss": pairs(fdkd.sp_loss, a_map),
    "standardize": function(fdkd.standardize, x=features, dim=1),
}
EXEMPT = {
    "bases that users derive from": "Task Decoupler DistillationLoss WrapperLoss Standardizer "
    "ChannelReduction WeightSchedule TeacherWeights NegativeSampler Permutations "
    "MultimodalDataModule",
    "containers and constants": "IGNORE_INDEX Batch Bands Output Similarity "
    "Agreement PairStatistics BandPoint LayerPair TermGradient",
    "without arguments of their own": "ConfidenceWeights LearnedWeights SumOverChannels "
    "Unstandardized TeacherWarning require_teacher",
    "media and tables": "AVDigits AudioRecipe Watch Emoji FramesRecipe ImageRecipe PairedManifest "
    "TextRecipe",
    "configurations": "DistillationCallback DistillationModule UnimodalModule FrozenTeachers "
    "TrainedTeachers PredictionTable SegmentationImages DenseEvaluation Layers LiveProgress "
    "GradientShares OnlineKNN OnlineLinearProbe SamplePredictions",
    "checkpoints, exported folders and networks of other libraries": "AtomicCheckpointIO "
    "ExportedStudent FeatureModel "
    "NgramNet PretrainedModel TimmModel TransformersModel export_student load_student",
    "cached outputs, fuzzed in tests/training/cache": "CachedTeacher TeacherCache build_cache",
    "reads a model and batches": "collect_features",
    "tensors by name, those of linear_cka and of autograd": "layer_similarities term_gradients",
}


def public_names() -> set[str]:
    return {
        name
        for room in (fdkd, losses, decoupler, analysis)
        for name in room.__all__
        if not inspect.ismodule(getattr(room, name))
    }


def test_every_public_name_is_fuzzed_or_exempt_for_a_reason() -> None:
    exempt = {name for names in EXEMPT.values() for name in names.split()}
    assert public_names() == {*SPECS} | exempt
    assert not exempt & {*SPECS}


@pytest.mark.parametrize("name", SPECS)
def test_good_arguments_give_finite_numbers(name: str, is_finite: Callable[..., bool]) -> None:
    call, good = SPECS[name]
    assert is_finite(call(**good()))


COUNTS = {
    *("size", "negatives", "memory_size", "dim", "epochs", "warmup", "levels", "joint_epochs"),
    *("repeats", "max_epochs", "count", "k", "num_tokens", "steps", "in_features"),
    *("pixel_memory_size", "region_memory_size", "channel_memory_size", "pixels_per_class"),
    *("pixel_samples", "region_samples", "channel_samples", "pixel_pooling"),
    *("out_features", "num_classes", "in_chans", "height", "folds", "shuffles"),
}


def number_has_meaning(name: str, argument: str, value: Any) -> bool:
    """Whether a number lies in the domain that the docstring states."""
    if value is None:
        return argument.startswith("lambda_") or argument in (
            *("task_weight", "max_epochs"),
            *("out_features", "in_features", "num_classes", "resize"),
        )
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return False
    whole = isinstance(value, Integral)
    if (argument == "dim" and "Decoupler" in name) or name in (
        "frequency_split",
        "l2_normalize",
        "standardize",
    ):
        return whole and -2 <= value < 2
    if argument in {"stage", "seed", *COUNTS}:
        least = (
            0
            if argument in ("seed", "warmup", "joint_epochs")
            else -1
            if argument == "stage"
            else 1
        )
        return whole and value >= least
    if argument in ("temperature", "kd_temperature", "soft_temperature", "lr"):
        return value > 0
    if argument in ("momentum", "label_smoothing"):
        return 0 <= value <= 1
    if argument == "p":
        return value >= 1
    if name in ("C2KDLoss", "DenseC2KDLoss") and argument == "threshold":
        return -1 <= value < 1
    if argument in ("smoothing", "drop"):
        return 0 <= value < 1
    return value >= 0  # weights


FREE = {
    # Any shape has a meaning.
    *("l2_normalize", "standardize", "SignedLog1p", "signed_log1p", "UnitLength", "UnitVariance"),
    *("WholeDecoupler", "frequency_split", "DCTDecoupler", "FrequencyDecoupler", "HaarDecoupler"),
    *("LearnableFrequencyDecoupler", "PermutedDecoupler", "RandomOrthogonalDecoupler"),
    *(
        "SpatialFrequencyDecoupler",
        "ProbedLinear",
        "haar_dwt",
        "ConvNet1d",
        "ResNet",
        "SharedAlignmentHead",
        "PublishedNegatives",
        "freekd_prompts",
    ),
}
# Relations between samples, whose features may have any shape: docstrings of RKD, SP, AT and AFD.
ANY_WIDTH = {
    "rkd_loss",
    "sp_loss",
    "RKDLoss",
    "SPLoss",
    "at_loss",
    "attention_distances",
    "ATLoss",
    "AFDLoss",
    "PKDLoss",
    "pkd_loss",
    # Another width than the other modality's.
    *("linear_cka", "ridge_r2", "compare_pairs"),
}


def test_bad_arguments_are_refused_or_have_a_meaning(fuzz: Callable[..., None]) -> None:
    def has_meaning(name: str, case: Any, result: Any) -> bool:
        kind, value = case.kind, case.value
        if case.is_as_good(result):
            return True  # the argument is not used, as documented, or stands for the same
        if not kind:
            if isinstance(value, str | tuple | list | dict) or isinstance(
                case.arguments[case.name], bool
            ):
                return False
            return case.is_finite(result) and number_has_meaning(name, case.name, value)
        if kind == "nan" and name == "RegressionTask" and case.name == "target":
            return case.is_finite(result)  # a value that is not known takes no part
        if kind in ("nan", "inf"):
            # Visible; recall counts such a query as not found.
            visible = not case.is_finite(result) or "ecall" in name
            return visible or (kind == "inf" and name == "rank_agreement")
        if name in ("Projector", "make_folds") and kind in ("none", "narrower"):
            return case.is_finite(result)  # no teacher, another width, or no groups
        if kind == "empty":
            return case.is_nothing(result)
        if kind == "half":
            return case.is_finite(result)
        widths = ("narrower", "fewer dimensions", "more dimensions")
        if name in FREE or (name in ANY_WIDTH and kind in widths):
            return case.is_finite(result)
        # A sample of another class, or without a label.
        return kind == "negative" and bool((value == -100).any())

    fuzz(SPECS, has_meaning)
