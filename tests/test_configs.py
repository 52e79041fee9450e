import csv
import functools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser, Namespace
from lightning import seed_everything
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from transformers import AutoConfig, BertConfig

from fdkd_lightning.cli import main
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.models.ngram_net import NgramNet
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs
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
TABLES = sorted(name for name in CONTENT if name.endswith("/table1.yaml"))
OURS = {
    name: content
    for name, content in CONTENT.items()
    if "/" in name and "study/" not in name and name not in TABLES
}
# One over the other.
STUDIES = [["demo"], ["demo", "ablation"], ["demo", "published"], ["emoji"], ["teachers"]]
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
    )
}
OF_SAMPLES = [name for name in CRITERIA if name not in DENSE]


def modalities(config: str) -> list[str]:
    found: list[str] = OURS[config]["data"]["init_args"].get("modalities", [])
    return found


def bases_of(overlay: str) -> list[str]:
    """One of the demo's or of another set's, in turn: every pair would be thousands."""
    bases = DISTILLATION if "model" in OURS[overlay] else FULL
    # Its third modality's would be more of the same, and two teachers do not suit every method.
    bases = [
        base for base in bases if not (base.startswith("demo/") and "text" in modalities(base))
    ]
    demo = [base for base in bases if base.startswith("demo/")]
    others = [base for base in bases if base not in demo]
    number = OVERLAYS.index(overlay)
    some = (demo, others)[number % 2]
    return [some[number // 2 % len(some)]]


ON_TOP = [(base, overlay) for overlay in OVERLAYS for base in bases_of(overlay)]
SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=2",
    "--data.train_size=200",
    "--data.labelled=40",
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


def with_criterion_alone(tmp_path: Path, overlay: Any) -> Path:
    """A full configuration whose criterion is the overlay's, without a trace of its own."""
    content = yaml.safe_load((CONFIGS / DISTILLATION[0]).read_text())
    content["model"]["init_args"]["criterion"] = overlay["model"]["init_args"]["criterion"]
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to where the tests were started, whose arguments are not ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])


@pytest.fixture(autouse=True)
def small_bert(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration where CrisisMMD's files read that of BERT from the hub."""
    config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2)
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *args, **settings: config)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Weights where configs/demo/distill_visual.yaml looks for its teacher's."""
    path = tmp_path / "runs/demo/unimodal_audio/checkpoints/best.ckpt"
    path.parent.mkdir(parents=True)
    network = ResNet(10, 1, (1, 1, 1, 1), (8, 16, 32, 64), stem_pool=False)
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("config", FULL)
def test_a_full_configuration_is_built(config: str) -> None:
    cli = build(config)
    assert isinstance(cli.model, LightningModule)
    assert isinstance(cli.datamodule, LightningDataModule)
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(("base", "overlay"), ON_TOP)
def test_an_overlay_changes_what_it_says_and_nothing_else(base: str, overlay: str) -> None:
    both, plain = (parsed(*configs).as_dict() for configs in ((base, overlay), (base,)))
    for values in (both, plain):
        del values["config"]
        values["model"] |= values["model"].pop("init_args")
    for part, content in OURS[overlay].items():
        for key, value in content.get("init_args", content).items():
            del plain[part][key]
            assert holds(both[part].pop(key), value), key
    assert both == plain
    assert not list(Path.cwd().iterdir())


def holds(found: Any, said: Any) -> bool:
    """Whether what is said is there; a class has more arguments than are said."""
    if isinstance(said, dict):
        return all(key in found and holds(found[key], value) for key, value in said.items())
    return bool(found == said)


if CRITERIA:

    @pytest.mark.parametrize("overlay", CRITERIA)
    def test_a_criterion_overlay_leaves_nothing_of_the_base(overlay: str, tmp_path: Path) -> None:
        alone = model_arguments(with_criterion_alone(tmp_path, OURS[overlay]))["criterion"]
        for base in bases_of(overlay):
            assert model_arguments(base, overlay)["criterion"] == alone


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
    with pytest.raises(SystemExit):
        parsed(with_criterion_alone(tmp_path, overlay))


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
    model = build("demo/distill_visual_two_teachers.yaml", overlay).model
    assert isinstance(model, DistillationModule)
    assert [*model.teachers] == ["audio", "text"]
    assert isinstance(model.distiller.weights, FixedWeights)
    alone = model_arguments("demo/distill_visual.yaml", overlay)["criterion"]
    arguments = model_arguments("demo/distill_visual_two_teachers.yaml", overlay)
    assert arguments["criterion"] == alone


def test_two_teachers_refuse_a_criterion_with_parts_for_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        build("demo/distill_visual_two_teachers.yaml", "criterion/hint.yaml")
    assert "HintLoss keeps parts that belong to one: give one teacher" in capsys.readouterr().err


@pytest.mark.parametrize("overlay", sorted(DENSE))
def test_a_method_for_maps_compares_them(overlay: str) -> None:
    # Without the networks, which take seconds.
    alone = ArgumentParser(exit_on_error=False)
    alone.add_subclass_arguments(DistillationLoss, "criterion")
    content = OURS[overlay]["model"]["init_args"]["criterion"]
    criterion = alone.instantiate_classes(alone.parse_object({"criterion": content}))["criterion"]
    student, teacher = (
        Output(
            torch.randn(2, 8, 5, 7, requires_grad=True),
            torch.randn(2, 3, 20, 28, requires_grad=True),
            tuple(torch.randn(2, width, 4, 4, requires_grad=True) for width in (4, 6, 8, 9)),
        )
        for _ in range(2)
    )
    criterion.build(student, teacher)
    target = torch.randint(3, (2, 20, 28))
    target[0, :, :9] = -100
    terms = criterion(student, teacher, target)
    assert all(term.isfinite() and term > 0 for term in terms.values())
    sum(terms.values()).backward()
    reached = [p.grad is not None and bool(p.grad.any()) for p in criterion.parameters()]
    assert all(reached)
    assert any(x.grad is not None for x in (student.features, student.logits, *student.maps))


def test_a_demo_configuration_fits_on_a_screen() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in CONFIGS.glob("demo/*.yaml")}
    assert lines
    assert {name for name, count in lines.items() if count > 40} == set()


def test_the_trainer_overlays_set_precision_and_strategy() -> None:
    assert build(FULL[0], "trainer/bf16.yaml").trainer.precision == "bf16-mixed"
    strategy = type(build(FULL[0], "trainer/ddp.yaml").trainer.strategy).__name__
    assert strategy == "DDPStrategy"


def test_the_teacher_free_control_has_no_teacher() -> None:
    for config in DISTILLATION:
        names = (config, "control/no_teacher.yaml")
        model, _ = built_parts([f"--config={CONFIGS / name}" for name in names])
        assert isinstance(model, DistillationModule)
        assert len(model.teachers) == 0


def demo_command(root: Path, command: str = "fit", *more: str, overlay: str = "") -> list[str]:
    configs = ["demo/distill_visual.yaml", *([overlay] if overlay else [])]
    short = SHORT if command == "fit" else SHORT[:3]
    args = [f"--config={CONFIGS / config}" for config in configs]
    return [command, *args, f"--data.root={root}", *short, *more]


def last_metrics(version: int = 0) -> dict[str, float]:
    """The last value of each metric, and how many rows have it."""
    with Path(f"runs/demo/distill_visual/logs/version_{version}/metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return {name: value for row in rows for name, value in row.items()}


@pytest.mark.usefixtures("teacher")
def test_distillation_trains_in_bf16(digits_root: Path) -> None:
    main(demo_command(digits_root, overlay="trainer/bf16.yaml"))
    checkpoint = torch.load("runs/demo/distill_visual/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    # The weights stay in float32 and moved.
    weights = checkpoint["state_dict"]["model.net.fc.weight"]
    assert weights.dtype == torch.float32
    logged = last_metrics()
    assert {"train/low", "train/high", "train/align", "val/loss"} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())


@pytest.mark.slow
@pytest.mark.usefixtures("teacher")
def test_two_processes_train_one_student_through_the_command_line(digits_root: Path) -> None:
    two = demo_command(digits_root, "fit", "--trainer.devices=2", overlay="trainer/ddp.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "fdkd_lightning", *two], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Starting with 2 processes" in done.stderr + done.stdout
    run = Path("runs/demo/distill_visual")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {path.name for path in (run / "logs").iterdir()} == {"version_0"}
    checkpoint = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    assert len(checkpoint["rng_states"]) == 2
    assert math.isfinite(last_metrics()["train/loss"])
    main(demo_command(digits_root, "test", "--trainer.limit_test_batches=2"))
    assert {"test/accuracy", "test/loss"} <= last_metrics(version=1).keys()


def test_every_shipped_study_is_named_here() -> None:
    assert {path.stem for path in CONFIGS.glob("study/*.yaml")} == {last for *_, last in STUDIES}


@pytest.mark.parametrize("names", STUDIES, ids=" ".join)
def test_each_run_of_a_shipped_study_can_be_built(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    first, *over = [CONFIGS / f"study/{name}.yaml" for name in names]
    study = read_study(first, [*(f"--config={path}" for path in over), "--seeds=[0]"])
    # Each method in one of the directions and of the regimes, in turn: what these add is the same
    # for all methods.
    regimes, directions, methods = map(list, (study.regimes, study.directions, study.methods))
    cells = [(direction, regime) for direction in directions for regime in regimes]
    chosen = {
        (methods[k % len(methods)], *cells[k % len(cells)])
        for k in range(max(len(methods), len(cells)))
    }
    runs = [r for r in method_runs(study) if (r.method, r.direction, r.regime) in chosen]
    assert len(runs) == len(chosen)
    for run in [*dict.fromkeys(teacher_runs(study).values()), *runs]:
        model, epochs = built_parts(run.command())
        assert isinstance(model, UnimodalModule)
        assert epochs in range(1, 100)


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
    # Every other method, in one of the two directions, in turn: the tables have the same methods.
    runs, half = method_runs(study), len(method_runs(study)) // 2
    first = TABLES.index(table) % 2
    chosen = [runs[k + half * (k // 2 % 2)] for k in range(first, half, 2)]
    assert {run.direction for run in chosen} == set(study.directions)
    inputs = INPUTS.get(Path(table).parent.name)
    for run in [*teacher_runs(study).values(), *chosen]:
        model, _ = built_parts(run.command())
        assert isinstance(model, UnimodalModule)
        if inputs and isinstance(model, DistillationModule):
            # Maps of the real sizes, which a criterion may be unable to compare.
            others = {"audio": "visual", "visual": "audio"}
            student = of_real_size(inputs[model.modality])
            teacher = of_real_size(inputs[others[model.modality]]) if model.teachers else None
            model.criterion.build(student, teacher)
            terms = model.criterion(student, teacher, torch.tensor([0, 1, 0]))
            assert all(term.isfinite() for term in terms.values()), run.name


@pytest.fixture(scope="module")
def drawn(digits_root: Path) -> dict[str, LightningDataModule]:
    """Data of each set of modalities, drawn once: a method does not change them."""
    return {}


Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(digits_root: Path, drawn: dict[str, LightningDataModule]) -> Train:
    """Trains an overlay's method for so many epochs of two steps; returns the checkpoint.

    Without the parts of a command that every method shares: its parser, its files.
    """

    def run(
        overlay: str, student: str, epochs: int, *more: str, resumed: str | None = None
    ) -> dict[str, Any]:
        configs = [
            f"--config={CONFIGS / name}" for name in (f"demo/distill_{student}.yaml", overlay)
        ]
        data = [f"--data.root={digits_root}", "--data.train_size=200", "--data.labelled=40"]
        scheduler = "--model.lr_scheduler.init_args.max_epochs=2"
        config = parse(*configs, *data, scheduler, *more)["fit"]
        chosen = repr(config.data)
        seed_everything(0, verbose=False)
        parts = parser().instantiate_classes(Namespace(fit=config))["fit"]
        folder = Path("resumed" if resumed else f"{epochs}")
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            limit_train_batches=2,
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


def resumed_weights(train: Train, overlay: str, student: str, *more: str) -> dict[str, Any]:
    """The weights of a run of two epochs, which are those of one resumed after the first."""
    whole: dict[str, Any] = train(overlay, student, 2, *more)["state_dict"]
    resumed = train(overlay, student, 2, *more, resumed="2/epoch=0.ckpt")["state_dict"]
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    return whole


@pytest.mark.usefixtures("both_teachers")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("weights", ["Fixed", "Learned", "Confidence"])
def test_two_teachers_of_three_modalities_train_a_student(train: Train, weights: str) -> None:
    more = (
        [] if weights == "Fixed" else [f"--model.teacher_weights=fdkd_lightning.{weights}Weights"]
    )
    overlay, student = "criterion/fdkd_sum.yaml", "visual_two_teachers"
    state = resumed_weights(train, overlay, student, *more)
    # One pair of classifiers for all three modalities.
    heads = [name for name in state if name.startswith("distiller.criterion")]
    assert len(heads) == 4
    learned = [name for name in state if name.startswith("distiller.weights")]
    assert len(learned) == (2 if weights == "Learned" else 0)
    logs = Path("2/metrics.csv").read_text()
    assert ("train/weight/text" in logs) == (weights != "Fixed")


# Their criterion has neither parameters nor buffers in the checkpoint.
STATELESS = {
    f"criterion/{name}.yaml"
    for name in (
        *("at", "dist", "dkd", "feature", "infonce", "kd", "label_smoothing", "pkd", "rkd", "sp"),
        *("fdkd_no_align", "freekd", "mutual_kd"),
    )
} | {"control/shuffled_pairs_no_align.yaml"}
# Those that keep state, variants of FD-CMKD left out, which share its code; a warm-up that follows
# the epoch; random draws; teachers in the checkpoint.
RESUMED = [
    name
    for name in OF_SAMPLES
    if (name not in STATELESS and "/fdkd_" not in name)
    or Path(name).stem
    in ("dkd", "fdkd_learnable", "freekd", "shuffled_pairs_no_align", "mutual_kd")
]


@pytest.fixture
def both_teachers(tmp_path: Path) -> None:
    """Weights where the demo's students look for their teachers'."""
    network = ResNet(10, 1, (1, 1, 1, 1), (8, 16, 32, 64), stem_pool=False)
    for modality in ("audio", "visual"):
        path = tmp_path / f"runs/demo/unimodal_{modality}/checkpoints/best.ckpt"
        path.parent.mkdir(parents=True)
        torch.save(network.state_dict(), path)
    path = tmp_path / "runs/demo/unimodal_text/checkpoints/best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(NgramNet(10, width=64).state_dict(), path)


@pytest.mark.usefixtures("both_teachers")
@pytest.mark.parametrize("overlay", OF_SAMPLES)
def test_a_method_trains(train: Train, overlay: str) -> None:
    """In one direction, in turn; a method that keeps state trains the other one below."""
    student = "audio" if overlay in RESUMED or CRITERIA.index(overlay) % 2 else "visual"
    found = train(overlay, student, 1)
    assert found["global_step"] == 2
    assert all(value.isfinite().all() for value in found["state_dict"].values())
    stateless = not any(name.startswith("distiller.") for name in found["state_dict"])
    assert (overlay in STATELESS) == stateless
    [optimizer] = found["optimizer_states"]
    # A band that a variant leaves empty gives its classifier no gradient.
    reached = [bool(state["momentum_buffer"].any()) for state in optimizer["state"].values()]
    assert sum(reached) > 0.9 * len(reached)
    logs = Path("1/metrics.csv").read_text().splitlines()
    assert "train/loss" in logs[0]
    assert "nan" not in "".join(logs)


@pytest.mark.usefixtures("both_teachers")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("overlay", RESUMED)
def test_a_method_that_keeps_state_resumes(train: Train, overlay: str) -> None:
    whole = resumed_weights(train, overlay, "visual")
    start = checkpoint(Path("2"), 1)["state_dict"]
    moved = [name for name in whole if not torch.equal(start[name], whole[name])]
    assert any(name.startswith("model.") for name in moved)
