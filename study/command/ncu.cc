#include "study/command/ncu.h"

#include <fmt/format.h>

#include <cctype>
#include <string_view>

namespace taut::study {
namespace {

// One argument of a template without its scope; truth values are numbers to some demanglers.
std::string argument_regex(std::string text) {
  if (const size_t scope = text.rfind("::"); scope != std::string::npos) text.erase(0, scope + 2);
  if (text == "true") text = "(true|1)";
  if (text == "false") text = "(false|0)";
  return text.empty() ? text : "([^,<]*[ :)])?" + text;
}

}  // namespace

std::string ncu_kernel_regex(const std::string& kernel) {
  const size_t open = kernel.find('<');
  std::string regex = "(^|[ :])" + kernel.substr(0, open);
  if (open == std::string::npos) return regex + "[(]";
  std::string word;
  for (const char c : kernel.substr(open)) {
    if (c == ' ' && word.empty()) continue;
    if (c != '<' && c != ',' && c != '>') {
      word += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':' ? c : '.';
      continue;
    }
    regex += argument_regex(word) + (c == ',' ? ", " : c == '>' ? " ?>" : "<");
    word.clear();
  }
  return regex + argument_regex(word);
}

std::vector<std::string> ncu_lines(const std::vector<Row>& rows) {
  std::vector<std::string> lines;
  for (const Row& row : rows) {
    std::string what = row.at("case"), dtype;
    if (what.find('/') == std::string::npos) continue;
    if (constexpr std::string_view kStored = " bf16"; what.ends_with(kStored)) {
      what.erase(what.size() - kStored.size());
      dtype = " --dtype bf16";
    } else if (what.ends_with("-tf32")) {
      dtype = " --dtype tf32";
    }
    lines.push_back(
        fmt::format("ncu --set full --import-source yes --nvtx --kernel-name-base demangled --kernel-name 'regex:{0}' "
                    "--launch-skip {1} "
                    "--launch-count {1} taut kernel bench '^{2}$'{3} --warm --device cuda",
                    ncu_kernel_regex(row.at("kernel")), row.at("launches").get<int64_t>(), what, dtype));
  }
  return lines;
}

}  // namespace taut::study
