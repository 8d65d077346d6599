#include "http/parse/request_parser.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace fathom::http {
namespace {

using State = RequestParser::State;

// Feeds the input in pieces of n bytes, as a connection does.
struct Parsed {
  RequestParser parser;
  std::string left;
  std::string body;
};
Parsed parse(std::string_view input, size_t piece = SIZE_MAX, uint64_t max_body = 1000, RequestLimits limits = {}) {
  Parsed out{RequestParser(limits), "", ""};
  std::string& have = out.left;
  const auto go = [&] {
    for (;;) {
      have.erase(0, out.parser.feed(have));
      if (out.parser.state() != State::head_done) return;
      out.parser.accept_body(max_body);
    }
  };
  while (!input.empty() && out.parser.state() != State::bad && out.parser.state() != State::done) {
    have += input.substr(0, piece);
    input.remove_prefix(std::min(piece, input.size()));
    go();
  }
  have += input;
  if (out.parser.state() == State::done) out.body = out.parser.take_body();
  return out;
}

constexpr const char* kChunked =
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;ext=\"1\"\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\nGET / HT";

TEST(RequestParser, ReadsTheSameWhereverTheInputIsCut) {
  for (size_t piece = 1; piece < 80; ++piece) {
    Parsed p = parse(kChunked, piece);
    ASSERT_EQ(p.parser.state(), State::done) << piece << " " << p.parser.reason();
    EXPECT_EQ(p.body, "hello world");
    EXPECT_EQ(p.left, "GET / HT");
    EXPECT_EQ(p.parser.head().target, "/x");
    EXPECT_EQ(p.parser.head().headers.size(), 2u);  // the trailer is none of them
    Parsed q = parse("\r\n\r\nPOST /y HTTP/1.0\r\nContent-Length: 4\r\nX-A:  b \r\n\r\nbodyrest", piece);
    ASSERT_EQ(q.parser.state(), State::done) << piece;
    EXPECT_EQ(q.body, "body");
    EXPECT_EQ(q.left, "rest");
    EXPECT_EQ(q.parser.head().header("x-a"), "b");
    EXPECT_FALSE(q.parser.head().http_1_1 || q.parser.head().keep_alive);
  }
}

TEST(RequestParser, RefusesLengthsThatCanBeReadInTwoWays) {
  for (const char* headers : {"Content-Length: 5\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nContent-Length: 5",
                              "Content-Length: 5\r\nContent-Length: 6",
                              "Content-Length: 5\r\nContent-Length: 5",
                              "Content-Length: 5, 5",
                              "Content-Length: -1",
                              "Content-Length: +5",
                              "Content-Length: 0x10",
                              "Content-Length: 5 5",
                              "Content-Length: ",
                              "Content-Length: 18446744073709551616",
                              "Content-Length: 18446744073709551615",
                              "Content-Length: 5.0",
                              "Content-Length: five",
                              "Transfer-Encoding: gzip",
                              "Transfer-Encoding: gzip, chunked",
                              "Transfer-Encoding: chunked, chunked",
                              "Transfer-Encoding: chunked, identity",
                              "Transfer-Encoding: xchunked",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: identity",
                              "Transfer-Encoding: \"chunked\"",
                              "Transfer-Encoding:",
                              "Content-Length : 5"}) {
    const Parsed p = parse(fmt::format("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\nhello", headers));
    EXPECT_EQ(p.parser.state(), State::bad) << headers;
    EXPECT_EQ(p.parser.status(), 400) << headers;
  }
  EXPECT_EQ(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").parser.status(), 400);
}

TEST(RequestParser, RefusesWhatIsNoRequest) {
  for (std::string_view bad :
       {std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string_view("GET / HTTP/1.2\r\n\r\n"), std::string_view("GET / HTTP/0.9\r\n\r\n"),
        std::string_view("GET /\r\n\r\n"), std::string_view("GET  / HTTP/1.1\r\n\r\n"),
        std::string_view("GET / HTTP/1.1\n\n"), std::string_view("G\0T / HTTP/1.1\r\n\r\n", 18),
        std::string_view("GET /\0 HTTP/1.1\r\n\r\n", 19), std::string_view("GET / HTTP/1.1\r\nA b: c\r\n\r\n"),
        std::string_view("GET / HTTP/1.1\r\nA\r\n\r\n"), std::string_view("GET / HTTP/1.1\r\nA: b\x01\r\n\r\n"),
        std::string_view("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), std::string_view("GET / HTTP/1.1\r\n: b\r\n\r\n")}) {
    const Parsed p = parse(bad);
    EXPECT_EQ(p.parser.state(), State::bad) << bad;
    EXPECT_EQ(p.parser.status(), 400) << bad;
  }
}

TEST(RequestParser, RefusesBadChunks) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* bad : {"g\r\n", "-1\r\n", "\r\n\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n0\r\n",
                          "10000000000000000\r\n", "0x5\r\nhello\r\n", "5 hello\r\n", "5;\x01\r\nhello\r\n"}) {
    const Parsed p = parse(head + bad + std::string(100, 'x') + "\r\n\r\n");
    EXPECT_EQ(p.parser.state(), State::bad) << bad;
    EXPECT_EQ(p.parser.status(), 400) << bad;
  }
  EXPECT_EQ(parse(head + "ffffffffffffffff\r\n").parser.status(), 413);
  EXPECT_EQ(parse(head + "3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\n").parser.status(), 413);
  EXPECT_EQ(parse(head + "5;" + std::string(1 << 20, 'e'), 4096).parser.status(), 400);
  EXPECT_EQ(parse(head + "0\r\n" + std::string(1 << 20, 't'), 4096).parser.status(), 400);
}

TEST(RequestParser, KeepsItsLimits) {
  const auto status = [](const std::string& input, size_t piece = 4096) {
    const Parsed p = parse(input, piece);
    EXPECT_LE(p.left.size(), input.size());
    return p.parser.state() == State::bad ? p.parser.status() : 0;
  };
  EXPECT_EQ(status(std::string(64 << 10, 'A')), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'a')), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nX: " + std::string(33 << 10, 'a') + "\r\n\r\n"), 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 10000; ++i) many += "A: b\r\n";
  EXPECT_EQ(status(many), 431);
  EXPECT_EQ(status(many, 1), 431);
  EXPECT_EQ(status("GET /" + std::string(1 << 20, 'a')), 414);
  EXPECT_EQ(status("GET /" + std::string(9 << 10, 'a') + " HTTP/1.1\r\n\r\n"), 414);
  EXPECT_EQ(status("GET /" + std::string((8 << 10) - 1, 'a') + " HTTP/1.1\r\n\r\n"), 0);
}

TEST(RequestParser, TakesBodiesUpToTheLimit) {
  const auto post = [](uint64_t n) { return fmt::format("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", n); };
  EXPECT_EQ(parse(post(1000) + std::string(1000, 'x')).body.size(), 1000u);
  EXPECT_EQ(parse(post(1001)).parser.status(), 413);  // before any of it came
  EXPECT_EQ(parse(post(10'000'000'000)).parser.status(), 413);
  EXPECT_EQ(parse(post(0)).parser.state(), State::done);
}

}  // namespace
}  // namespace fathom::http
