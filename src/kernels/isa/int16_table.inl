// The entries of an Int16Kernel that every instruction set has under the same names: inside the braces of an
// initialiser, after .peak. These are parts of a list:
// clang-format off
    .pack_query = pack_query,
    .pack_query8 = pack_query8,
    .score = score,
    .softmax = softmax,
    .carry_rests = carry_rests,
    .pack_probs = pack_probs,
    .prob_scales = prob_scales,
    .unpack_levels = unpack_levels,
    .rotate_codes = rotate_codes,
    .add_values = add_values,
    .scale_sums = scale_sums,
    .unpack_sums = unpack_sums,
