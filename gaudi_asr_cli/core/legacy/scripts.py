"""The old scripts: what a command line of each looks like, and who translates it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.legacy import (
    ctc_script,
    seq2seq_script,
    training_script,
    wav2vec_script,
)
from gaudi_asr_cli.core.legacy.ctc_flags import CTC_FLAGS
from gaudi_asr_cli.core.legacy.flags import Table, table
from gaudi_asr_cli.core.legacy.launchers import without_launcher
from gaudi_asr_cli.core.legacy.reading import is_flag, read_words, underscored
from gaudi_asr_cli.core.legacy.seq2seq_flags import SEQ2SEQ_FLAGS
from gaudi_asr_cli.core.legacy.trainer_flags import TRAINER_FLAGS
from gaudi_asr_cli.core.legacy.translating import Draft, Spell, Translation
from gaudi_asr_cli.core.legacy.wav2vec_flags import WAV2VEC_FLAGS


@dataclass(frozen=True, slots=True)
class Script:
    """An old script: its file's name, its flags, and how one tells its command lines."""

    name: str
    table: Table
    looks_old: Callable[[Sequence[str]], bool]
    translate: Callable[[Draft, Spell], Translation]
    expand: Callable[[list[str]], list[str]] = list


def _has_training_mark(words: Sequence[str]) -> bool:
    names = {underscored(word) for word in words if is_flag(word)}
    return bool(names & training_script.MARKS)


def _has_wav2vec_mark(words: Sequence[str]) -> bool:
    """By spelling: with hyphens they are today's options."""
    spelt = {word.partition("=")[0] for word in words if is_flag(word)}
    marks = {f"--{name}" for name in wav2vec_script.MARKS} | wav2vec_script.SHORT_MARKS
    return bool(spelt & marks)


SCRIPTS: dict[str, Script] = {
    "ctc": Script(
        ctc_script.NAME,
        table(TRAINER_FLAGS, CTC_FLAGS),
        _has_training_mark,
        ctc_script.translate_ctc,
    ),
    "seq2seq": Script(
        seq2seq_script.NAME,
        table(TRAINER_FLAGS, SEQ2SEQ_FLAGS),
        _has_training_mark,
        seq2seq_script.translate_seq2seq,
    ),
    "wav2vec": Script(
        wav2vec_script.NAME,
        table(WAV2VEC_FLAGS),
        _has_wav2vec_mark,
        wav2vec_script.translate_wav2vec,
        wav2vec_script.expand_short,
    ),
}


def translate(
    script: Script,
    words: Sequence[str],
    *,
    spell: Spell,
    is_ours: Callable[[str], bool],
    has_arguments: bool = False,
) -> Translation:
    """An old command in today's words.

    Args:
        script: Whose command it is.
        words: What followed the script's name.
        spell: The option that sets a key of a recipe.
        is_ours: Whether a word is an option of today's command; such words stay as they are.
        has_arguments: Whether today's command takes words without hyphens.

    Raises:
        UsageError: An option that neither the script nor today's command has, a value that is
            missing or of the wrong kind, or a command that does nothing.
    """
    own, pasted = without_launcher(words)
    given = read_words(script.expand(own), script.table, is_ours, has_arguments=has_arguments)
    draft = Draft(given, script.table)
    draft.extra += pasted
    if script.table is not SCRIPTS["wav2vec"].table:
        draft.extra += training_script.take_missing(given)
    return script.translate(draft, spell)
