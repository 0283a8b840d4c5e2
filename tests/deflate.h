// What files that tests make by hand are compressed with.
#pragma once

#include <zlib.h>

#include <stdexcept>

namespace taut::test {

// RFC 1950-1952; `window_bits` as zlib counts them: negative for a bare stream, as zip files hold it, 16 more for gzip.
// `Bytes` is a string or a vector of bytes.
template <class Bytes>
Bytes deflated_with(const Bytes& bytes, int level, int window_bits) {
  z_stream z{};
  if (::deflateInit2(&z, level, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib has no memory");
  Bytes out(::deflateBound(&z, bytes.size()), 0);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<typename Bytes::pointer>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const bool whole = ::deflate(&z, Z_FINISH) == Z_STREAM_END;
  out.resize(z.total_out);
  ::deflateEnd(&z);
  if (!whole) throw std::runtime_error("zlib wants more room than it said");
  return out;
}

}  // namespace taut::test
