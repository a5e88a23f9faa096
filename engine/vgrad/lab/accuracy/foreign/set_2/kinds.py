"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind("noisy_images", "healthy", "a convolutional net on images of which a third is mislabelled"),
    ForeignKind("step_decay", "healthy", "a rate that falls by a hundred twice: held back on purpose"),
    ForeignKind(
        "resumed_with_adam", "healthy", "trained before, continued with a new optimizer's first steps"
    ),
    ForeignKind(
        "heavy_tails", "healthy", "Cauchy noise in the targets: single losses are a hundred times the median"
    ),
    ForeignKind("markov_text", "healthy", "a recurrent model at the entropy rate of a Markov chain"),
    ForeignKind("vae_annealed", "healthy", "the weight of one part of the loss rises: so does the loss"),
    ForeignKind(
        "wasserstein_gan", "healthy", "a critic with clipped weights: its loss is negative and means nothing"
    ),
    ForeignKind("actor_critic", "healthy", "two optimizers on a small decision problem"),
    ForeignKind("contrastive", "healthy", "negative cosine similarity: the loss falls to -1 and stays"),
    ForeignKind("warm_restarts", "healthy", "a cyclic rate: the loss rises at each restart and comes back"),
    ForeignKind("denoising", "healthy", "a denoiser: the loss is the noise's and hardly falls"),
    ForeignKind(
        "recommender", "healthy", "embeddings of which a batch touches few rows, ratings mostly noise"
    ),
    ForeignKind("rare_experts", "healthy", "a router that stops choosing an expert after some time"),
    ForeignKind("counts", "healthy", "Poisson counts: the loss is negative and at its floor"),
    ForeignKind(
        "glorot_relu_34", "dead", "34 layers of 128 ReLU on digits: some seeds die; two layers cure it"
    ),
    ForeignKind("log_of_zero", "non-finite", "log of a probability that becomes 0"),
    ForeignKind("half_precision_overflow", "non-finite", "sums beyond 65504 in float16"),
    ForeignKind("bad_sample", "non-finite", "one input is NaN from some step on"),
    ForeignKind(
        "transformer_no_warmup", "exploding", "Adam at a rate of 1 without layer norm; 1e-3 cures it"
    ),
    ForeignKind("momentum_diverges", "exploding", "momentum .99 at a high rate; a hundredth cures it"),
    ForeignKind(
        "residual_blow_up", "exploding", "60 residual blocks without norm; clipping and a lower rate cure it"
    ),
    ForeignKind("deep_conv_sigmoid", "vanishing", "12 convolutions with sigmoid; two with ReLU cure it"),
    ForeignKind(
        "saturated_start", "vanishing", "weights so large that every tanh is at its end; small ones cure it"
    ),
    ForeignKind("lstm_forgets", "vanishing", "forget gates shut by their biases; open ones cure it"),
    ForeignKind(
        "relu_after_shift", "dead", "inputs far from zero and negative weights; a smooth unit cures it"
    ),
    ForeignKind("gan_diverges", "exploding", "the critic's rate is a thousand times too high"),
    ForeignKind(
        "late_explosion", "exploding", "a schedule that raises the rate a thousandfold in the middle"
    ),
    ForeignKind(
        "never_zeroed_deep", "exploding", "zero_grad is missing in a convolutional net with momentum"
    ),
)
