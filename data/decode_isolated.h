// Decoding as data sets and imports do it: in worker processes (data/decode_worker.h), since the bytes are a
// stranger's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/image.h"

namespace taut {

// What decode_image gives, and its errors; a file that breaks the decoder or takes more than 512 MB or 2 s of processor
// time is an Error(kBadData) that names it. Throws also what DecodeWorkers::decode does. Any thread may call it.
Image decode_isolated(std::span<const uint8_t> bytes, std::string_view name);

// The same for a file. Throws Error(kMissing) where there is none, Error(kIo) where it cannot be read.
Image decode_file(const std::string& path);

}  // namespace taut
