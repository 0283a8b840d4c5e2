// TensorBoard's event files without protobuf: TFRecord framing and the three messages that scalars need.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace taut::study {

// CRC-32C (Castagnoli, RFC 3720 B.4), and masked as TFRecord stores it.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

// length (8 bytes, little-endian), masked sum of these, payload, masked sum of the payload.
std::string tfrecord(std::string_view payload);

// Event messages: the first of a file, and a scalar at a step. wall_time is 0: nothing in a store depends on a clock.
std::string version_event();
std::string scalar_event(int64_t step, std::string_view tag, float value);

}  // namespace taut::study
