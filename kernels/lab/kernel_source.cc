#include "kernels/lab/kernel_source.h"

#include <algorithm>
#include <fstream>

#include "kernels/lab/ptxas.h"

namespace taut::lab {
namespace {

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(std::string(source_tree()) + "/" + file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Files of the kernel's own accesses, then the shared headers of kernels.
std::vector<std::string> candidates(const runner::KernelCounts& kernel) {
  std::vector<std::string> files;
  const auto add = [&](const std::string& file) {
    if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
  };
  for (const runner::SiteCounts& site : kernel.sites) add(site.site.substr(0, site.site.find(':')));
  for (const std::string& header : files_of("kernels", ".cuh")) add(header);
  return files;
}

// Whether a line, or the one after it, names the function `name` behind __global__.
bool defines(const std::vector<std::string>& lines, size_t i, const std::string& name) {
  if (lines[i].find("__global__") == std::string::npos) return false;
  const std::string two = lines[i] + " " + (i + 1 < lines.size() ? lines[i + 1] : "");
  for (size_t at = two.find(name); at != std::string::npos; at = two.find(name, at + 1)) {
    const char before = two[at - 1], after = two[at + name.size()];
    if (after == '(' && (before == ' ' || before == '*')) return true;
  }
  return false;
}

void find_in(const std::string& file, const std::string& name, KernelSource& source) {
  const std::vector<std::string> lines = lines_of(file);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!defines(lines, i, name)) continue;
    size_t begin = i, end = i;
    while (begin > 0 && (lines[begin - 1].starts_with("//") || lines[begin - 1].starts_with("template"))) --begin;
    while (end + 1 < lines.size() && lines[end] != "}") ++end;
    source.file = file;
    source.line = static_cast<int>(i + 1);
    for (size_t k = begin; k <= end; ++k) source.text += lines[k] + "\n";
    return;
  }
}

}  // namespace

std::vector<KernelSource> find_sources(const std::vector<runner::KernelCounts>& kernels) {
  std::vector<KernelSource> all;
  std::string neighbour;
  for (const runner::KernelCounts& kernel : kernels) {
    KernelSource source;
    source.kernel = kernel.kernel;
    for (const runner::SiteCounts& site : kernel.sites) {
      const std::string file = site.site.substr(0, site.site.find(':'));
      if (source.compiled.empty() && file.ends_with(".cu")) source.compiled = file;
    }
    if (neighbour.empty()) neighbour = source.compiled;
    const std::string name = kernel.kernel.substr(0, kernel.kernel.find('<'));
    for (const std::string& file : candidates(kernel))
      if (source.file.empty()) find_in(file, name, source);
    all.push_back(std::move(source));
  }
  for (KernelSource& source : all)
    if (source.compiled.empty()) source.compiled = neighbour;
  return all;
}

}  // namespace taut::lab
