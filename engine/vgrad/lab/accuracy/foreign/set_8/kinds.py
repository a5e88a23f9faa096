"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("hidden_pixels", "healthy", "hidden pixels are filled in, and most of each is noise"),
    ForeignKind("drawn_rate", "healthy", "the rate is drawn over three decades at each step"),
    ForeignKind("rectified_start", "healthy", "RAdam, whose first steps are those of plain momentum"),
    ForeignKind("slow_weights", "healthy", "every fifth step the weights go half of the way back"),
    ForeignKind(
        "private_gradients", "healthy", "clipped per sample, with noise, and not by one backward pass"
    ),
    ForeignKind("autoregression", "healthy", "an LSTM that soon knows a series as well as can be"),
    ForeignKind("open_brackets", "healthy", "a GRU counts brackets"),
    ForeignKind("picked_value", "healthy", "attention finds a marked element, whose value is noisy"),
    ForeignKind("random_walk_values", "healthy", "values learnt from one another: the loss is the noise's"),
    ForeignKind("preconditioned", "healthy", "the user replaces each gradient by a Newton step"),
    ForeignKind("growing_batches", "healthy", "batches of 4 at first and of 512 in the end"),
    ForeignKind("skips_bad_batches", "healthy", "broken batches, which the loop itself leaves out"),
    ForeignKind("predicted_links", "healthy", "a table of places, and products of them"),
    ForeignKind("unmixing", "healthy", "a likelihood with a determinant in it, and heavy tails"),
    ForeignKind("mixture_fit", "healthy", "three clouds: nine numbers and no layers"),
    ForeignKind("summed_bound", "healthy", "a bound that is summed over a thousand points"),
    ForeignKind("sliced_scores", "healthy", "a negative loss with large noise"),
    ForeignKind("growing_dataset", "healthy", "samples of another region join every 150 steps"),
    ForeignKind("freezing_out", "healthy", "the layers are frozen one after the other"),
    ForeignKind("one_step_behind", "healthy", "an RNN that needs a memory of one step"),
    ForeignKind("quantile_of_ratings", "healthy", "ratings by shared thresholds, mostly taste"),
    ForeignKind("resumed_at_the_floor", "healthy", "a trained GRU is continued at a hundredth of its rate"),
    ForeignKind("leaky_stack", "vanishing", "twenty-five leaky layers of small weights; three cure it"),
    ForeignKind("order_of_symbols", "vanishing", "an RNN over sixty symbols; a GRU over eight cures it"),
    ForeignKind("early_keyword", "vanishing", "an LSTM and eighty words after the one that counts"),
    ForeignKind("mask_of_nothing", "dead", "a mask hides every feature; one that hides none cures it"),
    ForeignKind("heavy_momentum", "exploding", "a rate of 3 with momentum .95; .01 cures it"),
    ForeignKind("moments_at_rest", "exploding", "Adam at .3 that forgets within two steps; usual moments"),
    ForeignKind("log_of_returns", "non-finite", "the log of a negative number; a softplus cures it"),
    ForeignKind("brightest_pixel", "non-finite", "a black image divided by its maximum; an epsilon cures it"),
)
