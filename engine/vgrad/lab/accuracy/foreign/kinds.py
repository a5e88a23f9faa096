"""Kinds of plain PyTorch loops that verdicts are fitted to and counted on. Free of torch.

The recipes' cases share one loop, known baselines and one model builder. These kinds share nothing: each
is a small loop of its own, driven from outside, with whatever loss it has. What each is labelled with follows
from how it is built, and a run counts only where its outcome confirms the label: a healthy one reached what
can be reached, a sick one did not, and its cure did. One that is labelled as vanishing or dead and came
four tenths of the way from its first losses to its cure's is left out, and so is one that is labelled as dead
and of which no layer got exactly nothing over the last hundred steps.

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


def _third(name: str, label: Label, why: str) -> ForeignKind:
    """Of a later set of the same fate."""
    return ForeignKind(name, label, why)


def _fourth(name: str, label: Label, why: str) -> ForeignKind:
    """Of the set after that, which was counted once: sick called sick 52 of 54, healthy 0 of 54."""
    return ForeignKind(name, label, why)


def _fifth(name: str, label: Label, why: str) -> ForeignKind:
    """Of a set that was counted once after that: sick called sick 52 of 52, healthy 4 of 55."""
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
    _third("quantile_regression", "healthy", "pinball losses: their floor is far from zero"),
    _third("ranking", "healthy", "pairs of which a quarter is in the wrong order"),
    _third("graph_noisy", "healthy", "message passing on a graph with wrong labels"),
    _third("seq2seq_reverse", "healthy", "an encoder and a decoder learn to reverse"),
    _third("physics_informed", "healthy", "derivatives of the network in the loss: several passes a step"),
    _third("clipped_policy", "healthy", "four steps on each batch of choices: the loss means nothing"),
    _third("logistic_gan", "healthy", "a generator and a critic with the usual losses"),
    _third("linear_bottleneck", "healthy", "an autoencoder that cannot keep most of what it is given"),
    _third("balanced_experts", "healthy", "a mixture of experts; a part of the loss cannot fall below 1"),
    _third("spiking", "healthy", "surrogate gradients of units that fire or not"),
    _third("info_nce", "healthy", "contrasts 64 views at a low temperature"),
    _third("heavy_dropout", "healthy", "four of five units are dropped at each step"),
    _third("learnt_variances", "healthy", "two tasks with learnt weights: the loss becomes negative"),
    _third("growing_lengths", "healthy", "sequences become four times as long in the middle"),
    _third("distillation", "healthy", "soft answers of a teacher: the loss ends at their entropy"),
    _third("frozen_body", "healthy", "only the head is trained, on a body from before"),
    _third("accumulated", "healthy", "four backward passes to a step"),
    _third("second_order", "healthy", "LBFGS on a fixed noisy set: done after a few dozen steps"),
    _third("focal", "healthy", "rare positives and a loss that starts near zero"),
    _third("flow", "healthy", "a normalising flow: its likelihood crosses zero"),
    _third("detached_branch", "healthy", "a branch that gets no gradient beside one that learns"),
    _third("small_images", "healthy", "two images to a batch: very noisy losses that fall"),
    _third("diffusion_sequence", "healthy", "a denoiser of waves: most of its loss is the noise's"),
    _fourth("ctc_alignment", "healthy", "alignments are found after a plateau at blanks"),
    _fourth("skip_gram", "healthy", "sparse gradients of two tables, one of which starts at zero"),
    _fourth("gradient_penalty_gan", "healthy", "a critic's loss with its slope in it means nothing"),
    _fourth("replayed_values", "healthy", "a deep Q-network: its targets move, and its loss with them"),
    _fourth("warmed_up_attention", "healthy", "warm-up, and a cosine that ends at a rate of zero"),
    _fourth("fine_tuned_attention", "healthy", "AdamW at 1e-5 from a good start"),
    _fourth("masked_symbols", "healthy", "what is random of hidden symbols cannot be known"),
    _fourth("triplets", "healthy", "a margin: most triplets have a gradient of zero at the end"),
    _fourth("sharpness_by_hand", "healthy", "two backward passes a step, and weights moved and put back"),
    _fourth("mean_teacher", "healthy", "a target that follows the model, and a weight that rises"),
    _fourth("hot_batch_norm", "healthy", "a rate of .3 with momentum, which batch norm makes usual"),
    _fourth("large_targets", "healthy", "a Huber loss in the hundreds"),
    _fourth("bags_of_words", "healthy", "rare features: most rows get nothing at a step"),
    _fourth("mixture_density", "healthy", "a likelihood with spikes that crosses zero"),
    _fourth("adversarial_inputs", "healthy", "each batch is moved against the model"),
    _fourth("mixed_samples", "healthy", "most of the loss is the entropy of mixed targets"),
    _fourth("spectral_gan", "healthy", "hinge losses that are flat from the start"),
    _fourth("quantised_codes", "healthy", "codes that are never chosen get no gradient"),
    _fourth("survival", "healthy", "a partial likelihood that can hardly fall"),
    _fourth("changing_tasks", "healthy", "the task changes every 250 steps: its loss leaps"),
    _fourth("low_rank_adapters", "healthy", "a factor of zero: the other gets nothing at first"),
    _fourth("domain_adversary", "healthy", "a reversed gradient: a part of the loss must not fall"),
    _fourth("overlap_loss", "healthy", "a Dice loss in [0, 1]"),
    _fourth("half_brain_float", "healthy", "bfloat16: coarse losses and gradients"),
    _fourth("overfitted_few", "healthy", "random labels learnt by heart: the loss is zero in the end"),
    _fourth("autoregressive_counts", "healthy", "a noise floor, and clipping by the user's own hand"),
    _fourth("policy_on_slope", "healthy", "a Gaussian policy: its loss crosses zero and means nothing"),
    _fifth("posterior_collapse", "healthy", "a variational autoencoder of noise: to say nothing is best"),
    _fifth("flow_matching", "healthy", "velocities that cannot be known from where a path is"),
    _fifth("angular_margin", "healthy", "scaled cosines with a margin: starts far above a uniform guess"),
    _fifth("alternating_tasks", "healthy", "every other loss is a hundred times as large"),
    _fifth("sorted_epochs", "healthy", "classes come in their order: the loss leaps at each border"),
    _fifth("summed_losses", "healthy", "sums over batches of 2 to 64 samples"),
    _fifth("constant_in_loss", "healthy", "a constant of 1000: what is learnt is a thousandth of it"),
    _fifth("ramped_loss", "healthy", "the loss is multiplied by what rises from 0 to 1"),
    _fifth("head_reset", "healthy", "the last layer begins again twice, on purpose"),
    _fifth("outlier_batch", "healthy", "three batches of targets a hundred times as large"),
    _fifth("ridge_floor", "healthy", "weight decay holds the loss above the noise"),
    _fifth("langevin", "healthy", "weights are sampled: noise is added to them"),
    _fifth("one_cycle", "healthy", "a rate that rises to .1: the loss is worst in the middle"),
    _fifth("plateau_schedule", "healthy", "the rate falls to 1e-7 at the Bayes loss"),
    _fifth("prompt_only", "healthy", "only what is added to the inputs is trained"),
    _fifth("binarised_weights", "healthy", "weights of one bit, straight-through gradients"),
    _fifth("sparse_reward", "healthy", "most batches of a policy have no reward, and no gradient"),
    _fifth("penalised_policy", "healthy", "rewards less a divergence: negative, at rest where both agree"),
    _fifth("dynamic_scale", "healthy", "a scaler of float16 drops steps that overflow"),
    _fifth("sign_descent", "healthy", "gradients are replaced by their signs"),
    _fifth("stateful_text", "healthy", "one endless sequence, a batch of one"),
    _fifth("redundancy_reduction", "healthy", "correlations of views: large at first, noise at the end"),
    _fifth("euler_pendulum", "healthy", "a field is learnt through thirty steps of its integration"),
    _fifth("hypernetwork", "healthy", "weights are written by another network"),
    _fifth("equilibrium_layer", "healthy", "a layer is run to its fixed point"),
    _fifth("energy_model", "healthy", "energies of data less those of samples: a loss around 0"),
    _fifth("gumbel_codes", "healthy", "discrete codes with a temperature that falls"),
    _fifth("dilated_convolutions", "healthy", "half of a series is noise"),
    _held_out("thawed_body", "healthy", "a frozen body joins a new head after 300 steps"),
    _held_out("cyclic_annealing", "healthy", "a part of the loss counts nothing at the start of each cycle"),
    _held_out("score_of_noise", "healthy", "a few noise levels make nearly all of the loss"),
    _held_out("growing_classes", "healthy", "two more classes join every 200 steps"),
    _held_out(
        "reweighted_part", "healthy", "a part of the loss is weighted 200 times as high from step 400 on"
    ),
    _held_out("swapped_loss", "healthy", "absolute errors become squared ones in the middle"),
    _held_out("bootstrapped_views", "healthy", "a predictor follows a slow copy of its own model"),
    _held_out("smoothed_labels", "healthy", "smoothed targets: the loss cannot fall below 1"),
    _held_out("gamma_likelihood", "healthy", "amounts over four decades: the likelihood crosses zero"),
    _held_out("queue_of_negatives", "healthy", "contrasts with a queue that fills: the loss rises at first"),
    _held_out("preference_pairs", "healthy", "preferences against a frozen copy: begins at log 2 exactly"),
    _held_out("activation_maximised", "healthy", "an input is trained, and the loss has no lower end"),
    _held_out("ritz_energy", "healthy", "an energy, negative at its minimum, and a border of weight 300"),
    _held_out("drifting_task", "healthy", "what is asked for turns for ever"),
    _held_out("ignored_labels", "healthy", "nine in ten labels are hidden: losses of batches differ widely"),
    _held_out("importance_weights", "healthy", "rewards that another policy drew: the loss means little"),
    _held_out("shared_actor_critic", "healthy", "a policy and its values in one loss, with an entropy bonus"),
    _held_out("large_batches", "healthy", "batches of 1,024, warmed up to a rate of 1 with momentum"),
    _held_out("uneven_windows", "healthy", "sums over one to sixteen microbatches"),
    _held_out("chain_of_tags", "healthy", "a random field: sums over sequences of 5 to 25 places"),
    _held_out("tied_table", "healthy", "a table of words that is the output layer, too; most are rare"),
    _held_out("rare_head", "healthy", "a head that gets a gradient at one step of forty"),
    _held_out("heavy_features", "healthy", "one sample at a time, some of them twenty times the usual"),
    _held_out("second_order_batches", "healthy", "LBFGS with a line search on a new batch each step"),
    _held_out("lion_images", "healthy", "somebody's own optimizer, which moves each weight by the rate"),
    _held_out("orthogonal_updates", "healthy", "somebody's own optimizer: updates of one length"),
    _held_out("dropout_fades", "healthy", "nine in ten units are dropped at first, none in the end"),
    _held_out("edge_of_stability", "healthy", "the whole data set at a rate where the loss rises by turns"),
    _held_out("adam_after_fit", "healthy", "fitted exactly by Adam at a high rate: spikes near zero"),
    _held_out("inner_steps", "healthy", "a start is learnt from which one step fits any wave"),
    _held_out("coordinate_fit", "healthy", "one signal is stored in the weights: three decades of loss"),
    _held_out("completed_matrix", "healthy", "the noisy product of two tables, with a plateau before"),
    _held_out("one_number", "healthy", "a temperature is all that is trained"),
    _held_out("soft_actor", "healthy", "a critic, a policy and a temperature: three optimizers"),
    _held_out("pruned_midway", "healthy", "nine in ten weights become zero in the middle, on purpose"),
    _held_out("rolled_back", "healthy", "the weights of step 40 are loaded again at step 500"),
    _held_out("stochastic_depth", "healthy", "half of the layers are left out at each step"),
    _held_out("clipped_hard", "healthy", "clipped by the user's own hand to a hundredth"),
    _held_out("noisy_weights", "healthy", "weights are drawn at each step, around their means"),
    _held_out("twin_views", "healthy", "pairs with a margin, beyond which the gradient is zero"),
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
    _second("glorot_relu_34", "dead", "34 layers of 128 ReLU on digits: some seeds die; two layers cure it"),
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
    _third("sigmoid_autoencoder", "vanishing", "ten sigmoid layers; four of tanh cure it"),
    _third(
        "rnn_cell_explodes", "exploding", "an unrolled cell with a large matrix and rate; small ones cure it"
    ),
    _third("never_zeroed_regression", "exploding", "zero_grad is missing in a regression"),
    _third("half_exp_overflow", "non-finite", "exponentials beyond 65504 in float16"),
    _third("sqrt_of_zero", "non-finite", "the derivative of a root at 0"),
    _third("variance_of_zero", "non-finite", "a variance that a ReLU makes 0"),
    _third("masked_rows", "non-finite", "a softmax over nothing but padding"),
    _third("bright_images", "dead", "a convolutional net whose first filters answer below zero"),
    _third("vae_rate", "exploding", "a hundred times too high a rate for exponentials in the loss"),
    _third("unscaled_inputs", "vanishing", "inputs in the thousands saturate tanh; scaled ones cure it"),
    _third("graph_sigmoid", "vanishing", "twelve graph layers with sigmoid; two with ReLU cure it"),
    _third("saturated_softmax", "vanishing", "squared errors of saturated chances; a usual draw cures it"),
    _third("silent_spikes", "dead", "a threshold out of reach; a lower one cures it"),
    _third("hardtanh_saturated", "dead", "biases far beyond where hardtanh is flat; none cure it"),
    _third(
        "ill_conditioned", "exploding", "a feature a hundred times as large as the others; scaling cures it"
    ),
    _third("rnn_delay", "vanishing", "a plain RNN and a delay of sixty; a delay of four cures it"),
    _third("gru_forgets", "vanishing", "update gates that let go; those that keep cure it"),
    _third("q_diverges", "exploding", "values learnt from themselves with a discount above 1"),
    _third("gain_three", "exploding", "twenty layers of weights three times too large; He's cure it"),
    _third("physics_rate", "exploding", "a hundred times too high a rate with derivatives in the loss"),
    _third("text_rate", "exploding", "a ReLU RNN at a rate with momentum that throws it off"),
    _fourth("plain_relu_50", "vanishing", "fifty ReLU layers with a small start; residuals cure it"),
    _fourth("tiny_weights", "vanishing", "weights of spread 1e-3 in six layers; a usual draw cures it"),
    _fourth("softsign_stack", "vanishing", "25 softsign layers; three cure it"),
    _fourth("attention_without_residuals", "vanishing", "six sigmoid blocks; two with residuals cure it"),
    _fourth("adding_problem", "vanishing", "a plain RNN over seventy numbers; twelve and a GRU are learnt"),
    _fourth("cell_forgets", "vanishing", "a cell in a loop over fifty inputs; over four it is learnt"),
    _fourth("decayed_away", "vanishing", "weight decay takes all weights to zero; a usual one cures it"),
    _fourth("saturated_logits", "vanishing", "a sigmoid that starts at its end; a bias of 0 cures it"),
    _fourth("shifted_norms", "dead", "layer norms that close all units; shifts of 0 cure it"),
    _fourth("clamped_outputs", "dead", "outputs that start outside of a clamp; inside they learn"),
    _fourth("detached_outputs", "dead", "outputs taken off the graph; left on it they learn"),
    _fourth("closed_convolutions", "dead", "a second layer that answers below zero; a usual draw cures it"),
    _fourth("entropy_of_zero", "non-finite", "0 log 0"),
    _fourth("empty_vectors", "non-finite", "a vector of zeros divided by its length"),
    _fourth("angle_of_one", "non-finite", "the derivative of the arccosine at 1"),
    _fourth("scaled_half_loss", "non-finite", "a float16 loss times 65536"),
    _fourth("raw_targets", "exploding", "squared errors of house prices; scaled ones cure it"),
    _fourth("raw_features", "exploding", "features up to 1000 and ReLU; scaled ones cure it"),
    _fourth("conv_rate", "exploding", "convolutions at a rate of 3; .05 cures it"),
    _fourth("lstm_rate", "exploding", "an LSTM with Adam at 1; 5e-3 cures it"),
    _fourth("rmsprop_rate", "exploding", "RMSprop at .5; 3e-3 cures it"),
    _fourth("ramp_too_high", "exploding", "a warm-up to a rate of 1; one to 5e-3 cures it"),
    _fourth("ascent", "exploding", "the loss is climbed; the other sign cures it"),
    _fourth("rnn_gain", "exploding", "chaotic recurrent weights at a rate of 1; small ones cure it"),
    _fourth("wide_linear_stack", "exploding", "twelve layers that nearly double; two usual ones cure it"),
    _fourth("generator_rate", "exploding", "a generator with Adam at 1; 1e-3 cures it"),
    _fourth("never_zeroed_recurrent", "exploding", "zero_grad is missing beside a GRU"),
    _fourth("adagrad_wide", "exploding", "Adagrad at 3; .03 cures it"),
    _fifth("sine_stack", "vanishing", "22 sine layers; two cure it"),
    _fifth(
        "closed_gates",
        "vanishing",
        "a highway network that lets nothing by; open gates cure it",
    ),
    _fifth("hard_sigmoids", "vanishing", "ten layers of hard sigmoids; one cures it"),
    _fifth("stacked_rnn_lag", "vanishing", "two recurrent layers and a lag of 45; one of 5 cures it"),
    _fifth("lstm_lag", "vanishing", "an LSTM and a lag of 80; a lag of 6 cures it"),
    _fifth("product_of_gates", "vanishing", "twelve sigmoids near 0 are multiplied; open ones cure it"),
    _fifth("relu_head", "dead", "a ReLU after answers below zero; none cures it"),
    _fifth("dropout_of_all", "dead", "everything is dropped; a tenth cures it"),
    _fifth("zeroed_pair", "dead", "both factors of an adapter are zero; one alone cures it"),
    _fifth("rounded_codes", "dead", "codes are rounded; a straight-through gradient cures it"),
    _fifth("ratio_of_exponentials", "non-finite", "a softmax by hand overflows"),
    _fifth("constant_feature", "non-finite", "a spread of zero in a standardisation"),
    _fifth("root_of_negative", "non-finite", "a root of numbers below zero"),
    _fifth("infinite_padding", "non-finite", "minus infinity times zero"),
    _fifth("half_adam", "non-finite", "Adam's epsilon is zero in float16"),
    _fifth("angle_of_origin", "non-finite", "the length of a zero vector has no derivative"),
    _fifth("jump_in_data", "exploding", "the inputs lose their scaling for a moment; clipping cures it"),
    _fifth("sign_rate", "exploding", "each weight moves by .5; .002 cures it"),
    _fifth("summed_rate", "exploding", "a sum of 512 losses at a rate for means; the mean cures it"),
    _fifth("undivided_windows", "exploding", "fifty gradients are summed, not divided; dividing cures it"),
    _fifth("half_zeroed", "exploding", "zero_grad for one of two optimizers; for both it learns"),
    _fifth(
        "unrolled_dynamics",
        "exploding",
        "a linear system that grows over forty steps; a stable one cures it",
    ),
    _fifth("tuned_too_fast", "exploding", "a good model is continued at a rate of 1; 1e-3 cures it"),
    _fifth("nesterov_rate", "exploding", "Nesterov's momentum at 1.5; .005 cures it"),
    _fifth("cycle_too_high", "exploding", "a cyclic rate up to 10; one up to .05 cures it"),
    _fifth("nadam_rate", "exploding", "NAdam at .8; .003 cures it"),
    _held_out("tanh_convolutions", "vanishing", "eighteen convolutions of tanh; two cure it"),
    _held_out("far_bumps", "vanishing", "Gaussian units far from their inputs; scaled inputs cure it"),
    _held_out("copied_symbol", "vanishing", "a plain RNN and a wait of sixty; one of three cures it"),
    _held_out("sigmoid_sets", "vanishing", "sets through twelve sigmoid layers; two cure it"),
    _held_out("shrunk_to_nothing", "dead", "units that answer nothing below 20; a usual threshold cures it"),
    _held_out("shut_waves", "dead", "biases of -9 before a convolution's ReLU; biases of 0 cure it"),
    _held_out("capped_units", "dead", "pixel values hold every ReLU6 at its end; scaled ones cure it"),
    _held_out("counts_overflow", "non-finite", "exponentials of a Poisson likelihood; small counts cure it"),
    _held_out("mean_of_nothing", "non-finite", "the mean over a mask that is empty; a count of 1 cures it"),
    _held_out("arctanh_of_one", "non-finite", "an inverse tanh of 1; no inverse cures it"),
    _held_out("summed_messages", "non-finite", "sums over neighbours overflow; means cure it"),
    _held_out("gru_rate", "exploding", "a GRU at a rate of 40; .5 cures it"),
    _held_out("encoder_rate", "exploding", "attention with AdamW at .5; 2e-3 cures it"),
    _held_out("transposed_rate", "exploding", "transposed convolutions at .3; 2e-3 cures it"),
    _held_out("killed_filters", "exploding", "long steps close all filters; short ones cure it"),
    _held_out("never_zeroed_attention", "exploding", "zero_grad is missing beside attention"),
)

FOREIGN_KINDS: tuple[ForeignKind, ...] = (*HEALTHY_KINDS, *SICK_KINDS)
