"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind(
        "posterior_collapse", "healthy", "a variational autoencoder of noise: to say nothing is best"
    ),
    ForeignKind("flow_matching", "healthy", "velocities that cannot be known from where a path is"),
    ForeignKind(
        "angular_margin", "healthy", "scaled cosines with a margin: starts far above a uniform guess"
    ),
    ForeignKind("alternating_tasks", "healthy", "every other loss is a hundred times as large"),
    ForeignKind("sorted_epochs", "healthy", "classes come in their order: the loss leaps at each border"),
    ForeignKind("summed_losses", "healthy", "sums over batches of 2 to 64 samples"),
    ForeignKind("constant_in_loss", "healthy", "a constant of 1000: what is learnt is a thousandth of it"),
    ForeignKind("ramped_loss", "healthy", "the loss is multiplied by what rises from 0 to 1"),
    ForeignKind("head_reset", "healthy", "the last layer begins again twice, on purpose"),
    ForeignKind("outlier_batch", "healthy", "three batches of targets a hundred times as large"),
    ForeignKind("ridge_floor", "healthy", "weight decay holds the loss above the noise"),
    ForeignKind("langevin", "healthy", "weights are sampled: noise is added to them"),
    ForeignKind("one_cycle", "healthy", "a rate that rises to .1: the loss is worst in the middle"),
    ForeignKind("plateau_schedule", "healthy", "the rate falls to 1e-7 at the Bayes loss"),
    ForeignKind("prompt_only", "healthy", "only what is added to the inputs is trained"),
    ForeignKind("binarised_weights", "healthy", "weights of one bit, straight-through gradients"),
    ForeignKind("sparse_reward", "healthy", "most batches of a policy have no reward, and no gradient"),
    ForeignKind(
        "penalised_policy", "healthy", "rewards less a divergence: negative, at rest where both agree"
    ),
    ForeignKind("dynamic_scale", "healthy", "a scaler of float16 drops steps that overflow"),
    ForeignKind("sign_descent", "healthy", "gradients are replaced by their signs"),
    ForeignKind("stateful_text", "healthy", "one endless sequence, a batch of one"),
    ForeignKind("redundancy_reduction", "healthy", "correlations of views: large at first, noise at the end"),
    ForeignKind("euler_pendulum", "healthy", "a field is learnt through thirty steps of its integration"),
    ForeignKind("hypernetwork", "healthy", "weights are written by another network"),
    ForeignKind("equilibrium_layer", "healthy", "a layer is run to its fixed point"),
    ForeignKind("energy_model", "healthy", "energies of data less those of samples: a loss around 0"),
    ForeignKind("gumbel_codes", "healthy", "discrete codes with a temperature that falls"),
    ForeignKind("dilated_convolutions", "healthy", "half of a series is noise"),
    ForeignKind("sine_stack", "vanishing", "22 sine layers; two cure it"),
    ForeignKind("closed_gates", "vanishing", "a highway network that lets nothing by; open gates cure it"),
    ForeignKind("hard_sigmoids", "vanishing", "ten layers of hard sigmoids; one cures it"),
    ForeignKind("stacked_rnn_lag", "vanishing", "two recurrent layers and a lag of 45; one of 5 cures it"),
    ForeignKind("lstm_lag", "vanishing", "an LSTM and a lag of 80; a lag of 6 cures it"),
    ForeignKind("product_of_gates", "vanishing", "twelve sigmoids near 0 are multiplied; open ones cure it"),
    ForeignKind("relu_head", "dead", "a ReLU after answers below zero; none cures it"),
    ForeignKind("dropout_of_all", "dead", "everything is dropped; a tenth cures it"),
    ForeignKind("zeroed_pair", "dead", "both factors of an adapter are zero; one alone cures it"),
    ForeignKind("rounded_codes", "dead", "codes are rounded; a straight-through gradient cures it"),
    ForeignKind("ratio_of_exponentials", "non-finite", "a softmax by hand overflows"),
    ForeignKind("constant_feature", "non-finite", "a spread of zero in a standardisation"),
    ForeignKind("root_of_negative", "non-finite", "a root of numbers below zero"),
    ForeignKind("infinite_padding", "non-finite", "minus infinity times zero"),
    ForeignKind("half_adam", "non-finite", "Adam's epsilon is zero in float16"),
    ForeignKind("angle_of_origin", "non-finite", "the length of a zero vector has no derivative"),
    ForeignKind("jump_in_data", "exploding", "the inputs lose their scaling for a moment; clipping cures it"),
    ForeignKind("sign_rate", "exploding", "each weight moves by .5; .002 cures it"),
    ForeignKind("summed_rate", "exploding", "a sum of 512 losses at a rate for means; the mean cures it"),
    ForeignKind(
        "undivided_windows", "exploding", "fifty gradients are summed, not divided; dividing cures it"
    ),
    ForeignKind("half_zeroed", "exploding", "zero_grad for one of two optimizers; for both it learns"),
    ForeignKind(
        "unrolled_dynamics", "exploding", "a linear system that grows over forty steps; a stable one cures it"
    ),
    ForeignKind("tuned_too_fast", "exploding", "a good model is continued at a rate of 1; 1e-3 cures it"),
    ForeignKind("nesterov_rate", "exploding", "Nesterov's momentum at 1.5; .005 cures it"),
    ForeignKind("cycle_too_high", "exploding", "a cyclic rate up to 10; one up to .05 cures it"),
    ForeignKind("nadam_rate", "exploding", "NAdam at .8; .003 cures it"),
)
