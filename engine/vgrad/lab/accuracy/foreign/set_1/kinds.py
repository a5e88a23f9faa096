"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
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
)
