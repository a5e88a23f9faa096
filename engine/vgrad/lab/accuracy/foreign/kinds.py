"""Kinds of plain PyTorch loops that verdicts are counted on, and which no rule is fitted to. Free of torch.

The recipes' cases share one loop, known baselines and one model builder. These kinds share nothing: each
is a small loop of its own, driven from outside, with whatever loss it has. What each is labelled with follows
from how it is built, and a run counts only where its outcome confirms the label: a healthy one reached what
can be reached, a sick one did not, and its cure did. One that is labelled as vanishing or dead and came
four tenths of the way from its first losses to its cure's is left out.

The held-out kinds were chosen and committed before any rule was changed after their choice, and they are
counted once. Kinds that were held out before are fitted to since their errors were looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from vgrad.lab.accuracy.cases import Part
from vgrad.lab.accuracy.labels import Label


@dataclass(frozen=True, slots=True)
class ForeignKind:
    """One kind of run.

    Attributes:
        name: Also the name of its loop.
        label: What a run of this kind has, unless its outcome says otherwise.
        why: The reason for the label.
        part: Whether rules may be fitted to it.
    """

    name: str
    label: Label
    why: str
    part: Part = "fit"


def _second(name: str, label: Label, why: str) -> ForeignKind:
    """Of a set that was held out once; its errors were looked at, and rules are fitted to it since."""
    return ForeignKind(name, label, why)


def _held_out(name: str, label: Label, why: str) -> ForeignKind:
    return ForeignKind(name, label, why, "held-out")


HEALTHY_KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("label_noise", "healthy", "a share of the labels is wrong: the loss is at the Bayes loss"),
    ForeignKind("rate_to_zero", "healthy", "the schedule ends at a rate of zero: it is held back on purpose"),
    ForeignKind("continued", "healthy", "trained before it was watched: there is little left to learn"),
    ForeignKind("noise_variance", "healthy", "most of the targets' variance is noise"),
    ForeignKind("prior_only", "healthy", "the inputs say nothing: the share of positives is all there is"),
    ForeignKind("unused_layers", "healthy", "some layers never get a gradient, and the others learn"),
    ForeignKind("harder_data", "healthy", "the data become harder in the middle, and it goes on to learn"),
    ForeignKind("least_squares_gan", "healthy", "two players at an equilibrium"),
    ForeignKind("bandit", "healthy", "a policy gradient: its loss means nothing, many gradients are zero"),
    ForeignKind("single_samples", "healthy", "batches of one: losses jump tenfold while their mean falls"),
    ForeignKind(
        "tiny_rate", "healthy", "fine-tuning at a rate of 1e-6 from a good start: held back on purpose"
    ),
    ForeignKind("loss_near_zero", "healthy", "fits its data exactly: ratios of such losses mean nothing"),
    ForeignKind("negative_loss", "healthy", "a Gaussian likelihood: the loss crosses zero"),
    ForeignKind("lucky_start", "healthy", "starts at a low loss by luck and goes back to its ordinary one"),
    ForeignKind("zero_branches", "healthy", "residual branches are multiplied by 0 at first"),
    ForeignKind(
        "hinge_satisfied", "healthy", "a margin loss: exactly 0, and so its gradient, in most batches"
    ),
    ForeignKind("q_learning", "healthy", "the loss rises with the values that are learnt"),
    ForeignKind("late_head", "healthy", "a second task joins in the middle, with layers of its own"),
    _second("noisy_images", "healthy", "a convolutional net on images of which a third is mislabelled"),
    _second("step_decay", "healthy", "a rate that falls by a hundred twice: held back on purpose"),
    _second("resumed_with_adam", "healthy", "trained before, continued with a new optimizer's first steps"),
    _second(
        "heavy_tails", "healthy", "Cauchy noise in the targets: single losses are a hundred times the median"
    ),
    _second("markov_text", "healthy", "a recurrent model at the entropy rate of a Markov chain"),
    _second("vae_annealed", "healthy", "the weight of one part of the loss rises: so does the loss"),
    _second(
        "wasserstein_gan", "healthy", "a critic with clipped weights: its loss is negative and means nothing"
    ),
    _second("actor_critic", "healthy", "two optimizers on a small decision problem"),
    _second("contrastive", "healthy", "negative cosine similarity: the loss falls to -1 and stays"),
    _second("warm_restarts", "healthy", "a cyclic rate: the loss rises at each restart and comes back"),
    _second("denoising", "healthy", "a denoiser: the loss is the noise's and hardly falls"),
    _second("recommender", "healthy", "embeddings of which a batch touches few rows, ratings mostly noise"),
    _second("rare_experts", "healthy", "a router that stops choosing an expert after some time"),
    _second("counts", "healthy", "Poisson counts: the loss is negative and at its floor"),
    _held_out("quantile_regression", "healthy", "pinball losses: their floor is far from zero"),
    _held_out("ranking", "healthy", "pairs of which a quarter is in the wrong order"),
    _held_out("graph_noisy", "healthy", "message passing on a graph with wrong labels"),
    _held_out("seq2seq_reverse", "healthy", "an encoder and a decoder learn to reverse"),
    _held_out("physics_informed", "healthy", "derivatives of the network in the loss: several passes a step"),
    _held_out("clipped_policy", "healthy", "four steps on each batch of choices: the loss means nothing"),
    _held_out("logistic_gan", "healthy", "a generator and a critic with the usual losses"),
    _held_out("linear_bottleneck", "healthy", "an autoencoder that cannot keep most of what it is given"),
    _held_out("balanced_experts", "healthy", "a mixture of experts; a part of the loss cannot fall below 1"),
    _held_out("spiking", "healthy", "surrogate gradients of units that fire or not"),
    _held_out("info_nce", "healthy", "contrasts 64 views at a low temperature"),
    _held_out("heavy_dropout", "healthy", "four of five units are dropped at each step"),
    _held_out("learnt_variances", "healthy", "two tasks with learnt weights: the loss becomes negative"),
    _held_out("growing_lengths", "healthy", "sequences become four times as long in the middle"),
    _held_out("distillation", "healthy", "soft answers of a teacher: the loss ends at their entropy"),
    _held_out("frozen_body", "healthy", "only the head is trained, on a body from before"),
    _held_out("accumulated", "healthy", "four backward passes to a step"),
    _held_out("second_order", "healthy", "LBFGS on a fixed noisy set: done after a few dozen steps"),
    _held_out("focal", "healthy", "rare positives and a loss that starts near zero"),
    _held_out("flow", "healthy", "a normalising flow: its likelihood crosses zero"),
    _held_out("detached_branch", "healthy", "a branch that gets no gradient beside one that learns"),
    _held_out("small_images", "healthy", "two images to a batch: very noisy losses that fall"),
    _held_out("diffusion_sequence", "healthy", "a denoiser of waves: most of its loss is the noise's"),
)

SICK_KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("circles_sigmoid", "vanishing", "8 to 13 sigmoid layers of 5 units; five of tanh cure it"),
    ForeignKind("circles_exp", "non-finite", "exp as activation overflows at once"),
    ForeignKind(
        "circles_relu", "dead", "15 to 17 ReLU layers of 5 units; a smooth unit cures those that die"
    ),
    ForeignKind(
        "one_unit_softmax", "dead", "softmax over one unit: the gradient is exactly 0; two units cure it"
    ),
    ForeignKind("sigmoid_head", "vanishing", "a sigmoid head on targets of 3 to 103; a linear head cures it"),
    ForeignKind("large_weights", "non-finite", "N(0, 1) weights, squared error, SGD 3"),
    ForeignKind("rate_too_high", "exploding", "a rate far too high; a hundredth of it cures it"),
    ForeignKind("never_zeroed", "exploding", "zero_grad is missing; it cures it"),
    ForeignKind("dead_biases", "dead", "biases of -8 before ReLU; biases of 0 cure it"),
    ForeignKind("deep_tanh", "vanishing", "30 tanh layers, small weights, SGD; skip connections cure it"),
    ForeignKind(
        "rnn_forgets", "vanishing", "a plain RNN on a long memory task; a GRU with a good start cures it"
    ),
    ForeignKind("rnn_explodes", "exploding", "a plain RNN with large weights and rate; clipping cures it"),
    ForeignKind("killed_units", "exploding", "the first long steps close all ReLU units; short ones cure it"),
    ForeignKind("zero_weights", "dead", "all weights start at zero; an ordinary draw cures it"),
    _second("glorot_relu_34", "dead", "34 layers of 128 ReLU on digits: about half of the seeds die"),
    _second("log_of_zero", "non-finite", "log of a probability that becomes 0"),
    _second("half_precision_overflow", "non-finite", "sums beyond 65504 in float16"),
    _second("bad_sample", "non-finite", "one input is NaN from some step on"),
    _second("transformer_no_warmup", "exploding", "Adam at a rate of 1 without layer norm; 1e-3 cures it"),
    _second("momentum_diverges", "exploding", "momentum .99 at a high rate; a hundredth cures it"),
    _second(
        "residual_blow_up", "exploding", "60 residual blocks without norm; clipping and a lower rate cure it"
    ),
    _second("deep_conv_sigmoid", "vanishing", "12 convolutions with sigmoid; two with ReLU cure it"),
    _second(
        "saturated_start", "vanishing", "weights so large that every tanh is at its end; small ones cure it"
    ),
    _second("lstm_forgets", "vanishing", "forget gates shut by their biases; open ones cure it"),
    _second("relu_after_shift", "dead", "inputs far from zero and negative weights; a smooth unit cures it"),
    _second("gan_diverges", "exploding", "the critic's rate is a thousand times too high"),
    _second("late_explosion", "exploding", "a schedule that raises the rate a thousandfold in the middle"),
    _second("never_zeroed_deep", "exploding", "zero_grad is missing in a convolutional net with momentum"),
    _held_out("sigmoid_autoencoder", "vanishing", "ten sigmoid layers; four of tanh cure it"),
    _held_out(
        "rnn_cell_explodes", "exploding", "an unrolled cell with a large matrix and rate; small ones cure it"
    ),
    _held_out("never_zeroed_regression", "exploding", "zero_grad is missing in a regression"),
    _held_out("half_exp_overflow", "non-finite", "exponentials beyond 65504 in float16"),
    _held_out("sqrt_of_zero", "non-finite", "the derivative of a root at 0"),
    _held_out("variance_of_zero", "non-finite", "a variance that a ReLU makes 0"),
    _held_out("masked_rows", "non-finite", "a softmax over nothing but padding"),
    _held_out("bright_images", "dead", "a convolutional net whose first filters answer below zero"),
    _held_out("vae_rate", "exploding", "a hundred times too high a rate for exponentials in the loss"),
    _held_out("unscaled_inputs", "vanishing", "inputs in the thousands saturate tanh; scaled ones cure it"),
    _held_out("graph_sigmoid", "vanishing", "twelve graph layers with sigmoid; two with ReLU cure it"),
    _held_out("saturated_softmax", "vanishing", "squared errors of saturated chances; a usual draw cures it"),
    _held_out("silent_spikes", "dead", "a threshold out of reach; a lower one cures it"),
    _held_out("hardtanh_saturated", "dead", "biases far beyond where hardtanh is flat; none cure it"),
    _held_out(
        "ill_conditioned", "exploding", "a feature a hundred times as large as the others; scaling cures it"
    ),
    _held_out("rnn_delay", "vanishing", "a plain RNN and a delay of sixty; a delay of four cures it"),
    _held_out("gru_forgets", "vanishing", "update gates that let go; those that keep cure it"),
    _held_out("q_diverges", "exploding", "values learnt from themselves with a discount above 1"),
    _held_out("gain_three", "exploding", "twenty layers of weights three times too large; He's cure it"),
    _held_out("physics_rate", "exploding", "a hundred times too high a rate with derivatives in the loss"),
    _held_out("text_rate", "exploding", "a ReLU RNN at a rate with momentum that throws it off"),
)

FOREIGN_KINDS: tuple[ForeignKind, ...] = (*HEALTHY_KINDS, *SICK_KINDS)
