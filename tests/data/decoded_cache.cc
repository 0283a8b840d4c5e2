// The cache of decoded images: the bytes of decoding anew, whatever lies in its folder and whoever else is at work.
#include "data/decoded_cache.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>

#include "data/loader.h"
#include "data/procedural.h"
#include "data/shift.h"
#include "data/wrapper.h"
#include "kernels/parallel.h"
#include "tests/data/support.h"

namespace taut::test {
namespace {

namespace fs = std::filesystem;

// Counts how often images are decoded.
class Counting : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Image image(int64_t i) const override {
    ++decoded;
    return base_->image(i);
  }
  mutable std::atomic<int> decoded = 0;
};

// A folder of JPEG and PNG files of several sizes, and a folder for the cache.
struct Setting {
  explicit Setting(int images = 23) {
    for (int i = 0; i < images; ++i) write(i, static_cast<uint64_t>(i));
  }
  void write(int i, uint64_t seed) const {
    const Image image = sample_image(40 + i, 50, i % 2 == 0 ? 3 : 1, seed);
    source.write(fmt::format("class{}/{:03}.png", i % 3, i), i % 4 == 0 ? encode_jpeg(image) : encode_png(image));
  }
  DatasetPtr open() const { return open_dataset(source.path().string()); }
  std::string folder() const { return (cache.path() / "deep" / "decoded").string(); }
  DecodedCache options() {
    return {.folder = folder(), .say = [this](const std::string& line) { said.push_back(line); }, .follow = {}};
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder(), none)) names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  TemporaryFolder source, cache;
  std::vector<std::string> said;
};

Preprocess three_channels(int64_t side) {
  Preprocess how = stretch_to(side);
  how.channels = 3;
  return how;
}

std::vector<Image> images_of(const Dataset& dataset) {
  std::vector<Image> images;
  for (int64_t i = 0; i < dataset.size(); ++i) images.push_back(dataset.image(i));
  return images;
}

std::vector<Image> made_anew(const DatasetPtr& dataset, const Preprocess& how) {
  std::vector<Image> images;
  for (int64_t i = 0; i < dataset->size(); ++i) images.push_back(preprocess(dataset->image(i), how));
  return images;
}

void flip(const std::string& file, int64_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const int byte = stream.get();
  stream.seekp(at);
  stream.put(static_cast<char>(byte ^ 1));
}

}  // namespace

TEST_CASE("decoded images have the bytes of decoding anew, and are decoded once") {
  Setting s;
  const Preprocess how = three_channels(24);
  const std::vector<Image> want = made_anew(s.open(), how);
  const auto counting = std::make_shared<Counting>(s.open());
  const DatasetPtr built = preprocessed(counting, how, s.options());
  CHECK(counting->decoded == counting->size() + 1);  // the first one tells the size
  CHECK(images_of(*built) == want);
  CHECK(s.files().size() == 1);
  REQUIRE(s.said.size() == 1);
  CHECK(s.said[0].find("decoding 23 images") != std::string::npos);
  CHECK(s.said[0].find("B are free") != std::string::npos);

  counting->decoded = 0;
  const DatasetPtr again = preprocessed(counting, how, s.options());
  CHECK(images_of(*again) == want);
  CHECK(counting->decoded == 1);
  CHECK(s.said.size() == 1);
  CHECK(again->label(5) == counting->label(5));
  CHECK(again->name() == counting->name());
  CHECK(s.files().size() == 1);
  const DatasetPtr other = preprocessed(counting, three_channels(16), s.options());
  CHECK(images_of(*other) == made_anew(s.open(), three_channels(16)));
  CHECK(s.files().size() == 2);
}

TEST_CASE("batches are the same with and without the cache, for any number of threads, resident or streamed") {
  Setting s;
  const Preprocess how = three_channels(24);
  const Order order(Order::Kind::kEpochs, 23, 5, 9);
  std::vector<Batch> want;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    for (const bool cached : {false, true}) {
      for (const int64_t budget : {int64_t{1} << 30, int64_t{0}}) {
        const auto counting = std::make_shared<Counting>(s.open());
        LoaderOptions options{.preprocess = how, .resident_bytes = budget, .threads = threads};
        if (cached) options.preprocess = {};
        Loader loader(cached ? preprocessed(counting, how, s.options()) : counting, order, options);
        const int before = counting->decoded;
        CHECK(loader.store().resident() == (budget > 0));
        for (size_t step = 0; step < 12; ++step) {
          const Batch batch = loader.next();
          if (want.size() < 12) {
            want.push_back(batch);
            continue;
          }
          CHECK(batch.images == want[step].images);
          CHECK(batch.labels == want[step].labels);
        }
        CHECK((counting->decoded == before) == cached);
      }
    }
    fs::remove_all(s.folder());  // the next number of threads builds it again
  }
  set_num_threads(2);
}

TEST_CASE("the file is the same for any number of threads") {
  Setting s(40);
  std::vector<Bytes> files;
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    preprocessed(s.open(), three_channels(200), s.options());  // 120,000 bytes an image: five blocks
    REQUIRE(s.files().size() == 1);
    files.push_back(read_all(s.files()[0]));
    fs::remove_all(s.folder());
  }
  set_num_threads(2);
  CHECK(files[0] == files[1]);
}

TEST_CASE("changed files are decoded anew, with the same size and time too; changed labels are not asked about") {
  Setting s;
  const Preprocess how = three_channels(24);
  const std::vector<Image> before = images_of(*preprocessed(s.open(), how, s.options()));
  const std::string file = (s.source.path() / "class1/001.png").string();  // a PNG; its last pixels change
  struct stat status {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  const Bytes old = read_all(file);
  Bytes changed = encode_png(sample_image(41, 50, 1, 77));
  changed.resize(std::max(changed.size(), old.size()), 0);
  s.source.write("class1/001.png", changed);
  const timespec times[2] = {status.st_atim, status.st_mtim};
  REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
  const std::vector<Image> after = images_of(*preprocessed(s.open(), how, s.options()));
  CHECK(after == made_anew(s.open(), how));
  CHECK(after != before);
  CHECK(s.files().size() == 2);

  // Records are known by their contents: a copy elsewhere finds the same file.
  const TemporaryFolder one, two;
  Bytes record(2 * 3073, 5);
  one.write("test_batch.bin", record);
  record[0] = 3;
  two.write("test_batch.bin", record);
  Setting t(0);
  preprocessed(open_dataset(one.path().string()), stretch_to(40), t.options());
  preprocessed(open_dataset(two.path().string()), stretch_to(40), t.options());
  CHECK(t.files().size() == 1);
  CHECK(t.said.size() == 1);
}

TEST_CASE("a file that is cut, longer, foreign or damaged is replaced and never trusted") {
  Setting s(40);
  const Preprocess how = three_channels(200);
  const std::vector<Image> want = made_anew(s.open(), how);
  preprocessed(s.open(), how, s.options());
  const std::string file = s.files().at(0);
  const Bytes good = read_all(file);
  preprocessed(subset(s.open(), {4, 3, 2, 1, 0}), how, s.options());
  std::vector<std::string> others = s.files();
  std::erase(others, file);
  const Bytes foreign = read_all(others.at(0));
  const auto write = [&](Bytes bytes) {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  const auto check_replaced = [&] {
    s.said.clear();
    CHECK(images_of(*preprocessed(s.open(), how, s.options())) == want);
    REQUIRE(s.said.size() == 2);
    CHECK(s.said[0].find(file) != std::string::npos);
    CHECK(s.said[0].find("made anew") != std::string::npos);
    CHECK(read_all(file) == good);
  };
  for (const size_t size : {size_t{0}, size_t{10}, size_t{4096}, good.size() / 2, good.size() - 1}) {
    CAPTURE(size);
    write(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    check_replaced();
  }
  Bytes longer = good;
  longer.push_back(0);
  write(longer);
  check_replaced();
  write(foreign);
  check_replaced();
  write(Bytes(good.size(), 0));
  check_replaced();
  for (const int64_t at : {0, 21, 30, 100, 170, 300}) {  // first line, key, shape, blocks, hashes
    CAPTURE(at);
    write(good);
    flip(file, at);
    check_replaced();
  }

  // Damage among the images shows when they are read; that run decodes them, the next one replaces the file.
  const auto start = static_cast<int64_t>(good.size()) - 40 * 200 * 200 * 3;
  for (const int64_t at : {start, start + 1'500'000, static_cast<int64_t>(good.size()) - 1}) {
    CAPTURE(at);
    write(good);
    flip(file, at);
    s.said.clear();
    const DatasetPtr opened = preprocessed(s.open(), how, s.options());
    CHECK(s.said.empty());
    CHECK(images_of(*opened) == want);
    CHECK(!fs::exists(file));
    std::vector<float> floats(40 * 120'000), right(floats.size());
    std::vector<int64_t> all(40);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
    ImageStore(opened, {}, 0).gather(all, floats.data());
    ImageStore(s.open(), how, 0).gather(all, right.data());
    CHECK(floats == right);
    CHECK(images_of(*preprocessed(s.open(), how, s.options())) == want);
    CHECK(read_all(file) == good);
  }
}

TEST_CASE("a file that is removed or replaced while it is mapped is read as it was") {
  Setting s(40);
  const Preprocess how = three_channels(200);
  const std::vector<Image> want = made_anew(s.open(), how);
  for (const bool replace : {false, true}) {
    CAPTURE(replace);
    const DatasetPtr opened = preprocessed(s.open(), how, s.options());
    const std::string file = s.files().at(0);
    if (replace)
      fs::rename(s.cache.write("other", Bytes(4000, 1)), file);
    else
      fs::remove(file);
    CHECK(images_of(*opened) == want);
  }
}

TEST_CASE("where nothing can be written, one line says so and images are decoded every time") {
  const Preprocess how = three_channels(24);
  const auto check_without = [&](Setting& s, const char* reason) {
    CHECK(images_of(*preprocessed(s.open(), how, s.options())) == made_anew(s.open(), how));
    REQUIRE(!s.said.empty());
    CHECK(s.said.back().find("decoded every time") != std::string::npos);
    CHECK(s.said.back().find(reason) != std::string::npos);
    for (const std::string& file : s.files()) CHECK((!file.ends_with(".part") || fs::is_directory(file)));
  };
  {
    Setting s;
    s.cache.write("deep", std::string("a file where a folder should be"));
    check_without(s, "deep");
  }
  {
    Setting s;
    DecodedCache cache = s.options();
    cache.folder = "/proc/taut";
    CHECK(images_of(*preprocessed(s.open(), how, cache)) == made_anew(s.open(), how));
    CHECK(s.said.size() == 1);
  }
  {  // a folder and a pipe under the file's names
    Setting s;
    preprocessed(s.open(), how, s.options());
    const std::string file = s.files().at(0);
    fs::remove(file);
    fs::create_directory(file);
    check_without(s, "directory");
    fs::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    CHECK(images_of(*preprocessed(s.open(), how, s.options())) == made_anew(s.open(), how));
    CHECK(fs::is_regular_file(file));
    fs::remove(file);
    const std::string part = file.substr(0, file.size() - 7) + ".part";
    fs::create_directory(part);
    check_without(s, ".part");
  }
  {  // no room: a limit on the size of files stands in for a full disk
    Setting s;
    const int status = status_of(in_process([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{20'000, 20'000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      const bool same = images_of(*preprocessed(s.open(), how, s.options())) == made_anew(s.open(), how);
      return same && s.said.back().find("decoded every time") != std::string::npos && s.files().empty() ? 0 : 1;
    }));
    CHECK(status == 0);
  }
}

TEST_CASE("processes that want the same file at the same time make it once") {
  Setting s(40);
  const Preprocess how = three_channels(200);
  const std::vector<Image> want = made_anew(s.open(), how);
  std::vector<pid_t> children;
  for (int p = 0; p < 4; ++p) {
    children.push_back(in_process([&] {
      const bool same = images_of(*preprocessed(s.open(), how, s.options())) == want;
      const auto built = std::count_if(s.said.begin(), s.said.end(),
                                       [](const std::string& line) { return line.starts_with("decoding"); });
      return same ? 10 + static_cast<int>(built) : 1;
    }));
  }
  int built = 0;
  for (const pid_t child : children) {
    const int status = status_of(child);
    CHECK(status >= 10);
    built += status - 10;
  }
  CHECK(built == 1);
  REQUIRE(s.files().size() == 1);
  CHECK(s.files()[0].ends_with(".images"));
}

TEST_CASE("a builder that is killed or stopped leaves nothing that another would trust") {
  Setting s(40);
  const Preprocess how = three_channels(200);
  const int status = status_of(in_process([&] {
    DecodedCache cache = s.options();
    cache.follow = [](int64_t, int64_t) { std::raise(SIGKILL); };
    preprocessed(s.open(), how, cache);
    return 0;
  }));
  CHECK(status == 128 + SIGKILL);
  REQUIRE(s.files().size() == 1);
  CHECK(s.files()[0].ends_with(".part"));
  CHECK(images_of(*preprocessed(s.open(), how, s.options())) == made_anew(s.open(), how));
  REQUIRE(s.files().size() == 1);
  CHECK(s.files()[0].ends_with(".images"));

  fs::remove(s.files()[0]);
  DecodedCache cache = s.options();
  cache.follow = [](int64_t, int64_t) { fail(Exit::kInterrupted, "[test] stopped"); };
  CHECK(caught([&] { preprocessed(s.open(), how, cache); }).code == Exit::kInterrupted);
  CHECK(s.files().empty());
}

TEST_CASE("what cannot be known again, or costs nothing, is not cached; broken images are named") {
  Setting s(6);
  const DatasetPtr drawn = procedural_dataset("easy", "test", 0);
  preprocessed(drawn, stretch_to(40), s.options());
  preprocessed(transformed(s.open(), "x", [](const Image& image, int64_t) { return image; }), stretch_to(40),
               s.options());
  const TemporaryFolder cifar;
  cifar.write("test_batch.bin", Bytes(3073, 5));
  preprocessed(open_dataset(cifar.path().string()), stretch_to(32), s.options());
  preprocessed(open_dataset(cifar.path().string()), centre_crop_to(20), s.options());
  CHECK(s.files().empty());
  CHECK(s.said.empty());

  const DatasetPtr turned = shifted(s.open(), "rotation", 3);
  const std::vector<Image> want = made_anew(turned, three_channels(24));
  for (int k = 0; k < 2; ++k) CHECK(images_of(*preprocessed(turned, three_channels(24), s.options())) == want);
  CHECK(s.files().size() == 1);
  preprocessed(shifted(s.open(), "rotation", 4), three_channels(24), s.options());
  CHECK(s.files().size() == 2);

  Preprocess as_it_is;
  as_it_is.channels = 3;
  const Caught uneven = caught([&] { preprocessed(s.open(), as_it_is, s.options()); });
  CHECK(uneven.code == Exit::kBadData);
  CHECK(uneven.names("data.resize"));
  const Bytes bytes = read_all(s.source.path() / "class1/001.png");
  s.source.write("class1/001.png", Bytes(bytes.begin(), bytes.begin() + 60));
  const Caught cut = caught([&] { preprocessed(s.open(), three_channels(24), s.options()); });
  CHECK(cut.code == Exit::kBadData);
  CHECK(cut.names("001.png"));
  CHECK(s.files().size() == 2);
}

}  // namespace taut::test
