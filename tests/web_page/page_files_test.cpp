#include "web_page/page_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace fathom {
namespace {

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings, [&](std::string_view e) { return path.ends_with(e); });
}

TEST(PageFiles, HoldsAPageThatIsWhole) {
  const PageFile* index = find_page_file("/index.html");
  ASSERT_NE(index, nullptr);
  EXPECT_EQ(index->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(index->cache_control, "no-cache");
  EXPECT_TRUE(index->bytes.starts_with("<!doctype html>"));
  EXPECT_TRUE(index->bytes.ends_with("</html>\n"));
  // Every file that index.html names is there.
  int named = 0;
  for (size_t at = index->bytes.find("\"./"); at != std::string_view::npos; at = index->bytes.find("\"./", at + 1)) {
    const auto path = index->bytes.substr(at + 2, index->bytes.find('"', at + 1) - at - 2);
    EXPECT_NE(find_page_file(path), nullptr) << path;
    ++named;
  }
  EXPECT_GE(named, 3);  // script, style, icon
  EXPECT_NE(find_page_file("/LICENSES.txt"), nullptr);
}

TEST(PageFiles, PathsAreSortedPlainAndUnique) {
  std::set<std::string_view> etags;
  std::string_view before;
  for (const PageFile& file : page_files()) {
    EXPECT_LT(before, file.path);
    EXPECT_TRUE(file.path.starts_with('/'));
    EXPECT_EQ(file.path.find(".."), std::string_view::npos);
    EXPECT_FALSE(file.bytes.empty()) << file.path;
    EXPECT_EQ(file.etag.size(), 34u) << file.path;  // 128 bits in hexadecimal, and quotes
    EXPECT_TRUE(etags.insert(file.etag).second) << file.path;
    EXPECT_EQ(file.cache_control == "no-cache", !file.path.starts_with("/assets/")) << file.path;
    EXPECT_EQ(find_page_file(file.path), &file);
    before = file.path;
  }
}

TEST(PageFiles, BytesAreThoseOfTheFiles) {
  for (const PageFile& file : page_files()) {
    const bool font = file.content_type == "font/woff2";
    EXPECT_EQ(file.bytes.starts_with("wOF2"), font) << file.path;
    EXPECT_TRUE(font == (file.bytes.find('\0') != std::string_view::npos)) << file.path;  // only fonts are binary
    EXPECT_TRUE(ends_with_any(file.path, {".html", ".js", ".css", ".woff2", ".svg", ".txt"})) << file.path;
  }
}

TEST(PageFiles, NothingElseIsFound) {
  for (const char* path : {"", "/", "index.html", "/index.html/", "/INDEX.HTML", "/assets", "/assets/",
                           "/../index.html", "/zzz", "//index.html"}) {
    EXPECT_EQ(find_page_file(path), nullptr) << path;
  }
  EXPECT_EQ(find_page_file(std::string_view("/index.html\0", 12)), nullptr);
}

TEST(PageHeaders, PolicyAllowsNothingInlineAndNoOtherHost) {
  const std::string policy(kContentSecurityPolicy);
  EXPECT_EQ(policy.rfind("default-src 'none';", 0), 0u);
  for (const char* never : {"unsafe", "http:", "https:", "*", "blob:", "strict-dynamic"})
    EXPECT_EQ(policy.find(never), std::string::npos) << never;
  for (const PageHeader& header : kPageHeaders) {
    EXPECT_EQ(header.value.find_first_of("\r\n"), std::string_view::npos) << header.name;
  }
  // Nothing inline to need more than that: no style attribute, no script without a source.
  const std::string_view html = find_page_file("/index.html")->bytes;
  EXPECT_EQ(html.find("style="), std::string_view::npos);
  EXPECT_EQ(html.find("<style"), std::string_view::npos);
  EXPECT_EQ(html.find("<script>"), std::string_view::npos);
  EXPECT_EQ(html.find("://"), std::string_view::npos);
}

}  // namespace
}  // namespace fathom
