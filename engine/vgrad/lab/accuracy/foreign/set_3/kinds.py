"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("quantile_regression", "healthy", "pinball losses: their floor is far from zero"),
    ForeignKind("ranking", "healthy", "pairs of which a quarter is in the wrong order"),
    ForeignKind("graph_noisy", "healthy", "message passing on a graph with wrong labels"),
    ForeignKind("seq2seq_reverse", "healthy", "an encoder and a decoder learn to reverse"),
    ForeignKind(
        "physics_informed", "healthy", "derivatives of the network in the loss: several passes a step"
    ),
    ForeignKind("clipped_policy", "healthy", "four steps on each batch of choices: the loss means nothing"),
    ForeignKind("logistic_gan", "healthy", "a generator and a critic with the usual losses"),
    ForeignKind("linear_bottleneck", "healthy", "an autoencoder that cannot keep most of what it is given"),
    ForeignKind(
        "balanced_experts", "healthy", "a mixture of experts; a part of the loss cannot fall below 1"
    ),
    ForeignKind("spiking", "healthy", "surrogate gradients of units that fire or not"),
    ForeignKind("info_nce", "healthy", "contrasts 64 views at a low temperature"),
    ForeignKind("heavy_dropout", "healthy", "four of five units are dropped at each step"),
    ForeignKind("learnt_variances", "healthy", "two tasks with learnt weights: the loss becomes negative"),
    ForeignKind("growing_lengths", "healthy", "sequences become four times as long in the middle"),
    ForeignKind("distillation", "healthy", "soft answers of a teacher: the loss ends at their entropy"),
    ForeignKind("frozen_body", "healthy", "only the head is trained, on a body from before"),
    ForeignKind("accumulated", "healthy", "four backward passes to a step"),
    ForeignKind("second_order", "healthy", "LBFGS on a fixed noisy set: done after a few dozen steps"),
    ForeignKind("focal", "healthy", "rare positives and a loss that starts near zero"),
    ForeignKind("flow", "healthy", "a normalising flow: its likelihood crosses zero"),
    ForeignKind("detached_branch", "healthy", "a branch that gets no gradient beside one that learns"),
    ForeignKind("small_images", "healthy", "two images to a batch: very noisy losses that fall"),
    ForeignKind("diffusion_sequence", "healthy", "a denoiser of waves: most of its loss is the noise's"),
    ForeignKind("sigmoid_autoencoder", "vanishing", "ten sigmoid layers; four of tanh cure it"),
    ForeignKind(
        "rnn_cell_explodes", "exploding", "an unrolled cell with a large matrix and rate; small ones cure it"
    ),
    ForeignKind("never_zeroed_regression", "exploding", "zero_grad is missing in a regression"),
    ForeignKind("half_exp_overflow", "non-finite", "exponentials beyond 65504 in float16"),
    ForeignKind("sqrt_of_zero", "non-finite", "the derivative of a root at 0"),
    ForeignKind("variance_of_zero", "non-finite", "a variance that a ReLU makes 0"),
    ForeignKind("masked_rows", "non-finite", "a softmax over nothing but padding"),
    ForeignKind("bright_images", "dead", "a convolutional net whose first filters answer below zero"),
    ForeignKind("vae_rate", "exploding", "a hundred times too high a rate for exponentials in the loss"),
    ForeignKind("unscaled_inputs", "vanishing", "inputs in the thousands saturate tanh; scaled ones cure it"),
    ForeignKind("graph_sigmoid", "vanishing", "twelve graph layers with sigmoid; two with ReLU cure it"),
    ForeignKind(
        "saturated_softmax", "vanishing", "squared errors of saturated chances; a usual draw cures it"
    ),
    ForeignKind("silent_spikes", "dead", "a threshold out of reach; a lower one cures it"),
    ForeignKind("hardtanh_saturated", "dead", "biases far beyond where hardtanh is flat; none cure it"),
    ForeignKind(
        "ill_conditioned", "exploding", "a feature a hundred times as large as the others; scaling cures it"
    ),
    ForeignKind("rnn_delay", "vanishing", "a plain RNN and a delay of sixty; a delay of four cures it"),
    ForeignKind("gru_forgets", "vanishing", "update gates that let go; those that keep cure it"),
    ForeignKind("q_diverges", "exploding", "values learnt from themselves with a discount above 1"),
    ForeignKind("gain_three", "exploding", "twenty layers of weights three times too large; He's cure it"),
    ForeignKind("physics_rate", "exploding", "a hundred times too high a rate with derivatives in the loss"),
    ForeignKind("text_rate", "exploding", "a ReLU RNN at a rate with momentum that throws it off"),
)
