// The pre_tokenizer and post_processor of tokenizer.json.
#include <algorithm>

#include "tokenizer/json_fields.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

void read_split(const JsonObject& stage, PreTokenizerSpec& spec) {
  stage.expect_keys({"type", "pattern", "behavior", "invert"});
  stage.expect_flag("invert", false, false);
  if (const auto behavior = stage.text("behavior"); behavior != "Isolated")
    throw_unsupported("{}: behavior {} is not supported; the DeepSeek tokenizers use Isolated.", stage.where,
                      quoted_for_message(behavior));
  const JsonObject pattern(stage.need("pattern"), stage.place("pattern"));
  pattern.expect_keys({"Regex"});
  const std::string_view text = pattern.text("Regex");
  compile_split_pattern(text, pattern.where);  // refuse it here, where its place is known
  spec.stages.push_back({.kind = PreTokenizerStage::Kind::split, .pattern = std::string(text)});
}

void read_digits(const JsonObject& stage, PreTokenizerSpec& spec) {
  stage.expect_keys({"type", "individual_digits"});
  spec.stages.push_back({.kind = PreTokenizerStage::Kind::digits,
                         .pattern = {},
                         .individual_digits = stage.flag("individual_digits", false)});
}

// trim_offsets concerns only character offsets, which fathom does not give.
void read_byte_level(const JsonObject& stage, PreTokenizerSpec& spec) {
  stage.expect_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  stage.expect_flag("add_prefix_space", false, true);
  spec.byte_level_regex = stage.flag("use_regex", true);
}

// One stage, or a Sequence of them, in which others may lie. byte_level: that stage came, which is the last.
void read_stage(const JsonObject& stage, PreTokenizerSpec& spec, bool& byte_level) {
  const std::string_view type = stage.text("type");
  if (type == "Sequence") {
    stage.expect_keys({"type", "pretokenizers"});
    size_t i = 0;
    for (const json::value& inner : stage.list("pretokenizers"))
      read_stage({inner, fmt::format("{}[{}]", stage.where, i++)}, spec, byte_level);
    return;
  }
  if (byte_level) throw_unsupported("{}: a stage after ByteLevel is not supported.", stage.where);
  if (type == "Split") {
    read_split(stage, spec);
  } else if (type == "Digits") {
    read_digits(stage, spec);
  } else if (type == "ByteLevel") {
    read_byte_level(stage, spec);
    byte_level = true;
  } else {
    throw_unsupported(
        "{}: a stage of type {} is not supported; known are Split, Digits and ByteLevel, alone or in a Sequence.",
        stage.where, quoted_for_message(type));
  }
}

}  // namespace

void read_pre_tokenizer(const json::value& value, const std::string& where, TokenizerParts& parts) {
  bool byte_level = false;
  read_stage({value, where}, parts.pre, byte_level);
  if (!byte_level) throw_unsupported("{} has no ByteLevel stage; fathom reads byte-level BPE only.", where);
}

json::value write_pre_tokenizer(const TokenizerParts& parts) {
  json::array stages;
  for (const PreTokenizerStage& stage : parts.pre.stages) {
    if (stage.kind == PreTokenizerStage::Kind::digits) {
      stages.push_back({{"type", "Digits"}, {"individual_digits", stage.individual_digits}});
    } else {
      stages.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", stage.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
  }
  stages.push_back({{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", true},
                    {"use_regex", parts.pre.byte_level_regex}});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(stages)}};
}

namespace {

// "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, ...]
void read_template(const JsonObject& processor, TokenizerParts& parts) {
  processor.expect_keys({"type", "single", "pair", "special_tokens"});
  const JsonObject table(processor.need("special_tokens"), processor.place("special_tokens"));
  bool after_text = false;
  for (const json::value& value : processor.list("single")) {
    const JsonObject item(value, processor.place("single"));
    item.expect_keys({"SpecialToken", "Sequence"});
    if (const json::value* sequence = item.find("Sequence")) {
      if (after_text || JsonObject(*sequence, item.where).text("id") != "A")
        throw_bad_input("{} must hold the sequence A once.", item.where);
      after_text = true;
      continue;
    }
    const JsonObject token(table.need(JsonObject(item.need("SpecialToken"), item.where).text("id")), table.where);
    for (const json::value& id : token.list("ids"))
      (after_text ? parts.suffix : parts.prefix).push_back(id_of_json(id, token.where));
  }
  if (!after_text) throw_bad_input("{} must hold the sequence A once.", processor.place("single"));
}

}  // namespace

void read_post_processor(const json::value& value, const std::string& where, TokenizerParts& parts) {
  bool template_seen = false;
  const auto read_one = [&](const JsonObject& processor) {
    const std::string_view type = processor.text("type");
    if (type == "TemplateProcessing") {
      if (template_seen) throw_unsupported("{}: two TemplateProcessing are not supported.", where);
      template_seen = true;
      read_template(processor, parts);
    } else if (type != "ByteLevel") {  // ByteLevel only trims offsets
      throw_unsupported(
          "{}: a processor of type {} is not supported; known are ByteLevel and TemplateProcessing, alone or in one "
          "Sequence.",
          processor.where, quoted_for_message(type));
    }
  };
  const JsonObject outer(value, where);
  if (outer.text("type") == "Sequence") {
    outer.expect_keys({"type", "processors"});
    size_t i = 0;
    for (const json::value& processor : outer.list("processors"))
      read_one({processor, fmt::format("{}[{}]", where, i++)});
  } else {
    read_one(outer);
  }
}

}  // namespace fathom
