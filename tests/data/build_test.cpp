#include "data/build.h"

#include <map>
#include <set>

#include "base/file/working_folder.h"
#include "data/data_files.h"
#include "data/packed.h"

namespace fathom {
namespace {

class BuildData : public DataFiles {
 protected:
  // Text -> side, of everything in a data folder.
  static std::map<std::string, Split> texts_of(const TokenDataset& data) {
    std::map<std::string, Split> out;
    for (const DataSource& source : data.sources())
      for (const Split split : {Split::train, Split::held_out}) {
        const TokenRun& run = source.run(split);
        for (int64_t d = 0; d < run.n_documents(); ++d) {
          const int64_t begin = run.document_begin(d), n = run.document_begin(d + 1) - begin;
          std::vector<int32_t> ids(static_cast<size_t>(n));
          run.copy(begin, n, data.vocab_size(), ids.data());
          EXPECT_EQ(ids.front(), data.tokenizer().bos());
          EXPECT_EQ(ids.back(), data.tokenizer().eos());
          const std::string text = data.tokenizer().decode(ids, {.skip_special = true});
          EXPECT_EQ(static_cast<int64_t>(text.size()), run.document_bytes(d));
          out[text] = split;
        }
      }
    return out;
  }
  std::vector<std::string> many_texts(uint64_t seed, uint64_t n) const {
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < n; ++i) texts.push_back(some_text(seed, i, 5 + i % 30));
    return texts;
  }
};

TEST_F(BuildData, EveryDocumentComesBackFromFilesFoldersAndJsonLines) {
  const auto lines = many_texts(1, 50);
  write("in/b.txt", "second file");
  write("in/a.txt", "first <file>\r\nwith two lines\n");
  write("in/.hidden", "not read");
  write("in/sub/c.md", "third");
  write("lines.jsonl", json_lines(lines) + "\n  \n");
  build_data(options({{.path = folder / "in", .name = {}}, {.path = folder / "lines.jsonl", .name = {}}}));
  const auto data = TokenDataset::open(folder / "data");
  std::set<std::string> want(lines.begin(), lines.end()), got;
  want.insert({"first <file>\r\nwith two lines\n", "second file", "third"});
  for (const auto& [text, side] : texts_of(*data)) got.insert(text);
  EXPECT_EQ(got, want);
  ASSERT_EQ(data->sources().size(), 2u);
  EXPECT_EQ(data->sources()[0].name, "in");
  EXPECT_EQ(data->sources()[1].name, "lines");
}

TEST_F(BuildData, ASeparatorCutsTextFilesIntoDocuments) {
  auto o = options({{.path = write("all.txt", "one\n%%\ntwo\n%%\n\n%%\nthree"), .name = {}}});
  o.format.separator = unescape("\\n%%\\n");
  o.held_out = 0;
  const Manifest m = build_data(o);
  EXPECT_EQ(m.sources[0].train.documents(), 3u);
  EXPECT_EQ(m.sources[0].empty, 1u);
  const auto texts = texts_of(*TokenDataset::open(folder / "data"));
  EXPECT_TRUE(texts.count("one") == 1 && texts.count("two") == 1 && texts.count("three") == 1);
}

TEST_F(BuildData, EqualDocumentsAreKeptOnceAcrossAllInputs) {
  const auto texts = many_texts(2, 40);
  auto twice = texts;
  twice.insert(twice.end(), texts.begin(), texts.begin() + 7);
  auto o = options({{.path = write("a.jsonl", json_lines(twice)), .name = {}},
                    {.path = write("b.jsonl", json_lines({texts[3], "only here"})), .name = {}}});
  const Manifest m = build_data(o);
  EXPECT_EQ(m.sources[0].duplicates, 7u);
  EXPECT_EQ(m.sources[1].duplicates, 1u);
  EXPECT_EQ(texts_of(*TokenDataset::open(folder / "data")).size(), 41u);
}

TEST_F(BuildData, TheSameBytesForAnyNumberOfThreads) {
  write("lines.jsonl", json_lines(many_texts(3, 300)));
  for (const int threads : {1, 2, 5}) {
    auto o = options({{.path = folder / "lines.jsonl", .name = {}}}, fmt::format("d{}", threads));
    o.threads = threads;
    o.held_out = 0.1;
    o.shard_tokens = 1000;
    build_data(o);
  }
  size_t n_shards = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "d1")) {
    const std::string want = read(entry.path());
    for (const char* other : {"d2", "d5"}) EXPECT_EQ(read(folder / other / entry.path().filename()), want);
    n_shards += entry.path().extension() == ".tokens" ? 1u : 0u;
  }
  EXPECT_GT(n_shards, 4u);
}

TEST_F(BuildData, ADocumentFallsOnTheSameSideWhateverIsAroundIt) {
  const auto texts = many_texts(4, 2000);
  std::vector<std::string> others(texts.rbegin(), texts.rbegin() + 1000);
  for (auto& text : many_texts(5, 200)) others.push_back(text);
  for (const auto& [name, lines] : {std::pair("a", texts), std::pair("b", others)}) {
    auto o = options({{.path = write(std::string(name) + ".jsonl", json_lines(lines)), .name = {}}}, name);
    o.held_out = 0.1;
    build_data(o);
  }
  const auto a = texts_of(*TokenDataset::open(folder / "a")), b = texts_of(*TokenDataset::open(folder / "b"));
  int64_t held_out = 0, common = 0;
  for (const auto& [text, side] : a) {
    held_out += side == Split::held_out;
    const auto at = b.find(text);
    if (at == b.end()) continue;
    ++common;
    EXPECT_EQ(at->second, side) << text;
  }
  EXPECT_EQ(common, 1000);
  EXPECT_NEAR(static_cast<double>(held_out), 200, 54);  // binomial, 4 standard deviations
  // A smaller fraction holds out a subset; another seed others.
  auto o = options({{.path = folder / "a.jsonl", .name = {}}}, "c");
  o.held_out = 0.05;
  build_data(o);
  int64_t fewer = 0;
  for (const auto& [text, side] : texts_of(*TokenDataset::open(folder / "c"))) {
    EXPECT_TRUE(side == Split::train || a.at(text) == Split::held_out);
    fewer += side == Split::held_out;
  }
  EXPECT_NEAR(static_cast<double>(fewer), 100, 39);
}

TEST_F(BuildData, IllFormedUtf8IsReplacedLeftOutOrRefused) {
  write("in/good.txt", "good");
  write("in/odd.txt", "caf\xe9 au lait");
  const auto with = [&](InvalidUtf8 policy, const char* name) {
    auto o = options({{.path = folder / "in", .name = {}}}, name);
    o.invalid_utf8 = policy;
    o.held_out = 0;
    return build_data(o);
  };
  EXPECT_EQ(with(InvalidUtf8::replace, "r").sources[0].repaired, 1u);
  EXPECT_EQ(texts_of(*TokenDataset::open(folder / "r")).count("caf\ufffd au lait"), 1u);
  EXPECT_EQ(with(InvalidUtf8::skip, "s").sources[0].skipped_invalid, 1u);
  EXPECT_EQ(texts_of(*TokenDataset::open(folder / "s")).size(), 1u);
  EXPECT_TRUE(says(error_of([&] { with(InvalidUtf8::refuse, "f"); }), {"odd.txt", "not valid UTF-8"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "f"));
}

TEST_F(BuildData, ThePolicyForIllFormedUtf8HoldsInJsonAsInText) {
  const std::string good = "{\"text\": \"good\"}\n", fine = "{\"text\": \"fine\"}\n";
  const std::vector<std::string> odd = {"{\"text\": \"caf\xe9 au lait\"}\n", "{\"text\": \"cut \\ud83d here\"}\n"};
  for (const std::string& line : odd)
    for (const auto& [bytes, name] :
         {std::pair(good + line + fine, "a.jsonl"), {"[" + good + "," + line + "," + fine + "]", "a.json"}}) {
      const std::filesystem::path input = write(name, bytes);
      const auto with = [&](InvalidUtf8 policy) {
        auto o = options({{.path = input, .name = {}}});
        o.invalid_utf8 = policy;
        o.held_out = 0;
        o.force = true;
        return build_data(o).sources[0];
      };
      EXPECT_EQ(with(InvalidUtf8::replace).train.documents(), 3u);
      EXPECT_EQ(with(InvalidUtf8::replace).repaired, 1u);
      EXPECT_EQ(with(InvalidUtf8::skip).train.documents(), 2u);
      EXPECT_EQ(with(InvalidUtf8::skip).skipped_invalid, 1u);
      EXPECT_TRUE(says(error_of([&] { with(InvalidUtf8::refuse); }),
                       {std::string_view(name) == "a.json" ? "a.json: record 2" : "a.jsonl:2", "not valid UTF-8"}));
    }
  // Where nobody reads, nothing is repaired.
  auto o = options({{.path = write("b.jsonl", "{\"id\": \"\xe9\\ud83d\", \"text\": \"x\"}\n"), .name = {}}}, "b");
  o.invalid_utf8 = InvalidUtf8::refuse;
  EXPECT_EQ(build_data(o).sources[0].repaired, 0u);
}

TEST_F(BuildData, BadLinesAreLeftOutOnRequestCountedAndNamed) {
  std::string lines =
      json_lines({"one"}) + "{\"text\": \"cut\n" + json_lines({"two"}) + "{\"other\": 1}\n" + json_lines({"three"});
  for (int i = 0; i < 20; ++i) lines += "nonsense\n";
  auto o = options({{.path = write("a.jsonl", lines), .name = {}}});
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"a.jsonl:2"}));
  std::vector<std::string> notices;
  o.format.bad_lines = BadLines::skip;
  o.notice = [&](const std::string& sentence) { notices.push_back(sentence); };
  const Manifest m = build_data(o);
  EXPECT_EQ(m.sources[0].bad_records, 22u);
  EXPECT_EQ(m.sources[0].train.documents() + m.sources[0].held_out.documents(), 3u);
  ASSERT_EQ(notices.size(), 11u);
  EXPECT_TRUE(says(notices[0], {"left out", "a.jsonl:2"}));
  EXPECT_TRUE(says(notices[1], {"a.jsonl:4", "'other'"}));
  EXPECT_TRUE(says(notices[10], {"12 more"}));
  EXPECT_EQ(read_manifest(read(folder / "data/manifest.json"), "m").sources[0].bad_records, 22u);
}

TEST_F(BuildData, FilesThatAreNotTextStopAFolderOrAreLeftOut) {
  write("in/a.txt", "some text");
  write("in/cover.png", std::string("\x89PNG\r\n\x1a\n\0", 9));
  write("in/z.parquet", std::string("PAR1\0PAR1", 9));
  auto o = options({{.path = folder / "in", .name = {}}});
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"in/cover.png", "a PNG image", "1 more", "--not-text skip"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "data.partial"));
  std::vector<std::string> notices;
  o.not_text = NotTextFiles::skip;
  o.notice = [&](const std::string& sentence) { notices.push_back(sentence); };
  EXPECT_EQ(build_data(o).sources[0].not_text, 2u);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_TRUE(says(notices[1], {"z.parquet", "a parquet file"}));
  // A file that was named itself is refused in any case.
  auto named = options({{.path = folder / "in/cover.png", .name = {}}}, "other");
  named.not_text = NotTextFiles::skip;
  EXPECT_TRUE(says(error_of([&] { build_data(named); }), {"cover.png", "a PNG image"}));
}

TEST_F(BuildData, WhatCannotBeReadIsSaidBeforeTheFirstDocument) {
  write("a.jsonl", json_lines(many_texts(9, 50)));
  auto o = options({{.path = folder / "a.jsonl", .name = {}}, {.path = write("b.json", "[{\"txt\": 1}]"), .name = {}}});
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"b.json: record 1", "'txt'"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "data.partial"));
}

TEST_F(BuildData, PackedFilesGiveTheTokensOfWhatIsPacked) {
  const std::string lines = json_lines(many_texts(10, 80));
  const auto shard = [&](const std::filesystem::path& path, const std::string& name) {
    build_data(options({{.path = path, .name = "x"}}, name));
    return read(folder / name / "000-train-00000.tokens");
  };
  const std::string want = shard(write("a.jsonl", lines), "plain");
  EXPECT_EQ(shard(write("a.jsonl.gz", gzipped(lines)), "gz"), want);
  EXPECT_EQ(shard(write("a.zst", zstd_packed(lines)), "zst"), want);
}

TEST_F(BuildData, OneLongTextIsHeldOutByPieces) {
  std::string text;
  for (uint64_t i = 0; text.size() < 40'000; ++i) text += some_text(11, i, 12) + "\n";
  const auto o = options({{.path = write("book.txt", text), .name = {}}});
  const Manifest m = build_data(o);
  const ManifestSource& s = m.sources[0];
  EXPECT_EQ(s.held_out_by_pieces, 1u);
  EXPECT_GT(s.held_out.bytes(), 3500u);
  EXPECT_LT(s.held_out.bytes(), 6000u);
  EXPECT_EQ(s.train.bytes() + s.held_out.bytes(), text.size());
  for (const auto& [part, side] : texts_of(*TokenDataset::open(folder / "data"))) {
    EXPECT_NE(text.find(part), std::string::npos);
    EXPECT_EQ(part.back(), '\n');
  }
  // Nothing is when none was asked for, when there is too little, or when whole documents are held out.
  auto none = options({{.path = folder / "book.txt", .name = {}}}, "none");
  none.held_out = 0;
  EXPECT_EQ(build_data(none).sources[0].held_out.documents(), 0u);
  EXPECT_EQ(
      build_data(options({{.path = write("short.txt", "short"), .name = {}}}, "short")).sources[0].held_out.documents(),
      0u);
  write("many.jsonl", json_lines(many_texts(12, 2000)));
  auto many = options({{.path = folder / "book.txt", .name = {}}, {.path = folder / "many.jsonl", .name = {}}}, "many");
  const Manifest both = build_data(many);
  EXPECT_EQ(both.sources[0].held_out_by_pieces, 0u);
  EXPECT_GT(both.sources[1].held_out.documents(), 0u);
}

TEST_F(BuildData, PiecesAreTheSameForAnyThreadsAndShards) {
  std::string text;
  for (uint64_t i = 0; text.size() < 60'000; ++i) text += some_text(13, i, 12) + "\n";
  write("a.txt", text);
  write("b.txt", text.substr(0, 30'000));
  for (const int threads : {1, 3}) {
    auto o = options({{.path = folder / "a.txt", .name = {}}, {.path = folder / "b.txt", .name = {}}},
                     fmt::format("t{}", threads));
    o.threads = threads;
    o.shard_tokens = 500;  // the long text fills a shard at once, and still can be cut
    const Manifest m = build_data(o);
    EXPECT_EQ(m.sources[0].held_out_by_pieces + m.sources[1].held_out_by_pieces, 2u);
  }
  EXPECT_EQ(read(folder / "t1/manifest.json"), read(folder / "t3/manifest.json"));
}

TEST_F(BuildData, InputsAreNotReadTwiceNorWhatIsWritten) {
  const auto a = write("in/a.txt", "first");
  write("in/b.txt", "second");
  const auto message = [&](const std::vector<DataInput>& inputs) {
    return error_of([&] { build_data(options(inputs)); });
  };
  EXPECT_TRUE(says(message({{.path = a, .name = {}}, {.path = a, .name = {}}}), {"a.txt", "twice", "=2"}));
  EXPECT_TRUE(says(message({{.path = folder / "in", .name = {}}, {.path = folder / "in/./a.txt", .name = {}}}),
                   {"a.txt", "twice"}));
  EXPECT_TRUE(says(message({{.path = "-", .name = {}}, {.path = "-", .name = {}}}), {"stdin", "twice"}));
  EXPECT_TRUE(says(message({{.path = "", .name = {}}}), {"empty"}));
  // The output in its own input: a second build reads the same files.
  for (int again = 0; again < 2; ++again) {
    auto o = options({{.path = folder / "in", .name = {}}}, "in/data");
    o.force = true;
    EXPECT_EQ(build_data(o).sources[0].files.size(), 2u);
  }
  auto o = options({{.path = folder / "in/data/manifest.json", .name = {}}}, "in/data");
  o.force = true;
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"manifest.json", "that is to be written"}));
}

TEST_F(BuildData, FoldersBehindLinksAreReadOnceAlsoInCircles) {
  write("elsewhere/c.txt", "third");
  write("in/a.txt", "first");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "in/link");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "in/link2");
  std::filesystem::create_directory_symlink(folder / "in", folder / "in/circle");
  EXPECT_EQ(build_data(options({{.path = folder / "in", .name = {}}})).sources[0].files.size(), 2u);
}

TEST_F(BuildData, ForceRemovesNoFileThatABuildDidNotMake) {
  auto o = options({{.path = write("a.txt", "text"), .name = {}}});
  build_data(o);
  write("data/notes.txt", "dear");
  o.force = true;
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"notes.txt", "move it away"}));
  std::filesystem::remove(folder / "data/notes.txt");
  write("data.old/letter.txt", "dear");
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"letter.txt", "move it away"}));
  EXPECT_EQ(read(folder / "data.old/letter.txt"), "dear");
}

TEST_F(BuildData, AManifestWithoutTheLaterKeysIsRead) {
  auto o = options({{.path = write("a.txt", "text"), .name = {}}});
  Manifest m = build_data(o);
  std::string text = write_manifest(m);
  for (const char* key : {"      \"bad_records\": 0,\n", "      \"not_text\": 0,\n",
                          "      \"held_out_by_pieces\": 0,\n", "  \"as_text\": false,\n"}) {
    const size_t at = text.find(key);
    ASSERT_NE(at, std::string::npos) << key;
    text.erase(at, std::string_view(key).size());
  }
  EXPECT_EQ(write_manifest(read_manifest(text, "m")), write_manifest(m));
}

TEST_F(BuildData, SpecialTokensInTheTextStayText) {
  const std::string text = "a " + tokenizer().token_spelling(*tokenizer().eos()) + " b";
  auto o = options({{.path = write("a.txt", text), .name = {}}});
  o.held_out = 0;
  build_data(o);
  const auto data = TokenDataset::open(folder / "data");
  const TokenRun& run = data->sources()[0].train;
  std::vector<int32_t> ids(static_cast<size_t>(run.n_tokens()));
  run.copy(0, run.n_tokens(), data->vocab_size(), ids.data());
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *data->tokenizer().eos()), 1);
}

TEST_F(BuildData, BadInputIsNamed) {
  const auto message = [&](const DataBuildOptions& o) { return error_of([&] { build_data(o); }); };
  const auto of = [&](const std::string& name, const std::string& text) {
    return message(options({{.path = write(name, text), .name = {}}}));
  };
  EXPECT_TRUE(says(message(options({{.path = folder / "none", .name = {}}})), {"none", "no such file"}));
  EXPECT_TRUE(says(of("a.jsonl", "{\"text\": \"x\"}\n{\"text\": 3}\n"), {"a.jsonl:2", "'text'", "it is '3'"}));
  EXPECT_TRUE(says(of("b.jsonl", "{\"txt\": \"x\"}\n"), {"b.jsonl:1", "the keys of this one are 'txt'"}));
  EXPECT_TRUE(says(of("c.jsonl", "\n\n[1]\n"), {"c.jsonl:3", "an array"}));
  EXPECT_TRUE(says(of("d.jsonl", "{\"text\": \"x\n"), {"d.jsonl:1"}));
  EXPECT_TRUE(says(of("e.txt", " \n\t"), {"no document is left"}));
  std::filesystem::create_directories(folder / "empty");
  EXPECT_TRUE(says(message(options({{.path = folder / "empty", .name = {}}})), {"empty", "there is no file"}));
  const auto good = write("good.txt", "text");
  EXPECT_TRUE(says(message(options({{.path = good, .weight = 0, .name = {}}})), {"weight 0"}));
  EXPECT_TRUE(says(message(options({{.path = good, .weight = 1e308, .name = {}}})), {"weight 1e+308", "to 1000000"}));
  EXPECT_TRUE(says(message(options({{.path = good, .weight = 1e-300, .name = {}}})), {"weight 1e-300", "from 1e-06"}));
  EXPECT_TRUE(says(message(options({})), {"no input"}));
  auto o = options({{.path = good, .name = {}}});
  o.held_out = 1;
  EXPECT_TRUE(says(message(o), {"held-out fraction"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
  EXPECT_THROW(unescape("a\\q"), Error);
  EXPECT_THROW(unescape("\\x4"), Error);
  EXPECT_THROW(unescape("\\"), Error);
  EXPECT_EQ(unescape("\\n\\t\\f\\r\\0\\\\\\x41z"), std::string("\n\t\f\r\0\\Az", 8));
}

TEST_F(BuildData, WhatIsThereIsReplacedOnlyWithForceAndOnlyWhenItIsTokenData) {
  auto o = options({{.path = write("a.txt", "first text"), .name = {}}});
  o.held_out = 0;
  build_data(o);
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"data already", "--force"}));
  write("a.txt", "second text");
  o.force = true;
  build_data(o);
  EXPECT_EQ(texts_of(*TokenDataset::open(folder / "data")).count("second text"), 1u);
  EXPECT_FALSE(std::filesystem::exists(folder / "data.old"));
  o.output = folder / "mine";
  write("mine/letter.txt", "dear");
  EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"mine", "not a folder of token data"}));
  EXPECT_EQ(read(folder / "mine/letter.txt"), "dear");
}

TEST_F(BuildData, AnInterruptedBuildLeavesNothingThatOpensAndIsStartedAgain) {
  auto o = options({{.path = write("a.jsonl", json_lines(many_texts(6, 100)) + "{broken\n"), .name = {}}});
  o.shard_tokens = 100;
  EXPECT_NE(error_of([&] { build_data(o); }), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
  write("data.partial/000-train-00000.tokens.partial", "half a shard");
  EXPECT_NE(error_of([&] { TokenDataset::open(folder / "data.partial"); }), "");
  write("a.jsonl", json_lines(many_texts(6, 100)));
  build_data(o);
  EXPECT_EQ(texts_of(*TokenDataset::open(folder / "data")).size(), 100u);
  EXPECT_FALSE(std::filesystem::exists(folder / "data.partial"));
}

TEST_F(BuildData, ASecondBuildOfOneOutputIsRefusedAndAFailedOneLeavesNothing) {
  auto o = options({{.path = write("a.jsonl", json_lines(many_texts(6, 100))), .name = {}}});
  {
    const WorkingFolder first(folder / "data.partial", WorkingFolder::Leftovers::removed);
    write("data.partial/000-train-00000.tokens", "of the first");
    EXPECT_TRUE(says(error_of([&] { build_data(o); }), {"data.partial", "another process is writing it"}));
    EXPECT_TRUE(std::filesystem::exists(folder / "data.partial/000-train-00000.tokens"));
  }
  write("a.jsonl", json_lines(many_texts(6, 100)) + "{broken\n");
  EXPECT_NE(error_of([&] { build_data(o); }), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "data.partial"));
}

TEST_F(BuildData, AChangedOrMissingSourceIsNamed) {
  const auto a = write("in/a.txt", "aaa"), b = write("in/b.txt", "bbb"), c = write("in/c.txt", "ccc");
  const Manifest m = build_data(options({{.path = folder / "in", .name = {}}}));
  EXPECT_TRUE(changed_sources(m).empty());
  write("in/b.txt", "bbc");
  std::filesystem::remove(c);
  const auto changed = changed_sources(m);
  ASSERT_EQ(changed.size(), 2u);
  EXPECT_TRUE(says(changed[0].path + changed[0].what, {"b.txt", "changed", "3 bytes"}));
  EXPECT_TRUE(says(changed[1].path + changed[1].what, {"c.txt", "missing"}));
}

TEST_F(BuildData, DamagedFoldersAreRefusedWithTheFilesName) {
  auto o = options({{.path = write("a.jsonl", json_lines(many_texts(7, 60))), .name = {}}});
  o.held_out = 0.2;
  build_data(o);
  const auto data = folder / "data";
  const auto broken = [&](const std::string& file, const std::function<void(std::string&)>& change) {
    const std::string was = read(data / file);
    std::string now = was;
    change(now);
    write("data/" + file, now);
    const std::string message = error_of([&] { TokenDataset::open(data); });
    write("data/" + file, was);
    EXPECT_EQ(error_of([&] { TokenDataset::open(data); }), "");
    return message;
  };
  const auto replace = [](std::string from, std::string to) {
    return [=](std::string& text) { text.replace(text.find(from), from.size(), to); };
  };
  const std::string shard = "000-train-00000.tokens", held = "000-held_out-00000.tokens";
  EXPECT_TRUE(says(broken(shard, [](std::string& s) { s[s.size() / 2] = static_cast<char>(s[s.size() / 2] ^ 4); }),
                   {shard, "checksum"}));
  EXPECT_TRUE(says(broken(shard, [](std::string& s) { s.resize(s.size() - 8); }), {shard, "cut off"}));
  EXPECT_TRUE(says(broken(shard, [&](std::string& s) { s = read(data / held); }), {shard, "is not the file"}));
  EXPECT_TRUE(
      says(broken("tokenizer.json", [](std::string& s) { s += "\n"; }), {"tokenizer.json", "not the tokenizer"}));
  EXPECT_TRUE(says(broken("manifest.json", replace("\"train\"", "\"tarin\"")), {"manifest.json", "tarin"}));
  EXPECT_TRUE(says(broken("manifest.json", replace(shard, "../" + shard)), {"same folder"}));
  EXPECT_TRUE(says(broken("manifest.json", replace("\"version\": 1", "\"version\": 9")), {"version 9"}));
  EXPECT_TRUE(says(broken("manifest.json", [](std::string& s) { s.resize(s.size() / 2); }), {"manifest.json"}));
  std::filesystem::remove(data / shard);
  EXPECT_TRUE(says(error_of([&] { TokenDataset::open(data); }), {shard, "cannot be opened"}));
  EXPECT_TRUE(says(error_of([&] { TokenDataset::open(folder); }), {"no folder of token data"}));
}

TEST_F(BuildData, TheManifestComesBackAsItWasWritten) {
  auto o = options({{.path = write("a.jsonl", json_lines(many_texts(8, 30))), .weight = 0.25, .name = "x"}});
  o.format.separator = "\n\"%\\\f";
  const std::string text = write_manifest(build_data(o));
  EXPECT_EQ(write_manifest(read_manifest(text, "m")), text);
  EXPECT_EQ(read(folder / "data/manifest.json"), text);
}

}  // namespace
}  // namespace fathom
