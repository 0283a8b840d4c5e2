#include "tests/cases/golden.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "tests/selftest.h"

namespace taut::cases {

GoldenCase::GoldenCase(const std::string& path, DType dtype) : file_(SafetensorsFile::open(path)), dtype_(dtype) {
  const auto field = [&](const char* name) {
    const auto it = file_.metadata().find(name);
    if (it == file_.metadata().end()) fail(Exit::kBadData, "[{}] expected the metadata '{}'", path, name);
    return it->second;
  };
  if (field("format") != "taut-golden-1")
    fail(Exit::kBadData, "[{}] expected format taut-golden-1, got '{}'", path, field("format"));
  kind_ = field("kind");
  attrs_ = nlohmann::json::parse(field("attrs"), nullptr, false);
  if (!attrs_.is_object()) fail(Exit::kBadData, "[{}] expected a JSON object as attrs", path);
}

Tensor GoldenCase::tensor(const std::string& name) {
  used_.insert(name);
  return file_.read(name);
}

void GoldenCase::compare(const std::string& name, const std::vector<double>& got, const Shape& shape, double limit) {
  const Tensor wanted = tensor(name);
  expect(wanted.shape() == shape, "{}: expected shape {}, got {}", name, to_string(wanted.shape()), to_string(shape));
  const double error = relative_error(got, wanted.to_doubles());
  const std::string of = name.starts_with("grad_") ? name.substr(0, 9) : "results";  // grad_norm, grad_pick
  if (disturbance_ > 0) {
    const bool over_kinks = disturbance_ > kGoldenDisturbances;
    if (over_kinks == (kinks_ && of != "results")) disturbed_[of] = std::max(disturbed_[of], error);
    return;
  }
  if (dtype() == DType::kF32) limit = std::max(limit, f32_limit(of));
  judgement_.add(error, limit);
  expect(error <= limit, "{}: error {:.3g} over its limit {:.3g}", name, error, limit);
}

double GoldenCase::f32_limit(const std::string& of) const {
  constexpr double kUlp = std::numeric_limits<float>::epsilon();
  if (disturbed_.contains(of)) return kBudgetFactor * disturbed_.at(of) + kBudgetFloor * kUlp;
  return (kind_ == "op" ? kGoldenF32OpUlps : kGoldenF32StepsUlps) * kUlp;
}

void GoldenCase::run_model(const std::function<void()>& run, bool kinks) {
  if (dtype_ == DType::kF32) {
    kinks_ = kinks;
    struct Restored {  // what is thrown fails the case
      GoldenCase& c;
      ~Restored() {
        c.in_f64_ = false;
        c.disturbance_ = 0;
      }
    } after{*this};
    in_f64_ = true;
    run();
    for (disturbance_ = kGoldenDisturbances + (kinks ? 1 : 0); disturbance_ > 0; --disturbance_) run();
  }
  run();
}

void GoldenCase::compare(const std::string& name, const Tensor& got, double limit) {
  compare(name, got.to_doubles(), got.shape(), limit);
}

void GoldenCase::compare_absolutely(const std::string& name, const Tensor& got, double limit) {
  const std::vector<double> wanted = tensor(name).to_doubles();
  const double error = relative_error(got.to_doubles(), wanted) * largest(wanted);
  judgement_.add(error, limit);
  expect(file_.info(name).shape == got.shape(), "{}: expected shape {}, got {}", name,
         to_string(file_.info(name).shape), to_string(got.shape()));
  expect(error <= limit, "{}: error {:.3g} over its limit {:.3g}", name, error, limit);
}

void GoldenCase::compare_exactly(const std::string& name, const Tensor& got) {
  const Tensor wanted = tensor(name);
  const bool fits = wanted.shape() == got.shape();
  const double error = fits ? relative_error(got.to_doubles(), wanted.to_doubles()) : 1;
  judgement_.add(error, 0);
  expect(fits, "{}: expected shape {}, got {}", name, to_string(wanted.shape()), to_string(got.shape()));
  expect(error == 0, "{}: expected the very same values", name);
}

void GoldenCase::add_failure(const std::string& what) {
  if (disturbance_ > 0) return;  // the run that is judged meets it again
  if (!detail_.empty()) detail_ += "; ";
  detail_ += what;
  judgement_.pass = false;
}

void GoldenCase::finish() {
  if (!unsupported_.empty()) return;
  for (const std::string& name : file_.names()) expect(used_.contains(name), "{} was not compared with anything", name);
}

}  // namespace taut::cases

namespace taut::selftest {
namespace {

const std::map<std::string, void (*)(cases::GoldenCase&)>& kinds() {
  static const std::map<std::string, void (*)(cases::GoldenCase&)> kKinds{
      {"op", cases::run_golden_op},
      {"vit", cases::run_golden_vit},
      {"resnet", cases::run_golden_resnet},
      {"peft", cases::run_golden_peft},
      {"train", cases::run_golden_train},
      {"attack", cases::run_golden_attack},
      {"resize", cases::run_golden_resize},
      {"jpeg", cases::run_golden_jpeg},
      {"pos_embed", cases::run_golden_pos_embed},
  };
  return kKinds;
}

Row run_one(const std::filesystem::path& path, DType dtype) {
  Row row{{"case", path.stem().string()},
          {"kind", ""},
          {"status", "fail"},
          {"max_error", 0.0},
          {"limit", 0.0},
          {"detail", ""}};
  try {
    cases::GoldenCase c(path.string(), dtype);
    row["kind"] = c.kind();
    const auto run = kinds().find(c.kind());
    if (run == kinds().end()) {
      c.unsupported(fmt::format("kind '{}' is not known", c.kind()));
    } else {
      try {
        run->second(c);
      } catch (const std::exception& e) {  // a missing tensor or attribute, a refused input
        c.add_failure(e.what());
      }
    }
    c.finish();
    row["status"] = c.status();
    // JSON knows no infinity.
    row["max_error"] = std::min(c.judgement().error, std::numeric_limits<double>::max());
    row["limit"] = c.judgement().limit;
    row["detail"] = c.detail();
  } catch (const Error& e) {
    row["detail"] = e.what();
  }
  return row;
}

}  // namespace

std::vector<Row> run_golden(const std::string& folder, DType dtype, const Progress& progress) {
  TAUT_CHECK(dtype == DType::kF64 || dtype == DType::kF32, "[--dtype] expected f64 or f32, got {}", name(dtype));
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  if (error || files.empty()) fail(Exit::kMissing, "[{}] expected a folder of golden cases (*.safetensors)", folder);
  std::sort(files.begin(), files.end());
  std::vector<Row> rows;
  for (const auto& file : files) {
    if (progress) progress(std::ssize(rows), std::ssize(files), file.stem().string());
    rows.push_back(run_one(file, dtype));
  }
  return rows;
}

}  // namespace taut::selftest
