#include "tokenizer/chat/chat_template_files.h"

#include <gtest/gtest.h>

#include "support/files.h"

namespace fathom {
namespace {

using test::TempFolder;
using test::write_text;

TEST(ChatTemplateFiles, TheTemplateIsFoundInTheFolder) {
  const TempFolder folder;
  const auto config = folder / "tokenizer_config.json";
  const auto found = [&] { return find_chat_templates(folder.path()); };
  const auto only = [](const char* text) { return ChatTemplates{{"default", text}}; };
  EXPECT_EQ(found(), ChatTemplates());
  write_text(config, R"({"bos_token": "b"})");
  EXPECT_EQ(found(), ChatTemplates());
  write_text(folder / "chat_template.json", R"({"chat_template": "zero"})");
  EXPECT_EQ(found(), only("zero"));
  write_text(config, R"({"chat_template": "one"})");
  EXPECT_EQ(found(), only("one"));
  write_text(config,
             R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "two"}]})");
  EXPECT_EQ(found(), (ChatTemplates{{"default", "two"}, {"tool_use", "t"}}));
  for (const char* bad :
       {R"({"chat_template": 3})", R"({"chat_template": ["x"]})", R"({"chat_template": [{"name": "x"}]})"}) {
    write_text(config, bad);
    EXPECT_THROW(found(), Error) << bad;
  }
  write_text(folder / "chat_template.jinja", "\xEF\xBB\xBFthree");
  EXPECT_EQ(found(), only("three")) << "and the byte order mark is no text";
}

TEST(ChatTemplateFiles, NamedTemplatesMayLieInFilesOfTheirOwn) {
  const TempFolder folder;
  write_text(folder / "tokenizer_config.json", R"({"chat_template": "not read: files come first"})");
  std::filesystem::create_directory(folder / "additional_chat_templates");
  write_text(folder.path() / "additional_chat_templates" / "rag.jinja", "r");
  write_text(folder.path() / "additional_chat_templates" / "notes.txt", "no template");
  EXPECT_EQ(find_chat_templates(folder.path()), (ChatTemplates{{"rag", "r"}}));
  write_text(folder / "chat_template.jinja", "d");
  EXPECT_EQ(find_chat_templates(folder.path()), (ChatTemplates{{"default", "d"}, {"rag", "r"}}));
}

}  // namespace
}  // namespace fathom
