"""The classic mistakes, and the sentence that says to a student which one an answer looks like.

A sentence names the mistake and why it matters. It never says what to write instead.
"""

from __future__ import annotations

__all__ = ["GENERAL", "MISTAKES"]

# What can go wrong with any answer; the attempt itself finds these.
GENERAL: dict[str, str] = {
    "not_answered": "This one has not been answered yet.",
    "raises": "Your function stopped with an error. Call it by hand with the inputs shown.",
    "hung": "Your function did not come back in time. Is there a loop that never ends?",
    "died": "Your function ended the process that it ran in. Does it call exit, or ask for more "
    "memory than there is?",
    "replaced": "Your function replaces a part of torch or of what checks it. Work with what is "
    "there.",
    "not_sent": "Answers are tried in a process of their own, and this one cannot be sent there: "
    "it refers to something that lives in this notebook only. Make that inside the function.",
    "none": "Your function returned None. Did it end without a return?",
    "type": "The result is not of the type that was asked for.",
    "shape": "The result has the wrong shape. Which dimensions are summed, which are kept?",
    "not_finite": "The result holds NaN or infinite values, for inputs that are all finite.",
    "mutates": "Your function changed its input. The caller still needs it: work on a copy.",
    "detached": "No gradient flows from the result to an input that it depends on. Is something "
    "detached, or turned into a plain number on the way?",
}

# The mistakes of the subject; an exercise names those that apply to it.
MISTAKES: dict[str, str] = {
    "kl_missing_half": "The squares come without their factor ½, as in the tutorial's code. That "
    "is, up to a constant, the divergence from another prior, with half the variance.",
    "kl_doubled": "This is twice the divergence. It has its minimum at the same prior, but weighs "
    "twice as much against the reconstruction: a β of 2.",
    "half_the_weight": "The squared error weighs half of what it should against the divergence: "
    "one of the two has a factor too many.",
    "kl_missing": "The divergence is missing: this is the reconstruction alone, and no bound.",
    "loss_for_bound": "All of it has the wrong sign: this is the loss, minus the bound.",
    "lost_half": "This is twice what was asked for: a factor ½ has been lost.",
    "kl_sign": "The divergence, or a part of it, has the wrong sign. A divergence is never "
    "negative, and the ELBO subtracts it.",
    "kl_missing_one": "The divergence is off by a constant in each dimension: at the prior itself "
    "it must be exactly 0.",
    "kl_reversed": "This is the divergence in the other direction: the roles of the two "
    "distributions are exchanged.",
    "log_variance": "The log standard deviation is used as if it were the log variance, or the "
    "reverse: a factor 2 in the exponent.",
    "no_exp": "The log standard deviation is used as if it were the standard deviation: the "
    "exponential is missing.",
    "variance_for_sigma": "A variance stands where a standard deviation is meant, or the reverse.",
    "mean_over_pixels": "The terms are averaged over pixels or latents, where they must be summed: "
    "what they make up counts too little, by the factor of their number.",
    "not_summed": "There is still one number for each pixel or latent: those of an example have "
    "not been added up.",
    "constant_once": "The constant of the density is counted once, where each pixel has its own.",
    "one_number": "There is a single number for the whole batch, where each example has its own.",
    "one_per_draw": "There is one number for each draw, where each example has one: the wrong "
    "dimension has been averaged away.",
    "sum_over_draws": "The draws are added up, where their mean is asked.",
    "normalised_over_batch": "What has to sum to one for each example has been divided by a sum "
    "over the batch.",
    "sum_over_batch": "The terms are summed over the batch, where each example has its own number "
    "or the mean is asked.",
    "mean_over_batch": "The batch has been averaged away, where each example has its own number.",
    "grey_cross_entropy": "Cross-entropy on grey pixels is not a log-likelihood: its exponential "
    "does not integrate to 1.",
    "missing_log_2pi": "The constant ½ log 2π of each dimension is missing, so this is no "
    "log-density: its exponential does not integrate to 1.",
    "missing_log_det": "The logarithm of the determinant is missing, so that the width of Q costs "
    "nothing.",
    "log_det_factor": "The logarithm of the determinant is off by a factor 2: that of the factor "
    "is half that of the covariance.",
    "missing_log_sigma": "The term log σ is missing, so that a larger σ costs nothing: the density "
    "does not integrate to 1.",
    "missing_half_square": "The square stands without its factor ½.",
    "squared_error_only": "This is a squared error, not a log-likelihood: it fixes σ silently.",
    "sample_for_rsample": "The draw cuts the graph: it is as random as it should be, but no "
    "gradient reaches the parameters.",
    "shared_noise": "All examples of the batch get the same noise. Each needs its own.",
    "no_noise": "There is no noise: the result is the same each time, and does not have the "
    "variance that was asked for.",
    "sampled_mean": "The result is random where the mean is asked.",
    "label_missing_encoder": "The encoder does not look at the label.",
    "label_missing_decoder": "The decoder does not look at the label.",
    "label_as_number": "The label goes in as a number, as if 9 were near 8 and far from 0.",
    "naive_logsumexp": "The exponentials under- or overflow: nothing was taken out before they "
    "were computed.",
    "mean_of_logs": "This is the mean of the logs where the log of the mean is asked. By Jensen's "
    "inequality it is too low.",
    "divided_twice": "The number of draws has been divided by twice.",
    "missing_log_n": "The result grows with the number of draws: the log of a sum is not the log "
    "of a mean.",
    "no_density_ratio": "The draws come from Q and are weighted as if they came from the prior: "
    "the ratio P(z)/Q(z|X) is missing.",
    "inverse_ratio": "The ratio of the densities is upside down.",
    "softmax_for_sigmoid": "The outputs compete with each other: a softmax stands where each pixel "
    "has a probability of its own.",
    "logits_as_probabilities": "Logits are taken for probabilities, or the reverse.",
    "transposed": "The numbers are right and in the wrong order: rows and columns are exchanged.",
    "test_leak": "Something was computed from the test data, and used on them.",
    "wrong_gradient": "The gradient flows through an argument that must be held fixed here, or "
    "does not flow through the one that moves.",
    "detached_sigma": "No gradient reaches σ.",
    "detached_mean": "No gradient reaches the mean.",
    "generator_ignored": "The noise does not come from the generator that was handed in, so that "
    "no one can repeat the draw.",
    "global_generator": "The draw can be repeated, but torch's own generator, which the whole "
    "program shares, was used or seeded on the way: that changes every other draw after it.",
    "seed_in_loop": "The generator is seeded again in each round, so all draws are the same.",
    "biased_baseline": "The baseline depends on the very draw that it is subtracted from, which "
    "makes the estimate wrong on average.",
    # Chapter 6
    "shared_noise_latents": "All latents of an example get the same noise, so that they can only "
    "move together. Each dimension needs its own.",
    "uniform_noise": "The noise is uniform, not normal, so that the spread is not the one that was "
    "asked for.",
    "baseline_missing": "Nothing is subtracted from f. The estimate is right on average, and its "
    "variance is that of the plain score function.",
    "score_without_sigma": "The score is off by a power of σ: it is the derivative of the "
    "log-density with respect to the mean, not the noise itself.",
    "score_sign": "The estimate has the wrong sign: it says where f falls.",
    # Chapter 7
    "unequal_portions": "Each portion counts the same, however many draws are in it, or its result "
    "is added as if the others were not there.",
    "stale_maximum": "Sums taken on different scales are added: when the largest weight changes, "
    "what was summed before is still on the old scale.",
    "squares_not_rescaled": "The sum is brought to the new scale, the sum of the squares is not, "
    "or not by the square.",
    "holds_all": "All portions are kept until the end, so that memory grows with the stream.",
    "posterior_variance": "This looks at the variance of Q around its mean, for each image, where "
    "the variance of the mean over the images is meant.",
    "uncentred": "The mean square is taken for the variance: a latent that sits far from 0 without "
    "moving would count.",
    # Chapter 8
    "prior_missing": "The prior has been left out: this is what the likelihood alone says of z.",
    "cell_width": "A sum stands for an integral: the width of the grid's cells is missing.",
    "exp_left_in": "This is the density itself, where its logarithm is asked.",
    "joint_for_posterior": "P(X, z) is used as if it were P(z|X): it integrates to P(X), not to 1.",
    "not_centred": "The mean, or the decoder's offset, has not been taken off first.",
    "precision_for_covariance": "This is the precision, the inverse of the covariance.",
    "map_inverted": "This is the way back, from the data to the code.",
    "density_for_cdf": "A density stands where a distribution function is meant.",
    "moments_only": "The mean and the variance are right and the quantiles are not: a stretched "
    "Gaussian remains a Gaussian.",
    "tail_lost": "Far out a probability near 1 has been rounded, and with it all that was known of "
    "z. What is left of 1 there is exact when it is computed by itself.",
    "no_logs": "The fit was made on plain axes, or on one logarithmic axis, where a power law is "
    "no straight line.",
    "log_constant": "The constant is still a logarithm, or was raised with another base than the "
    "one it was taken with.",
    "axes_exchanged": "The axes are exchanged: sigma has been fitted to the gap.",
    # Chapter 9
    "z_not_counted": "Neither what z costs nor what it gives back is in the account: these are "
    "the bits of X alone, once z is known.",
    "bits_not_back": "The bits that the choice of z gives back are missing from the account, or "
    "stand on the side of the costs.",
    "rate_sign": "The rate has the wrong sign: a message takes a positive number of bits.",
    "per_image": "This is the number of bits an image, not a pixel.",
    "missing_edges": "The probabilities do not sum to 1: what lies below the lowest level and "
    "above the highest belongs to nobody.",
    "density_for_mass": "This is a density at one point, not the mass of a bin.",
    "sigma_for_scale": "A logistic's scale is not its standard deviation.",
    "zero_frequency": "A frequency is 0, so this symbol cannot be told at all.",
    "sum_off": "The frequencies do not sum to the total, so the coder's slots do not fit.",
    "flat_code": "All symbols cost about the same, whatever their probabilities are.",
    "cumulative_missing": "Pushing and popping do not undo each other: the place where a symbol's "
    "slots begin is left out, or differs between the two.",
    "float_state": "The state is no longer an exact whole number: a division has rounded it.",
    "not_reversed": "The symbols come back in the order in which they were pushed. A stack gives "
    "the last one first.",
    "loss_sign": "The sign of the objective is wrong: the step leads uphill, away from the best "
    "parameters.",
    "bound_for_loss": "The bound is returned, where the loss is asked, which is minus the bound.",
    "second_output": "This is the encoder's spread, its second output, where the mean is asked.",
    "train_for_test": "The gain is measured on the training codes, which the Gaussian was fitted "
    "to.",
    "not_updated": "The parameters are the same as before the step.",
    "gradient_accumulates": "The gradient of the step before is still in the sum: gradients add up "
    "until something clears them.",
    "last_batch_dropped": "The last, shorter batch is missing.",
    "graph_kept": "The result still carries its graph, and all activations of the network with "
    "it: on a large test set that fills the memory.",
    "counts_given": "The pixels that are given are counted too, though nothing about them is "
    "uncertain.",
    "mask_inverted": "The mask is read the wrong way round: given and hidden pixels are exchanged.",
    "given_overwritten": "Pixels that are given come out changed: a completion must keep them.",
    "mean_of_draws": "The draws have been averaged: a mean of completions is not a completion.",
    "inverse_price": "The ratio is upside down: noisier pixels make a nat dearer, not cheaper.",
    "beta_forgotten": "The factor in front of the KL term has no effect on the result.",
    "error_per_image": "The error is that of a whole image, where that of one pixel is asked.",
    "mean_of_roots": "The root is taken before the mean. Errors are averaged as squares.",
    "mean_removed": "The mean of the errors has been taken away first. A decoder that is always "
    "too dark is wrong as well.",
    "gain_sign": "The sign is wrong: more freedom cannot make the best bound worse.",
    "noise_not_subtracted": "All of the variance is given to the latent, as if the noise explained "
    "none of it.",
    "roots_subtracted": "Standard deviations have been subtracted. Those of independent parts do "
    "not add up; their squares do.",
    "collapse_missed": "A direction below the noise has no length that could be chosen freely: "
    "what is best there?",
    "rotation_reversed": "The rotation goes the other way round in one place or in both.",
    "decoder_not_undone": "The encoder turns, and the decoder does not undo it: the pictures "
    "change.",
    "bias_forgotten": "The weights are transformed, their bias is not.",
    "spaces_exchanged": "The two spaces are exchanged: this asks which neighbours the map has torn "
    "apart, not which of its neighbours are false.",
    "own_neighbour": "Each point is counted among its own neighbours.",
    "rank_not_reduced": "A false neighbour is fined by how far it lies beyond the k nearest: not "
    "by its whole rank, nor by 1.",
    "wrong_scale": "The scale is wrong: the result does not have the range that its definition "
    "gives it.",
    "not_orthonormal": "The columns were taken as if they had length 1 and stood at right angles.",
    "radians": "The angle is in radians, where degrees are asked.",
    "smallest_angle": "This is the smallest principal angle. Two spaces may share one direction "
    "and still differ.",
    "axes_for_space": "The axes are compared one by one. The same space can be spanned by others.",
    "nonlinear_probe": "The classifier is not linear: it can find what no line shows, and does not "
    "measure how the codes are laid out.",
    "weights_ignored": "Every draw counts the same, whatever its weight.",
    "draws_counted": "This is not the effective sample size: equal weights give the number of "
    "draws, and one weight of 1 gives 1.",
    "scores_reversed": "The order is reversed: a score that is higher for what belongs must come "
    "out above a half.",
    "ties_ignored": "Pairs with equal scores are counted wholly for one side, or left out.",
    "pairs_in_order": "Only the first score was compared with the first, the second with the "
    "second: each of one kind must meet each of the other.",
    "accuracy_for_auroc": "This is the accuracy at one threshold. The area has no threshold.",
    "divided_by_n": "The spread has been divided by n, where a mean's error falls with the root "
    "of n.",
    "unpaired_error": "The error is that of two independent means. What the pairs have in common "
    "cancels in their differences.",
    "spread_for_error": "This is the spread of single differences, not the error of their mean.",
    "difference_sign": "The difference is taken the other way round.",
    "log_base": "Nats and bits are mixed up: a factor log 2.",
    # chapter 2
    "old_scale": "What was summed before belongs to an older maximum: when a larger log-weight "
    "arrives, the running sums have to be brought to the same scale.",
    "growing_state": "The state grows with the number of draws: it keeps them, where a few numbers "
    "are enough.",
    "log_weights_as_weights": "The logarithms of the weights are used as if they were the weights.",
    "raw_weights": "The weights are not divided by their sum: scaling them all changes the result.",
    "inverse_count": "This is one over the number that was asked for.",
    "squared_width": "This is the square of the width, or another number on the way to it.",
    "posterior_width": "This is the width of the posterior itself, which is best only if the mean "
    "is known exactly.",
    "narrow_width": "Narrower than the posterior is the unsafe side: there the weights explode.",
    # chapter 3
    "log_of_mean": "This is the log of the mean where the mean of the logs is asked: an estimate "
    "of log P(X), and no longer the bound.",
    "missing_log_q": "The density of Q is missing: each draw is scored by the joint alone.",
    "variance_for_error": "This is the variance of the mean, or of a draw, without its root.",
    "prior_for_posterior": "This is the divergence from the prior, where the posterior is meant.",
    "stale_q": "The model was set from the Q before this round, not from the one just improved.",
    "share_ignored": "Q goes all the way to the posterior, whatever share was asked for.",
    "share_reversed": "The share is read the other way round: it is how far Q goes, not how much "
    "of it stays.",
    "theta_forgotten": "This is not the posterior's mean: its θ is forgotten, or in the wrong "
    "place.",
    "missing_variance": "The variance of Q is left out, as if its draws were all at its mean.",
    # chapter 5
    "loss_for_likelihood": "The sign is that of a loss: a worse reconstruction must give a lower "
    "log-likelihood.",
    "saturated_sigmoid": "For large logits the sigmoid is rounded to 0 or 1, and its logarithm "
    "is lost.",
    "normaliser_sign": "The normaliser is upside down: the exponential integrates to the square of "
    "what cross-entropy's does.",
    "normaliser_once": "The normaliser depends on the logit: each pixel needs its own.",
    "singular_at_zero": "At a logit of 0, or near it, the normaliser's formula is 0 by 0: its "
    "limit is finite, and has to be met to the digits asked for.",
    "sum_over_pixels": "The squares are summed over pixels, where their mean is asked.",
    "absolute_error": "The mean absolute error is the best scale of another density, not of a "
    "Gaussian.",
    # chapter 1
    "no_cdf": "The Gaussian's cumulative distribution function is missing: z itself is taken for "
    "a share.",
    "heights_as_masses": "A bin's probability is not its height: wide bins hold more.",
    "snapped_to_edges": "All draws land on a few values: within a bin the map must go on rising.",
    "shares_not_one": "The shares do not end at one: the heights are given up to a common factor "
    "only.",
    "order_reversed": "The order is reversed: the largest draw lands lowest.",
    "forward_for_inverse": "The target's cumulative distribution function is used, where its "
    "inverse is meant.",
    "missing_prior": "The prior is missing: rare and common classes, or likely and unlikely codes, "
    "are treated alike.",
    "sum_not_one": "The result does not sum to one.",
    "density_multiplied": "The density is multiplied by the factor by which areas grow, where it "
    "has to be divided.",
    "no_jacobian": "The density of z is taken over as it is: nothing says how areas change.",
    "diagonal_jacobian": "Only the diagonal of the Jacobian is used: areas also change by the rest "
    "of it.",
    "mean_not_taken_off": "The mean was not taken off before the weights were applied.",
    "no_noise_model": "The noise of the parts is not used: a noisy one counts as much as an exact "
    "one.",
}
