"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("thawed_body", "healthy", "a frozen body joins a new head after 300 steps"),
    ForeignKind(
        "cyclic_annealing", "healthy", "a part of the loss counts nothing at the start of each cycle"
    ),
    ForeignKind("score_of_noise", "healthy", "a few noise levels make nearly all of the loss"),
    ForeignKind("growing_classes", "healthy", "two more classes join every 200 steps"),
    ForeignKind(
        "reweighted_part", "healthy", "a part of the loss is weighted 200 times as high from step 400 on"
    ),
    ForeignKind("swapped_loss", "healthy", "absolute errors become squared ones in the middle"),
    ForeignKind("bootstrapped_views", "healthy", "a predictor follows a slow copy of its own model"),
    ForeignKind("smoothed_labels", "healthy", "smoothed targets: the loss cannot fall below 1"),
    ForeignKind("gamma_likelihood", "healthy", "amounts over four decades: the likelihood crosses zero"),
    ForeignKind(
        "queue_of_negatives", "healthy", "contrasts with a queue that fills: the loss rises at first"
    ),
    ForeignKind("preference_pairs", "healthy", "preferences against a frozen copy: begins at log 2 exactly"),
    ForeignKind("activation_maximised", "healthy", "an input is trained, and the loss has no lower end"),
    ForeignKind("ritz_energy", "healthy", "an energy, negative at its minimum, and a border of weight 300"),
    ForeignKind("drifting_task", "healthy", "what is asked for turns for ever"),
    ForeignKind(
        "ignored_labels", "healthy", "nine in ten labels are hidden: losses of batches differ widely"
    ),
    ForeignKind("importance_weights", "healthy", "rewards that another policy drew: the loss means little"),
    ForeignKind(
        "shared_actor_critic", "healthy", "a policy and its values in one loss, with an entropy bonus"
    ),
    ForeignKind("large_batches", "healthy", "batches of 1,024, warmed up to a rate of 1 with momentum"),
    ForeignKind("uneven_windows", "healthy", "sums over one to sixteen microbatches"),
    ForeignKind("chain_of_tags", "healthy", "a random field: sums over sequences of 5 to 25 places"),
    ForeignKind("tied_table", "healthy", "a table of words that is the output layer, too; most are rare"),
    ForeignKind("rare_head", "healthy", "a head that gets a gradient at one step of forty"),
    ForeignKind("heavy_features", "healthy", "one sample at a time, some of them twenty times the usual"),
    ForeignKind("second_order_batches", "healthy", "LBFGS with a line search on a new batch each step"),
    ForeignKind("lion_images", "healthy", "somebody's own optimizer, which moves each weight by the rate"),
    ForeignKind("orthogonal_updates", "healthy", "somebody's own optimizer: updates of one length"),
    ForeignKind("dropout_fades", "healthy", "nine in ten units are dropped at first, none in the end"),
    ForeignKind("edge_of_stability", "healthy", "the whole data set at a rate where the loss rises by turns"),
    ForeignKind("adam_after_fit", "healthy", "fitted exactly by Adam at a high rate: spikes near zero"),
    ForeignKind("inner_steps", "healthy", "a start is learnt from which one step fits any wave"),
    ForeignKind("coordinate_fit", "healthy", "one signal is stored in the weights: three decades of loss"),
    ForeignKind("completed_matrix", "healthy", "the noisy product of two tables, with a plateau before"),
    ForeignKind("one_number", "healthy", "a temperature is all that is trained"),
    ForeignKind("soft_actor", "healthy", "a critic, a policy and a temperature: three optimizers"),
    ForeignKind("pruned_midway", "healthy", "nine in ten weights become zero in the middle, on purpose"),
    ForeignKind("rolled_back", "healthy", "the weights of step 40 are loaded again at step 500"),
    ForeignKind("stochastic_depth", "healthy", "half of the layers are left out at each step"),
    ForeignKind("clipped_hard", "healthy", "clipped by the user's own hand to a hundredth"),
    ForeignKind("noisy_weights", "healthy", "weights are drawn at each step, around their means"),
    ForeignKind("twin_views", "healthy", "pairs with a margin, beyond which the gradient is zero"),
    ForeignKind("tanh_convolutions", "vanishing", "eighteen convolutions of tanh; two cure it"),
    ForeignKind("far_bumps", "vanishing", "Gaussian units far from their inputs; scaled inputs cure it"),
    ForeignKind("copied_symbol", "vanishing", "a plain RNN and a wait of sixty; one of three cures it"),
    ForeignKind("sigmoid_sets", "vanishing", "sets through twelve sigmoid layers; two cure it"),
    ForeignKind(
        "shrunk_to_nothing", "dead", "units that answer nothing below 20; a usual threshold cures it"
    ),
    ForeignKind("shut_waves", "dead", "biases of -9 before a convolution's ReLU; biases of 0 cure it"),
    ForeignKind("capped_units", "dead", "pixel values hold every ReLU6 at its end; scaled ones cure it"),
    ForeignKind(
        "counts_overflow", "non-finite", "exponentials of a Poisson likelihood; small counts cure it"
    ),
    ForeignKind("mean_of_nothing", "non-finite", "the mean over a mask that is empty; a count of 1 cures it"),
    ForeignKind("arctanh_of_one", "non-finite", "an inverse tanh of 1; no inverse cures it"),
    ForeignKind("summed_messages", "non-finite", "sums over neighbours overflow; means cure it"),
    ForeignKind("gru_rate", "exploding", "a GRU at a rate of 40; .5 cures it"),
    ForeignKind("encoder_rate", "exploding", "attention with AdamW at .5; 2e-3 cures it"),
    ForeignKind("transposed_rate", "exploding", "transposed convolutions at .3; 2e-3 cures it"),
    ForeignKind("killed_filters", "exploding", "long steps close all filters; short ones cure it"),
    ForeignKind("never_zeroed_attention", "exploding", "zero_grad is missing beside attention"),
)
