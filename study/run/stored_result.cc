#include "study/run/stored_result.h"

#include <filesystem>

#include "kernels/error.h"
#include "study/run/checkpoint.h"
#include "study/text_file.h"
#include "study/untrusted.h"

namespace taut::study {
namespace fs = std::filesystem;

StoredResult stored_result(const std::string& run, const std::string& run_id) {
  const std::string file = run + "/result.json";
  if (!fs::exists(file)) return {};
  try {
    Json json = parse_json(read_text_file(file));
    if (!json.is_object()) fail(Exit::kBadData, "[{}] is cut off or no JSON", file);
    if (json.at("run_id") != run_id)
      fail(Exit::kBadData, "[{}] is of another run, {}", file, json["run_id"].get<std::string>());
    json.at("steps").get<int64_t>();
    check_verdicts_there(run, json.at("evaluations"));
    return {.json = std::move(json), .wrong = ""};
  } catch (const nlohmann::json::exception& error) {
    return {.json = nullptr, .wrong = fmt::format("[{}] is no result of ours: {}", file, error.what())};
  } catch (const Error& error) {
    if (error.code() == Exit::kIo) throw;
    return {.json = nullptr, .wrong = error.what()};
  }
}

Json take_result(RunDirectory& directory, const std::string& run_id,
                 const std::function<void(const std::string&)>& say) {
  StoredResult stored = stored_result(directory.path(), run_id);
  if (!stored.wrong.empty()) {
    const std::string kept = directory.set_aside("result.json");
    say(fmt::format("{}; it is kept as {} and made again", named_within(stored.wrong, directory.path()), kept));
  }
  return std::move(stored.json);
}

void check_verdicts_there(const std::string& run, const Json& evaluations) {
  for (const Json& e : evaluations) {
    const std::string file = run + "/samples/" + checkpoint_name(e.at("step")) + ".json";
    if (!fs::exists(file)) fail(Exit::kMissing, "[{}] there is no such file", file);
  }
}

std::string recorded_failure(const std::string& run) {
  try {
    return read_json(run + "/failed.json").value("error", "no reason is recorded");
  } catch (const nlohmann::json::exception&) {
  } catch (const Error& error) {
    if (error.code() == Exit::kIo) throw;
  }
  return "failed.json cannot be understood";
}

std::string named_within(std::string text, const std::string& folder) {
  for (size_t at = text.find(folder + "/"); at != std::string::npos; at = text.find(folder + "/"))
    text.erase(at, folder.size() + 1);
  return text;
}

}  // namespace taut::study
