"""run_speech_recognition_ctc.py as today's finetune-ctc (or, without --do_train, a score alone)."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.legacy.defaults import unlike_todays
from gaudi_asr_cli.core.legacy.ignored_chars import (
    named_characters,
    removed_besides,
    script_pattern,
)
from gaudi_asr_cli.core.legacy.reading import Given
from gaudi_asr_cli.core.legacy.training_script import (
    SHARED_DEFAULTS,
    data_settings,
    evaluation_settings,
    folder_options,
    graph_settings,
    is_graphcore,
    machine_defaults,
    machine_options,
    phases,
    precision_settings,
    schedule_settings,
    unasked,
    unnamed_splits,
)
from gaudi_asr_cli.core.legacy.translating import (
    Draft,
    OldNotice,
    Spell,
    Translation,
    defaults_notice,
    keyed_values,
)

NAME = "run_speech_recognition_ctc.py"
SPLITS = ("train+validation", "test")
INFINITY = "network.ctc_zero_infinity"

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
"""The script's and the trainer's own; keys that a flag sets are replaced."""


def translate_ctc(draft: Draft, spell: Spell) -> Translation:
    """The whole command.

    Raises:
        UsageError: It would have done nothing, or a value is of the wrong kind.
    """
    given = draft.given
    trains, scores = phases(draft)
    defaults = _defaults(draft)
    asked = {
        **keyed_values(given, draft.table),
        **data_settings(draft, SPLITS, scores=scores),
        **schedule_settings(draft),
        **evaluation_settings(draft, scores=scores),
        **precision_settings(draft),
        **_text_settings(draft),
        **_model_settings(draft),
    }
    settings = {**defaults, **asked}
    settings |= graph_settings(draft, settings)
    draft.options += [*machine_options(draft), *folder_options(draft)]
    if not trains:
        draft.options.append("--no-train")
    quietly = {
        **unnamed_splits(draft, SPLITS, trains=trains, scores=scores),
        **unasked(defaults, asked, trains=trains),
    }
    if trains and not settings.get(INFINITY, True):
        _note_infinity(draft)
        quietly.pop(INFINITY, None)
    return Translation(
        script=NAME,
        settings=settings,
        options=tuple(draft.options),
        rest=given.rest,
        notices=(*draft.notices(spell), defaults_notice(quietly)),
        trains=trains,
        numbers_run=given.is_true("overwrite_output_dir"),
        former_pattern=_former_pattern(given),
    )


def _defaults(draft: Draft) -> dict[str, Any]:
    graphcore = {"network.mask_time_prob": 0.0} if is_graphcore(draft) else {}
    defaults = {**CTC_DEFAULTS, **graphcore, **machine_defaults(draft)}
    return unlike_todays(defaults, "finetune-ctc")


def _text_settings(draft: Draft) -> dict[str, Any]:
    items = draft.given.lists.get("chars_to_ignore")
    if items is None:
        return {}
    named = named_characters(items)
    besides = removed_besides(script_pattern(items), named)
    if besides:
        draft.tell(
            "chars_to_ignore",
            "is --strip-chars, exactly these characters; the script made a pattern of them that "
            f"also removed {besides}",
        )
    return {"text.strip_chars": named}


def _former_pattern(given: Given) -> str | None:
    items = given.lists.get("chars_to_ignore")
    return None if items is None else script_pattern(items)


def _model_settings(draft: Draft) -> dict[str, Any]:
    given, settings = draft.given, dict[str, Any]()
    if given.values.get("freeze_feature_encoder") == "false":
        settings["freeze"] = "none"
        draft.tell("freeze_feature_encoder", "is --freeze none")
    tokenizer = given.values.get("tokenizer_name_or_path")
    if tokenizer is not None:
        same = tokenizer == given.values.get("model_name_or_path")
        settings["vocab"] = "model" if same else tokenizer
        draft.tell("tokenizer_name_or_path", f"is --vocab {settings['vocab']}")
    language = given.values.get("phoneme_language")
    if language is not None:
        settings |= {"text.unit": "phoneme", "text.language": language}
    return settings


def _note_infinity(draft: Draft) -> None:
    draft.extra.append(
        OldNotice(
            "ctc_zero_infinity",
            "dangerous",
            "false, as in the script: one infinite loss ends the run. Utterances too short "
            "for their text, its usual cause, are left out beforehand and listed",
        )
    )
