"""The exported student as a model of the Hugging Face Hub."""

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from torch import nn

from fdkd_lightning.export.build_limit import BuildLimit
from fdkd_lightning.export.rebuild import build_network
from fdkd_lightning.export.weights import (
    CONFIG,
    WEIGHTS,
    fill,
    read_config,
    read_weights,
    save_weights,
)
from fdkd_lightning.types import Output

# Not an argument of __init__: the mixin would take that from config.json.
_TRUST: ContextVar[tuple[str, ...]] = ContextVar("trust", default=())


class ExportedStudent(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="fdkd_lightning",
    tags=["knowledge-distillation"],
):
    """A student from the Hugging Face Hub, or from a folder that ``fdkd export`` wrote.

    Load it with ``ExportedStudent.from_pretrained("USER/NAME")`` or with the folder's path. Only
    networks of this package and of ``torch.nn`` are built, and those of packages that you name:
    ``from_pretrained("USER/NAME", trust=["my_network"])``.

    Args:
        network: Class path and arguments of the network.
        modality: Key of the network's input in the batch; None: unknown.
        inputs: Shape and dtype of the network's inputs, and their meaning.
        graph_inputs: The same for the graphs in the folder; None: there are none.
        outputs: Shape and dtype of logits and features.
        task: What labels and logits mean, in words; None: unknown.
        class_names: K names; None: unknown.
        fdkd_lightning: Version of the package that wrote the folder.

    Shape:
        - x: as ``inputs`` describes
        - output: :class:`~fdkd_lightning.Output` of the network

    Raises:
        ValueError: If the network uses a class from outside this package and ``torch.nn``, or
            cannot be built from its arguments.

    Example:
        >>> import torch
        >>> spec = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": 2}}
        >>> student = ExportedStudent(spec, class_names=["no", "yes"]).eval()
        >>> student(torch.tensor([[105, 106]])).logits.shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        network: dict[str, Any],
        modality: str | None = None,
        inputs: dict[str, Any] | None = None,
        graph_inputs: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        class_names: list[str] | None = None,
        fdkd_lightning: str | None = None,
    ) -> None:
        super().__init__()
        self.network = build_network(network, _TRUST.get())
        self.modality = modality
        self.inputs = inputs
        self.graph_inputs = graph_inputs
        self.outputs = outputs
        self.task = task
        self.class_names = class_names
        self.fdkd_lightning = fdkd_lightning

    def forward(self, x: Any) -> Output:
        """Run the network."""
        output: Output = self.network(x)
        return output

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        trust: Sequence[str] = (),
        **options: Any,
    ) -> "ExportedStudent":
        """Load a student from the Hub or a folder, in eval mode.

        Args:
            pretrained_model_name_or_path: ``USER/NAME`` on the Hub, or a folder.
            trust: Packages whose classes and functions may be called with arguments from the file;
                see :func:`~fdkd_lightning.load_student`.
            options: Those of ``huggingface_hub.PyTorchModelHubMixin.from_pretrained``.

        Raises:
            FileNotFoundError: If the folder lacks a file.
            ValueError: If a file is damaged, or as in :func:`~fdkd_lightning.load_student`.
        """
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir():
            # The mixin's own errors do not name the file.
            read_config(folder)
        trusted = _TRUST.set(tuple(trust))
        try:
            student: ExportedStudent = super().from_pretrained(
                pretrained_model_name_or_path, **options
            )
        finally:
            _TRUST.reset(trusted)
        return student

    # The mixin's hooks: the file holds the weights under the network's names, without a prefix.

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self.network, save_directory / WEIGHTS)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        **model_kwargs: Any,
    ) -> "ExportedStudent":
        path = Path(model_id) / WEIGHTS
        if not Path(model_id).is_dir():
            fetched = hf_hub_download(
                model_id,
                WEIGHTS,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
            path = Path(fetched)
        weights = read_weights(path)
        if model_kwargs.get("network") is None:
            raise ValueError(
                f"{CONFIG} of {model_id!r} does not describe the network: build it yourself and "
                "call fdkd_lightning.load_student(FOLDER, network=...)"
            )
        with BuildLimit(weights):
            student = cls(**model_kwargs)
        fill(student.network, path, weights)
        return student.to(map_location).eval()
