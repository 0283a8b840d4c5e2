#include "nn/convert.h"

#include <algorithm>

#include "nn/file_names.h"
#include "nn/recognise.h"
#include "nn/resnet.h"
#include "tensor/files/file_bytes.h"
#include "tensor/npz_writer.h"
#include "tensor/weights_file.h"

namespace taut::nn {
namespace {

// A tensor's bits as the file has them, in a tensor type of the same width: what moves elements and never reads them.
Tensor bits_of_tensor(const TensorFile& file, const std::string& stored) {
  const StoredTensor& info = file.info(stored);
  DType carrier = DType::kU8;
  switch (bits_of(info.dtype)) {
    case 8: break;
    case 16: carrier = DType::kBF16; break;
    case 32: carrier = DType::kI32; break;
    case 64: carrier = DType::kI64; break;
    default:
      fail(Exit::kBadData, "[{}] tensor '{}': expected elements of whole bytes, got {}", file.path(), stored,
           info.dtype);
  }
  Tensor bits = Tensor::empty(info.shape, carrier);
  copy_elements(info, bits.raw());
  return bits;
}

struct Parameter {
  Tensor bits;
  std::string dtype;
};

// Every parameter of a ViT that the file has, under our paths.
std::map<std::string, Parameter> read_parameters(const TensorFile& file, const VitConfig& config,
                                                 const std::vector<FoundEntry>& found) {
  std::map<std::string, Shape> shapes;
  for (const NameEntry& e : name_map(config, NameStyle::kTimm)) shapes[e.path] = e.shape;
  std::map<std::string, Parameter> parameters;
  for (const FoundEntry& f : found) {
    const NameEntry& e = f.entry;
    const std::string& dtype = file.info(f.stored).dtype;
    Tensor t = bits_of_tensor(file, f.stored);
    if (f.layer >= 0) t = t.slice(0, f.layer, 1).reshape(f.shape);
    const auto [it, is_new] = parameters.try_emplace(e.path);
    Parameter& p = it->second;
    if (is_new) {
      p.bits = Tensor::empty(shapes.at(e.path), t.dtype());
      p.dtype = dtype;
    }
    if (p.dtype != dtype)
      fail(Exit::kBadData, "[{}] tensor '{}': expected {} as the other parts of {}, got {}", file.path(), f.stored,
           p.dtype, e.path, dtype);
    (e.rows > 0 ? p.bits.slice(0, e.row, e.rows) : p.bits).copy_from(rows_of_file(e, t, shapes.at(e.path)));
  }
  return parameters;
}

// Whether a net's files are spelled so. Every net has its own names, which are called torchvision's, and timm's ResNets
// have the same; akamaster has the CIFAR ResNets, kuangliu all but WideResNets.
bool fits_net(const ModelConfig& net, const std::string& names) {
  using Names = ResNetConfig::Names;
  if (names == "torchvision" || names == "timm") return true;
  const auto* resnet = dynamic_cast<const ResNetConfig*>(&net);
  if (resnet == nullptr) return false;
  return names == "akamaster" ? resnet->names == Names::kAkamaster
                              : names == "kuangliu" && resnet->names != Names::kWide;
}

// Every pattern has left something out: one that did not is a slip, or asks for what would change the function.
void check_used(const NamePatterns& drop, const TensorFile& file, bool is_vit) {
  const std::vector<std::string> names = file.names();
  for (const NamePatterns::Pattern& p : drop.all()) {
    if (p.used) continue;
    const auto it =
        std::find_if(names.begin(), names.end(), [&](const std::string& n) { return std::regex_search(n, p.regex); });
    TAUT_CHECK(it != names.end(), "[--drop] '{}' leaves nothing out: it matches no tensor of {}", p.text, file.path());
    const std::string part = is_vit ? part_of_other_vits(*it) : "";
    TAUT_CHECK(part.empty(),
               "[--drop] '{}' leaves nothing out: it matches {}, of {}, a part of the function that this ViT does not "
               "compute; without it the weights are another function's",
               p.text, printable(*it), part);
    fail(Exit::kUsage,
         "[--drop] '{}' leaves nothing out: it matches {}, which the net has a place for, and only tensors that it has "
         "none for may be left out",
         p.text, printable(*it));
  }
}

std::vector<std::string> vit_names() {
  std::vector<std::string> names;
  for (const Spelling& s : all_spellings())
    if (s.style != NameStyle::kTorchvision) names.emplace_back(s.name);
  return names;
}

}  // namespace

std::vector<std::string> convertible_names() {
  std::vector<std::string> names;
  for (const Spelling& s : all_spellings()) names.emplace_back(s.name);
  return names;
}

ConvertReport convert_weights(const std::string& in, const std::string& out, const std::string& target,
                              const ConvertOptions& options) {
  const Spelling& spelling = spelling_by_name(target);
  const NameStyle style = spelling.style;
  TAUT_CHECK(without_prefixes(options.prefix, style).empty(),
             "[--prefix] expected one made of {}, which readers strip, got '{}'", fmt::join(prefixes(style), ", "),
             options.prefix);
  NamePatterns drop(options.drop, "--drop");
  const WeightsFile file = WeightsFile::open(in, {.v2_is_bf16 = options.v2_is_bf16});
  const bool npz = out.ends_with(".npz");
  TAUT_CHECK(npz || out.ends_with(".safetensors"), "[{}] expected an output that ends in .safetensors or .npz", out);
  TAUT_CHECK(!npz || style == NameStyle::kGoogle, "[{}] expected google names for an .npz, got {}", out, target);
  const std::optional<Recognised> known = recognise(file);
  if (!known) {
    std::vector<std::string> names = file.names();
    const size_t all = names.size(), shown = std::min<size_t>(all, 5);
    for (std::string& name : names) name = printable(name);
    fail(Exit::kBadData,
         "[{}] expected the tensors of a ViT or of a listed convolutional net, got {} tensors: {}{}; hint: `taut "
         "models show NAME` lists what a net has, running statistics included",
         in, all, fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "),
         all > shown ? ", ..." : "");
  }
  const bool is_vit = known->vit.has_value();
  const bool fits = is_vit ? style != NameStyle::kTorchvision : fits_net(*known->net, target);
  if (!fits)
    fail(Exit::kBadData, "[{}] {}: expected {}, got {} names", in, known->text,
         is_vit ? fmt::format("{}", fmt::join(vit_names(), ", "))
                : "torchvision or timm (the net's own), or akamaster or kuangliu for what they have",
         target);
  if (style == NameStyle::kGoogle && !known->heads_known)
    fail(Exit::kBadData, "[{}] google names keep attention heads apart, and a ViT of width {} may have any number", in,
         known->vit->dim);

  const FileNames names(file);
  VitConfig config;
  if (is_vit) {
    config = *known->vit;
    config.pooler = true;
  }
  Places at = places(names, *known);
  std::vector<FoundEntry>& found = at.found;
  ConvertReport report{known->text, 0, out, {}};
  // Beside a head Hugging Face's pooler is never read, and everybody else's stands before the head: there renaming it
  // would change the function.
  const bool from_hf = names.style() == NameStyle::kHf, to_hf = style == NameStyle::kHf;
  const auto is_unread = [&](const std::string& stored) {
    return is_vit && config.classes > 0 && from_hf && !to_hf && is_between_backbone_and_head(stored);
  };
  std::erase_if(found, [&](const FoundEntry& f) {
    if (!is_vit || !is_between_backbone_and_head(f.stored)) return false;
    if (is_unread(f.stored) || drop.match(f.stored)) return true;
    if (config.classes > 0 && !from_hf && to_hf)
      fail(Exit::kBadData,
           "[{}] tensor '{}' is a layer before the head, for which {} names have no place: their classifier does not "
           "read the pooler; hint: --drop pre_logits leaves it out, and the head needs training then",
           in, printable(f.stored), target);
    return false;
  });
  std::vector<std::string> unknown, beside;
  for (const std::string& stored : names.others(found)) {
    const bool is_part = is_vit && !part_of_other_vits(stored).empty();
    if (!is_part && drop.match(stored))
      report.dropped.push_back(stored);
    else if (is_unread(stored))
      report.dropped.push_back(
          fmt::format("{} (the classifier does not read it; {} names would put it before the head)", stored, target));
    else
      (computes_nothing(names, *known, stored) ? beside : unknown).push_back(stored);
  }
  check_used(drop, file, is_vit);
  const std::vector<std::string> odd = misshaped(found);
  if (!at.missing.empty() || !odd.empty() || !unknown.empty()) {
    const bool all_parts = is_vit && std::all_of(unknown.begin(), unknown.end(), [](const std::string& name) {
                             return !part_of_other_vits(name).empty();
                           });
    fail(Exit::kBadData, "[{}] {} does not fit{}{}{}{}", in, known->text, listed("mis-shaped", odd),
         listed("missing", at.missing), is_vit ? listed_strangers("unknown", unknown) : listed("unknown", unknown),
         unknown.empty() || all_parts ? "" : "; hint: --drop REGEX leaves tensors out");
  }

  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> dtypes;
  const auto add = [&](const std::string& plain, const Tensor& bits, const std::string& dtype) {
    const std::string name = options.prefix + spelled(plain, spelling);
    tensors.emplace_back(name, bits.contiguous());
    dtypes[name] = dtype;
  };
  if (is_vit) {
    const std::map<std::string, Parameter> parameters = read_parameters(file, config, found);
    for (const NameEntry& e : name_map(config, style))
      if (const auto it = parameters.find(e.path); it != parameters.end())
        add(e.external, file_of_rows(e, it->second.bits), it->second.dtype);
  } else {
    std::map<std::string, std::string> modules;  // as the file spells them, to ours
    const auto module_of = [](const std::string& name) { return name.substr(0, name.rfind('.')); };
    for (const FoundEntry& f : found) {
      modules[module_of(f.stored)] = module_of(f.entry.path);
      add(f.entry.path, bits_of_tensor(file, f.stored), file.info(f.stored).dtype);
    }
    for (const std::string& stored : beside) {
      const auto it = modules.find(module_of(stored));
      add(it == modules.end() ? names.without_prefix(stored) : it->second + stored.substr(stored.rfind('.')),
          bits_of_tensor(file, stored), file.info(stored).dtype);
    }
  }
  if (npz)
    write_npz(out, tensors, dtypes);
  else
    report.written = write_safetensors_shards(out, tensors, {{"format", "pt"}}, dtypes, options.shard_bytes);
  report.tensors = std::ssize(tensors);
  return report;
}

}  // namespace taut::nn
