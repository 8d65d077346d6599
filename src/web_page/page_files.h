// The chat page, as part of the program: the files of web/dist, which cmake/web.cmake turns into constants. Nothing is
// read from the disk and nothing is allocated; all of it is valid from the start to the end of the program, for any
// thread.
#pragma once
#include <span>
#include <string_view>

namespace fathom {

struct PageFile {
  std::string_view
      path;  // as in a request: "/index.html", "/assets/index-1a2b3c4d.js"; ASCII, neither "." nor ".." in it
  std::string_view content_type;   // "text/html; charset=utf-8"
  std::string_view bytes;          // not compressed
  std::string_view etag;           // with its quotes: the first half of the SHA-256 of the bytes
  std::string_view cache_control;  // "public, max-age=31536000, immutable" below /assets/, whose names change with
                                   // their bytes; else "no-cache"
};

// In the order of their paths. "/" is not among them: a server answers it with "/index.html".
std::span<const PageFile> page_files();

// The file of a path, or nullptr. Compares whole paths: there is nothing to decode, and nothing to escape from.
const PageFile* find_page_file(std::string_view path);

// What a server must send with every file of the page. Everything comes from the server itself; scripts and styles are
// files, never text within the page; nothing but DOMPurify (web/src/text/sanitise.ts) may turn a string into HTML; no
// other page may frame this one.
struct PageHeader {
  std::string_view name;
  std::string_view value;
};

inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; img-src 'self' "
    "data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types "
    "dompurify";

inline constexpr PageHeader kPageHeaders[] = {
    {"Content-Security-Policy", kContentSecurityPolicy},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

}  // namespace fathom
