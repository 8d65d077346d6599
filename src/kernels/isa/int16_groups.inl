// All groups of a tile, each by words (int16_words.inl) or by bytes: written against score_group, add_group and, with
// the same parameters, score_bytes and add_bytes. Included inside the anonymous namespace of an instruction set.

void score(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
           Prefetch& ahead, void* scratch) noexcept {
  int64_t first_word = 0;
  for (int64_t g = 0; g < n_groups; first_word += group_words(keys[g].n), ++g)
    (keys[g].byte_queries ? score_bytes : score_group)(keys[g], g, first_word, n, query_tiles, n_query_tiles, ahead,
                                                       scratch);
}

void add_values(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept {
  int64_t column = 0;
  for (int64_t g = 0; g < n_groups; column += values[g].n, ++g)
    (values[g].byte_probs ? add_bytes : add_group)(values[g], g, column, n, query_tiles, n_query_tiles, add, ahead,
                                                   scratch);
}
