// Counting words, each thread on its own shelf; the shelves are joined and ordered at the end.
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <unordered_map>

#include "base/text/utf8.h"
#include "tokenizer/train/train_bpe.h"

namespace fathom {
namespace {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using WordMap = std::unordered_map<std::string, uint64_t, TextHash, std::equal_to<>>;

// Pieces of at most kPieceBytes that end behind a line feed; a longer line is one piece, up to kMaxLineBytes.
constexpr size_t kMaxLineBytes = size_t{1} << 24;

void cut_into_pieces(std::string_view text, std::vector<std::string_view>& pieces) {
  while (text.size() > WordCounter::kPieceBytes) {
    size_t end = text.rfind('\n', WordCounter::kPieceBytes - 1);
    if (end == std::string_view::npos) end = text.find('\n', WordCounter::kPieceBytes);
    size_t length = end == std::string_view::npos ? text.size() : end + 1;
    if (length > kMaxLineBytes) length = kMaxLineBytes - unfinished_utf8_tail(text.substr(0, kMaxLineBytes));
    pieces.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  if (!text.empty()) pieces.push_back(text);
}

}  // namespace

struct WordCounter::Shelf {
  WordMap words;
  PreTokenizer::Scratch scratch;

  void count(std::string_view word, uint64_t n) {
    for (; word.size() > kMaxWordBytes; word.remove_prefix(kMaxWordBytes)) count(word.substr(0, kMaxWordBytes), n);
    const auto at = words.find(word);
    if (at != words.end()) {
      at->second += n;
    } else {
      words.emplace(word, n);
    }
  }

  void count_text(const PreTokenizer& pre, std::string_view text) {
    std::string repaired;
    if (find_invalid_utf8(text) != std::string_view::npos) text = repaired = replace_invalid_utf8(text);
    size_t begin = 0;
    for (const uint32_t end : pre.split(text, scratch)) {
      count(text.substr(begin, end - begin), 1);
      begin = end;
    }
  }
};

WordCounter::WordCounter(const PreTokenizerSpec& pre, ThreadPool& pool) : pre_(pre, "pre-tokenizer"), pool_(pool) {
  for (int t = 0; t < pool.size(); ++t) shelves_.push_back(std::make_unique<Shelf>());
}
WordCounter::~WordCounter() = default;

void WordCounter::add(std::span<const std::string_view> texts) {
  std::vector<std::string_view> pieces;
  for (const std::string_view text : texts) cut_into_pieces(text, pieces);
  std::atomic<size_t> next{0};
  std::exception_ptr failure;  // memory may run out
  std::mutex failing;
  pool_.run([&](int thread) {
    try {
      for (size_t i = next.fetch_add(1); i < pieces.size(); i = next.fetch_add(1))
        shelves_[static_cast<size_t>(thread)]->count_text(pre_, pieces[i]);
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

std::vector<CountedWord> WordCounter::take() {
  Shelf& all = *shelves_[0];
  for (size_t s = 1; s < shelves_.size(); ++s) {
    for (const auto& [word, count] : shelves_[s]->words) all.count(word, count);
    shelves_[s]->words = {};
  }
  std::vector<CountedWord> out;
  out.reserve(all.words.size());
  while (!all.words.empty()) {
    auto node = all.words.extract(all.words.begin());
    out.push_back({std::move(node.key()), node.mapped()});
  }
  std::sort(out.begin(), out.end(), [](const CountedWord& a, const CountedWord& b) { return a.bytes < b.bytes; });
  return out;
}

}  // namespace fathom
