#include "study/submit/manifest.h"

#include <algorithm>
#include <filesystem>

#include "kernels/error.h"
#include "study/run/directory.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"
#include "tensor/nearest.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kFormat = 1;

std::string plan_file(const std::string& folder) { return folder + "/study.json"; }
std::string seal_file(const std::string& folder) { return folder + "/manifest.json"; }

// What a plan without a seal lacks beside it for `taut study status`.
void write_listing(const Plan& plan, const std::string& folder) {
  std::string lines;
  for (const PlanRow& row : plan.rows) lines += to_json(row).dump() + "\n";
  write_file_atomically(folder + "/plan.jsonl", lines);
}

}  // namespace

const PlanRow& StudyManifest::row(int64_t index) const {
  const auto rows = static_cast<int64_t>(plan.rows.size());
  TAUT_CHECK(index >= 0 && index < rows, "[--index] expected 0 to {}, the rows of {}, got {}", rows - 1,
             plan_file(folder), index);
  return plan.rows[static_cast<size_t>(index)];
}

int64_t StudyManifest::index_of(const std::string& run_id) const {
  std::vector<std::string> ids;
  for (const PlanRow& row : plan.rows) ids.push_back(row.run_id);
  const auto it = std::ranges::find(ids, run_id);
  TAUT_CHECK(it != ids.end(), "[--run-id] {} has no run '{}'; hint: {}", plan_file(folder), run_id,
             did_you_mean(run_id, ids));
  return it - ids.begin();
}

void write_plan(const Plan& plan, const std::string& folder) {
  make_folder(folder + "/runs");
  if (!fs::exists(seal_file(folder))) {
    write_file_atomically(plan_file(folder), to_json(plan).dump(1) + "\n");
    write_listing(plan, folder);
    return;
  }
  const Plan sealed = open_manifest(folder).plan;
  const size_t both = std::min(sealed.rows.size(), plan.rows.size());
  for (size_t i = 0; i < both; ++i)
    TAUT_CHECK(sealed.rows[i].run_id == plan.rows[i].run_id,
               "[{}] run {} is {} and would become {}: the plan was submitted and changes no more; hint: another --out "
               "(`taut study merge` takes several)",
               seal_file(folder), i, sealed.rows[i].run_id, plan.rows[i].run_id);
  TAUT_CHECK(sealed.rows.size() == plan.rows.size(),
             "[{}] has {} runs, not {}: the plan was submitted and changes no more; hint: another --out (`taut study "
             "merge` takes several)",
             seal_file(folder), sealed.rows.size(), plan.rows.size());
}

StudyManifest open_manifest(const std::string& folder) {
  const std::string file = plan_file(folder), seal = seal_file(folder);
  if (!fs::exists(file))
    fail(Exit::kMissing,
         "[{}] there is no plan; hint: taut study submit FILE --out {}, or the folder that `taut study "
         "run --out` made",
         file, folder);
  const std::string text = read_text_file(file);
  StudyManifest manifest{
      .folder = fs::absolute(folder).lexically_normal().string(), .sha256 = sha256_of(text), .plan = {}};
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) fail(Exit::kBadData, "[{}] expected JSON", file);
  if (fs::exists(seal)) {
    const Json sealed = read_json(seal);
    if (!sealed.is_object() || sealed.value("format", int64_t{0}) != kFormat || !sealed.contains("sha256"))
      fail(Exit::kBadData, "[{}] is no manifest of this program's", seal);
    if (sealed["sha256"] != manifest.sha256)
      fail(Exit::kBadData,
           "[{}] is not the plan that was submitted: {} says SHA-256 {}, it has {}; hint: bring it back", file, seal,
           sealed["sha256"].dump(), manifest.sha256);
  }
  manifest.plan = plan_from_json(json, file);
  if (!fs::exists(folder + "/plan.jsonl")) write_listing(manifest.plan, folder);
  if (!fs::exists(seal)) {
    const Json sealed = {{"format", kFormat},
                         {"plan", "study.json"},
                         {"sha256", manifest.sha256},
                         {"rows", static_cast<int64_t>(manifest.plan.rows.size())}};
    write_file_atomically(seal, sealed.dump(2) + "\n");
  }
  return manifest;
}

}  // namespace taut::study
