#include "study/report/contact_sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/import/known.h"
#include "data/manifest.h"
#include "data/resize.h"
#include "kernels/error.h"
#include "study/report/html.h"
#include "study/report/jpeg.h"
#include "study/report/markup.h"
#include "study/report/style.h"

namespace taut::study {
namespace {

constexpr int64_t kThumbnail = 144;  // the longer side
constexpr int kQuality = 80;

constexpr const char* kSheetStyle = R"css(
td.images { white-space: nowrap; }
td.images img { height: 72px; margin: 0 3px 3px 0; vertical-align: top; image-rendering: auto; }
td.images .bad { display: inline-block; white-space: normal; max-width: 30ch; font-size: 12px; }
)css";

std::string thumbnail(const Dataset& data, int64_t i) {
  try {
    const Image image = data.image(i);
    const int64_t longer = std::max(image.height, image.width), size = std::min(longer, kThumbnail);
    const auto scaled = [&](int64_t side) { return std::max<int64_t>(1, side * size / longer); };
    const Image small = resize(image, scaled(image.height), scaled(image.width), Filter::kBilinear);
    return fmt::format("<img loading=\"lazy\" src=\"data:image/jpeg;base64,{}\" alt=\"image {}\" title=\"{}\">",
                       base64(encode_jpeg(small, kQuality)), i, html_escape(data.source(i)));
  } catch (const Error& error) {
    return fmt::format("<span class=\"bad\">{}</span>", html_escape(error.what()));
  }
}

void add_manifest(const std::string& path, SheetContents& contents,
                  std::map<std::string, std::set<std::string>>& splits) {
  const Manifest m = read_manifest(path);
  contents.facts.push_back(fmt::format("Imported as {}: {} images, {} for training, {} for testing.", m.name,
                                       m.images.size(), m.count("train"), m.count("test")));
  contents.facts.push_back("Split: " + m.split_rule);
  contents.facts.emplace_back(counts_sentence(m.name, m.complete));
  for (const std::string& d : m.differences) contents.facts.push_back(d + ".");
  if (!m.skipped.empty())
    contents.facts.push_back(
        fmt::format("{} files of the archives were skipped; manifest.json lists them.", m.skipped.size()));
  contents.facts.push_back("Identity: " + m.sha256);
  for (const ManifestImage& image : m.images) splits[image.domain].insert(image.split);
}

std::vector<int64_t> counts_of(const Dataset& data) {
  std::vector<int64_t> counts(static_cast<size_t>(data.classes()), 0);
  for (int64_t i = 0; i < data.size(); ++i) ++counts[static_cast<size_t>(data.label(i))];
  return counts;
}

// The first `n` images of class c, of the parts one after another.
std::string images_of_class(const SheetContents& contents, const std::string& domain, int64_t c, int64_t n) {
  std::string out;
  for (const SheetContents::Part& part : contents.parts) {
    if (part.domain != domain) continue;
    for (int64_t i = 0; n > 0 && i < part.images->size(); ++i) {
      if (part.images->label(i) != c) continue;
      out += thumbnail(*part.images, i);
      --n;
    }
  }
  return out;
}

}  // namespace

SheetContents sheet_contents(const std::string& path, const std::string& domain) {
  SheetContents contents;
  std::map<std::string, std::set<std::string>> splits;  // of each domain
  if (has_manifest(path)) {
    add_manifest(path, contents, splits);
  } else {
    for (const std::string& d : dataset_domains(path)) splits[d] = {"all"};
    if (splits.empty()) splits[""] = {"all"};
  }
  if (!domain.empty()) std::erase_if(splits, [&](const auto& item) { return item.first != domain; });
  TAUT_CHECK(!splits.empty(), "[--domain] expected a domain of {}, got '{}'", path, domain);
  for (const auto& [name, of_domain] : splits)
    for (const char* split : {"train", "validation", "test", "all"})
      if (of_domain.contains(split)) {
        const std::string shown = std::string(split) == "all" ? "" : split;
        contents.parts.push_back({shown, name, open_dataset(path, {.split = split, .domain = name})});
      }
  const Dataset& first = *contents.parts[0].images;
  contents.title = has_manifest(path) ? read_manifest_header(path).name : first.name();
  for (int64_t c = 0; c < first.classes(); ++c) contents.class_names.push_back(first.class_name(c));
  for (const std::string& note : first.notes()) contents.facts.push_back(note);
  std::vector<std::vector<int64_t>> of_part;
  for (const SheetContents::Part& part : contents.parts) of_part.push_back(counts_of(*part.images));
  for (size_t c = 0; c < contents.class_names.size(); ++c)
    for (size_t p = 0; p < of_part.size(); ++p)
      if (of_part[p][c] > 0)
        contents.counts.push_back(
            {static_cast<int64_t>(c), contents.parts[p].split, contents.parts[p].domain, of_part[p][c]});
  return contents;
}

std::string contact_sheet_html(const SheetContents& contents, int64_t per_class) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>{1}{2}</style></head>\n<body>\n"
      "<header><h1>{0}</h1>\n<ul>\n",
      html_escape(contents.title), kReportStyle, kSheetStyle);
  for (const std::string& fact : contents.facts) out += fmt::format("<li>{}</li>\n", html_escape(fact));
  out += "</ul></header>\n";
  std::vector<std::string> domains;
  for (const SheetContents::Part& part : contents.parts)
    if (std::ranges::count(domains, part.domain) == 0) domains.push_back(part.domain);
  for (const std::string& domain : domains) {
    std::vector<std::string> head = {"class"};
    for (const SheetContents::Part& part : contents.parts)
      if (part.domain == domain) head.push_back(html_escape(part.split.empty() ? "images" : part.split));
    head.emplace_back("first images");
    if (!domain.empty()) out += fmt::format("<h2>{}</h2>\n", html_escape(domain));
    HtmlTable table(head);
    for (size_t c = 0; c < contents.class_names.size(); ++c) {
      const auto label = static_cast<int64_t>(c);
      std::string row = fmt::format("<tr><th scope=\"row\">{} <span class=\"muted\">{}</span></th>",
                                    html_escape(contents.class_names[c]), c);
      for (const SheetContents::Part& part : contents.parts) {
        if (part.domain != domain) continue;
        int64_t n = 0;
        for (const SheetCount& count : contents.counts)
          if (count.label == label && count.split == part.split && count.domain == part.domain) n = count.images;
        row += fmt::format("<td>{}</td>", grouped(n));
      }
      table.raw_row(row + "<td class=\"images\">" + images_of_class(contents, domain, label, per_class) +
                    "</td></tr>\n");
    }
    out += table.finish();
  }
  return out + "</body></html>\n";
}

}  // namespace taut::study
