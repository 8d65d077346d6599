// gzip by zlib, zstd by libzstd: both compare checksums, and both read input by input, so that memory stays the same
// for any size.
#define ZLIB_CONST  // next_in points to const
#include <zlib.h>
#include <zstd.h>

#include <array>

#include "base/error.h"
#include "data/text/byte_source.h"

namespace fathom {
namespace {

constexpr std::string_view kGzip("\x1f\x8b\x08", 3), kZstd("\x28\xb5\x2f\xfd", 4);

// Frames that hold no text (zstd_compression_format.md, "Skippable Frames"): pzstd begins its files with one.
bool is_skippable_frame(std::string_view head) noexcept {
  return head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18";
}

// What both have in common: input that is read in parts.
class Unpacker : public ByteSource {
 protected:
  Unpacker(ByteSource& in, std::string name, const char* format) : in_(in), name_(std::move(name)), format_(format) {}

  // More input; bad_input at its end, which here comes in the middle of something.
  std::string_view need_input() {
    const std::string_view more = some_input();
    if (more.empty())
      throw_bad_input("{}: ends in the middle of its {} data, it was cut off; copy or make it again", name_, format_);
    return more;
  }
  std::string_view some_input() { return {buffer_.data(), in_.read(buffer_)}; }
  [[noreturn]] void damaged(const char* reason) const {
    throw_bad_input("{}: its {} data are damaged ({}); copy or make it again", name_, format_, reason);
  }

 private:
  ByteSource& in_;
  std::string name_;
  const char* format_;
  std::array<char, size_t{1} << 16> buffer_{};
};

class Gunzip final : public Unpacker {
 public:
  Gunzip(ByteSource& in, std::string name) : Unpacker(in, std::move(name), "gzip") {
    check(::inflateInit2(&z_, MAX_WBITS + 16) == Z_OK, "zlib has the memory for a window");
  }
  ~Gunzip() override { ::inflateEnd(&z_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  size_t read(std::span<char> out) override {
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(out.size());
    while (z_.avail_out > 0 && !finished_) step();
    return out.size() - z_.avail_out;
  }

 private:
  void take(std::string_view input) {
    z_.next_in = reinterpret_cast<const Bytef*>(input.data());
    z_.avail_in = static_cast<uInt>(input.size());
  }
  void step() {
    if (z_.avail_in == 0) take(need_input());
    const int status = ::inflate(&z_, Z_NO_FLUSH);
    if (status == Z_STREAM_END)
      next_member();
    else if (status != Z_OK && status != Z_BUF_ERROR)
      damaged(z_.msg != nullptr ? z_.msg : "zlib cannot read them");
  }
  // Behind a member stands the next one, or nothing but zeros (tapes and disks fill their blocks with them).
  void next_member() {
    for (;;) {
      if (z_.avail_in == 0) take(some_input());
      if (z_.avail_in == 0) {
        finished_ = true;
        return;
      }
      if (*z_.next_in != 0) break;
      ++z_.next_in, --z_.avail_in, ++zeros_;
    }
    if (zeros_ > 0 || *z_.next_in != 0x1f) damaged("something else follows them");
    ::inflateReset(&z_);
  }

  z_stream z_{};
  uint64_t zeros_ = 0;
  bool finished_ = false;
};

class Unzstd final : public Unpacker {
 public:
  Unzstd(ByteSource& in, std::string name) : Unpacker(in, std::move(name), "zstd"), z_(::ZSTD_createDStream()) {
    check(z_ != nullptr, "libzstd has the memory for a stream");
    ::ZSTD_DCtx_setParameter(z_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ~Unzstd() override { ::ZSTD_freeDStream(z_); }
  Unzstd(const Unzstd&) = delete;
  Unzstd& operator=(const Unzstd&) = delete;

  size_t read(std::span<char> out) override {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos < to.size && !finished_) step(to);
    return to.pos;
  }

 private:
  static constexpr int kMaxWindowLog = 31;  // what `zstd --long=31` makes, as large dumps are

  void step(ZSTD_outBuffer& to) {
    if (from_.pos == from_.size && !(inside_frame_ && output_waits_)) {
      const std::string_view more = inside_frame_ ? need_input() : some_input();
      finished_ = more.empty();
      from_ = {more.data(), more.size(), 0};
    }
    if (finished_) return;
    const size_t left = ::ZSTD_decompressStream(z_, &to, &from_);
    if (::ZSTD_isError(left) != 0) damaged(::ZSTD_getErrorName(left));
    inside_frame_ = left != 0;
    output_waits_ = to.pos == to.size;
  }

  ZSTD_DStream* z_;
  ZSTD_inBuffer from_{nullptr, 0, 0};
  bool inside_frame_ = true, output_waits_ = false, finished_ = false;
};

}  // namespace

Packing packing_of(std::string_view head) noexcept {
  if (head.starts_with(kGzip)) return Packing::gzip;
  return head.starts_with(kZstd) || is_skippable_frame(head) ? Packing::zstd : Packing::none;
}

std::unique_ptr<ByteSource> unpack(Packing packing, ByteSource& in, std::string name) {
  if (packing == Packing::gzip) return std::make_unique<Gunzip>(in, std::move(name));
  check(packing == Packing::zstd, "only packed bytes are unpacked");
  return std::make_unique<Unzstd>(in, std::move(name));
}

}  // namespace fathom
