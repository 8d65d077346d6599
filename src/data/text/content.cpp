#include "data/text/content.h"

#include <algorithm>
#include <array>

#include "base/text/utf8.h"

namespace fathom {
namespace {

using namespace std::string_view_literals;

// A magic number. Where it might begin a text (`weak`), other bytes must show as well that this is none.
struct Magic {
  size_t at;
  std::string_view bytes;
  const char *what, *advice;
  bool weak = false;
};

// A batch of rows is in memory at a time.
constexpr const char* kParquet =
    "write it as JSON lines (pip install pyarrow): python3 -c 'import json, sys, pyarrow.parquet as p; "
    "[print(json.dumps(r, default=str)) for b in p.ParquetFile(sys.argv[1]).iter_batches() for r in b.to_pylist()]' "
    "FILE > FILE.jsonl";
constexpr const char* kArrowFile =
    "write it as JSON lines (pip install pyarrow): python3 -c 'import json, sys, pyarrow as a; "
    "f = a.ipc.open_file(a.memory_map(sys.argv[1])); [print(json.dumps(r, default=str)) "
    "for i in range(f.num_record_batches) for r in f.get_batch(i).to_pylist()]' FILE > FILE.jsonl";
constexpr const char* kArrowStream =
    "write it as JSON lines (pip install pyarrow): python3 -c 'import json, sys, pyarrow as a; "
    "[print(json.dumps(r, default=str)) for b in a.ipc.open_stream(a.memory_map(sys.argv[1])) "
    "for r in b.to_pylist()]' FILE > FILE.jsonl";
constexpr const char* kOrc =
    "write it as JSON lines (pip install pyarrow): python3 -c 'import json, sys, pyarrow.orc as o; "
    "f = o.ORCFile(sys.argv[1]); [print(json.dumps(r, default=str)) "
    "for i in range(f.nstripes) for r in f.read_stripe(i).to_pylist()]' FILE > FILE.jsonl";
constexpr const char* kModel = "it is a model's, not text to read";
constexpr const char* kPicture = "only text can be read";
constexpr const char* kPandoc = "take its text out: pandoc -t plain FILE -o FILE.txt";

constexpr std::array kMagics = {
    Magic{0, "\x1f\x8b\x08"sv, "gzip data", "unpack it: gzip -dc FILE > TEXT"},
    Magic{0, "\x28\xb5\x2f\xfd"sv, "zstd data", "unpack it: zstd -dc FILE > TEXT"},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          "an xz file", "unpack it: xz -dc FILE > TEXT, or read it through a pipe: xz -dc FILE | fathom ... -"},
    Magic{0, "BZh"sv, "a bzip2 file",
          "unpack it: bzip2 -dc FILE > TEXT, or read it through a pipe: bzip2 -dc FILE | fathom ... -", true},
    Magic{0, "\x04\x22\x4d\x18"sv, "an lz4 file", "unpack it: lz4 -dc FILE > TEXT"},
    Magic{0, "LZIP"sv, "an lzip file", "unpack it: lzip -dc FILE > TEXT", true},
    Magic{0, "\x1f\x9d"sv, "a file of compress", "unpack it: gzip -dc FILE > TEXT"},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "unpack it: 7z x FILE"},
    Magic{0, "Rar!\x1a\x07"sv, "a RAR archive", "unpack it: unar FILE"},
    Magic{257, "ustar"sv, "a tar archive", "unpack it and give the folder: tar -xf FILE"},
    Magic{0, "PAR1"sv, "a parquet file", kParquet, true},
    Magic{0, "PARE"sv, "an encrypted parquet file", "decrypt it, and write it as JSON lines", true},
    Magic{0, "ARROW1\0"sv, "an Arrow file", kArrowFile},
    Magic{0, "\xff\xff\xff\xff"sv, "an Arrow stream", kArrowStream},
    Magic{0, "ORC"sv, "an ORC file", kOrc, true},
    Magic{0, "Obj\x01"sv, "an Avro file", "write it as JSON lines: avro-tools tojson FILE > FILE.jsonl"},
    Magic{0, "\x89HDF\r\n\x1a\n"sv, "an HDF5 file", "write its texts as JSON lines with h5py"},
    Magic{0, "SQLite format 3\0"sv, "an SQLite database",
          "write a table as JSON lines: sqlite3 FILE \"select json_object('text', COLUMN) from TABLE\" > FILE.jsonl"},
    Magic{0, "\x93NUMPY"sv, "a NumPy array", "write its texts as JSON lines"},
    Magic{0, "GGUF"sv, "a GGUF model", kModel, true},
    Magic{0, "FTHMTOK\n"sv, "a token file of `fathom data build`", "give the text that it was built from"},
    Magic{0, "MMIDIDX\0"sv, "an index of token files of Megatron-LM", "give the text that it was made from"},
    Magic{0,
          "\x7f"
          "ELF"sv,
          "an ELF program", kPicture},
    Magic{0, "\xca\xfe\xba\xbe"sv, "a Java class or a program of macOS", kPicture},
    Magic{0, "\0asm"sv, "a WebAssembly module", kPicture},
    Magic{0, "\x89PNG\r\n\x1a\n"sv, "a PNG image", kPicture},
    Magic{0, "\xff\xd8\xff"sv, "a JPEG image", kPicture},
    Magic{0, "GIF8"sv, "a GIF image", kPicture, true},
    Magic{0, "RIFF"sv, "a RIFF file (sound, video or an image)", kPicture, true},
    Magic{4, "ftyp"sv, "a video or sound file (MP4)", kPicture, true},
    Magic{0, "OggS"sv, "an Ogg file", kPicture, true},
    Magic{0, "fLaC"sv, "a FLAC file", kPicture, true},
    Magic{0, "ID3"sv, "an MP3 file", kPicture, true},
    Magic{0, "%PDF-"sv, "a PDF document", "take its text out: pdftotext FILE FILE.txt"},
    Magic{0, "{\\rtf"sv, "an RTF document", kPandoc},
    Magic{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv, "a document of Microsoft Office",
          "take its text out: soffice --headless --convert-to txt FILE"},
    Magic{0, "version https://git-lfs.github.com/spec/"sv, "a pointer of Git LFS, not the file itself",
          "fetch the file: git lfs pull"},
};

// The first entry of a zip archive tells what is made of it.
struct ZipKind {
  std::string_view holds;
  const char *what, *advice;
};
constexpr std::array kZipKinds = {
    ZipKind{"[Content_Types].xml", "a document of Microsoft Office", kPandoc},
    ZipKind{"mimetypeapplication/epub+zip", "an EPUB book", kPandoc},
    ZipKind{"mimetypeapplication/vnd.oasis", "an OpenDocument file", kPandoc},
    ZipKind{"data.pkl", "a checkpoint of PyTorch", kModel},
    ZipKind{".npy", "a file of NumPy arrays", "write its texts as JSON lines"},
    ZipKind{"META-INF/", "a Java archive", kPicture},
    ZipKind{"", "a zip archive", "unpack it and give the folder: unzip FILE -d FOLDER"},
};

// Bytes that no text has: controls other than those of line ends, tabs, terminals and the separator.
struct Controls {
  size_t first_nul = std::string_view::npos, n = 0;
};
Controls count_controls(std::string_view head, std::string_view separator) {
  std::array<bool, 256> is_control{};
  for (size_t c = 0; c < 32; ++c) is_control[c] = true;
  is_control[127] = true;
  for (const char c : "\t\n\v\f\r\b\x1a\x1b"sv) is_control[static_cast<unsigned char>(c)] = false;
  for (const char c : separator) is_control[static_cast<unsigned char>(c)] = false;
  Controls out;
  for (size_t i = 0; i < head.size(); ++i) {
    if (!is_control[static_cast<unsigned char>(head[i])]) continue;
    if (head[i] == '\0' && out.first_nul == std::string_view::npos) out.first_nul = i;
    ++out.n;
  }
  return out;
}

// A text of a few bytes may have a control or two: that is no share yet.
bool looks_binary(const Controls& controls, std::string_view head) {
  return controls.first_nul != std::string_view::npos || controls.n > 2 + head.size() / 32;
}

std::string sentence(std::string_view what, std::string_view advice) {
  return fmt::format("is {}, not text; {}", what, advice);
}

std::optional<std::string> zip_kind(std::string_view head) {
  if (!head.starts_with("PK\x03\x04"sv) && !head.starts_with("PK\x05\x06"sv)) return {};
  const auto* kind = std::find_if(kZipKinds.begin(), kZipKinds.end(), [&](const ZipKind& k) {
    return head.substr(0, 512).find(k.holds) != std::string_view::npos;
  });
  return sentence(kind->what, kind->advice);
}

// A little-endian length of the header, and the header: JSON.
bool is_safetensors(std::string_view head) {
  return head.size() > 9 && head.substr(8, 2) == "{\"" && head.substr(5, 3) == "\0\0\0"sv;
}

bool is_pickle(std::string_view head) { return head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5; }

// Every second byte of most texts in UTF-16 is NUL.
const char* binary_advice(std::string_view head) {
  const std::string_view start = head.substr(0, 1024);
  std::array<size_t, 2> nul{};
  for (size_t i = 0; i < start.size(); ++i) nul[i % 2] += start[i] == '\0' ? 1u : 0u;
  const size_t many = start.size() / 4;
  if (nul[1] > many && nul[0] == 0)
    return "it may be UTF-16 without a byte order mark: iconv -f UTF-16LE -t UTF-8 FILE > TEXT";
  if (nul[0] > many && nul[1] == 0)
    return "it may be UTF-16 without a byte order mark: iconv -f UTF-16BE -t UTF-8 FILE > TEXT";
  return "give the text that it holds";
}

// Text in another encoding of bytes (GB18030, Shift JIS, KOI8-R, ...): more than a quarter of its characters are
// ill-formed as UTF-8. Western languages in Latin-1 have fewer: for those there is a policy.
std::optional<std::string> other_encoding(std::string_view head) {
  const std::string_view start = head.substr(0, size_t{1} << 16);
  size_t characters = 0, ill_formed = 0;
  for (size_t at = 0; at < start.size(); ++characters) {
    const Utf8Char c = decode_utf8(start, at);
    ill_formed += c.valid ? 0u : 1u;
    at += c.length;
  }
  if (start.size() < 32 || ill_formed <= characters / 4) return {};
  return fmt::format(
      "is not UTF-8 ({} of its first {} characters are ill-formed); convert it, with its encoding for "
      "GB18030: iconv -f GB18030 -t UTF-8 FILE > TEXT",
      ill_formed, characters);
}

uint32_t unit_of(std::string_view in, size_t at, size_t size, bool big) {
  uint32_t unit = 0;
  for (size_t i = 0; i < size; ++i)
    unit |= static_cast<uint32_t>(static_cast<unsigned char>(in[at + i])) << 8 * (big ? size - 1 - i : i);
  return unit;
}

constexpr bool is_first_half(uint32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
constexpr bool is_second_half(uint32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

void append_or_mark(std::string& out, uint32_t code_point) {
  if (code_point > 0x10ffff || is_first_half(code_point) || is_second_half(code_point))
    out += '\xff';
  else
    append_utf8(out, code_point);
}

}  // namespace

std::optional<std::string> what_is_not_text(std::string_view head, std::string_view separator) {
  if (encoding_mark(head).encoding != TextEncoding::utf8) return {};  // its bytes say nothing before they are decoded
  const Controls controls = count_controls(head, separator);
  const bool binary = looks_binary(controls, head);
  for (const Magic& m : kMagics)
    if ((binary || !m.weak) && head.size() > m.at && head.substr(m.at).starts_with(m.bytes))
      return sentence(m.what, m.advice);
  if (auto zip = zip_kind(head)) return zip;
  if (!binary) return other_encoding(head);
  if (is_safetensors(head)) return sentence("a safetensors file", kModel);
  if (is_pickle(head)) return sentence("a pickle of Python", "write its texts as JSON lines");
  const bool nul = controls.first_nul != std::string_view::npos;
  return fmt::format("is binary, not text ({}); {}",
                     nul ? fmt::format("byte {} is NUL", controls.first_nul)
                         : fmt::format("{} control bytes among the first {}", controls.n, head.size()),
                     binary_advice(head));
}

EncodingMark encoding_mark(std::string_view head) noexcept {
  if (head.starts_with("\xef\xbb\xbf"sv)) return {TextEncoding::utf8, 3};
  if (head.starts_with("\xff\xfe\0\0"sv)) return {TextEncoding::utf32_le, 4};
  if (head.starts_with("\0\0\xfe\xff"sv)) return {TextEncoding::utf32_be, 4};
  if (head.starts_with("\xff\xfe"sv)) return {TextEncoding::utf16_le, 2};
  if (head.starts_with("\xfe\xff"sv)) return {TextEncoding::utf16_be, 2};
  return {};
}

void append_as_utf8(TextEncoding encoding, std::string_view& in, bool is_last, std::string& out) {
  const bool big = encoding == TextEncoding::utf16_be || encoding == TextEncoding::utf32_be;
  const size_t size = encoding == TextEncoding::utf16_le || encoding == TextEncoding::utf16_be ? 2 : 4;
  while (in.size() >= size) {
    const uint32_t unit = unit_of(in, 0, size, big);
    size_t used = size;
    uint32_t code_point = unit;
    if (size == 2 && is_first_half(unit)) {
      if (in.size() < 4 && !is_last) return;
      const uint32_t second = in.size() < 4 ? 0 : unit_of(in, 2, 2, big);
      if (is_second_half(second)) {
        code_point = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
        used = 4;
      }
    }
    append_or_mark(out, code_point);
    in.remove_prefix(used);
  }
  if (!is_last || in.empty()) return;
  out += '\xff';
  in = {};
}

}  // namespace fathom
