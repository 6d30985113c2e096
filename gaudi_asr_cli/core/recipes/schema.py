"""What a recipe may say: pydantic models, strict about names and types.

Keys that have an option of their own are described in `keys`, all others here; docs/recipes.md is
written from these descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from gaudi_asr_cli.core.recipes.keys import (
    CTC_KIND,
    SEQ2SEQ_KIND,
    CtcFrozenPart,
    FrozenPart,
    LetterCase,
    Precision,
    SpeechTask,
    UnicodeValue,
    describe_key,
)

Share = Annotated[float, Field(ge=0.0, le=1.0)]
NormalizerValue = Literal["none", "basic", "basic/1", "basic/2", "whisper-english"]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(Section):
    data: str | list[str] = Field(
        description="Hub id, path, LAYOUT:PATH or PATH#SPLIT; a list is joined. "
        "That of train, where eval or test only name a split."
    )
    config: str | None = Field(None, description=describe_key("*.config"))
    split: str | None = Field(None, description=describe_key("*.split"))
    text_column: str | None = Field(None, description=describe_key("*.text_column"))
    limit: PositiveInt | None = Field(None, description=describe_key("*.limit"))

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.data,) if isinstance(self.data, str) else tuple(self.data)


class TextSection(Section):
    strip_chars: str = Field("", description=describe_key("text.strip_chars"))
    case: LetterCase = Field("keep", description=describe_key("text.case"))
    unicode: UnicodeValue = Field("nfc", description=describe_key("text.unicode"))
    min_count: PositiveInt = Field(1, description="Rarer characters become the unknown token.")
    word_delimiter_token: str = Field("|", description="Token that stands for a space.")
    unk_token: str = Field("[UNK]", description="Token for characters outside the vocabulary.")
    pad_token: str = Field("[PAD]", description="Padding token, which is CTC's blank.")
    unit: Literal["character", "phoneme"] = Field(
        "character", description="What is learnt: characters, or phonemes as espeak-ng says them."
    )
    language: str | None = Field(
        None,
        description="Whose case rules (tr, az); with `unit: phoneme` as espeak-ng names it: tr.",
    )

    @property
    def phonemes_of(self) -> str | None:
        """The language whose phonemes are learnt; None where characters are."""
        return self.language if self.unit == "phoneme" else None

    @model_validator(mode="after")
    def _say_which_phonemes(self) -> TextSection:
        if self.unit == "phoneme" and self.language is None:
            raise ValueError("unit: phoneme needs a language, such as language: tr")
        return self


class BatchingSection(Section):
    buckets: PositiveInt = Field(8, description=describe_key("batching.buckets"))
    batch_seconds: PositiveFloat = Field(120.0, description=describe_key("batching.batch_seconds"))
    batch: PositiveInt | None = Field(None, description=describe_key("batching.batch"))
    accumulate: PositiveInt = Field(1, description=describe_key("batching.accumulate"))
    max_seconds: PositiveFloat | None = Field(
        30.0, description=describe_key("batching.max_seconds")
    )
    min_seconds: float = Field(0.0, ge=0.0, description=describe_key("batching.min_seconds"))


class NetworkSection(Section):
    """Fields of the model's configuration; what is not named stays as the model has it."""

    attention_dropout: Share | None = None
    activation_dropout: Share | None = None
    feat_proj_dropout: Share | None = None
    hidden_dropout: Share | None = None
    final_dropout: Share | None = None
    layerdrop: Share | None = Field(None, description="Chance to skip a layer; keep 0 for graphs.")
    mask_time_prob: Share | None = Field(None, description=describe_key("network.mask_time_prob"))
    mask_time_length: PositiveInt | None = None
    mask_feature_prob: Share | None = Field(None, description="SpecAugment over features.")
    mask_feature_length: PositiveInt | None = None
    ctc_loss_reduction: Literal["mean", "sum"] = "mean"
    ctc_zero_infinity: bool = Field(True, description="Zero an infinite loss and its gradient.")
    add_adapter: bool | None = None

    def overrides(self) -> dict[str, Any]:
        """What to set in the model's configuration."""
        return self.model_dump(exclude_none=True)


class HalvesSection(Section):
    """Fields of the configurations of an encoder-decoder; what is not named stays as it is.

    A Whisper has one configuration for both: there it does not matter which part names a field.
    """

    mask_time_prob: Share | None = Field(None, description=describe_key("network.mask_time_prob"))
    mask_time_length: PositiveInt | None = None
    mask_feature_prob: Share | None = Field(None, description="SpecAugment over features.")
    mask_feature_length: PositiveInt | None = None
    encoder: dict[str, Any] = Field(
        default_factory=dict, description="Any field of the encoder, such as layerdrop: 0.0."
    )
    decoder: dict[str, Any] = Field(
        default_factory=dict, description="Any field of the decoder, such as dropout: 0.1."
    )

    def overrides(self) -> dict[str, Any]:
        """What to set in the encoder's configuration."""
        masks = self.model_dump(exclude_none=True, exclude={"encoder", "decoder"})
        return {**masks, **self.encoder}


class GenerationSection(Section):
    """How text is generated for scores; training itself needs none of it."""

    max_tokens: PositiveInt | None = Field(None, description=describe_key("generation.max_tokens"))
    beams: NonNegativeInt = Field(1, description=describe_key("generation.beams"))


class DecodingSection(Section):
    """How scores are decoded, during training and after it; training itself needs none of it."""

    beam_size: PositiveInt | None = Field(None, description=describe_key("decoding.beam_size"))
    lm: str | None = Field(None, description=describe_key("decoding.lm"))
    lm_weight: float | None = Field(None, description=describe_key("decoding.lm_weight"))
    word_bonus: float | None = Field(None, description=describe_key("decoding.word_bonus"))
    hotwords: str | None = Field(None, description=describe_key("decoding.hotwords"))
    hotword_weight: float | None = Field(None, description=describe_key("decoding.hotword_weight"))


class LoraSection(Section):
    """Low-rank updates instead of all weights (extra `lora`); merged into them when saved."""

    rank: PositiveInt | None = Field(None, description=describe_key("lora.rank"))
    alpha: PositiveFloat | None = Field(None, description="Scale of the update; twice the rank.")
    dropout: Share = 0.0
    targets: list[str] = Field(
        ["q_proj", "v_proj"], description="Layers that get an update, by the end of their name."
    )


class AugmentSection(Section):
    speed: float = Field(
        0.0, ge=0.0, lt=0.5, description="Play sounds up to this share faster or slower."
    )


class OptimizerSection(Section):
    learning_rate: PositiveFloat = Field(
        3.0e-4, description=describe_key("optimizer.learning_rate")
    )
    warmup: int | str = Field("10%", description=describe_key("optimizer.warmup"))
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: PositiveFloat = 1.0e-8
    weight_decay: float = Field(0.0, ge=0.0)
    clip_norm: float = Field(1.0, ge=0.0, description="Largest norm of the gradient; 0: no limit.")


class EvaluationSection(Section):
    every: PositiveInt | Literal["epoch", "end"] = Field(
        "epoch", description="Steps between scores."
    )
    save_every: PositiveInt | Literal["epoch", "end"] = Field(
        "epoch", description="Steps between checkpoints; every best one is kept besides."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Weights that are kept: of the best score, or of the last step."
    )
    log_every: PositiveInt = Field(10, description="Steps between log lines.")
    patience: PositiveInt | None = Field(None, description=describe_key("evaluation.patience"))
    normalizer: NormalizerValue = Field(
        "basic", description="Of both texts before scoring; basic is its newest version, basic/2."
    )
    samples: int = Field(3, ge=0, description="Predictions to show with each score.")


class PublishedSection(Section):
    """A result that was published for just this recipe; one that `extends` it does not inherit it.

    What was never said is absent, or named in `unknown`.
    """

    document: str = Field(description="Where it was published.")
    lines: tuple[PositiveInt, ...] = Field((), description="Of the document: row or command.")
    data: str = Field(description="Data set and splits as they were called there.")
    split: str | None = Field(None, description="Split that was scored.")
    hardware: str | None = Field(None, description="What it ran on.")
    cards: PositiveInt | None = Field(None, description="How many of them.")
    dtype: str | None = Field(None, description="What it computed in.")
    minutes: PositiveFloat | None = Field(None, description="Training time.")
    wer: Share | None = Field(None, description="Word error rate, a fraction.")
    per: Share | None = Field(None, description="Phoneme error rate, a fraction.")
    loss: PositiveFloat | None = None
    normalizer: str | None = Field(None, description="What was done to both texts before scoring.")
    unknown: tuple[str, ...] = Field(
        (), description="Keys and sections that were not published: here they have our defaults."
    )
    note: str = Field("", description="What else one should know to compare.")


class Recipe(Section):
    """What every kind of recipe may say of itself."""

    requires: str = Field("", description="What to get or make first, and how to name it.")
    published: PublishedSection | None = Field(
        None, description="What was published for it, if anything."
    )


class TrainingRecipe(Recipe):
    """What every training run says."""

    kind: str
    name: str = Field(
        "finetune", description="Prefix of the run folder's name; of a file, its own name."
    )
    model: str
    language: str | None = None
    freeze: str = "none"
    train: DataSection = Field(description=describe_key("train.data"))
    eval: DataSection | None = Field(None, description=describe_key("eval.data"))
    test: DataSection | None = Field(None, description=describe_key("test.data"))
    text: TextSection = TextSection()
    batching: BatchingSection = BatchingSection()
    augment: AugmentSection = AugmentSection()
    optimizer: OptimizerSection = OptimizerSection()
    evaluation: EvaluationSection = EvaluationSection()
    epochs: PositiveFloat = Field(3.0, description=describe_key("epochs"))
    max_steps: PositiveInt | None = Field(None, description=describe_key("max_steps"))
    gradient_checkpointing: bool = False
    dtype: Precision = Field("auto", description=describe_key("dtype"))
    seed: int = Field(42, description=describe_key("seed"))
    trainer: dict[str, Any] = Field(
        default_factory=dict, description="Any other field of transformers' TrainingArguments."
    )


class CtcRecipe(TrainingRecipe):
    """A CTC fine-tuning run, or one from random weights."""

    kind: Literal["finetune-ctc"] = "finetune-ctc"
    name: str = Field(
        "finetune-ctc", description="Prefix of the run folder's name; of a file, its own name."
    )
    model: str = Field(
        "facebook/wav2vec2-base",
        description=describe_key("model", CTC_KIND),
    )
    language: str | None = Field(None, description=describe_key("language", CTC_KIND))
    freeze: CtcFrozenPart = Field("feature-encoder", description=describe_key("freeze", CTC_KIND))
    architecture: dict[str, Any] | None = Field(
        None, description="With `model: scratch`: fields of Wav2Vec2Config, and first_convolution."
    )
    vocab: str = Field("auto", description=describe_key("vocab"))
    network: NetworkSection = NetworkSection()
    decoding: DecodingSection = DecodingSection()


class Seq2SeqRecipe(TrainingRecipe):
    """Fine-tuning of a Whisper, or of an encoder-decoder that `create-seq2seq` made."""

    kind: Literal["finetune-seq2seq"] = "finetune-seq2seq"
    name: str = Field(
        "finetune-seq2seq", description="Prefix of the run folder's name; of a file, its own name."
    )
    model: str = Field("openai/whisper-small", description=describe_key("model", SEQ2SEQ_KIND))
    language: str | None = Field(None, description=describe_key("language", SEQ2SEQ_KIND))
    task: SpeechTask | None = Field(None, description=describe_key("task"))
    freeze: FrozenPart = Field("none", description=describe_key("freeze", SEQ2SEQ_KIND))
    network: HalvesSection = HalvesSection()
    generation: GenerationSection = GenerationSection()
    lora: LoraSection = LoraSection()
