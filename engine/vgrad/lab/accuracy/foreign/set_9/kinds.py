"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind

KINDS: tuple[ForeignKind, ...] = (
    ForeignKind(
        "last_token_class",
        "healthy",
        "an LSTM of which the last of thirty numbers is asked, and wrong labels",
    ),
    ForeignKind("random_labels_rnn", "healthy", "a plain RNN and labels that the inputs say nothing about"),
    ForeignKind(
        "unigram_text", "healthy", "an LSTM on words that are drawn one by one: their shares are all there is"
    ),
    ForeignKind("noisy_sine_gru", "healthy", "a GRU forecasts a sine with noise"),
    ForeignKind(
        "sensor_mean_rnn", "healthy", "a plain RNN forecasts readings whose mean is all there is to know"
    ),
    ForeignKind(
        "teacher_forced_copy", "healthy", "an encoder, and a decoder that is shown the right symbols so far"
    ),
    ForeignKind("one_sentence_gru", "healthy", "one sentence of 3 to 20 words at a time"),
    ForeignKind("lengthening_sums", "healthy", "an LSTM adds up 3, then 8, then 15 numbers"),
    ForeignKind("warmed_up_gru", "healthy", "a rate that rises from 0 for 400 steps and falls to 0 again"),
    ForeignKind(
        "two_way_tags", "healthy", "a two-way LSTM tags words by their neighbours, a fifth of them wrongly"
    ),
    ForeignKind(
        "returns_of_a_market", "healthy", "two LSTM layers forecast what nobody can forecast, at scale .01"
    ),
    ForeignKind(
        "cosine_transformer_floor",
        "healthy",
        "a pre-norm transformer at its floor, and a rate that ends at zero",
    ),
    ForeignKind("fine_tuned_transformer", "healthy", "a trained transformer is tuned on at 1e-6"),
    ForeignKind(
        "batch_norm_restarts",
        "healthy",
        "batch norms, momentum and warm restarts at the floor of wrong labels",
    ),
    ForeignKind(
        "frozen_backbone", "healthy", "the convolutions stay as they were drawn, and only the head learns"
    ),
    ForeignKind("tiny_last_layer", "healthy", "a last layer of weights around 1e-4"),
    ForeignKind(
        "low_rank_on_frozen",
        "healthy",
        "low-rank adapters, one factor of which is zero, beside frozen layers",
    ),
    ForeignKind(
        "top_one_experts", "healthy", "each sample goes to one of four experts, and none to the last"
    ),
    ForeignKind("skip_gram_sparse", "healthy", "word vectors with sparse gradients"),
    ForeignKind("ten_tanh_layers", "healthy", "ten tanh layers with Adam, at the floor of wrong labels"),
    ForeignKind("sigmoid_pair", "healthy", "two sigmoid layers and plain momentum on noisy targets"),
    ForeignKind("residual_tower", "healthy", "twenty residual blocks with layer norms, in doubles"),
    ForeignKind("brain_float_convolutions", "healthy", "weights and gradients in bfloat16"),
    ForeignKind(
        "noise_autoencoder", "healthy", "a variational autoencoder, six of whose eight numbers are unused"
    ),
    ForeignKind(
        "tied_language_model",
        "healthy",
        "one table of words reads and answers, and the text is mostly chance",
    ),
    ForeignKind(
        "copied_teacher",
        "healthy",
        "it begins as a copy of its teacher: a loss of exactly 0, and no gradient",
    ),
    ForeignKind("separated_margin", "healthy", "a hinge that soon no sample is within: a loss of exactly 0"),
    ForeignKind("ordinary_least_squares", "healthy", "all data at each step: it comes to the exact solution"),
    ForeignKind("memorised_table", "healthy", "thirty rows are learnt by heart, to 1e-5"),
    ForeignKind("decay_alone", "healthy", "targets without any signal, and a decay that shrinks the weights"),
    ForeignKind("predicted_noise", "healthy", "a diffusion model: most of the noise cannot be predicted"),
    ForeignKind("pinball_three", "healthy", "three quantiles of noise"),
    ForeignKind("heat_equation", "healthy", "a physics-informed net with a rate in steps"),
    ForeignKind(
        "uncertain_tasks", "healthy", "three tasks with learnt log variances: the loss becomes negative"
    ),
    ForeignKind(
        "critic_with_penalty",
        "healthy",
        "a critic with a gradient penalty, three steps for each of the generator's",
    ),
    ForeignKind("balanced_gan", "healthy", "two players on a line, at their equilibrium"),
    ForeignKind("rare_goal", "healthy", "a corridor whose reward is at its end: most batches bring none"),
    ForeignKind("student_of_average", "healthy", "a student agrees with a slow average of itself"),
    ForeignKind(
        "outliers_by_chance", "healthy", "now and then a target is fifty times too large: the loss leaps"
    ),
    ForeignKind("blurred_from_midway", "healthy", "the images become noisy at step 350"),
    ForeignKind(
        "half_seen_in_autocast", "healthy", "autocast to bfloat16, and three labels in ten are wrong"
    ),
    ForeignKind(
        "cosine_of_pairs", "healthy", "two views, a predictor and a stopped gradient: the loss goes to -1"
    ),
    ForeignKind("fifteen_sigmoids", "vanishing", "fifteen sigmoid layers with SGD; three of ReLU cure it"),
    ForeignKind(
        "small_start_tanh", "vanishing", "twenty tanh layers of small weights, with Adam; four of Glorot's"
    ),
    ForeignKind(
        "stacked_sigmoid_decoder",
        "vanishing",
        "an autoencoder of twelve sigmoid layers; four of ReLU cure it",
    ),
    ForeignKind("years_into_tanh", "vanishing", "raw columns saturate every tanh; standardised ones cure it"),
    ForeignKind(
        "first_bit_after_eighty", "vanishing", "a plain RNN and the first bit of eighty; of four it can"
    ),
    ForeignKind("delayed_echo", "vanishing", "an LSTM and a lag of 120; one of 2 cures it"),
    ForeignKind("marked_early_gru", "vanishing", "a GRU and the second of a hundred symbols; of six it can"),
    ForeignKind("closed_middle", "dead", "biases of -20 in the middle of a perceptron; biases of 0 cure it"),
    ForeignKind("gate_of_zero", "dead", "a gate that is exactly zero; one of a half cures it"),
    ForeignKind("shut_output", "vanishing", "a sigmoid answer with a bias of -40; a bias of 0 cures it"),
    ForeignKind(
        "entropy_by_hand", "non-finite", "p log p of a share of zero; the library's log softmax cures it"
    ),
    ForeignKind("softmax_by_hand", "non-finite", "exp over its sum overflows; the library's cures it"),
    ForeignKind("cosine_of_empty", "non-finite", "the cosine of an empty text; an epsilon cures it"),
    ForeignKind(
        "half_square_of_prices", "non-finite", "squares beyond 65504 in float16; scaled targets cure it"
    ),
    ForeignKind("rate_of_twenty", "exploding", "a perceptron at a rate of 20; .05 cures it"),
    ForeignKind(
        "triple_weights", "exploding", "six layers that each treble their inputs; usual weights cure it"
    ),
    ForeignKind("rmsprop_convolutions", "exploding", "convolutions with RMSprop at .5; 1e-3 cures it"),
    ForeignKind("never_zeroed_lstm", "exploding", "zero_grad is missing beside an LSTM"),
    ForeignKind("warm_up_too_far", "exploding", "a warm-up that goes on to a rate of 60; one to .3 cures it"),
    ForeignKind(
        "relu_recurrence",
        "exploding",
        "a recurrent ReLU layer that doubles its state; a smaller one cures it",
    ),
    ForeignKind(
        "raw_salaries", "exploding", "targets of 50,000 and a rate for small ones; scaled ones cure it"
    ),
    ForeignKind("adam_at_three", "exploding", "a layer norm and Adam at a rate of 3; 3e-3 cures it"),
)
