#include "study/report/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "study/report/html.h"
#include "study/report/looks.h"
#include "study/report/markup.h"
#include "study/report/png.h"

namespace taut::study {
namespace {

// A strategy's first done run that kept images.
struct Shown {
  Look look;
  const RunResult* run;
};

std::vector<Shown> shown_runs(const StudyResults& results, const DatasetSummary& dataset) {
  std::vector<Shown> out;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    for (size_t r : dataset.strategies[s].runs) {
      const RunResult& run = results.runs[r];
      if (run.state != RunState::kDone || run.samples.empty()) continue;
      out.push_back({look_of(run.strategy, s), &run});
      break;
    }
  }
  return out;
}

std::string class_of(const RunResult& run, int64_t index) {
  const bool named = index >= 0 && index < static_cast<int64_t>(run.class_names.size());
  return html_escape(named ? run.class_names[static_cast<size_t>(index)] : fmt::format("class {}", index));
}

std::string image(std::span<const float> x, const Sample& like, const std::string& alt) {
  return fmt::format("<img src=\"{}\" alt=\"{}\">", png_data_uri(x, like.channels, like.height, like.width), alt);
}

void check_sample(const RunResult& run, const Sample& sample) {
  const auto size = static_cast<size_t>(sample.channels * sample.height * sample.width);
  if (sample.clean.size() != size || sample.adversarial.size() != size) {
    fail(Exit::kBadData, "[report] run {}: expected sample images of {} values, got {} and {}", run.run_id, size,
         sample.clean.size(), sample.adversarial.size());
  }
}

}  // namespace

std::string samples_html(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Shown> shown = shown_runs(results, dataset);
  if (shown.empty()) return {};
  const RunResult& first = *shown[0].run;
  // Large images are megabytes of noise that no compression helps: fewer of them.
  const size_t most = first.samples[0].height * first.samples[0].width > 64 * 64 ? 2 : 3;
  const size_t count = std::min(most, first.samples.size());
  float largest = 0;
  for (const Shown& s : shown) {
    for (size_t i = 0; i < std::min(count, s.run->samples.size()); ++i) {
      const Sample& sample = s.run->samples[i];
      check_sample(*s.run, sample);
      for (size_t k = 0; k < sample.clean.size(); ++k) {
        largest = std::max(largest, std::abs(sample.adversarial[k] - sample.clean[k]));
      }
    }
  }
  const float factor = largest > 0 ? 0.5f / largest : 1.0f;

  std::vector<std::string> head = {"clean"};
  for (const Shown& s : shown) head.push_back(html_escape(s.look.label));
  HtmlTable table(head, "samples");
  for (size_t i = 0; i < count; ++i) {
    const Sample& reference = first.samples[i];
    std::vector<std::string> cells = {
        fmt::format("{}{}", image(reference.clean, reference, "clean image"), class_of(first, reference.label))};
    for (const Shown& s : shown) {
      if (i >= s.run->samples.size() || s.run->samples[i].clean != reference.clean) {
        cells.emplace_back("another image was kept");
        continue;
      }
      const Sample& sample = s.run->samples[i];
      std::vector<float> visible(sample.clean.size());
      for (size_t k = 0; k < visible.size(); ++k) {
        visible[k] = 0.5f + factor * (sample.adversarial[k] - sample.clean[k]);
      }
      const bool held = sample.adversarial_prediction == sample.label;
      cells.push_back(fmt::format("{}{}{} → {} {}", image(sample.adversarial, sample, "adversarial image"),
                                  image(visible, sample, "perturbation, amplified"),
                                  class_of(*s.run, sample.clean_prediction),
                                  class_of(*s.run, sample.adversarial_prediction),
                                  held ? "<span class=\"ok\">✓</span>" : "<span class=\"bad\">✗</span>"));
    }
    table.row(cells);
  }
  return fmt::format(
      "<p>In each cell: the adversarial image of the last evaluation, its perturbation, and the prediction before → "
      "after (✓ where the class is still right). Perturbations are multiplied by {:.3g} and drawn around mid-grey, the "
      "same "
      "factor everywhere; the largest change of any value shown is {:.2f}/255.</p>\n{}",
      factor, 255 * largest, table.finish());
}

}  // namespace taut::study
