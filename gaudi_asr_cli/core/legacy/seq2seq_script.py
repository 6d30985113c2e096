"""run_speech_recognition_seq2seq.py as today's finetune-seq2seq, or eval-seq2seq to score alone."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.legacy.defaults import unlike_todays
from gaudi_asr_cli.core.legacy.training_script import (
    SHARED_DEFAULTS,
    data_settings,
    evaluation_settings,
    folder_options,
    graph_settings,
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
    Spell,
    Translation,
    defaults_notice,
    keyed_values,
)

NAME = "run_speech_recognition_seq2seq.py"
KIND = "finetune-seq2seq"
SPLITS = ("train", "test")

SEQ2SEQ_DEFAULTS: dict[str, Any] = {
    "text.case": "lower",
    "freeze": "feature-encoder",
    # The script asks the model's generation configuration.
    "generation.beams": 0,
    **SHARED_DEFAULTS,
}
"""The script's and the trainer's own; keys that a flag sets are replaced."""


def translate_seq2seq(draft: Draft, spell: Spell) -> Translation:
    """The whole command.

    Raises:
        UsageError: It would have done nothing, or a value is of the wrong kind.
    """
    given = draft.given
    trains, scores = phases(draft)
    defaults = unlike_todays({**SEQ2SEQ_DEFAULTS, **machine_defaults(draft)}, KIND)
    asked = {
        **keyed_values(given, draft.table),
        **data_settings(draft, SPLITS, scores=scores),
        **schedule_settings(draft),
        **evaluation_settings(draft, scores=scores),
        **precision_settings(draft),
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
    return Translation(
        script=NAME,
        settings=settings,
        options=tuple(draft.options),
        rest=given.rest,
        notices=(*draft.notices(spell), defaults_notice(quietly)),
        trains=trains,
        numbers_run=given.is_true("overwrite_output_dir"),
    )


def _model_settings(draft: Draft) -> dict[str, Any]:
    given, settings = draft.given, dict[str, Any]()
    if given.values.get("do_lower_case") == "false":
        settings["text.case"] = "keep"
        draft.tell("do_lower_case", "is --case keep")
    if given.values.get("freeze_feature_encoder") == "false":
        settings["freeze"] = "none"
        draft.tell("freeze_feature_encoder", "is --freeze none")
    if given.is_true("freeze_encoder"):
        settings["freeze"] = "encoder"
    if given.is_true("apply_spec_augment"):
        settings["network.encoder"] = {"apply_spec_augment": True}
        draft.tell("apply_spec_augment", 'is --set network.encoder={"apply_spec_augment": true}')
    return settings
