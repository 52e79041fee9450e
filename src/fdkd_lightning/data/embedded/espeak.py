"""Synthesise English words with eSpeak NG, reproducibly.

eSpeak keeps state between utterances (phases, flutter, the C library's random numbers) that no call
resets, so the sound of a word depends on the words before it. Each list of utterances is therefore
spoken by a new process, which runs this file as a script.
"""

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fdkd_lightning.ops.optional import install_command, require

ACCENTS = (
    "en",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-gb-x-rp",
    "en-us",
    "en-us-nyc",
)
"""eSpeak's English accents."""

SAMPLE_RATE = 22_050
"""Sample rate of eSpeak's voices in Hz."""


class Utterance(NamedTuple):
    """A word and its voice: rate in words per minute, pitch from 0 to 100."""

    word: str
    accent: str
    speaker: str
    rate: int
    pitch: int


def speakers() -> tuple[str, ...]:
    """Return the names of eSpeak's voice variants, one per speaker.

    Raises:
        ImportError: If eSpeak is not installed.
    """
    variants = (path.name for path in (_espeak_paths()[1] / "voices" / "!v").iterdir())
    # "adam" differs from "klatt6" only in the level of its consonants.
    return tuple(sorted(name for name in variants if name != "adam"))


def synthesize(utterances: Sequence[Utterance], progress: bool = False) -> list[NDArray[np.int16]]:
    """Synthesise utterances; the same list gives the same sound on the same platform.

    Args:
        utterances: The words and their voices.
        progress: Show a progress bar.

    Shape:
        - output: one [S] int16 per utterance, at 22,050 Hz

    Raises:
        ImportError: If eSpeak is not installed.
        RuntimeError: If eSpeak fails.
    """
    library, data = _espeak_paths()
    request = json.dumps([str(library), str(data.parent), utterances]).encode()
    sounds = []
    # -P: modules beside this file must not shadow others of the same name.
    with subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.close()
        for _ in tqdm(utterances, "Speaking", disable=not progress):
            size = int.from_bytes(process.stdout.read(4), "little")
            if size == 0:
                break
            sounds.append(np.frombuffer(process.stdout.read(size), "<i2").astype(np.int16))
    if len(sounds) < len(utterances):
        raise RuntimeError(
            f"eSpeak NG failed (exit status {process.returncode}) on {utterances[len(sounds)]}: "
            f"install it again with {install_command('demo')}"
        )
    return sounds


def _espeak_paths() -> tuple[Path, Path]:
    """Return the path of eSpeak's library and the folder of its voices."""
    espeakng_loader = require("espeakng_loader", extra="demo", purpose="speaking the digits")
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def _speak() -> None:
    """Run the script: request on stdin, size and bytes of each utterance on stdout."""
    library, folder, utterances = json.load(sys.stdin)
    espeak = ctypes.CDLL(library)
    sound = bytearray()

    def collect(samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            sound.extend(ctypes.string_at(samples, 2 * count))
        return 0

    # 2: synchronous output to the callback.
    if espeak.espeak_Initialize(2, 0, folder.encode(), 0) != SAMPLE_RATE:
        sys.exit(f"eSpeak cannot read its voices in {folder}")
    # The default seed is the time.
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(0))
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    callback = prototype(collect)  # keep a reference while eSpeak may call it
    espeak.espeak_SetSynthCallback(callback)
    for word, accent, speaker, rate, pitch in utterances:
        text = ctypes.create_string_buffer(word.encode())
        sound.clear()
        failed = (
            espeak.espeak_SetVoiceByName(f"{accent}+{speaker}".encode())
            or espeak.espeak_SetParameter(1, rate, 0)
            or espeak.espeak_SetParameter(3, pitch, 0)
            or espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, 1, None, None)
        )
        if failed:
            sys.exit(f"eSpeak error {failed}")
        sys.stdout.buffer.write(len(sound).to_bytes(4, "little") + sound)


if __name__ == "__main__":
    _speak()
