"""What the loops of this set are, and why each is healthy or sick. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.foreign.kind import ForeignKind, kinds_of

KINDS: tuple[ForeignKind, ...] = (
    *kinds_of(
        "healthy",
        biased_coin="three coins in ten show heads, whatever the inputs are",
        tenth_by_tenth="a rate that falls to a tenth every hundred steps, down to nothing",
        continued_with_adam="it is watched from step 800 on, with the moments that Adam has by then",
        mostly_noise="a twentieth of the variance can be explained",
        skewed_prices="targets of which some are twenty times the mean",
        second_head_unused="one head is not in the loss, and a branch is multiplied by 0",
        two_of_eight="the two best of eight experts answer, and no balance is asked for",
        wronger_from_midway="from step 400 on a quarter of the labels is wrong",
        another_camera="from step 400 on the images are three times as bright, and as noisy",
        players_on_a_bell="two players with cross entropies, and a bell curve",
        reward_less_average="a policy gradient that has nothing left to gain in the end",
        one_picture_at_a_time="batches of one picture, and momentum",
        pairs_of_rows="batches of two rows with Adam, and kinds that overlap",
        absolute_errors="absolute errors at a rate that is never lowered",
        mostly_random_kinds="six labels in ten are drawn at random, and the rate ends at 0",
        most_of_ten="a plain RNN that has to remember ten numbers, and wrong answers",
        temperature_of_tomorrow="an LSTM forecasts temperatures with noise",
        normed_net_to_the_end="batch norms and wrong labels; the rate ends at 0",
        tuned_at_a_trickle="a trained net is tuned on at 1e-5",
        two_models_side_by_side="two nets with an optimizer each learn the same noisy line",
        alike_but_noisy="minus a cosine that settles at -.6",
        momentum_of_99="a momentum of .99 at a floor of noise",
    ),
    *kinds_of(
        "vanishing",
        twelve_small_tanh="twelve tanh layers of small weights; three of usual ones cure it",
        numbers_to_add="a plain RNN adds two marked numbers of fifty; of four it can",
        first_of_a_hundred="an LSTM and the first of a hundred symbols; of four it can",
    ),
    *kinds_of("dead", shut_filters="biases of -15 before the ReLU of a convolution; biases of 0 cure it"),
    *kinds_of(
        "non-finite", length_of_a_difference="the slope of a length of 0; an epsilon under the root cures it"
    ),
    *kinds_of(
        "exploding",
        rate_of_fifty="plain SGD at a rate of 50; .1 cures it",
        rmsprop_at_one="RMSprop at a rate of 1; 1e-3 cures it",
        sum_of_squares="squared errors are summed at a rate for their mean; the mean cures it",
        adam_on_images="convolutions with Adam at .5; 2e-3 cures it",
        sums_of_gradients="zero_grad is missing beside momentum",
    ),
)
