"""The legacy scripts: how to recognise a command line of each, and how to translate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gaudi_asr_cli.core.legacy.arguments import Arguments, flag_name, is_flag, parse_arguments
from gaudi_asr_cli.core.legacy.characters import (
    named_characters,
    script_pattern,
    unnamed_ascii_removals,
)
from gaudi_asr_cli.core.legacy.flags import (
    CTC_FLAGS,
    SEQ2SEQ_FLAGS,
    TRAINER_FLAGS,
    WAV2VEC_FLAGS,
    FormatKey,
    Table,
    table,
)
from gaudi_asr_cli.core.legacy.launchers import remove_launcher
from gaudi_asr_cli.core.legacy.training_settings import (
    SHARED_DEFAULTS,
    applied_defaults,
    choose_phases,
    data_settings,
    default_splits,
    device_options,
    evaluation_settings,
    graph_settings,
    is_graphcore,
    precision_settings,
    report_missing,
    run_folder_options,
    schedule_settings,
    trainer_defaults,
)
from gaudi_asr_cli.core.legacy.translation import (
    Draft,
    LegacyNotice,
    Translation,
    defaults_notice,
    differing_defaults,
)

_CTC = "run_speech_recognition_ctc.py"
_SEQ2SEQ = "run_speech_recognition_seq2seq.py"
_WAV2VEC = "wav2vec.py"


@dataclass(frozen=True, slots=True)
class Script:
    """A legacy script.

    Args:
        name: Its file name.
        table: Its flags.
        is_legacy: Whether words are a command line of the script, not of the current command.
        translate: Translates its command lines.
        expand: Replaces its short options by the long ones.
    """

    name: str
    table: Table
    is_legacy: Callable[[Sequence[str]], bool]
    translate: Callable[[Draft, FormatKey], Translation]
    expand: Callable[[list[str]], list[str]] = list


# The two Hugging Face training scripts.

_TRAINING_MARKERS = frozenset({"dataset_name", "output_dir", "do_train", "do_eval"})
"""Flags that the training scripts required: a command line with one of them is a legacy one."""

CTC_DEFAULTS: dict[str, Any] = {
    "text.case": "lower",
    "vocab": "data",
    "freeze": "feature-encoder",
    "network.attention_dropout": 0.0,
    "network.activation_dropout": 0.0,
    "network.feat_proj_dropout": 0.0,
    "network.hidden_dropout": 0.0,
    "network.final_dropout": 0.0,
    "network.layerdrop": 0.0,
    "network.mask_time_prob": 0.05,
    "network.mask_time_length": 10,
    "network.mask_feature_prob": 0.0,
    "network.mask_feature_length": 10,
    "network.ctc_loss_reduction": "mean",
    "network.ctc_zero_infinity": False,
    **SHARED_DEFAULTS,
}
"""Defaults of the CTC script and its trainer."""

SEQ2SEQ_DEFAULTS: dict[str, Any] = {
    "text.case": "lower",
    "freeze": "feature-encoder",
    # 0: as the model's generation configuration says.
    "generation.beams": 0,
    **SHARED_DEFAULTS,
}
"""Defaults of the sequence-to-sequence script and its trainer."""


def _is_legacy_training(words: Sequence[str]) -> bool:
    return bool(_TRAINING_MARKERS & {flag_name(word) for word in words if is_flag(word)})


def _translate_ctc(draft: Draft, format_key: FormatKey) -> Translation:
    """Translate run_speech_recognition_ctc.py to `finetune-ctc`; without --do_train it evaluates.

    Raises:
        UsageError: The command would have done nothing, or a value is of the wrong type.
    """
    trains, evaluates = choose_phases(draft)
    defaults = {**CTC_DEFAULTS, **trainer_defaults(draft)}
    if is_graphcore(draft):
        defaults["network.mask_time_prob"] = 0.0
    defaults = differing_defaults(defaults, "finetune-ctc")
    splits = ("train+validation", "test")
    given = {
        **_shared_settings(draft, splits, evaluates=evaluates),
        **_text_settings(draft),
        **_ctc_model_settings(draft),
    }
    settings = _complete_settings(draft, defaults, given, trains=trains)
    applied = {
        **default_splits(draft, splits, trains=trains, evaluates=evaluates),
        **applied_defaults(defaults, given, trains=trains),
    }
    if trains and not settings.get("network.ctc_zero_infinity", True):
        _warn_of_infinite_losses(draft)
        applied.pop("network.ctc_zero_infinity", None)
    ignored = draft.given.lists.get("chars_to_ignore")
    return Translation(
        script=_CTC,
        settings=settings,
        options=tuple(draft.options),
        rest=draft.given.rest,
        notices=(*draft.notices(format_key), defaults_notice(applied)),
        trains=trains,
        numbers_run=draft.given.is_true("overwrite_output_dir"),
        removal_pattern=None if ignored is None else script_pattern(ignored),
    )


def _translate_seq2seq(draft: Draft, format_key: FormatKey) -> Translation:
    """Translate run_speech_recognition_seq2seq.py to `finetune-seq2seq` or `eval-seq2seq`.

    Raises:
        UsageError: The command would have done nothing, or a value is of the wrong type.
    """
    trains, evaluates = choose_phases(draft)
    defaults = {**SEQ2SEQ_DEFAULTS, **trainer_defaults(draft)}
    defaults = differing_defaults(defaults, "finetune-seq2seq")
    splits = ("train", "test")
    given = {
        **_shared_settings(draft, splits, evaluates=evaluates),
        **_seq2seq_model_settings(draft),
    }
    settings = _complete_settings(draft, defaults, given, trains=trains)
    applied = {
        **default_splits(draft, splits, trains=trains, evaluates=evaluates),
        **applied_defaults(defaults, given, trains=trains),
    }
    return Translation(
        script=_SEQ2SEQ,
        settings=settings,
        options=tuple(draft.options),
        rest=draft.given.rest,
        notices=(*draft.notices(format_key), defaults_notice(applied)),
        trains=trains,
        numbers_run=draft.given.is_true("overwrite_output_dir"),
    )


def _shared_settings(draft: Draft, splits: tuple[str, str], *, evaluates: bool) -> dict[str, Any]:
    return {
        **draft.keyed_values(),
        **data_settings(draft, splits, evaluates=evaluates),
        **schedule_settings(draft),
        **evaluation_settings(draft, evaluates=evaluates),
        **precision_settings(draft),
    }


def _complete_settings(
    draft: Draft, defaults: dict[str, Any], given: dict[str, Any], *, trains: bool
) -> dict[str, Any]:
    """Return the script's defaults with the given settings; add the other options to the draft."""
    settings = {**defaults, **given}
    settings |= graph_settings(draft, settings)
    draft.options += [*device_options(draft), *run_folder_options(draft)]
    if not trains:
        draft.options.append("--no-train")
    return settings


def _text_settings(draft: Draft) -> dict[str, Any]:
    items = draft.given.lists.get("chars_to_ignore")
    if items is None:
        return {}
    named = named_characters(items)
    unnamed = unnamed_ascii_removals(script_pattern(items), named)
    if unnamed:
        draft.set_message(
            "chars_to_ignore",
            "is --strip-chars, exactly these characters; the script's regular expression also "
            f"removed {unnamed}",
        )
    return {"text.strip_chars": named}


def _ctc_model_settings(draft: Draft) -> dict[str, Any]:
    given, settings = draft.given, _freeze_settings(draft)
    tokenizer = given.values.get("tokenizer_name_or_path")
    if tokenizer is not None:
        is_model = tokenizer == given.values.get("model_name_or_path")
        settings["vocab"] = "model" if is_model else tokenizer
        draft.set_message("tokenizer_name_or_path", f"is --vocab {settings['vocab']}")
    language = given.values.get("phoneme_language")
    if language is not None:
        settings |= {"text.unit": "phoneme", "text.language": language}
    return settings


def _seq2seq_model_settings(draft: Draft) -> dict[str, Any]:
    given, settings = draft.given, dict[str, Any]()
    if given.values.get("do_lower_case") == "false":
        settings["text.case"] = "keep"
        draft.set_message("do_lower_case", "is --case keep")
    settings |= _freeze_settings(draft)
    if given.is_true("freeze_encoder"):
        settings["freeze"] = "encoder"
    if given.is_true("apply_spec_augment"):
        settings["network.encoder"] = {"apply_spec_augment": True}
        draft.set_message(
            "apply_spec_augment", 'is --set network.encoder={"apply_spec_augment": true}'
        )
    return settings


def _freeze_settings(draft: Draft) -> dict[str, Any]:
    if draft.given.values.get("freeze_feature_encoder") != "false":
        return {}
    draft.set_message("freeze_feature_encoder", "is --freeze none")
    return {"freeze": "none"}


def _warn_of_infinite_losses(draft: Draft) -> None:
    message = (
        "false, as in the script: one infinite loss ends the run. Utterances too short for their "
        "transcript, the usual cause, are skipped and listed"
    )
    draft.extra_notices.append(LegacyNotice("ctc_zero_infinity", "dangerous", message))


# Habana's inference benchmark: LibriSpeech test-clean with a fine-tuned model.

_WAV2VEC_MARKERS = frozenset({
    "--use_graphs", "--dev_clean_ds", "--data_path", "--multi_thread", "--graph_async", "-dt", "-g",
})  # fmt: skip
"""Options of the script alone; with hyphens for underscores they are options of `bench`."""
_SHORT_OPTIONS = {
    "-dt": "--dtype", "-l": "--limit", "-r": "--repeat", "-b": "--buckets", "-a": "--accuracy",
    "-p": "--perf", "-g": "--graph_async",
}  # fmt: skip
"""Its -m 0 or 1 is --multi_thread as well; any other -m is the current --model."""
_BASE, _LARGE = "facebook/wav2vec2-base-960h", "facebook/wav2vec2-large-960h-lv60-self"
_TEST_CLEAN = ("openslr/librispeech_asr", "clean", "test")
_DUMMY = ("hf-internal-testing/librispeech_asr_dummy", "clean", "validation")
"""Dataset, configuration, split: 73 utterances of dev-clean."""


def _is_legacy_benchmark(words: Sequence[str]) -> bool:
    return bool(_WAV2VEC_MARKERS & {word.partition("=")[0] for word in words if is_flag(word)})


def _expand_short_options(words: list[str]) -> list[str]:
    expanded = [_SHORT_OPTIONS.get(word, word) for word in words]
    for index, (word, value) in enumerate(pairwise(expanded)):
        if word == "-m" and value in {"0", "1"}:
            expanded[index] = "--multi_thread"
    return expanded


def _translate_wav2vec(draft: Draft, format_key: FormatKey) -> Translation:
    """Translate wav2vec.py to `bench`."""
    given = draft.given
    is_large = given.is_true("large")
    model = _LARGE if is_large else _BASE
    options = ["--model", model, *(["--large"] if is_large else []), *_data_options(given)]
    for name, default in (("dtype", "fp32"), ("buckets", "0"), ("limit", "0"), ("repeat", "1")):
        options += [f"--{name}", given.values.get(name, default)]
    # The script supported lazy mode only, which has graphs; other devices ignore the mode.
    options += ["--bucket-rule", "quantile", "--hpu-mode", "lazy"]
    options.append("--graphs" if given.is_true("use_graphs") else "--no-graphs")
    options += [f"--{name}" for name in ("accuracy", "perf", "profile") if given.is_true(name)]
    defaults = (
        f"as in the script: {model} transcribes LibriSpeech, so both must be available; "
        "bench --graphs transcribes synthetic speech without either",
        "several utterances are transcribed in one batch where that is faster; the script used "
        "batch size 1, as --batch-seconds 0.1 does",
    )
    notices = [LegacyNotice("", "set", message) for message in defaults]
    return Translation(
        script=_WAV2VEC,
        settings={},
        options=tuple(options),
        rest=given.rest,
        notices=(*draft.notices(format_key), *notices),
        trains=False,
    )


def _data_options(given: Arguments) -> list[str]:
    folder = given.values.get("data_path")
    if folder is not None:
        return ["--data", folder]
    name, config, split = _DUMMY if given.is_true("dev_clean_ds") else _TEST_CLEAN
    return ["--data", name, "--config", config, "--split", split]


SCRIPTS: dict[str, Script] = {
    "ctc": Script(_CTC, table(TRAINER_FLAGS, CTC_FLAGS), _is_legacy_training, _translate_ctc),
    "seq2seq": Script(
        _SEQ2SEQ, table(TRAINER_FLAGS, SEQ2SEQ_FLAGS), _is_legacy_training, _translate_seq2seq
    ),
    "wav2vec": Script(
        _WAV2VEC,
        table(WAV2VEC_FLAGS),
        _is_legacy_benchmark,
        _translate_wav2vec,
        _expand_short_options,
    ),
}


def translate(
    script: Script,
    words: Sequence[str],
    *,
    format_key: FormatKey,
    is_current: Callable[[str], bool],
    has_arguments: bool = False,
) -> Translation:
    """Translate a legacy command to current options.

    Args:
        script: The script that the command calls.
        words: The words after the script's name.
        format_key: Maps a recipe key to the option that sets it.
        is_current: Whether a word is an option of the current command; such words are kept.
        has_arguments: Whether the current command takes positional arguments.

    Raises:
        UsageError: An option that neither the script nor the current command has, a value that is
            missing or of the wrong type, or a command that does nothing.
    """
    own, notices = remove_launcher(words)
    given = parse_arguments(
        script.expand(own), script.table, is_current, has_arguments=has_arguments
    )
    draft = Draft(given, script.table, extra_notices=notices)
    if script.name != _WAV2VEC:
        draft.extra_notices += report_missing(given)
    return script.translate(draft, format_key)
