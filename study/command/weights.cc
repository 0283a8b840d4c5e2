// taut weights inspect, taut weights convert.
#include <algorithm>
#include <cmath>

#include "finetune/foreign.h"
#include "kernels/error.h"
#include "kernels/tell.h"
#include "nn/convert.h"
#include "nn/recognise.h"
#include "study/command/command.h"
#include "tensor/weights_file.h"

namespace taut::study {
namespace {

struct Statistics {
  // `small_sum` is of elements scaled by 2^-64: it stays finite where `sum` does not.
  double min = HUGE_VAL, max = -HUGE_VAL, sum = 0, small_sum = 0;
  int64_t finite = 0, non_finite = 0;

  double mean() const {
    const auto n = static_cast<double>(finite);
    return std::isfinite(sum) ? sum / n : std::clamp(small_sum / n, min * 0x1p-64, max * 0x1p-64) * 0x1p64;
  }
};

// Of the finite elements; the sum is in f64, in order.
void add_elements(Statistics& s, const Tensor& tensor) {
  const Tensor t = tensor.dtype() == DType::kBF16 ? tensor.to(DType::kF32) : tensor;
  on_any(t.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, BF16>) {
      for (const T& element : t.span<T>()) {
        const auto v = static_cast<double>(element);
        if (!std::isfinite(v)) {
          ++s.non_finite;
          continue;
        }
        ++s.finite;
        s.min = std::min(s.min, v);
        s.max = std::max(s.max, v);
        s.sum += v;
        s.small_sum += v * 0x1p-64;
      }
    }
  });
}

std::vector<Row> inspect(const std::string& path, bool v2_is_bf16) {
  const WeightsFile file = WeightsFile::open(path, {.v2_is_bf16 = v2_is_bf16});
  std::vector<Row> rows;
  int64_t elements = 0, non_finite = 0, unseen = 0;
  for (const StoredTensor& t : file.tensors()) {
    Row row = {{"name", t.name}, {"shape", to_string(t.shape)}, {"dtype", t.dtype}};
    elements += numel(t.shape);
    for (const char* field : {"min", "max", "mean", "non_finite"}) row[field] = nullptr;
    if (is_readable(t.dtype)) {
      Statistics s;
      file.read_pieces(t.name, [&](const Tensor& piece) { add_elements(s, piece); });
      non_finite += s.non_finite;
      row["non_finite"] = s.non_finite;
      if (s.finite > 0) {
        row["min"] = s.min;
        row["max"] = s.max;
        row["mean"] = s.mean();
      }
    } else {
      unseen += numel(t.shape);
    }
    rows.push_back(std::move(row));
  }
  const std::optional<nn::Recognised> known = nn::recognise(file);
  tell("{}: {}, {} tensors, {} elements, {} of them not finite{}; {}\n", path, file.format(), file.tensors().size(),
       elements, non_finite, unseen > 0 ? fmt::format(", {} of types whose values are not read here", unseen) : "",
       known ? known->text + nn::what_does_not_fit(file, *known) : "no architecture that is known here");
  return rows;
}

struct Arguments {
  std::string in, out, names, prefix, shard_size = "5GB";
  std::vector<std::string> drop;
  bool v2_is_bf16 = false;
};

// Deltas of a run go to peft or AdapterHub's adapters as folders; whole files of weights, to any names.
Row convert(const Arguments& a) {
  const bool is_hub = a.names == "adapterhub";
  const bool is_v5 = a.names == "peft_v5";
  if (is_v5 || a.names == "peft" || (is_hub && finetune::is_own_delta(a.in))) {
    TAUT_CHECK(a.drop.empty() && a.prefix.empty(), "[{}] a delta's names take no --drop and no --prefix", a.in);
    using finetune::Layout;
    finetune::write_foreign_delta(a.in, a.out, is_hub ? Layout::kAdapterHub : is_v5 ? Layout::kPeftV5 : Layout::kPeft);
    return {{"in", a.in}, {"out", a.out}, {"names", a.names}};
  }
  const nn::ConvertReport report = nn::convert_weights(
      a.in, a.out, a.names, {a.drop, a.prefix, bytes_by_name(a.shard_size, "--shard-size"), a.v2_is_bf16});
  tell("{}: {}\n", a.in, report.recognised);
  for (const std::string& name : report.dropped) tell("left out: {}\n", name);
  return {{"in", a.in}, {"out", report.written}, {"names", a.names}, {"tensors", report.tensors}};
}

void add_v2_option(CLI::App& app, bool& v2_is_bf16) {
  app.add_flag("--v2-is-bf16", v2_is_bf16, "of .npz and .npy: elements of type V2 (JAX's bfloat16) are bf16");
}

}  // namespace

void add_weights_commands(CLI::App& app, const ExitCode&) {
  CLI::App* weights = app.add_subcommand("weights", "files of weights: what is in them, and other libraries' names");
  weights->require_subcommand(1);

  CLI::App* inspected = weights->add_subcommand("inspect", "every tensor of a file of any format, and what it is of");
  const CommonPtr common = add_common(*inspected);
  const auto file = std::make_shared<std::string>();
  inspected->add_option("file", *file, "safetensors or its index, .pth, .pt, .th, .bin, .npz, .npy")->required();
  const auto v2_is_bf16 = std::make_shared<bool>(false);
  add_v2_option(*inspected, *v2_is_bf16);
  inspected->callback([common, file, v2_is_bf16] {
    begin(*common);
    print_rows(inspect(*file, *v2_is_bf16), format_by_name(common->format));
  });

  CLI::App* converted = weights->add_subcommand("convert", "the same weights under another library's names");
  const CommonPtr convert_common = add_common(*converted);
  const auto a = std::make_shared<Arguments>();
  converted->add_option("in", a->in, "weights in any format, or the delta.safetensors of a run")->required();
  converted
      ->add_option("out", a->out, "a .safetensors file; .npz for google; a folder for peft, peft_v5 and adapterhub")
      ->required();
  converted
      ->add_option(
          "--names", a->names,
          "of a ViT: timm, hf, hf_model, hf_v5, hf_model_v5, adapterhub, google, big_vision; of a convolutional "
          "net: torchvision, akamaster, kuangliu; of a delta: peft, peft_v5, adapterhub")
      ->required();
  converted->add_option("--prefix", a->prefix, "put before every name: module., model., ...");
  converted
      ->add_option("--drop", a->drop, "regular expression: tensors to leave out, which the names have no place for")
      ->allow_extra_args(false);
  converted->add_option("--shard-size", a->shard_size,
                        "500MB, 5GB, 2GiB, ...: larger models become several .safetensors files and an index");
  add_v2_option(*converted, a->v2_is_bf16);
  converted->callback([convert_common, a] {
    begin(*convert_common);
    print_rows({convert(*a)}, format_by_name(convert_common->format));
  });
}

}  // namespace taut::study
