"""One run of a study: its name, its arguments, and what a change of them changes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fdkd_lightning.files.read_file import read_text


@dataclass(frozen=True)
class Run:
    """One cell of the study: a training with its evaluation, of a method or of a teacher.

    Args:
        method: Name of the method; ``"teacher"`` for a teacher.
        direction: Name of the direction; the modality for a teacher.
        regime: Name of the regime.
        seed: The seed.
        tuned: ``key=value`` of the tuning grid, or "".
        args: Arguments of ``fdkd fit``.
        teachers: Pairs of a modality and the run of its teacher.
        searches: Whether the run serves the choice of a setting: it is not evaluated on test data.
    """

    method: str
    direction: str
    regime: str
    seed: int
    tuned: str
    args: tuple[str, ...]
    teachers: tuple[tuple[str, "Run"], ...] = ()
    searches: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the arguments, the seed, the configurations' contents and the teachers' runs."""
        parts = [self.seed, *(self._content(a) if is_config(a) else a for a in self.args)]
        parts += [f"{modality} {run.fingerprint}" for modality, run in self.teachers]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]

    def _content(self, config: str) -> str:
        try:
            return read_text(Path(config), True)
        except FileNotFoundError as error:
            found = Path(config).absolute()
            raise FileNotFoundError(
                f"{self.method} ({self.direction}, {self.regime}) names {config}, but there is no "
                f"{found}: correct the path, or start the study in the folder in which it begins "
                "(configs/...: that of a clone)"
            ) from error

    @property
    def name(self) -> str:
        """Name of the run's folder: readable, with the fingerprint at its end."""
        slug = run_slug(self.method, self.direction, self.regime, self.tuned, self.seed)
        return f"{slug}-{self.fingerprint}"

    def command(self) -> list[str]:
        """Arguments of ``fdkd fit``, without the run's folder and the teachers' checkpoints."""
        configs = [f"--config={arg}" if is_config(arg) else arg for arg in self.args]
        return [*configs, f"--seed_everything={self.seed}"]


def run_slug(method: str, direction: str, regime: str, tuned: str, seed: int) -> str:
    """Build the readable part of a run's folder name.

    Example:
        >>> run_slug("FD-CMKD, light", "audio to visual", "few labels", "", 2)
        'FD_CMKD__light-audio_to_visual-few_labels-seed2'
    """
    words = [method, direction, regime, tuned, f"seed{seed}"]
    return "-".join(
        "".join(c if c.isalnum() or c in "=." else "_" for c in word) for word in words if word
    )


def is_config(arg: str) -> bool:
    """Return whether an argument of a run is the path of a configuration."""
    return not arg.startswith("-") and arg.endswith((".yaml", ".yml"))
