#include "study/submit/tasks.h"

#include "kernels/error.h"
#include "study/study.h"
#include "study/submit/process.h"

namespace taut::study {

std::vector<std::string> worker_words(const StudyManifest& manifest, const TaskOptions& options) {
  std::vector<std::string> words = {own_program(), "study", "run", "--manifest", manifest.folder};
  if (options.device != "cpu") words.insert(words.end(), {"--device", options.device});
  if (options.threads > 0) words.insert(words.end(), {"--threads", std::to_string(options.threads)});
  return words;
}

std::vector<Task> open_tasks(const StudyManifest& manifest, const TaskOptions& options) {
  const std::vector<std::string> common = worker_words(manifest, options);
  std::vector<Task> tasks;
  for (size_t i = 0; i < manifest.plan.rows.size(); ++i) {
    const PlanRow& row = manifest.plan.rows[i];
    for (Share share{1, options.parts}; share.part <= share.of; ++share.part) {
      const std::string state = share_state(manifest.folder, row.run_id, share);
      if (state == "done") continue;
      Task task{.index = static_cast<int64_t>(i) * share.of + share.part - 1,
                .run_id = row.run_id,
                .state = state,
                .share = share,
                .words = common};
      task.words.insert(task.words.end(), {"--run-id", row.run_id});
      if (share.of > 1) task.words.insert(task.words.end(), {"--part", fmt::format("{}/{}", share.part, share.of)});
      tasks.push_back(std::move(task));
    }
  }
  return tasks;
}

std::string array_list(const std::vector<int64_t>& numbers) {
  std::string list;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    list += fmt::format("{}{}", list.empty() ? "" : ",", numbers[i]);
    if (last > i) list += fmt::format("-{}", numbers[last]);
    i = last + 1;
  }
  return list;
}

}  // namespace taut::study
