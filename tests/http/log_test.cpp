#include "http/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "http/client.h"

namespace fathom::http {
namespace {

struct LogFile {
  ~LogFile() { std::filesystem::remove(path); }
  std::string text() const {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  const std::string path = std::filesystem::temp_directory_path() / fmt::format("fathom-log-{}", ::getpid());
};

TEST(Log, GoesOnInANewFileWhenItsOwnWasMovedAway) {  // D12
  const LogFile file;
  const std::string moved = file.path + ".1";
  const Log log({.path = file.path});
  log.line(LogLevel::info, "first");
  ASSERT_TRUE(eventually([&] { return file.lines().size() == 1; }));
  std::filesystem::rename(file.path, moved);
  log.reopen();
  log.line(LogLevel::info, "second");
  ASSERT_TRUE(eventually([&] { return file.lines().size() == 1; }));
  EXPECT_NE(file.text().find("second"), std::string::npos);
  std::filesystem::remove(file.path);
  std::filesystem::create_directory(file.path);
  EXPECT_THROW(log.reopen(), Error) << "a log that cannot be opened leaves the old one in use";
  std::filesystem::remove(moved);
}

TEST(Log, HasALineForEveryRequestAndNoKeyInIt) {  // H3
  const LogFile file;
  const std::string keys = file.path + ".keys";
  std::ofstream(keys) << "user: sk-user-0123456789\n";
  std::filesystem::permissions(keys, std::filesystem::perms(0600));
  Options options = quick_options();
  options.keys_file = keys;
  {
    const Log log({.json = true, .path = file.path});
    TestServer s(options, {}, log);
    Client client(s.port());
    client.ask(post("/echo?key=sk-query-secret", "\"sk-body-secret\"",
                    "Authorization: Bearer sk-user-0123456789\r\nX-Request-Id: id-1\r\n"));
    client.ask(post("/echo", "{}", "Authorization: Bearer sk-wrong-0123456789\r\n"));
    ASSERT_TRUE(eventually([&] { return file.lines().size() == 2; }));
    Client(s.port()).ask("GET /x\"y HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return file.lines().size() == 3; }));
  }
  std::filesystem::remove(keys);
  EXPECT_EQ(file.text().find("sk-"), std::string::npos) << file.text();
  const auto lines = file.lines();
  ASSERT_EQ(lines.size(), 3u);
  const auto first = boost::json::parse(lines[0]).as_object();
  EXPECT_EQ(first.at("id"), "id-1");
  EXPECT_EQ(first.at("key"), "user");
  EXPECT_EQ(first.at("method"), "POST");
  EXPECT_EQ(first.at("path"), "/echo");
  EXPECT_EQ(first.at("status"), 200);
  EXPECT_EQ(first.at("bytes"), 16);
  EXPECT_TRUE(first.at("ms").is_double());
  EXPECT_TRUE(first.at("peer").as_string().starts_with("127.0.0.1:"));
  EXPECT_EQ(boost::json::parse(lines[1]).at("status"), 401);
  EXPECT_EQ(boost::json::parse(lines[2]).at("status"), 400);
}

TEST(Log, QuotesWhatCouldBeginALineOrMoveACursor) {
  const LogFile file;
  {
    const Log log({.path = file.path});
    log.line(LogLevel::warning, "it\nhappened",
             {{"who", "a b"}, {"what", "x\n2026 forged=line"}, {"n", "7", true}, {"esc", "\x1b[2J"}, {"bad", "\xff"}});
  }
  const auto lines = file.lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(
      lines[0].find(R"( warning it\u000ahappened who="a b" what="x\u000a2026 forged=line" n=7 esc="\u001b[2J" bad=")"),
      std::string::npos)
      << lines[0];
}

TEST(Log, DropsAndCountsWhatNobodyReads) {  // G2
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const int kept = ::dup(STDERR_FILENO);
  ::dup2(pipe_ends[1], STDERR_FILENO);  // a pipe that is never read
  uint64_t dropped = 0;
  {
    const Log log({.queue = 100});
    for (int i = 0; i < 5000; ++i) log.line(LogLevel::info, std::string(100, 'x'));
    EXPECT_TRUE(eventually([&] { return log.dropped() > 0; }));
    dropped = log.dropped();
    ::close(pipe_ends[0]);  // now the reader has left, too: no SIGPIPE
    for (int i = 0; i < 200; ++i) log.line(LogLevel::info, "y");
  }
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  ::close(pipe_ends[1]);
  EXPECT_GT(dropped, 0u);
}

TEST(Log, SurvivesAFullDisk) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP();
  const Log log({.path = "/dev/full"});
  for (int i = 0; i < 10; ++i) log.line(LogLevel::info, "x");
  EXPECT_TRUE(eventually([&] { return log.dropped() == 10; }));
}

TEST(Log, OfAPathThatCannotBeWrittenIsRefused) {
  EXPECT_THROW(Log({.path = "/dev/null/log"}), Error);
  Log().line(LogLevel::error, "goes nowhere");
  EXPECT_EQ(Log().dropped(), 0u);
}

}  // namespace
}  // namespace fathom::http
