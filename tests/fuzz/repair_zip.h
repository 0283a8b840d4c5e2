// Makes the checksums of a zip archive's stored entries true, as far as the archive can be followed.
#pragma once

#include <cstdint>
#include <span>

namespace taut::fuzz {

// Writes nowhere but in `bytes`; leaves what is no archive as it is.
void repair_checksums(std::span<uint8_t> bytes);

}  // namespace taut::fuzz
