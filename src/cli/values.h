// What the value of an option may be, for CLI::Option::transform: the range stands once, and a value outside it gets
// one sentence: "--threads is '0'; it must be a whole number from 1 to 1024". Numbers are decimal as people write them:
// nothing wraps, and hexadecimal, octal, NaN, infinity and text around the digits are refused.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace fathom {

inline constexpr int kMostThreads = 1024;

CLI::Validator whole_number(int64_t least, int64_t most = INT64_MAX);
CLI::Validator real_number(double least, double most);
// 0 to 2^64 - 1.
CLI::Validator seed_number();
// The same, and -1 for this random one.
CLI::Validator seed_or_random(uint64_t random);
uint32_t random_seed();  // short enough to type

// A token id and what is added to its score, -100 to 100: "15043=-1.5", or "15043-1.5" and "15043+1" as llama.cpp has
// them. parse_logit_bias is for texts that the validator takes.
CLI::Validator logit_bias();
std::pair<int32_t, double> parse_logit_bias(const std::string& text);

// One of these words, in any case.
CLI::Validator one_of(std::vector<std::string> words);

// "30M", "1.5B", "20000": a number in thousands, millions, billions (B or G) or trillions; becomes its decimal number.
CLI::Validator quantity(double least, double most);

// "2GB", "1.5 MiB", "500000": bytes, powers of 1000 but for KiB, MiB ...; becomes their decimal number.
CLI::Validator byte_size();

// Every option of `app` and of its commands whose value is a text refuses an empty one, but for those whose empty text
// means something: an unset shell variable is no choice.
void refuse_empty_values(CLI::App& app);

}  // namespace fathom
