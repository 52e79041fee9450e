import random
import sys

import numpy as np
import pytest

from fdkd_lightning.data.embedded import espeak
from fdkd_lightning.data.embedded.espeak import ACCENTS, Utterance, speakers, synthesize


def utterances() -> list[Utterance]:
    """One per voice, so that those with noise and flutter are among them."""
    draw = random.Random(0)
    return [
        Utterance("seven", draw.choice(ACCENTS), speaker, draw.randint(130, 280), 50)
        for speaker in speakers()
    ]


def test_each_process_says_the_same() -> None:
    first, second = synthesize(utterances()), synthesize(utterances())
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_two_voices_sound_the_same() -> None:
    said = [Utterance("zero", "en-us", speaker, 175, 50) for speaker in speakers()]
    sounds = {sound.tobytes() for sound in synthesize(said)}
    assert len(sounds) == len(said)


def test_no_two_voices_have_the_same_settings() -> None:
    # Sound alone would not tell: what was said before changes it.
    folder = espeak._espeak_paths()[1] / "voices" / "!v"
    settings = set()
    for speaker in speakers():
        lines = (folder / speaker).read_text(errors="replace").splitlines()
        facts = (line.split("//")[0].split() for line in lines)
        settings.add(frozenset(tuple(f) for f in facts if f and f[0] not in ("name", "gender")))
    assert len(settings) == len(speakers()) > 100


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_is_there(accent: str) -> None:
    (sound,) = synthesize([Utterance("one", accent, "f3", 175, 50)])
    assert sound.dtype == np.int16
    assert np.abs(sound).max() > 1000


def test_faster_is_shorter() -> None:
    slow, fast = synthesize([Utterance("nine", "en", "m1", rate, 50) for rate in (130, 280)])
    assert len(fast) < 0.8 * len(slow)


def test_an_unknown_accent_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = (Utterance("one", accent, "f3", 175, 50) for accent in ("en", "nowhere"))
    with pytest.raises(RuntimeError, match=r"exit status 1.*accent='nowhere'"):
        synthesize([good, bad])
    assert "eSpeak error" in capfd.readouterr().err


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r'pip install "fdkd_lightning\[demo\]"'):
        speakers()
