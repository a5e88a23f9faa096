"""The experiments: the article's and the field's methods, each on a recipe where it should matter."""

from __future__ import annotations

from dataclasses import replace

from vgrad.lab.study import method_table as m
from vgrad.lab.study.plan import Experiment, Method, Plan, Protocol, Solved, settings

_TEN_PERCENT = Solved("metric", 0.1, "validation error at most 10 %")
_ONE_PERCENT = Solved("metric", 0.01, "validation error at most 1 %")
_TEXT = Solved("loss", 2.0, "validation loss at most 2.0 nats a character")
_SUM = Solved("loss", 0.01, "validation MSE at most 0.01; always answering 1 gives 0.167")

NOT_TRIED = {
    (
        "freeze",
        "layers",
    ): "leaves layers untrained: for fine-tuning and comparisons, no remedy",
    ("optimizer", "recipe"): "is the control",
    ("precision", "fp32"): "is the control everywhere but in fp16-underflow, which has it as a method",
    ("schedule", "constant"): "is the control",
    ("activation", "sigmoid"): "is the disease: depth-sigmoid begins with it",
    ("activation", "leaky_relu"): "is ReLU to a hundredth, and ReLU is a method",
    ("activation", "elu"): "is near to GELU, which is a method",
    ("activation", "selu"): "is near to GELU, which is a method",
}
"""Values of controls that no method sets, and why; ``off`` is always the control."""

_ARTICLE = Experiment(
    Protocol("article-net", "article-net", 10),
    "The article's own network: 10 steps on one batch of noise.",
    (*m.AS_PRINTED, m.SAM, m.CLIP, Method("accumulate 2 (mean)", settings(accumulate="mean:2")), m.LR_UP),
)
_DEPTH_SIGMOID = Experiment(
    Protocol("depth-sigmoid", "depth-sigmoid", 1300, prefix=300, solved=_TEN_PERCENT),
    "20 sigmoid layers on digits: the gradient vanishes over depth. Methods from update 300 on.",
    (
        *m.AS_PRINTED, *m.STANDARD, *m.CLIPS,
        m.NOISE, m.CENTRALIZE, m.LARS, *m.OPTIMIZERS, m.LR_UP, m.LR_DOWN,
        m.TANH, m.GELU, m.RELU_HE, m.RELU_HE_CLIPPED, m.SKIP, m.LAYER_NORM,
    ),
)  # fmt: skip
_DEPTH_TANH = Experiment(
    Protocol("depth-tanh", "depth-tanh", 1200, prefix=200, solved=_TEN_PERCENT),
    "30 tanh layers as PyTorch draws them: the gradient vanishes over depth. Methods from update 200 on.",
    (m.SUPERVISE, m.CLIP, m.DOUBLE, m.LARS, m.ADAM, m.SKIP, m.LAYER_NORM),
)
_DIGITS_CONV = Experiment(
    Protocol("digits-conv", "digits-conv", 600, prefix=200, solved=_TEN_PERCENT),
    "8 ReLU convolutions as PyTorch draws them: the gradient vanishes over depth. From update 200 on.",
    (m.CLIP, m.DOUBLE, m.LARS, m.ADAM, m.TANH, m.RELU_HE, m.SKIP, m.LAYER_NORM),
)
_TINY_BATCH = Experiment(
    Protocol("tiny-batch", "tiny-batch", 2400, prefix=800, solved=_TEN_PERCENT),
    "One digit an update at lr 0.3: too noisy. Methods from update 800 on, then 1600 microbatches each.",
    (
        Method("accumulate 16 (mean)", settings(accumulate="mean:16")),
        Method("lr ÷ 16 alone", settings(lr_scale="0.0625")),
        Method("accumulate 16 (sum)", settings(accumulate="sum:16")),
        m.DOUBLE, m.HOARD, m.CLIP,
        Method("lr in steps", settings(schedule="step:400")),
        Method("lr by cosine", settings(schedule="cosine:100,total_steps=2400")),
    ),
)  # fmt: skip
_CHARLM = Experiment(
    Protocol("charlm-rnn-start", "charlm-rnn", 600, solved=_TEXT),
    "A character RNN on real text: explodes in its first steps. Methods from the first update on.",
    (
        *m.ANY_MODEL, *m.STANDARD, *m.CLIPS,
        m.LARS, m.SKIP_NON_FINITE, m.CLIP_OMEGA, m.ADAM, m.LR_DOWN, m.LSTM, m.GRU,
    ),
)  # fmt: skip
_CHARLM_LATE = Experiment(
    Protocol("charlm-rnn-late", "charlm-rnn", 600, prefix=300, solved=_TEXT),
    "The same, with the method turned on at update 300, long after it exploded.",
    (m.CLIP, m.LR_DOWN, m.ADAM),
)
_CHARLM_RELU = Experiment(
    Protocol(
        "charlm-relu", "charlm-rnn", 600,
        prefix=2, base=settings(model__activation="relu", lr_scale="0.5"), solved=_TEXT,
    ),
    "The same with ReLU at lr 1: NaN within some steps. Methods from update 2 on, before it happens.",
    (m.CLIP, m.CLAMP, m.SKIP_NON_FINITE, m.ADAM),
)  # fmt: skip
_CHARLM_CLIPPED = Experiment(
    Protocol("charlm-clipped", "charlm-rnn", 600, base=settings(clip="norm:1"), solved=_TEXT),
    "The same with clip norm 1 always on, so that it learns: what does a method do to a healthy run?",
    (
        m.ASCEND, m.KICK, m.DOUBLE, m.HOARD, m.SAM, m.MEAN,
        m.NOISE, m.CENTRALIZE, m.OMEGA, m.SGD, *m.OPTIMIZERS, m.BF16, m.SKIP_NON_FINITE,
    ),
)  # fmt: skip
_ORDER_ARTICLE = Experiment(
    Protocol("temporal-order-start", "temporal-order", 4000, solved=_ONE_PERCENT, look_every=250),
    "Which of two symbols came first, 30 steps: explodes or forgets. 4,000 updates, methods from the first.",
    (*m.ANY_MODEL, m.CLIP, m.CLIP_OMEGA),
)
_ORDER_LATE = Experiment(
    Protocol("temporal-order-late", "temporal-order", 5500, prefix=1500, solved=_ONE_PERCENT, look_every=250),
    "The same, with the method turned on at update 1,500.",
    (m.CLIP, m.CLIP_OMEGA),
)


def _order_until_solved(seq_len: int, updates: int) -> Experiment:
    return Experiment(
        Protocol(
            f"temporal-order-{seq_len}", "temporal-order", updates,
            base=settings(data__seq_len=str(seq_len)), solved=_ONE_PERCENT, look_every=250, stops=True,
        ),
        f"Pascanu's task at T = {seq_len}: does it get solved within {updates:,} updates, and when?",
        (m.CLIP, m.CLIP_OMEGA),
    )  # fmt: skip


_FP16 = Experiment(
    Protocol("fp16-underflow", "fp16-underflow", 1000, prefix=500),
    "An autoencoder with a small loss in float16, loss scale 1: gradients are 0. Methods from update 500 on.",
    (
        Method("loss scale 65536", settings(precision="fp16:65536,dynamic=off")),
        Method("loss scale (dynamic)", settings(precision="fp16:65536")),
        Method("float32", settings(precision="fp32")),
        Method("lr × 10", settings(lr_scale="10")),
        m.DOUBLE,
    ),
    num_seeds=3,
)
_ADDING = Experiment(
    Protocol("adding-gates", "adding-gates", 1500, solved=_SUM),
    "Adding two far numbers with Adam: an RNN forgets the first. Methods from the first update on.",
    (m.CLIP, m.CLIP_OMEGA, m.DOUBLE, m.LSTM, m.GRU),
)


def full_plan() -> Plan:
    """Everything."""
    return Plan(
        (
            _ARTICLE, _DEPTH_SIGMOID, _DEPTH_TANH, _DIGITS_CONV, _TINY_BATCH,
            _CHARLM, _CHARLM_LATE, _CHARLM_RELU, _CHARLM_CLIPPED,
            _ORDER_ARTICLE, _ORDER_LATE,
            _order_until_solved(20, 20_000), _order_until_solved(30, 20_000), _order_until_solved(50, 12_500),
            _FP16, _ADDING,
        )
    )  # fmt: skip


def quick_plan() -> Plan:
    """What shows the most within a minute on two idle cores, and ends with the words of the full plan.

    Measured on two AMD EPYC cores: 73 s of CPU time in all, torch's import in each of the two
    processes among them; beside much other work it took 90 s. The same methods at full length with
    5 seeds helped, did nothing and did harm as here. Clipping as coded is not among those of
    charlm-rnn: it helps in the first 150 updates, and after 600 no difference is left.
    """
    short = (
        _ARTICLE,
        _shortened(_DEPTH_SIGMOID, 400, 100, (m.CLIP, m.DOUBLE, m.ASCEND, m.FLOOR, m.TANH, m.SKIP)),
        _shortened(_TINY_BATCH, 1200, 400, (*_TINY_BATCH.methods[:2], m.DOUBLE)),
        _shortened(_CHARLM, 150, 0, (m.CLIP, m.LSTM)),
    )
    kept = {experiment.protocol.name for experiment in short}
    missing = [e.protocol.name for e in full_plan().experiments if e.protocol.name not in kept]
    return Plan(
        short,
        (
            f"experiments: {', '.join(missing)}",
            "most methods of depth-sigmoid, tiny-batch and charlm-rnn",
            "data: 400 microbatches instead of 1300, 1200 instead of 2400, 150 instead of 600",
            "seeds: 3 instead of 5, but for article-net",
        ),
    )


def _shortened(
    experiment: Experiment, microbatches: int, prefix: int, kept: tuple[Method, ...]
) -> Experiment:
    protocol = replace(experiment.protocol, microbatches=microbatches, prefix=prefix)
    sentence, _, _ = experiment.shows.partition(". ")
    shows = f"{sentence}. Shortened; methods from update {prefix} on."
    return Experiment(protocol, shows, kept, num_seeds=3)
