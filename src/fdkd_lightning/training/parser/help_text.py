"""The short help of a run's commands, printed without importing torch."""

from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "fit": "train a model, validating after each epoch",
    "validate": "evaluate a checkpoint on the validation set",
    "test": "evaluate a checkpoint on the test set",
    "predict": "write a checkpoint's predictions on the test set as a CSV table",
    "analyze": "what can a teacher give, and what did distillation change: numbers, figures",
    "cache": "run the teachers once, and store their outputs for fits to read",
    "export": "write a trained student alone: weights, torch.export, ONNX, Hugging Face hub",
}
"""The commands that take a run's configuration."""

USAGE = "fdkd {command} --config FILE [--config OVERLAY ...] [--KEY=VALUE ...]"

CHECKPOINT = {
    "fit": "resume from last, or from a file",
    "validate": "best (default), last, or a file",
}
CHECKPOINT["cache"] = "not used: teachers name their own checkpoints"
CHECKPOINT |= dict.fromkeys(("test", "predict", "export"), CHECKPOINT["validate"])

EXTRA = {
    "fit": [("--overwrite=true", "replace the checkpoints that are in the folder")],
    "predict": [("--predictions.path=FILE", "the table; default: predictions.csv in the folder")],
    "analyze": [
        ("--student_checkpoint=FILE", "the student trained without teacher; default: as built"),
        ("--folder=FOLDER", "where to write; default: analysis in the run's folder"),
        ("--max_pairs=N", "most pairs to compare; default: 2000"),
        ("--threshold=FRACTION", "cut-off frequency of the bands; default: 0.5"),
        ("--students={NAME: FILE}", "trained students, for the figures; or --students.NAME=FILE"),
        ("--figures=[NAME,...]", "tsne, umap, bands, layers, gradients, confusion,"),
        ("", "calibration, cutoff; default: bands, confusion, calibration"),
    ],
    "cache": [
        ("--folder=FOLDER", "where to store; default: teacher_cache in the run's folder"),
        ("--dtype=float16", "half the bytes, rounded; default: float32, exact"),
        ("--maps=true", "store the maps of stages too"),
        ("--views=K", "K training views a sample; default: 0, the view of evaluation"),
        ("--verify=true", "compare every byte with its check sum afterwards"),
    ],
    "export": [
        ("--formats=NAMES", "some of safetensors,torch_export,onnx,hub; default: all"),
        ("--folder=FOLDER", "where to write; default: export in the run's folder"),
        ("--study=FOLDER", "the run's study: the card gives its mean over seeds"),
        ("--include_transform=true", "begin the graphs with the data's transform"),
    ],
}

BASES = ("DistillationLoss", "WrapperLoss", "LogMSELoss")
"""Names of losses/ that are no criteria of their own: two base classes, and a distance."""

DATA = (
    *("AVDigits", "Emoji", "Watch", "Rooms", "IndianPines", "Earth"),
    *("AVE", "AVEFirstEvents", "AVEWithoutLeaks", "CREMAD"),
    *("CREMADSpeakerIndependent", "CrisisMMD", "CrisisMMDInformative", "CrisisMMDNonAgreed"),
    *("CrisisMMDTweets", "KineticsSounds"),
    *("NYUDepthV2", "NYUDepthV2Coarse", "VGGSound", "VGGSound50", "VGGSoundC2KD"),
    "PairedManifest",
)

BATCHES = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}


def run_help(command: str) -> str:
    """Return the most used arguments of a command, and where the others are listed."""
    # Names load on first use: this lists them without importing torch.
    names = import_module("fdkd_lightning.losses").__all__
    ends = ("Loss", "Pairs", "Batch")
    criteria = [name for name in names if name.endswith(ends) and name not in BASES]
    sections = {
        "configuration": [
            ("-c, --config=FILE", "a run's configuration, YAML; a later one overrides"),
            ("--print_config", "print the resulting configuration and exit"),
            ("--seed_everything=SEED", "seed of all random numbers; default: 0"),
        ],
        "model": [
            ("--model=CLASS", "fdkd_lightning.UnimodalModule or .DistillationModule"),
            ("--model.student=CLASS", "the network, a torch.nn.Module that returns Output"),
            ("--model.criterion=CLASS", "the method: FDKDLoss, or another of the list below"),
            ("--model.criterion.KEY=VALUE", "an argument of it, such as lambda_low=0.5"),
            ("--model.projector=CLASS", "maps student features to the teacher's shape"),
            ("--model.optimizer=CLASS", "such as torch.optim.AdamW"),
            ("--model.optimizer.lr=RATE", "an argument of it"),
            ("--model.lr_scheduler=CLASS", "such as fdkd_lightning.PolyLR"),
            ("--model.help=CLASS", "the arguments of a model class; so for each CLASS"),
        ],
        "data": [
            ("--data=CLASS", "the data module, see below"),
            ("--data.root=FOLDER", "where its files are"),
            ("--data.batch_size=N", "samples per step and rank"),
            ("--data.help=CLASS", "the arguments of a data class"),
        ],
        "the run's folder": [
            ("--trainer.default_root_dir=FOLDER", "checkpoints and logs; may hold $VARIABLES"),
            *_checkpoint_arguments(command),
            *EXTRA.get(command, []),
        ],
        "Lightning's trainer": [
            ("--trainer.max_epochs=N", "how long to train"),
            ("--trainer.accelerator=NAME", "cpu, gpu, ...; default: auto"),
            ("--trainer.devices=N", "how many; default: auto"),
            ("--trainer.strategy=NAME", "ddp, ...; default: auto"),
            ("--trainer.precision=NAME", "32-true, bf16-mixed, ..."),
            ("--trainer.logger=CLASS", "default: CSV and TensorBoard; false: none"),
            ("--trainer.callbacks+=CLASS", "add a callback"),
            ("--trainer.fast_dev_run=true", "one batch, nothing is written: a trial"),
        ],
    }
    if command in BATCHES:
        limit = f"--trainer.limit_{BATCHES[command]}_batches=N"
        sections["Lightning's trainer"].append((limit, "only so many batches"))
    lines = [f"usage: {USAGE.format(command=command)}", "", f"{command}: {COMMANDS[command]}."]
    for title, arguments in sections.items():
        lines += ["", f"{title}:", *(f"  {name:<36}{text}" for name, text in arguments)]
    lines += ["", "criteria, in fdkd_lightning:", *_wrapped(criteria)]
    lines += ["", "data modules, in fdkd_lightning.data:", *_wrapped(DATA)]
    lines += ["", f"All arguments: fdkd {command} --help-all", "Examples: configs/demo/"]
    return "\n".join(lines)


def _checkpoint_arguments(command: str) -> list[tuple[str, str]]:
    """The arguments about the checkpoints of the run's folder, of commands that have any."""
    if command not in CHECKPOINT:
        return []
    return [
        (f"--ckpt_path={'PATH' if command == 'fit' else 'best'}", CHECKPOINT[command]),
        ("--checkpoint.monitor=NAME", "what best.ckpt is best in; default: val/accuracy"),
        ("--checkpoint.mode=max", "max or min"),
    ]


def _wrapped(names: Sequence[str], width: int = 88) -> list[str]:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) + 2 > width:
            lines.append("")
        lines[-1] += f"  {name}"
    return lines
