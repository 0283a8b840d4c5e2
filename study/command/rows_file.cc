#include "study/command/rows_file.h"

#include <algorithm>

#include "kernels/error.h"
#include "study/text_file.h"

namespace taut::study {

std::vector<Row> read_rows(const std::string& path, const char* hint) {
  const Row json = Row::parse(read_text_file(path), nullptr, false);
  const bool good =
      json.is_array() && std::all_of(json.begin(), json.end(), [](const Row& r) { return r.is_object(); });
  if (!good) fail(Exit::kBadData, "[{}] expected an array of rows; hint: {}", path, hint);
  return json.get<std::vector<Row>>();
}

}  // namespace taut::study
