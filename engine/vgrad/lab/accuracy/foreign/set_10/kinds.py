"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind, kinds_of

_HEALTHY = {
    "new_head": "a new head on a body that was trained before and is frozen, with wrong labels",
    "one_in_fifty": "one sample in fifty is positive, and the inputs say a little about which",
    "decay_in_balance": "a strong weight decay and wrong labels come to a balance",
    "cycled_momentum": "a one-cycle schedule that moves the momentum, too",
    "restarts_of_adamw": "AdamW with warm restarts at a floor of noise",
    "accumulated_by_hand": "four backward passes before each step",
    "searched_lines": "LBFGS on a logistic regression: it is at the optimum within a few steps",
    "body_at_rate_zero": "two groups of parameters, one at a rate of 0",
    "noisier_by_the_hundred": "a curriculum that makes more and more of the labels wrong",
    "single_rows_of_noise": "one row at a time with Adam, and as much noise as signal",
    "mostly_dropped": "dropout of .7 after each of three layers",
    "smoothed_images": "label smoothing: the loss has a floor of its own",
    "focal_and_rare": "a focal loss on one positive in twenty",
    "ternary_weights": "weights are rounded, and the gradient passes straight through",
    "signed_attack": "each batch is attacked along the sign of its gradient",
    "noise_on_gradients": "noise is added to clipped gradients",
    "mixed_targets": "mixup: the targets are shares",
    "exact_line": "a regression without noise: the loss falls to rounding errors",
    "exclusive_or": "a plateau, and then all four rows are known",
    "nothing_but_the_mean": "targets far from zero that the inputs say nothing about",
    "two_hundred_rows": "a few rows in shuffled epochs are learnt by heart",
    "clipped_with_warm_up": "a warm-up, a cosine and a clip of 1, at a floor of noise",
    "drifting_inputs": "inputs that drift to and fro",
    "summed_vae": "a variational autoencoder with a summed loss",
    "contrast_of_views": "InfoNCE of two noisy views, at its floor",
    "squeezed_images": "an autoencoder through three numbers",
    "values_with_target": "deep Q-learning with a replay memory and a copied target",
    "advantage_and_value": "an actor and a critic with one body, and noisy rewards",
    "four_epochs_a_batch": "proximal policy optimisation: losses around zero",
    "averaged_self": "a net follows a slow average of itself",
    "penalised_ring": "a Wasserstein generator and a critic with a gradient penalty",
    "hinge_ring": "two players with the hinge loss",
    "noise_at_levels": "a diffusion model at its floor",
    "pairs_of_words": "a transformer on text of pairs comes to its entropy",
    "misheard_words": "an encoder, and a decoder with attention; a fifth of the answers is wrong",
    "friends_of_friends": "messages over a graph, all of it at each step",
    "rated_films": "two tables with sparse gradients",
    "chosen_experts": "a router sends each row to one of six experts, some of which are never chosen",
    "number_and_kind": "two tasks, one with a likelihood: the loss is below zero",
    "damped_swing": "a physics-informed net",
    "filtered_signal": "an LSTM forecasts what is driven by noise",
    "visits_by_the_hour": "a GRU forecasts counts",
    "spelt_sounds": "a connectionist loss finds which letter is when",
    "queue_of_keys": "momentum contrast with a queue",
    "learnt_to_adapt": "a gradient through a gradient step",
    "marked_pixels": "few pixels are marked, and noise hides some",
    "largest_of_a_set": "a sum over the members of a set, and noisy answers",
    "lowered_on_plateau": "a rate that falls on plateaus until it is next to nothing",
    "last_mood": "an LSTM on words of which some tell",
    "taught_by_a_teacher": "soft answers of a teacher beside noisy labels",
}
_VANISHING = {
    "ten_sigmoids": "ten sigmoid layers; two of ReLU cure it",
    "forty_tanh": "forty tanh layers; three cure it",
    "hundredth_weights": "eight layers of weights around .01; He's cure it",
    "first_of_sixty": "a plain RNN and the first of sixty symbols; of five it can",
    "salaries_into_sigmoid": "raw columns, a sigmoid answer and squared errors; standardised ones cure it",
}
_DEAD = {
    "drowned_units": "biases of -10 before the first ReLU; biases of 0 cure it",
    "softmax_of_one": "a softmax over one unit; a sigmoid cures it",
}
_NON_FINITE = {
    "log_of_softmax": "the logarithm of a share of 0; the library's loss cures it",
    "counts_by_exp": "the exponential of raw columns; scaled ones cure it",
    "half_of_large_units": "large inputs in float16; scaled ones in float32 cure it",
    "standardised_constant": "a column becomes constant and is divided by its deviation; an epsilon cures it",
}
_EXPLODING = {
    "adam_at_one": "Adam at a rate of 1; 3e-3 cures it",
    "momentum_at_three": "convolutions and momentum at a rate of 3; .02 cures it",
    "unit_weights": "weights of a standard normal; usual ones cure it",
    "prices_in_thousands": "targets of 3,000; scaled ones cure it",
    "forgotten_zero_grad": "zero_grad is missing beside convolutions",
    "recurrence_times_four": "recurrent weights four times PyTorch's own, and SGD; its own cure it",
    "rising_rate": "a schedule with a factor of 1.02; one of .998 cures it",
    "hasty_transformer": "a post-norm transformer with Adam at .05; 1e-3 cures it",
}


KINDS: tuple[ForeignKind, ...] = (
    *kinds_of("healthy", **_HEALTHY),
    *kinds_of("vanishing", **_VANISHING),
    *kinds_of("dead", **_DEAD),
    *kinds_of("non-finite", **_NON_FINITE),
    *kinds_of("exploding", **_EXPLODING),
)
