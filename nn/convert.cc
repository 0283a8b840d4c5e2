#include "nn/convert.h"

#include <algorithm>

#include "nn/file_names.h"
#include "nn/recognise.h"
#include "tensor/npz_writer.h"
#include "tensor/safetensors.h"
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

std::string listed(const char* what, const std::vector<std::string>& names) {
  return names.empty() ? "" : "; " + list_of(what, names);
}

}  // namespace

ConvertReport convert_weights(const std::string& in, const std::string& out, NameStyle style,
                              const ConvertOptions& options) {
  const bool npz = out.ends_with(".npz");
  TAUT_CHECK(npz || out.ends_with(".safetensors"), "[{}] expected an output that ends in .safetensors or .npz", out);
  TAUT_CHECK(!npz || style == NameStyle::kGoogle, "[{}] expected google names for an .npz, got {}", out, name(style));
  const WeightsFile file = WeightsFile::open(in);
  const std::optional<Recognised> known = recognise(file);
  if (!known) fail(Exit::kBadData, "[{}] expected the tensors of a ViT or of a listed convolutional net", in);
  const bool is_vit = known->vit.has_value();
  // timm's ResNets have torchvision's names.
  const bool fits =
      is_vit ? style != NameStyle::kTorchvision : style == NameStyle::kTorchvision || style == NameStyle::kTimm;
  if (!fits)
    fail(Exit::kBadData, "[{}] {}: expected {}, got {} names", in, known->text,
         is_vit ? "timm, hf or google" : "torchvision or timm", name(style));
  if (style == NameStyle::kGoogle && !known->heads_known)
    fail(Exit::kBadData, "[{}] google names keep attention heads apart, and a ViT of width {} may have any number", in,
         known->vit->dim);

  const FileNames names(file);
  VitConfig config;
  std::vector<NameEntry> map, absent;
  if (is_vit) {
    config = *known->vit;
    config.pooler = true;
    map = name_map(config, names.style());
  } else {
    map = name_map(*known->net->build());
  }
  std::vector<FoundEntry> found = names.find(map, config.dim, absent);
  ConvertReport report{known->text, 0, {}};
  std::erase_if(found, [&](const FoundEntry& f) {
    return is_vit && is_between_backbone_and_head(f.stored) && matches_any(f.stored, options.drop);
  });
  std::vector<std::string> missing, misshaped, unknown, counters;
  for (const NameEntry& e : absent)
    if (!e.path.starts_with("pooler.") && !(e.path.starts_with("head.") && config.classes == 0))
      missing.push_back(e.external);
  for (const FoundEntry& f : found)
    if (f.shape != f.entry.shape)
      misshaped.push_back(fmt::format("{} {} instead of {}", f.stored, to_string(f.shape), to_string(f.entry.shape)));
  for (const std::string& stored : names.others(found)) {
    if (matches_any(stored, options.drop))
      report.dropped.push_back(stored);
    else
      (!is_vit && stored.ends_with(".num_batches_tracked") ? counters : unknown).push_back(stored);
  }
  if (!missing.empty() || !misshaped.empty() || !unknown.empty())
    fail(Exit::kBadData, "[{}] {} does not fit{}{}{}{}", in, known->text, listed("mis-shaped", misshaped),
         listed("missing", missing), listed("unknown", unknown),
         unknown.empty() ? "" : "; hint: --drop REGEX leaves tensors out");

  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> dtypes;
  const auto add = [&](const std::string& name, const Tensor& bits, const std::string& dtype) {
    tensors.emplace_back(name, bits.contiguous());
    dtypes[name] = dtype;
  };
  if (is_vit) {
    const std::map<std::string, Parameter> parameters = read_parameters(file, config, found);
    for (const NameEntry& e : name_map(config, style))
      if (const auto it = parameters.find(e.path); it != parameters.end())
        add(e.external, file_of_rows(e, it->second.bits), it->second.dtype);
  } else {
    for (const FoundEntry& f : found) add(f.entry.path, bits_of_tensor(file, f.stored), file.info(f.stored).dtype);
    for (const std::string& stored : counters)
      add(names.without_prefix(stored), bits_of_tensor(file, stored), file.info(stored).dtype);
  }
  if (npz)
    write_npz(out, tensors, dtypes);
  else
    write_safetensors(out, tensors, {{"format", "pt"}}, dtypes);
  report.tensors = std::ssize(tensors);
  return report;
}

}  // namespace taut::nn
