#include "hub/folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file/file.h"
#include "hub/failure.h"
#include "hub/partial_file.h"
#include "hub/settings.h"
#include "hub/store.h"
#include "support/errors.h"
#include "support/files.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

HubFile file_of(const std::string& bytes, const std::string& name = "x.gguf") {
  return {name, bytes.size(), digest_of(DigestKind::sha256, bytes)};
}

TEST(PartialFile, GoesOnWhereItWas) {
  const test::TempFolder folder;
  const std::string bytes = "0123456789";
  const HubFile file = file_of(bytes);
  {
    PartialFile part(folder, file, 4);
    ASSERT_EQ(part.pieces().size(), 3u);
    part.add(2, "89");
    part.add(0, "012");
    part.set_etag("\"e\"");
    EXPECT_EQ(part.done(), 5u);
  }
  PartialFile part(folder, file, 1000);  // its own pieces stay
  EXPECT_EQ(part.done(), 5u);
  EXPECT_EQ(part.etag(), "\"e\"");
  EXPECT_EQ(part.pieces()[0].left(), 1u);
  part.add(0, "3");
  part.add(1, "4567");
  EXPECT_TRUE(part.is_whole());
  part.move_to(folder / "whole");
  EXPECT_EQ(read_file(folder / "whole"), bytes);
  EXPECT_EQ(leftover_in(folder).files, 0u);
}

TEST(PartialFile, BelievesNoStateThatCannotBe) {
  const HubFile file = file_of("0123456789");
  for (const char* state :
       {"", "{}", "[]", R"({"size": 11, "piece_bytes": 4, "done": [0,0,0]})",
        R"({"size": 10, "piece_bytes": 0, "done": []})", R"({"size": 10, "piece_bytes": -4, "done": [0,0,0]})",
        R"({"size": 10, "piece_bytes": 4, "done": [5,0,0]})", R"({"size": 10, "piece_bytes": 4, "done": [4,-1,0]})",
        R"({"size": 10, "piece_bytes": 4, "done": [4,0]})", R"({"size": 10, "piece_bytes": 4, "done": [4,0,"2"]})"}) {
    const test::TempFolder folder;
    test::write_text(folder / (file.digest.hex + ".part"), "0123456789");
    test::write_text(folder / (file.digest.hex + ".json"), state);
    EXPECT_EQ(PartialFile(folder, file).done(), 0u) << state;
  }
  const test::TempFolder folder;
  fs::create_symlink("/dev/null", folder / (file.digest.hex + ".part"));
  EXPECT_NE(test::error_of([&] { PartialFile(folder, file); }), "");
}

TEST(PartialFile, OfNothingIsWhole) {
  const test::TempFolder folder;
  EXPECT_TRUE(PartialFile(folder, file_of("")).is_whole());
}

TEST(Folder, RemembersWhatWasPulled) {
  const test::TempFolder folder;
  const FolderLock lock(folder, FolderLock::Busy::refuse);
  EXPECT_TRUE(is_being_pulled(folder));
  EXPECT_NE(test::error_of([&] { FolderLock(folder, FolderLock::Busy::refuse); }), "");
  PulledRecord record{.repository = "a/b", .endpoint = "https://hub", .revision = "main"};
  record.put({file_of("x"), std::string(40, 'c')});
  record.put({file_of("y"), std::string(40, 'd')});
  write_record(folder, record);
  const PulledRecord read = read_record(folder);
  ASSERT_EQ(read.files.size(), 1u);
  EXPECT_EQ(read.find("x.gguf")->file.digest, digest_of(DigestKind::sha256, "y"));
  test::write_text(state_folder(folder) / "pulled.json", R"({"files": [{"name": "../x", "size": 1, "sha256": ""}]})");
  EXPECT_TRUE(read_record(folder).files.empty());
}

TEST(Folder, LeadsNoFileThroughALink) {
  const test::TempFolder folder, elsewhere;
  EXPECT_EQ(make_place(folder, "sub/deep/x"), folder / "sub/deep/x");
  EXPECT_TRUE(fs::is_directory(folder / "sub/deep"));
  fs::create_directory_symlink(elsewhere.path(), folder / "link");
  EXPECT_NE(test::error_of([&] { make_place(folder, "link/x"); }), "");
  EXPECT_NE(test::error_of([&] { check_free_space(folder, uint64_t{1} << 60); }, ErrorKind::resource), "");
}

TEST(Store, FindsAndRemovesByName) {
  const test::TempFolder store, outside;
  fs::create_directories(store / "a/b/sub");
  test::write_text(store / "a/b/M-Q4_0.gguf", "one");
  EXPECT_EQ(find_stored(store, "a/b"), store / "a/b/M-Q4_0.gguf");
  EXPECT_EQ(find_stored(store, "a/c"), std::nullopt);
  EXPECT_EQ(find_stored(store, "a/.."), std::nullopt);
  test::write_text(store / "a/b/sub/M-Q8_0-00001-of-00002.gguf", "two");
  test::write_text(store / "a/b/sub/M-Q8_0-00002-of-00002.gguf", "three");
  EXPECT_EQ(find_stored(store, "a/b:Q8_0"), store / "a/b/sub/M-Q8_0-00001-of-00002.gguf");
  EXPECT_NE(test::error_of([&] { find_stored(store, "a/b"); }).find("a/b:Q4_0, a/b:Q8_0"), std::string::npos);
  EXPECT_EQ(list_store(store).size(), 2u);
  fs::create_directory_symlink(outside.path(), store / "a/link");
  test::write_text(outside / "precious", "x");
  for (const char* name : {"a/link", "a/..", "a", "..", "a/c", "a/b:Q5_0"})
    EXPECT_NE(test::error_of([&] { remove_stored(store, name); }), "") << name;
  EXPECT_EQ(remove_stored(store, "a/b:Q8_0"), 8u);
  EXPECT_EQ(find_stored(store, "a/b"), store / "a/b/M-Q4_0.gguf");
  EXPECT_EQ(remove_stored(store, "a/b"), 3u);
  EXPECT_FALSE(fs::exists(store / "a/b"));
  EXPECT_TRUE(fs::exists(outside / "precious"));
}

Settings settings_of(const std::map<std::string, std::string>& variables) {
  return read_settings([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(Settings, SendATokenWhereItIsSafe) {
  EXPECT_EQ(settings_of({}).endpoint, "https://huggingface.co");
  EXPECT_EQ(settings_of({{"HF_TOKEN", " hf_x\n"}}).token, "hf_x");
  const test::TempFolder home;
  fs::create_directories(home / ".cache/huggingface");
  test::write_text(home / ".cache/huggingface/token", "hf_file\n");
  EXPECT_EQ(settings_of({{"HOME", home.path().string()}}).token, "hf_file");
  EXPECT_EQ(settings_of({{"HOME", home.path().string()}, {"HF_HOME", "/nowhere"}}).token, "");
  for (const char* safe :
       {"http://127.0.0.1:8000/", "http://localhost", "http://[::1]:80", "HTTPS://mirror.example/hub"})
    EXPECT_EQ(settings_of({{"HF_TOKEN", "hf_x"}, {"HF_ENDPOINT", safe}}).token, "hf_x") << safe;
  for (const char* open : {"http://mirror.example", "http://127.0.0.1.example", "http://localhost.example:80"}) {
    const Settings s = settings_of({{"HF_TOKEN", "hf_x"}, {"HF_ENDPOINT", open}});
    EXPECT_TRUE(s.token.empty() && !s.notice.empty()) << open;
  }
  for (const char* bad : {"x", "ftp://x", "http://", "http://user:pw@x", "https://x?y", "http://a b"})
    EXPECT_NE(test::error_of([&] { settings_of({{"HF_ENDPOINT", bad}}); }), "") << bad;
  EXPECT_NE(test::error_of([&] { settings_of({{"HF_TOKEN", "a b"}}); }), "");
}

TEST(Failure, OfEachStatusIsASentenceAndATryOrNone) {
  const RequestContext c{
      .repository = "a/b", .revision = "r", .what = "x", .endpoint = "https://hub", .has_token = false};
  const auto of = [&](long status, const char* code, const char* origin, std::optional<uint64_t> wait) {
    HttpEnd end;
    end.head = {.status = status, .error_code = code, .retry_after = wait, .origin = origin};
    return failure_of(end, c);
  };
  EXPECT_FALSE(of(401, "", "https://hub", {}).again);
  EXPECT_TRUE(of(403, "", "https://cdn", {}).again);
  EXPECT_FALSE(of(403, "GatedRepo", "https://hub", {}).again);
  EXPECT_NE(of(401, "GatedRepo", "https://hub", {}).sentence.find("accept its conditions"), std::string::npos);
  EXPECT_FALSE(of(404, "RepoNotFound", "https://hub", {}).again);
  for (const long status : {408L, 429L, 500L, 502L, 503L, 504L})
    EXPECT_TRUE(of(status, "", "https://hub", {}).again) << status;
  EXPECT_EQ(of(429, "", "https://hub", 7).wait, 7u);
  EXPECT_FALSE(of(429, "", "https://hub", kLongestWait + 1).again);
  EXPECT_FALSE(of(418, "", "https://hub", {}).again);
  EXPECT_EQ(back_off_seconds(1), 0.5);
  EXPECT_EQ(back_off_seconds(1000), 30);
}

}  // namespace
}  // namespace fathom::hub
