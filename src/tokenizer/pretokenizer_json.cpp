// The pre_tokenizer and post_processor of tokenizer.json.
#include <algorithm>

#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

void read_split(JsonFields& stage, PreTokenizerSpec& spec) {
  stage.expect_boolean("invert", false, false);
  if (const auto behavior = stage.text("behavior"); behavior != "Isolated")
    throw_unsupported("{}: behavior {} is not supported; the DeepSeek tokenizers use Isolated.", stage.where(),
                      quoted_for_message(behavior));
  JsonFields pattern = stage.fields("pattern");
  if (pattern.has("String")) throw_unsupported("{} is a 'String'; fathom reads a Regex.", pattern.where());
  const std::string_view text = pattern.text("Regex");
  pattern.refuse_unread();
  compile_split_pattern(text, pattern.where());  // refuse it here, where its place is known
  spec.stages.push_back({.kind = PreTokenizerStage::Kind::split, .pattern = std::string(text)});
}

void read_digits(JsonFields& stage, PreTokenizerSpec& spec) {
  spec.stages.push_back({.kind = PreTokenizerStage::Kind::digits,
                         .pattern = {},
                         .individual_digits = stage.maybe_boolean("individual_digits").value_or(false)});
}

// trim_offsets concerns only character offsets, which fathom does not give.
void read_byte_level(JsonFields& stage, PreTokenizerSpec& spec) {
  stage.ignore("trim_offsets");
  stage.expect_boolean("add_prefix_space", false, true);
  spec.byte_level_regex = stage.maybe_boolean("use_regex").value_or(true);
}

// One stage, or a Sequence of them, in which others may lie. byte_level: that stage came, which is the last.
void read_stage(JsonFields stage, PreTokenizerSpec& spec, bool& byte_level) {
  const std::string_view type = stage.text("type");
  if (byte_level && type != "Sequence")
    throw_unsupported("{}: a stage after ByteLevel is not supported.", stage.where());
  if (type == "Sequence") {
    const size_t n = stage.array("pretokenizers").size();
    for (size_t i = 0; i < n; ++i) read_stage(stage.entry("pretokenizers", i), spec, byte_level);
  } else if (type == "Split") {
    read_split(stage, spec);
  } else if (type == "Digits") {
    read_digits(stage, spec);
  } else if (type == "ByteLevel") {
    read_byte_level(stage, spec);
    byte_level = true;
  } else {
    throw_unsupported(
        "{}: a stage of type {} is not supported; known are Split, Digits and ByteLevel, alone or in a Sequence.",
        stage.where(), quoted_for_message(type));
  }
  stage.refuse_unread();
}

}  // namespace

void read_pre_tokenizer(JsonFields stage, TokenizerParts& parts) {
  const std::string where = stage.where();
  bool byte_level = false;
  read_stage(std::move(stage), parts.pre, byte_level);
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
void read_template(JsonFields& processor, TokenizerParts& parts) {
  processor.ignore("pair");
  JsonFields table = processor.fields("special_tokens");
  bool after_text = false;
  const size_t n = processor.array("single").size();
  for (size_t i = 0; i < n; ++i) {
    JsonFields item = processor.entry("single", i);
    if (auto sequence = item.maybe_fields("Sequence")) {
      if (after_text || sequence->text("id") != "A")
        throw_bad_input("{} must hold the sequence A once.", processor.place("single"));
      after_text = true;
    } else {
      JsonFields token = table.fields(item.fields("SpecialToken").text("id"));
      for (const json::value& id : token.array("ids"))
        (after_text ? parts.suffix : parts.prefix).push_back(id_of_json(id, token.where()));
    }
    item.refuse_unread();
  }
  processor.refuse_unread();
  if (!after_text) throw_bad_input("{} must hold the sequence A once.", processor.place("single"));
}

}  // namespace

void read_post_processor(JsonFields outer, TokenizerParts& parts) {
  bool template_seen = false;
  const auto read_one = [&](JsonFields& processor) {
    const std::string_view type = processor.text("type");
    if (type == "TemplateProcessing") {
      if (template_seen) throw_unsupported("{}: two TemplateProcessing are not supported.", outer.where());
      template_seen = true;
      read_template(processor, parts);
    } else if (type != "ByteLevel") {  // ByteLevel only trims offsets
      throw_unsupported(
          "{}: a processor of type {} is not supported; known are ByteLevel and TemplateProcessing, alone or in one "
          "Sequence.",
          processor.where(), quoted_for_message(type));
    }
  };
  if (outer.text("type") != "Sequence") return read_one(outer);
  const size_t n = outer.array("processors").size();
  for (size_t i = 0; i < n; ++i) {
    JsonFields processor = outer.entry("processors", i);
    read_one(processor);
  }
  outer.refuse_unread();
}

}  // namespace fathom
