#include "data/text/documents.h"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "data/data_files.h"
#include "data/packed.h"

namespace fathom {
namespace {

// The texts of a file's documents; of bytes, under a name.
std::vector<std::string> texts_of(DocumentFile& file) {
  std::vector<std::string> texts;
  std::string storage;
  for (RawDocument d; file.next(d);) texts.emplace_back(file.text(d, storage));
  return texts;
}
std::vector<std::string> texts_in(const std::string& bytes, const std::string& name = "a.txt",
                                  const DocumentFormat& format = {}) {
  DocumentFile file(bytes, name, format);
  return texts_of(file);
}
std::string why_not(const std::string& bytes, const std::string& name = "a.txt", const DocumentFormat& format = {}) {
  return error_of([&] { texts_in(bytes, name, format); });
}
using Texts = std::vector<std::string>;
const std::string kLines = "{\"text\": \"one\"}\n{\"id\": 7, \"text\": \"two\"}\n";

TEST(DocumentForm, JsonLinesAreKnownByWhatTheyHoldWhateverTheirName) {
  for (const char* name : {"a.jsonl", "a.JSONL", "a.NdJson", "a.json", "a.txt", "noname", "a.jsonl.gz"})
    EXPECT_EQ(texts_in(kLines, name), (Texts{"one", "two"})) << name;
  EXPECT_EQ(texts_in("\r\n" + std::string("{\"text\": \"one\"}\r\n\r\n{\"text\": \"two\"}\r\n")),
            (Texts{"one", "two"}));
  EXPECT_EQ(texts_in("{\"text\": \"alone\"}"), Texts{"alone"});
}

TEST(DocumentForm, ArraysOfObjectsOrOfStringsAreDocuments) {
  EXPECT_EQ(texts_in(" [ {\"text\": \"one\"} ,\n{\"text\": \"[two, {\\\"\"}]\n"), (Texts{"one", "[two, {\""}));
  EXPECT_EQ(texts_in("[\"one\", \"two\"]", "a.json"), (Texts{"one", "two"}));
  EXPECT_EQ(texts_in("[{\"text\": \"one\"}]", "a.jsonl"), Texts{"one"});
  EXPECT_EQ(texts_in("[]", "a.json"), Texts{});
}

TEST(DocumentForm, ObjectsOverSeveralLinesAreDocuments) {
  EXPECT_EQ(texts_in("{\n  \"text\": \"one\"\n}\n{\n  \"text\": \"two\"\n}\n"), (Texts{"one", "two"}));
  EXPECT_EQ(texts_in("{\"text\": \"one\"} {\"text\": \"two\"}"), (Texts{"one", "two"}));
  EXPECT_EQ(texts_in("{\n  \"text\": \"alone\"\n}"), Texts{"alone"});
}

TEST(DocumentForm, TextsThatBeginLikeJsonStayText) {
  for (const std::string text :
       {"{ int x = 0; }", "[1] Smith, On whales.", "[\"quoted\"] and more", "[[1, 2], [3, 4]]",
        "{\"name\": \"package\",\n \"version\": 1}\n", "{\"title\": \"front matter\"}\n\n# Heading\n", "{}",
        "\"a\"\n\"b\"\n", "[{\"a\": 1}](https://example.org)", "  \n\t", ""})
    EXPECT_EQ(texts_in(text), Texts{text});
}

TEST(DocumentForm, AsTextTakesJsonAsItStands) {
  EXPECT_EQ(texts_in(kLines, "a.jsonl", {.as_text = true}), Texts{kLines});
  EXPECT_EQ(texts_in("[\"one\"]", "a.json", {.as_text = true}), Texts{"[\"one\"]"});
}

TEST(DocumentForm, WithoutTheTextFieldTheKeysThatAreThereAreNamed) {
  EXPECT_TRUE(says(why_not("{\"content\": \"x\", \"id\": 1}\n{\"content\": \"y\"}\n", "a.json"),
                   {"a.json:1", "'text'", "'content', 'id'", "--text-field", "--as-text"}));
  EXPECT_TRUE(says(why_not("[{\"content\": \"x\"}]"), {"a.txt: record 1", "'content'"}));
  EXPECT_TRUE(says(why_not("{\"text\": [\"x\"]}\n{\"text\": [\"y\"]}\n"), {"a.txt:1", "'[\"x\"]'"}));
  EXPECT_EQ(texts_in("[{\"content\": \"x\"}]", "a", {.text_field = "content"}), Texts{"x"});
}

TEST(DocumentForm, AnObjectAroundTheRecordsIsRefusedWithTheWayToGetThemOut) {
  EXPECT_TRUE(
      says(why_not("{\"version\": 1, \"data\": [{\"text\": \"x\"}]}"), {"\"data\" holds the records", "jq -c"}));
  EXPECT_TRUE(says(why_not("{\"text\": {\"0\": \"x\", \"1\": \"y\"}}"), {"'text' is no string", "jq -c"}));
}

TEST(DocumentForm, WhatIsCutOffOrBrokenIsNamed) {
  EXPECT_TRUE(says(why_not("[{\"text\": \"one\"}, {\"text\": \"tw"), {"record 2", "too early"}));
  EXPECT_TRUE(says(why_not("[{\"text\": \"one\"}"), {"record 2", "too early"}));
  EXPECT_TRUE(says(why_not("[{\"text\": \"one\"} {\"text\": \"two\"}]"), {"no comma"}));
  EXPECT_TRUE(says(why_not("[{\"text\": \"one\"}] more"), {"something follows"}));
  EXPECT_TRUE(says(why_not("{\"text\": \"one\"},\n{\"text\": \"two\"}\n"), {"record 2 begins with ','"}));
  EXPECT_TRUE(says(why_not("{\"text\": \"one\n"), {"does not end", "--as-text"}));
  EXPECT_TRUE(says(why_not("not json\n" + kLines, "a.jsonl"), {"a.jsonl:1"}));
  EXPECT_TRUE(says(why_not(kLines + "{\"text\": \"three\"\n", "a.jsonl"), {"a.jsonl:3"}));
}

TEST(JsonRecords, FieldsThatNobodyReadsMayHoldWhatJsonDoesNotHave) {
  EXPECT_EQ(texts_in("{\"text\": \"a\", \"score\": NaN, \"x\": -Infinity}\n"), Texts{"a"});
  EXPECT_EQ(texts_in("{\"id\": 1, \"id\": 2, \"text\": \"a\", \"n\": 1e999}\n"), Texts{"a"});
  EXPECT_EQ(texts_in("{\"deep\": " + std::string(5000, '[') + std::string(5000, ']') + ", \"text\": \"a\"}\n"),
            Texts{"a"});
  EXPECT_EQ(texts_in("{\"text\": null}\n{\"text\": NaN}\n"), (Texts{"", ""}));
}

TEST(JsonRecords, TheTextItselfIsReadStrictly) {
  EXPECT_EQ(texts_in(R"({"text": "\"\\\/\b\f\n\r\té😀"})"), Texts{"\"\\/\b\f\n\r\t\u00e9\U0001f600"});
  EXPECT_EQ(texts_in("{\"te\\u0078t\": \"a\"}\n"), Texts{"a"});
  EXPECT_TRUE(says(why_not("{\"text\": \"a\", \"text\": \"b\"}\n", "a.jsonl"), {"'text' occurs twice"}));
  for (const char* bad : {R"({"text": "\q"})", "{\"text\": \"a\tb\"}", R"({"text": "\u12g4"})", R"({"text": "a",})",
                          R"({"text" "a"})", R"({"text": "a" "b": 1})", R"({"text": "a", "b": hello})",
                          R"({"text": "a", "b": })", R"({"text": "a"} x)", R"({"text": "a"}})"})
    EXPECT_NE(why_not(std::string(bad) + "\n", "a.jsonl"), "") << bad;
}

TEST(JsonRecords, HalfASurrogatePairIsIllFormedText) {
  EXPECT_EQ(texts_in(R"({"text": "cut \ud83d here"})"), Texts{"cut \xff here"});
  EXPECT_EQ(texts_in(R"({"text": "\ude00\ud83d"})"), Texts{"\xff\xff"});
  EXPECT_EQ(texts_in("{\"text\": \"caf\xe9\"}"), Texts{"caf\xe9"});
}

TEST(TextStream, GzipAndZstdAreUnpackedByTheirContent) {
  for (const auto& pack : {gzipped, zstd_packed}) {
    EXPECT_EQ(texts_in(pack(kLines), "a.bin"), (Texts{"one", "two"}));
    EXPECT_EQ(texts_in(pack("plain text")), Texts{"plain text"});
    EXPECT_EQ(texts_in(pack("")), Texts{""});
    EXPECT_EQ(texts_in(pack("one ") + pack("two")), Texts{"one two"});
    const std::string large(5'000'000, 'x');
    EXPECT_EQ(texts_in(pack(large)), Texts{large});
  }
  EXPECT_EQ(texts_in(gzipped("one") + std::string(512, '\0')), Texts{"one"});
  EXPECT_EQ(texts_in(std::string("\x50\x2a\x4d\x18\x04\0\0\0abcd", 12) + zstd_packed("one")), Texts{"one"});
}

TEST(TextStream, PackedDataThatAreCutOffDamagedOrFollowedAreRefused) {
  const std::string text = some_text(1, 1, 2000);
  for (const auto& pack : {gzipped, zstd_packed}) {
    const std::string packed = pack(text);
    for (const size_t n : {packed.size() - 1, packed.size() / 2, size_t{5}})
      EXPECT_TRUE(says(why_not(packed.substr(0, n)), {"a.txt", "cut off"})) << n;
    EXPECT_NE(why_not(packed + "more"), "");
  }
  std::string wrong_checksum = gzipped(text);
  wrong_checksum[wrong_checksum.size() - 6] ^= 1;
  EXPECT_TRUE(says(why_not(wrong_checksum), {"a.txt", "gzip data are damaged"}));
  EXPECT_TRUE(says(why_not(gzipped(text) + gzipped(text).substr(0, 9)), {"cut off"}));
}

TEST(TextStream, WhatIsPackedIsJudgedToo) {
  EXPECT_TRUE(
      says(why_not(gzipped(std::string("\x89PNG\r\n\x1a\n\0\0", 10))), {"what is packed in it is a PNG image"}));
  EXPECT_TRUE(says(why_not(gzipped(gzipped("text"))), {"packed in it is gzip data"}));
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_TRUE(says(why_not(gzipped(tar), "a.tar.gz"), {"is a tar archive", "tar -xf"}));
}

TEST(TextStream, AByteOrderMarkIsNoPartOfTheText) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_EQ(texts_in(mark + "text"), Texts{"text"});
  EXPECT_EQ(texts_in(mark + kLines), (Texts{"one", "two"}));
  EXPECT_EQ(texts_in(gzipped(mark + "text")), Texts{"text"});
  EXPECT_EQ(texts_in(mark), Texts{""});
}

TEST(TextStream, Utf16AndUtf32WithAMarkAreConverted) {
  const std::u32string points = U"caf\u00e9 \U0001f600\n";
  for (const auto& [size, big] : {std::pair(2, false), {2, true}, {4, false}, {4, true}}) {
    std::string bytes;
    const auto put = [&, n = size, high_first = big](uint32_t unit) {
      for (int i = 0; i < n; ++i) bytes += static_cast<char>(unit >> 8 * (high_first ? n - 1 - i : i));
    };
    put(0xfeff);
    for (int again = 0; again < 200'000; ++again)  // over the borders of parts
      for (const char32_t c : points) {
        if (size == 4 || c < 0x10000)
          put(c);
        else
          put(0xd800 + ((c - 0x10000) >> 10)), put(0xdc00 + (c & 0x3ff));
      }
    std::string want;
    for (int again = 0; again < 200'000; ++again) want += "caf\u00e9 \U0001f600\n";
    EXPECT_TRUE(texts_in(bytes) == Texts{want}) << size << big;
  }
  EXPECT_EQ(texts_in(std::string("\xff\xfe"
                                 "a\0\x3d\xd8"
                                 "b\0",
                                 8)),
            Texts{"a\xff"
                  "b"});
  EXPECT_EQ(texts_in(std::string("\xff\xfe"
                                 "a\0b",
                                 5)),
            Texts{"a\xff"});
}

TEST(TextStream, BinaryFilesAreRefusedByNameWithWhatToDo) {
  const std::string nul(1, '\0');
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"\x89PNG\r\n\x1a\n" + nul, "a PNG image"},
      {"PAR1" + nul + "abcPAR1", "a parquet file"},
      {"ARROW1" + nul + nul, "an Arrow file"},
      {"SQLite format 3" + nul, "an SQLite database"},
      {"PK\x03\x04" + nul + "word", "a zip archive"},
      {"PK\x03\x04" + nul + "archive/data.pkl", "a checkpoint of PyTorch"},
      {"PK\x03\x04" + nul + "[Content_Types].xml", "a document of Microsoft Office"},
      {"\xfd"
       "7zXZ" +
           nul,
       "an xz file"},
      {"BZh91AY&SY" + nul, "a bzip2 file"},
      {"%PDF-1.7\n", "a PDF document"},
      {"\x89HDF\r\n\x1a\n", "an HDF5 file"},
      {"\x80\x04\x95" + nul, "a pickle"},
      {"\x7f"
       "ELF" +
           nul,
       "an ELF program"},
      {"GGUF\x03" + nul, "a GGUF model"},
      {std::string("\x10\0\0\0\0\0\0\0{\"", 10), "a safetensors file"},
      {"FTHMTOK\n", "a token file of `fathom data build`"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a pointer of Git LFS"},
      {"{\\rtf1\\ansi", "an RTF document"},
      {"abc" + nul, "binary, not text (byte 3 is NUL)"},
      {std::string("a\0b\0c\0d\0", 8), "UTF-16LE"},
      {std::string("\0a\0b\0c\0d", 8), "UTF-16BE"},
      {"\x01\x02\x03\x04\x05", "control bytes"},
  };
  for (const auto& [bytes, what] : kinds) EXPECT_TRUE(says(why_not(bytes), {"a.txt: is ", what})) << what;
  // Magic numbers of letters begin texts as well.
  for (const char* text : {"ORCHESTRA", "PAR1S", "GGUF is a format", "BZhang", "RIFFs", "ID3 tags", "OggS", "MZ"})
    EXPECT_EQ(texts_in(text), Texts{text});
}

TEST(TextStream, TextInAnotherEncodingIsNotTakenForUtf8) {
  std::string koi8, latin1;
  for (int i = 0; i < 20; ++i) {
    koi8 += "\xf2\xd5\xd3\xd3\xcb\xc9\xca \xd4\xc5\xcb\xd3\xd4\n";
    latin1 += "un caf\xe9 cr\xe8me, s'il vous pla\xeet\n";
  }
  EXPECT_TRUE(says(why_not(koi8), {"a.txt: is not UTF-8", "iconv -f"}));
  EXPECT_EQ(texts_in(latin1), Texts{latin1});
}

TEST(TextStream, NulIsRefusedWhereverItStandsUnlessItSeparatesDocuments) {
  const std::string far = std::string(3'000'000, 'x') + std::string(1, '\0');
  EXPECT_TRUE(says(why_not(far), {"byte 3000000", "NUL"}));
  EXPECT_EQ(texts_in(std::string("one\0two", 7), "a", {.separator = std::string(1, '\0')}), (Texts{"one", "two"}));
  EXPECT_EQ(texts_in("one\x1etwo\x1ethree", "a", {.separator = "\x1e"}), (Texts{"one", "two", "three"}));
}

TEST(DocumentFile, ADocumentAboveTheLimitIsRefusedOrCutAtALineEnd) {
  std::string text;
  while (text.size() < 3'000'000) text += "a line of text \u00e9\n";
  EXPECT_TRUE(says(why_not(text, "a.txt", {.max_document_bytes = 1'000'000}), {"document 1", "1000000"}));
  const Texts parts = texts_in(text, "a.txt", {.cut_after = 1'000'000});
  EXPECT_EQ(parts.size(), 4u);
  std::string joined;
  for (const std::string& part : parts) {
    EXPECT_EQ(part.back(), '\n');
    joined += part;
  }
  EXPECT_TRUE(joined == text);
  // What a small file unpacks to does not fill memory.
  EXPECT_TRUE(says(why_not(zstd_packed(std::string(50'000'000, ' ')), "a.txt", {.max_document_bytes = 1'000'000}),
                   {"document 1", "1000000"}));
}

TEST(DocumentFile, SeparatorsAreFoundAcrossTheBordersOfParts) {
  std::string text;
  Texts want;
  for (int i = 0; i < 3000; ++i) {
    want.push_back(std::to_string(i) + std::string(static_cast<size_t>(i % 1000), 'x'));
    text += (i > 0 ? "<|end|>" : "") + want.back();
  }
  EXPECT_GT(text.size(), size_t{1} << 20);
  EXPECT_TRUE(texts_in(text, "a.txt", {.separator = "<|end|>"}) == want);
}

TEST(DocumentFile, ManyRecordsComeBackInEveryForm) {
  Texts want;
  std::string lines, array, values;
  for (uint64_t i = 0; i < 20'000; ++i) {
    want.push_back(some_text(3, i, 10));
    const std::string record = json::serialize(json::object{{"id", i}, {"text", want.back()}});
    lines += record + "\n";
    array += (i == 0 ? "[\n" : ",\n") + record;
    values += record.substr(0, record.size() - 1);
    values += "\n}\n";
  }
  EXPECT_TRUE(texts_in(lines) == want);
  EXPECT_TRUE(texts_in(array + "\n]\n") == want);
  EXPECT_TRUE(texts_in(values) == want);
}

class DocumentFiles : public DataFiles {};

TEST_F(DocumentFiles, AFifoIsReadAsAFileIs) {
  const auto path = folder / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path) << kLines; });
  DocumentFile file(path, {});
  EXPECT_EQ(texts_of(file), (Texts{"one", "two"}));
  writer.join();
  EXPECT_FALSE(file.file()->is_regular());
  EXPECT_EQ(file.file()->position(), kLines.size());
}

TEST_F(DocumentFiles, WhatCannotBeReadIsNamed) {
  EXPECT_TRUE(says(error_of([&] { DocumentFile(folder, {}); }), {"is a directory"}));
  EXPECT_TRUE(says(error_of([&] { DocumentFile(folder / "none", {}); }), {"none", "cannot be opened"}));
}

TEST_F(DocumentFiles, ReadTextTakesJsonAsTextAndJoinedDocumentsTakeItApart) {
  const auto path = write("a.json", kLines);
  EXPECT_EQ(read_text(path), kLines);
  EXPECT_EQ(read_joined_documents(path), "one\n\ntwo");
  EXPECT_EQ(read_joined_documents(write("b.txt",
                                        "\xef\xbb\xbf"
                                        "text\n")),
            "text\n");
  EXPECT_TRUE(says(error_of([&] { read_text(path, 5); }), {"more than 5 bytes"}));
}

}  // namespace
}  // namespace fathom
