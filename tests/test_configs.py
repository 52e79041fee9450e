import copy
import csv
import functools
import itertools
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning import seed_everything
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from transformers import AutoConfig, BertConfig

from fdkd_lightning.cli import main
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.models.ngram_net import NgramNet
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.teacher_weights import FixedWeights
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
CONTENT: dict[str, Any] = {
    path.relative_to(CONFIGS).as_posix(): yaml.safe_load(path.read_text())
    for path in sorted(CONFIGS.rglob("*.yaml"))
}
# Studies name runs, and a sweep is W&B's to parse.
TABLES = sorted(name for name in CONTENT if re.fullmatch(r".+/table\d\.yaml", name))
OURS = {
    name: content
    for name, content in CONTENT.items()
    if "/" in name and "study/" not in name and name not in TABLES
}
# One over the other.
STUDIES = [
    ["digits"],
    ["digits", "ablation"],
    ["digits", "published"],
    ["emoji"],
    ["teachers"],
    ["rooms"],
    ["rooms", "rooms_all_labels"],
    ["rooms_demo"],
    ["indian_pines"],
    ["indian_pines_transfer"],
    ["digits_other_classes"],
    ["watch"],
    ["watch_demo"],
    ["watch_labels"],
    ["watch_all_labels"],
    ["watch", "watch_oracle"],
    ["watch_labels", "watch_labels_oracle"],
    ["watch_labels", "watch_labels_fresh"],
]
FULL = [name for name, content in OURS.items() if {"model", "data"} <= content.keys()]
DISTILLATION = [name for name in FULL if "criterion" in OURS[name]["model"]["init_args"]]
OVERLAYS = [name for name in OURS if name not in FULL]
CRITERIA = [
    name for name in OVERLAYS if "criterion" in OURS[name].get("model", {}).get("init_args", {})
]
# Of maps: the digits have none.
DENSE = {
    f"criterion/{name}.yaml"
    for name in (
        *("c2kd_dense", "cirkd", "cirkdv2", "cirkdv2_fdkd", "fdkd_levels", "fdkd_spatial"),
        *("cirkd_small", "cirkdv2_small", "cirkdv2_fdkd_small"),
    )
}
OF_SAMPLES = [name for name in CRITERIA if name not in DENSE]


def named(study: str) -> set[str]:
    """The configurations that a study or a table trains, in each of its directions."""
    names = re.findall(r"configs/(\S+?\.yaml)", (CONFIGS / study).read_text())
    modalities = {
        modality
        for direction in CONTENT[study].get("directions", {}).values()
        for modality in (direction["student"], *direction["teachers"])
    }
    return {re.sub(r"\$\w+", modality, name) for name in names for modality in modalities}


# The runs of studies and tables build what they name.
NAMED = {name for study in CONTENT if "study/" in study or study in TABLES for name in named(study)}


def base_of(overlay: str) -> str:
    """The demo's for a criterion, else one of another set: every pair would be thousands."""
    if overlay in DENSE:
        return "nyudepth/distill_depth.yaml"
    if overlay in CRITERIA:
        return f"demo/distill_{'visual' if CRITERIA.index(overlay) % 2 else 'audio'}.yaml"
    bases = DISTILLATION if "model" in OURS[overlay] else FULL
    others = [base for base in bases if not base.startswith("demo/")]
    return others[OVERLAYS.index(overlay) % len(others)]


SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=2",
    "--data.train_size=200",
    "--data.labelled=40",
    # It takes the longest of all that is done to the digits.
    "--data.audio_snr=null",
]


class BuiltError(BaseException):
    """Fit was about to begin; the command line reports no exception of this kind."""


def build(*configs: str | Path) -> LightningCLI:
    """The command line on these configurations."""
    return built([f"--config={CONFIGS / config}" for config in configs])


@functools.cache
def parser() -> LightningArgumentParser:
    """The parser of ``fdkd fit``, made once: that takes as long as building a model."""
    return build(FULL[0]).parser


@functools.cache
def parse(*args: str) -> Namespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fdkd"])
        config: Namespace = parser().parse_args(["fit", *args])
    return config


@functools.cache
def parsed(*configs: str | Path) -> Namespace:
    """The values of these configurations, one over the other; nothing is built."""
    values: Namespace = parse(*(f"--config={CONFIGS / config}" for config in configs))["fit"]
    return values


def built_parts(args: list[str]) -> tuple[Any, int]:
    """The model that these arguments build, data too, and the number of epochs."""
    with pytest.MonkeyPatch.context() as patch:
        # Nothing reads the weights, and drawing those of large networks takes most of the time.
        for name in ("kaiming_normal_", "kaiming_uniform_", "trunc_normal_"):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor.detach().zero_())
        config = parser().instantiate_classes(parse(*args))["fit"]
    assert isinstance(config.data, LightningDataModule)
    epochs: int = config.trainer.max_epochs
    return config.model, epochs


def built(args: list[str]) -> LightningCLI:
    """The command line on these arguments, all built, when fit is about to begin."""
    clis: list[LightningCLI] = []

    def stop(cli: LightningCLI) -> None:
        clis.append(cli)
        raise BuiltError

    with pytest.MonkeyPatch.context() as patch:
        # LightningCLI calls it if it is there.
        patch.setattr(LightningCLI, "before_fit", stop, raising=False)
        patch.setattr(sys, "argv", ["fdkd"])
        with pytest.raises(BuiltError):
            main(["fit", *args])
    return clis[0]


def model_arguments(*configs: str | Path) -> Any:
    return parsed(*configs)["model"]["init_args"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to where the tests were started, whose arguments are not ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])


@pytest.fixture(autouse=True)
def small_bert(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration where CrisisMMD's files read that of BERT from the hub."""
    config = BertConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=12, num_attention_heads=2
    )
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *args, **settings: config)


@pytest.fixture
def teachers(tmp_path: Path) -> None:
    """Weights where the demo's students look for their teachers'."""
    network = ResNet(10, 1, (1, 1, 1, 1), (8, 16, 32, 64), stem_pool=False)
    networks = {"audio": network, "visual": network, "text": NgramNet(10, width=64)}
    for modality, teacher in networks.items():
        path = tmp_path / f"runs/demo/unimodal_{modality}/checkpoints/best.ckpt"
        path.parent.mkdir(parents=True)
        torch.save(teacher.state_dict(), path)


@pytest.mark.parametrize("config", sorted({*FULL} - NAMED))
def test_a_full_configuration_is_built(config: str) -> None:
    model, epochs = built_parts([f"--config={CONFIGS / config}"])
    assert isinstance(model, LightningModule)
    assert epochs in range(1, 201)
    assert not list(Path.cwd().iterdir())


def test_a_trainer_takes_what_the_full_configurations_say() -> None:
    for config in FULL:
        trainer = Trainer(**OURS[config]["trainer"] | {"accelerator": "cpu"})
        assert trainer.max_epochs == OURS[config]["trainer"]["max_epochs"]
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("overlay", sorted({*OVERLAYS} - {*CRITERIA}))
def test_an_overlay_changes_what_it_says_and_nothing_else(overlay: str) -> None:
    changes_nothing_else(overlay, parsed(base_of(overlay), overlay))
    assert not list(Path.cwd().iterdir())


def changes_nothing_else(overlay: str, values: Namespace) -> None:
    """These values, of its base with the overlay, are those of the base but for the overlay's."""
    both, plain = values.as_dict(), parsed(base_of(overlay)).as_dict()
    for values in (both, plain):
        del values["config"]
        values["model"] |= values["model"].pop("init_args")
    for part, content in OURS[overlay].items():
        for key, value in content.get("init_args", content).items():
            del plain[part][key]
            assert holds(both[part].pop(key), value), key
    assert both == plain


def holds(found: Any, said: Any) -> bool:
    """Whether what is said is there; a class has more arguments than are said."""
    if isinstance(said, dict):
        return all(key in found and holds(found[key], value) for key, value in said.items())
    return bool(found == said)


@functools.cache
def model_parser() -> LightningArgumentParser:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True)
    return parser


def over_the_model(base: str, overlay: str) -> Namespace:
    """The values of a configuration and an overlay of its model alone.

    Only the model is parsed again: the rest takes as long.
    """
    assert OURS[overlay].keys() == {"model"}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"model": OURS[base]["model"]}, file)
        both = model_parser().parse_args([f"--config={file.name}", f"--config={CONFIGS / overlay}"])
    values: Namespace = parsed(base).clone()
    values.model = both.model
    return values


def model_over(base: str, overlay: str) -> Any:
    """The model that they build."""
    values = Namespace(model=over_the_model(base, overlay).model)
    return model_parser().instantiate_classes(values).model


@functools.cache
def criterion_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DistillationLoss, "criterion")
    return parser


def alone(overlay: Any) -> Any:
    """The overlay's criterion without a base to take arguments from."""
    # The parser changes what is nested in it.
    criterion = copy.deepcopy(overlay["model"]["init_args"]["criterion"])
    return criterion_parser().parse_object({"criterion": criterion})["criterion"]


def test_arguments_that_an_overlay_leaves_out_would_be_the_bases(tmp_path: Path) -> None:
    """Why overlays set every argument, and that the test above would see one that does not."""
    weak = {"class_path": "fdkd_lightning.FDKDLoss", "init_args": {"lambda_low": 2.0}}
    overlay = {"model": {"init_args": {"criterion": weak}}}
    path = tmp_path / "weak.yaml"
    path.write_text(yaml.safe_dump(overlay))
    merged = model_arguments("demo/distill_audio.yaml", path)["criterion"]["init_args"]
    assert merged["lambda_low"] == 2.0
    assert merged["channel_reduction"]["class_path"].endswith("SumOverChannels")
    # Alone it is not even complete.
    with pytest.raises(ArgumentError, match="decoupler"):
        alone(overlay)


def test_every_configuration_is_below_its_own_folder_of_runs() -> None:
    for config in FULL:
        folder = OURS[config]["trainer"]["default_root_dir"]
        assert folder == f"runs/{config.removesuffix('.yaml')}"


@pytest.mark.parametrize("config", DISTILLATION)
def test_a_teacher_is_what_another_configuration_trains(config: str) -> None:
    arguments = OURS[config]["model"]["init_args"]
    for modality, teacher in arguments["teachers"].items():
        best = Path(teacher["init_args"]["checkpoint"])
        trained = OURS[best.parents[1].relative_to("runs").as_posix() + ".yaml"]["model"]
        assert best.parts[-2:] == ("checkpoints", "best.ckpt")
        assert trained["init_args"]["modality"] == modality != arguments["student_modality"]
        assert trained["init_args"]["model"] == teacher["init_args"]["model"]


@pytest.mark.parametrize("config", CONTENT)
def test_a_configuration_says_first_what_it_is_for(config: str) -> None:
    text = (CONFIGS / config).read_text()
    assert re.match(r"# \w.{10,}\n", text)
    # Names with a $ are filled in by the study.
    for name in re.findall(r"configs/[^\s$]+?\.yaml", text):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("overlay", ["criterion/kd.yaml", "criterion/mutual_kd.yaml"])
def test_two_teachers_take_a_criterion_that_keeps_nothing_of_one(overlay: str) -> None:
    model = model_over("demo/distill_visual_two_teachers.yaml", overlay)
    assert isinstance(model, DistillationModule)
    assert [*model.teachers] == ["audio", "text"]
    assert isinstance(model.distiller.weights, FixedWeights)
    values = over_the_model("demo/distill_visual_two_teachers.yaml", overlay)
    assert values.model.init_args.criterion == alone(OURS[overlay])


def test_two_teachers_refuse_a_criterion_with_parts_for_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        build("demo/distill_visual_two_teachers.yaml", "criterion/hint.yaml")
    assert "HintLoss keeps parts that belong to one: give one teacher" in capsys.readouterr().err


@pytest.mark.parametrize("overlay", sorted(DENSE))
def test_a_method_for_maps_compares_them(overlay: str) -> None:
    whole, values = over_the_model(base_of(overlay), overlay), alone(OURS[overlay])
    changes_nothing_else(overlay, whole)
    assert whole.model.init_args.criterion == values
    # Without the networks, which take seconds.
    student, teacher = (
        Output(
            torch.randn(2, 8, 5, 7, requires_grad=True),
            torch.randn(2, 3, 20, 28, requires_grad=True),
            tuple(torch.randn(2, width, 4, 4, requires_grad=True) for width in (4, 6, 8, 9)),
        )
        for _ in range(2)
    )
    target = torch.randint(3, (2, 20, 28))
    target[0, :, :9] = -100
    criterion, terms = teaches(values, student, teacher, target)
    assert all(term > 0 for term in terms.values())
    reached = [p.grad is not None and bool(p.grad.any()) for p in criterion.parameters()]
    assert all(reached)


def teaches(
    values: Namespace, student: Output, teacher: Output, target: Tensor
) -> tuple[DistillationLoss, dict[str, Tensor]]:
    """The criterion of these values and its terms, finite, whose gradient reaches the student."""
    criterion = criterion_parser().instantiate_classes(Namespace(criterion=values))["criterion"]
    criterion.build(student, teacher)
    terms = criterion(student, teacher, target)
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    gradients = [x.grad for x in (student.features, student.logits, *student.maps)]
    assert any(gradient is not None and gradient.any() for gradient in gradients)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
    return criterion, terms


def test_a_demo_configuration_fits_on_a_screen() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in CONFIGS.glob("demo/*.yaml")}
    assert lines
    assert {name for name, count in lines.items() if count > 40} == set()


def test_the_trainer_overlays_set_precision_and_strategy() -> None:
    assert build(FULL[0], "trainer/bf16.yaml").trainer.precision == "bf16-mixed"
    strategy = type(build(FULL[0], "trainer/ddp.yaml").trainer.strategy).__name__
    assert strategy == "DDPStrategy"
    nodes = build(FULL[0], "trainer/nodes.yaml").trainer
    assert (nodes.num_nodes, type(nodes.strategy).__name__) == (2, "DDPStrategy")


def test_lightning_wants_a_gpu_for_fsdp_and_for_fp16() -> None:
    with pytest.raises(ValueError, match="`fsdp` requires a GPU accelerator"):
        Trainer(**CONTENT["trainer/fsdp.yaml"]["trainer"], accelerator="cpu")
    with pytest.warns(UserWarning, match="fp16 is not supported on CPU. Using .*bf16-mixed"):
        Trainer(**CONTENT["trainer/fp16.yaml"]["trainer"], accelerator="cpu", logger=False)


@pytest.mark.parametrize("config", sorted({c.split("/")[0]: c for c in DISTILLATION}.values()))
def test_the_teacher_free_control_has_no_teacher(config: str) -> None:
    model = model_over(config, "control/no_teacher.yaml")
    assert isinstance(model, DistillationModule)
    assert len(model.teachers) == 0


def in_the_folder(command: str, *more: str) -> None:
    """A command on the demo's student, with the digits and the teachers of the working folder."""
    main([command, f"--config={CONFIGS}/demo/distill_visual.yaml", "--data.root=digits", *more])


def fit_on_a_rank(rank: int, folder: Path) -> None:
    os.chdir(folder)
    sys.argv = ["fdkd"]
    overlays = [f"--config={CONFIGS}/trainer/{name}.yaml" for name in ("ddp", "bf16")]
    in_the_folder("fit", *overlays, *SHORT, "--trainer.devices=2")


def last_metrics(version: int = 0) -> dict[str, float]:
    """The last value of each metric."""
    with Path(f"runs/demo/distill_visual/logs/version_{version}/metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return {name: value for row in rows for name, value in row.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("teachers")
def test_two_ranks_train_one_student_in_bf16_through_the_command_line(
    tmp_path: Path, digits_root: Path, on_two_ranks: Callable[..., None]
) -> None:
    Path("digits").symlink_to(digits_root)
    on_two_ranks(tmp_path, fit_on_a_rank)
    run = Path("runs/demo/distill_visual")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {path.name for path in (run / "logs").iterdir()} == {"version_0"}
    checkpoint = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    assert len(checkpoint["rng_states"]) == 2
    # The weights stay in float32.
    assert checkpoint["state_dict"]["model.net.fc.weight"].dtype == torch.float32
    logged = last_metrics()
    assert {"train/low", "train/high", "train/align", "train/loss", "val/loss"} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())
    in_the_folder("test", *SHORT[:3], "--trainer.limit_test_batches=2")
    assert {"test/accuracy", "test/loss"} <= last_metrics(version=1).keys()


def test_every_shipped_study_is_named_here() -> None:
    assert {path.stem for path in CONFIGS.glob("study/*.yaml")} == {last for *_, last in STUDIES}


@functools.cache
def runs_to_build() -> dict[str, list[Run]]:
    """Of each shipped study the runs that are distinct from its own and those of studies before."""
    seen: set[Any] = set()
    chosen = {}
    for names in STUDIES:
        first, *over = [CONFIGS / f"study/{name}.yaml" for name in names]
        study = read_study(first, [*(f"--config={path}" for path in over), "--seeds=[0]"])
        runs = [*dict.fromkeys(teacher_runs(study).values()), *method_runs(study)]
        chosen[" ".join(names)] = found = distinct(runs, seen)
        columns = [{(run.direction, run.regime) for run in listed} for listed in (found, runs)]
        assert columns[0] == columns[1]
    return chosen


@pytest.mark.parametrize("names", STUDIES, ids=" ".join)
def test_each_run_of_a_shipped_study_can_be_built(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for run in runs_to_build()[" ".join(names)]:
        model, epochs = built_parts(run.command())
        assert isinstance(model, UnimodalModule)
        assert epochs in range(1, 100)


@pytest.mark.parametrize("study", ["indian_pines", "indian_pines_transfer"])
def test_criteria_find_what_they_compare_in_the_networks_of_pixels(study: str) -> None:
    """Their one map; the overlays are tried with the digits' networks, which have four."""
    student, teacher = (
        Output(torch.randn(2, 64, 3, 3), torch.randn(2, 6, 3, 3), (torch.randn(2, 64, 3, 3),))
        for _ in range(2)
    )
    for x in (student.features, student.logits, *student.maps):
        x.requires_grad_()
    for name, method in CONTENT[f"study/{study}.yaml"]["methods"].items():
        overlays = [a.removeprefix("configs/") for a in method["args"] if "configs/criterion/" in a]
        if not overlays:
            continue
        values = alone(OURS[overlays[-1]])
        for argument in method["args"]:
            key, _, value = argument.partition("=")
            if key.startswith("--model.criterion.init_args."):
                values.init_args[key.rpartition(".")[2]] = yaml.safe_load(value)
        target = torch.randint(6, (2, 3, 3))
        _, terms = teaches(values, student, teacher, target)
        assert terms, name


def distinct(runs: list[Run], seen: set[Any]) -> list[Run]:
    """Runs with a pair of a kind of configuration and an argument that is not seen before.

    A parser takes half a second for a run. Overlays of the criterion are built above: they pair
    with the criterion's arguments alone. Of an argument's numbers one is enough. Each direction and
    regime has a run.
    """
    columns: set[Any] = set()
    chosen = []
    for run in runs:
        criteria, kinds, others = [], [], []
        for argument in run.command():
            if re.match(r"--config=configs/(criterion|control)/", argument):
                assert (ROOT / argument.removeprefix("--config=")).is_file(), argument
                criteria.append(argument)
            elif argument.startswith("--config="):
                # configs/watch/distill_gyroscope.yaml is of the kind configs/watch/distill.
                kinds.append(argument.rsplit("_", 1)[0])
            else:
                name, _, value = argument.partition("=")
                others.append(f"{name}={re.sub(r'[0-9][0-9.]*(e-?[0-9]+)?', '0', value)}")
        pairs = {
            *itertools.product(kinds, ["", *others]),
            *((config, other) for config in criteria for other in others if "criterion" in other),
        }
        if not pairs <= seen or (run.direction, run.regime) not in columns:
            chosen.append(run)
            seen |= pairs
            columns.add((run.direction, run.regime))
    return chosen


# What reaches the ResNets of the audio-visual sets.
INPUTS = {
    "cremad": {"audio": (1, 257, 1004), "visual": (1, 3, 224, 224)},
    "ave": {"audio": (1, 257, 1004), "visual": (1, 3, 224, 224)},
    "vggsound": {"audio": (1, 129, 626), "visual": (1, 3, 224, 224)},
}


@functools.cache
def of_real_size(shape: tuple[int, ...]) -> Output:
    """A ResNet-18's output of three such inputs, narrow."""
    torch.manual_seed(0)
    network = ResNet(6, in_chans=shape[-3], channels=(8, 8, 256, 16))
    output: Output = network(torch.randn(3, *shape))
    return output._replace(index=torch.arange(3))


@pytest.mark.parametrize("table", TABLES)
def test_each_run_of_a_sets_table_can_be_built(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    monkeypatch.chdir(ROOT)
    study = read_study(CONFIGS / table, ["--seeds=[0]"])
    assert study.epoch == "best"
    runs, half = method_runs(study), len(method_runs(study)) // 2
    chosen = distinct(runs, set())
    inputs = INPUTS.get(Path(table).parent.name)
    if inputs:
        # A third of the methods, in one of the two directions, in turn: the tables have the same.
        first = [*INPUTS].index(Path(table).parent.name)
        chosen = [runs[k + half * (k // 3 % 2)] for k in range(first, half, 3)]
    assert {run.direction for run in chosen} == set(study.directions)
    for run in [*teacher_runs(study).values(), *distinct(chosen, set())]:
        model, _ = built_parts(run.command())
        assert isinstance(model, UnimodalModule)
    for run in chosen if inputs else ():
        arguments = parse(*run.command())["fit"]["model"]["init_args"]
        if "criterion" in arguments:
            # Maps of the real sizes, which a criterion may be unable to compare.
            others = {"audio": "visual", "visual": "audio"}
            student = of_real_size(inputs[arguments.student_modality])
            other = others[arguments.student_modality]
            teacher = of_real_size(inputs[other]) if arguments.teachers else None
            values = Namespace(criterion=arguments.criterion.clone())
            criterion = criterion_parser().instantiate_classes(values)["criterion"]
            criterion.build(student, teacher)
            terms = criterion(student, teacher, torch.tensor([0, 1, 0]))
            assert all(term.isfinite() for term in terms.values()), run.name


@pytest.fixture(scope="module")
def drawn(digits_root: Path) -> dict[str, LightningDataModule]:
    """Data of each set of modalities, drawn once: a method does not change them."""
    return {}


Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(digits_root: Path, drawn: dict[str, LightningDataModule]) -> Train:
    """Trains a parsed configuration for two epochs of one step; returns the last checkpoint.

    Without the parts of a command that every method shares: its parser, its files.
    """

    def run(values: Namespace, resumed: str | None = None) -> dict[str, Any]:
        values, epochs = values.clone(), 2
        few = {"root": str(digits_root), "train_size": 200, "labelled": 40}
        values.data.init_args.update(Namespace(**few))
        values.model.init_args.lr_scheduler.init_args.max_epochs = epochs
        values.model.init_args.teacher_check_batches = 1
        chosen = repr(values.data)
        seed_everything(0, verbose=False)
        parts = parser().instantiate_classes(Namespace(fit=values))["fit"]
        folder = Path("resumed" if resumed else "whole")
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            limit_train_batches=1,
            limit_val_batches=1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=CSVLogger(folder, name="", version=""),
            # Each epoch's, from which another run can resume.
            callbacks=[ModelCheckpoint(folder, "{epoch}", save_top_k=-1)],
        )
        trainer.fit(parts.model, drawn.setdefault(chosen, parts.data), ckpt_path=resumed)
        return checkpoint(folder, epochs)

    return run


def checkpoint(folder: Path, epochs: int) -> dict[str, Any]:
    """The checkpoint of a run after so many epochs."""
    found: dict[str, Any] = torch.load(folder / f"epoch={epochs - 1}.ckpt", weights_only=True)
    return found


def resumes(train: Train, values: Namespace) -> dict[str, Any]:
    """The last checkpoint of two epochs, whose weights are those of a run resumed after one."""
    whole = train(values)
    resumed = train(values, resumed="whole/epoch=0.ckpt")["state_dict"]
    assert whole["state_dict"].keys() == resumed.keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed[name]), name
    return whole


@pytest.mark.usefixtures("teachers")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("weights", ["Fixed", "Learned", "Confidence"])
def test_two_teachers_of_three_modalities_train_a_student(train: Train, weights: str) -> None:
    values = parsed("demo/distill_visual_two_teachers.yaml", "criterion/fdkd_sum.yaml").clone()
    if weights != "Fixed":
        named = Namespace(class_path=f"fdkd_lightning.{weights}Weights", init_args=Namespace())
        values.model.init_args.teacher_weights = named
    state = resumes(train, values)["state_dict"]
    # One pair of classifiers for all three modalities.
    heads = [name for name in state if name.startswith("distiller.criterion")]
    assert len(heads) == 4
    learned = [name for name in state if name.startswith("distiller.weights")]
    assert len(learned) == (2 if weights == "Learned" else 0)
    logs = Path("whole/metrics.csv").read_text()
    assert ("train/weight/text" in logs) == (weights != "Fixed")


# Their criterion has neither parameters nor buffers in the checkpoint.
STATELESS = {
    f"criterion/{name}.yaml"
    for name in (
        *("at", "dist", "dkd", "feature", "infonce", "kd", "label_smoothing", "pkd", "rkd", "sp"),
        *("fdkd_no_align", "freekd", "mutual_kd"),
    )
} | {
    *("control/shuffled_pairs_no_align.yaml", "control/shuffled_pairs_last_map.yaml"),
    "control/kd_shuffled_pairs_last_map.yaml",
    *(f"criterion/fdkd_last_map{variant}.yaml" for variant in ("", "_whole", "_random", "_kd")),
}
# Those that keep state, variants of FD-CMKD left out, which share its code; a warm-up that follows
# the epoch; random draws; teachers in the checkpoint.
RESUMED = [
    name
    for name in OF_SAMPLES
    if (name not in STATELESS and "/fdkd_" not in name)
    or Path(name).stem
    in ("dkd", "fdkd_learnable", "freekd", "shuffled_pairs_no_align", "mutual_kd")
]


def checked_alone(overlay: str) -> Namespace:
    """The values of its base with the overlay, whose criterion is the overlay's alone."""
    values = over_the_model(base_of(overlay), overlay)
    changes_nothing_else(overlay, values)
    assert values.model.init_args.criterion == alone(OURS[overlay])
    return values


@pytest.mark.usefixtures("teachers")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("overlay", RESUMED)
def test_a_criterion_is_the_overlays_alone_trains_and_resumes(train: Train, overlay: str) -> None:
    # One test, since reading a configuration takes longer than two steps of training.
    found = resumes(train, checked_alone(overlay))
    state = found["state_dict"]
    assert found["global_step"] == 2
    assert all(value.isfinite().all() for value in state.values())
    stateless = not any(name.startswith("distiller.") for name in state)
    assert (overlay in STATELESS) == stateless
    [optimizer] = found["optimizer_states"]
    # A band that a variant leaves empty gives its classifier no gradient.
    reached = [bool(state["momentum_buffer"].any()) for state in optimizer["state"].values()]
    assert sum(reached) > 0.9 * len(reached)
    logs = Path("whole/metrics.csv").read_text().splitlines()
    assert "train/loss" in logs[0]
    assert "nan" not in "".join(logs)
    start = checkpoint(Path("whole"), 1)["state_dict"]
    moved = [name for name, value in state.items() if not torch.equal(start[name], value)]
    assert any(name.startswith("model.") for name in moved)


@functools.cache
def of_digits(seed: int) -> Output:
    """The demo's network's output of eight inputs."""
    torch.manual_seed(seed)
    network = ResNet(10, 1, (1, 1, 1, 1), (8, 16, 32, 64), stem_pool=False)
    with torch.no_grad():
        output: Output = network(torch.randn(8, 1, 32, 32))
    return output._replace(index=torch.arange(8))


@pytest.mark.parametrize("overlay", sorted({*OF_SAMPLES} - {*RESUMED}))
def test_a_criterion_is_the_overlays_alone_and_teaches(overlay: str) -> None:
    values = checked_alone(overlay).model.init_args.criterion
    output, teacher = of_digits(0), of_digits(1)
    features, logits, *maps = (
        x.clone().requires_grad_() for x in (output.features, output.logits, *output.maps)
    )
    student = Output(features, logits, tuple(maps), output.index)
    criterion, _ = teaches(values, student, teacher, torch.arange(8))
    assert (overlay in STATELESS) == (not criterion.state_dict())
