// The formats of data sets: what they hold, and what is refused.
#include <doctest/doctest.h>

#include "data/dataset.h"
#include "tests/data/support.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

// `n` records with labels 0, 1, 2, ... (mod `classes`); pixel k of plane c of record r is r + c + k (mod 256).
Bytes cifar_records(int n, int classes, bool coarse) {
  Bytes bytes;
  for (int r = 0; r < n; ++r) {
    if (coarse) bytes.push_back(static_cast<uint8_t>(r % 20));
    bytes.push_back(static_cast<uint8_t>(r % classes));
    for (int c = 0; c < 3; ++c) {
      for (int k = 0; k < 1024; ++k) bytes.push_back(static_cast<uint8_t>(r + c + k));
    }
  }
  return bytes;
}

Bytes idx_images(uint32_t n, uint32_t height, uint32_t width) {
  Bytes bytes;
  for (const uint32_t word : {0x803u, n, height, width}) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(word >> shift));
  }
  for (uint32_t i = 0; i < n * height * width; ++i) bytes.push_back(static_cast<uint8_t>(i * 7));
  return bytes;
}

Bytes idx_labels(const Bytes& labels) {
  Bytes bytes = {0, 0, 8, 1, 0, 0, 0, static_cast<uint8_t>(labels.size())};
  for (const uint8_t label : labels) bytes.push_back(label);
  return bytes;
}

Caught refuse(const fs::path& path, const DatasetOptions& options = {}) {
  return caught([&] { open_dataset(path.string(), options); });
}

}  // namespace

TEST_CASE("CIFAR-10: any subset of the batches, planes to pixels, splits") {
  const TemporaryFolder folder;
  folder.write("data_batch_2.bin", cifar_records(12, 10, false));
  folder.write("data_batch_5.bin", cifar_records(3, 10, false));
  folder.write("test_batch.bin", cifar_records(5, 10, false));
  folder.write("batches.meta.txt", "airplane\nautomobile\n\n");
  const DatasetPtr train = open_dataset(folder.path().string(), {.split = "train"});
  CHECK(train->size() == 15);
  CHECK(train->classes() == 10);
  CHECK(train->class_name(1) == "automobile");
  CHECK(train->label(11) == 1);
  CHECK(train->label(13) == 1);
  CHECK(train->source(13).find("data_batch_5.bin record 1") != std::string::npos);
  const Image image = train->image(4);
  CHECK(image.row(1)[3 * 2 + 1] == (4 + 1 + 34) % 256);  // record 4, row 1, column 2, green
  CHECK(open_dataset(folder.path().string())->size() == 5);
  CHECK(open_dataset(folder.path().string(), {.split = "all", .limit = 18})->size() == 18);
  CHECK(refuse(folder.path(), {.split = "validation"}).code == Exit::kMissing);
  CHECK(refuse(folder.path(), {.split = "tests"}).names("data.split"));
}

TEST_CASE("CIFAR: truncated records, labels out of range and missing batches are named") {
  const TemporaryFolder folder;
  Bytes bytes = cifar_records(3, 10, false);
  bytes.pop_back();
  folder.write("test_batch.bin", bytes);
  Caught error = refuse(folder.path());
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("test_batch.bin"));
  bytes = cifar_records(3, 10, false);
  bytes[2 * 3073] = 37;
  folder.write("test_batch.bin", bytes);
  error = refuse(folder.path());
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("37"));
  CHECK(error.names("record 2"));
  CHECK(refuse(folder.path(), {.split = "train"}).code == Exit::kMissing);
  folder.write("test_batch.bin", Bytes{});
  CHECK(refuse(folder.path()).code == Exit::kBadData);
}

TEST_CASE("CIFAR-100 takes the fine label") {
  const TemporaryFolder folder;
  folder.write("test.bin", cifar_records(45, 100, true));
  const DatasetPtr data = open_dataset(folder.path().string());
  CHECK(data->classes() == 100);
  CHECK(data->label(44) == 44);
  CHECK(data->image(44).row(0)[0] == 44);
  const Caught error = refuse(folder.path(), {.split = "train"});
  CHECK(error.code == Exit::kMissing);
  CHECK(error.names("train.bin"));
}

TEST_CASE("IDX: plain and gzipped, and every way to be damaged") {
  const TemporaryFolder folder;
  const Bytes images = idx_images(4, 5, 6), labels = idx_labels({3, 0, 9, 1});
  folder.write("train-images-idx3-ubyte.gz", gzipped(images));
  folder.write("train-labels-idx1-ubyte", labels);
  folder.write("t10k-images-idx3-ubyte", idx_images(2, 5, 6));
  folder.write("t10k-labels-idx1-ubyte.gz", gzipped(idx_labels({8, 2})));
  const std::string path = folder.path().string();
  const DatasetPtr all = open_dataset(path, {.split = "all"});
  CHECK(all->size() == 6);
  CHECK(all->image(0).channels == 1);
  CHECK(all->image(1).row(0)[0] == (30 * 7) % 256);
  CHECK(all->image(4) == open_dataset(path)->image(0));
  CHECK(all->label(5) == 2);
  CHECK(all->source(5).find("t10k-images-idx3-ubyte image 1") != std::string::npos);

  struct Case {
    Bytes images, labels;
    std::string word;
  };
  Bytes cut = images, longer = images, magic = images, huge = images;
  cut.pop_back();
  longer.push_back(0);
  magic[3] = 1;
  huge[4] = 0x7F;  // promises two thousand million images
  Bytes cut_gzip = gzipped(images), hit_gzip = gzipped(images);
  cut_gzip.resize(cut_gzip.size() - 12);
  hit_gzip[hit_gzip.size() - 6] ^= 0x55;  // in the checksum
  const std::vector<Case> cases = {{cut, labels, "images-idx3"},
                                   {longer, labels, "images-idx3"},
                                   {magic, labels, "magic"},
                                   {huge, labels, "images-idx3"},
                                   {cut_gzip, labels, "images-idx3"},
                                   {hit_gzip, labels, "images-idx3"},
                                   {images, idx_labels({1, 2, 3}), "4 labels"},
                                   {images, idx_labels({1, 2, 3, 10}), "10 for image 3"},
                                   {images, Bytes{0, 0, 8}, "labels-idx1"},
                                   {images, images, "magic"}};
  for (const Case& c : cases) {
    CAPTURE(c.word);
    const TemporaryFolder bad;
    bad.write("t10k-images-idx3-ubyte", c.images);
    bad.write("t10k-labels-idx1-ubyte", c.labels);
    const Caught error = refuse(bad.path());
    CHECK(error.code == Exit::kBadData);
    CHECK(error.names(c.word));
  }
  // Gzip packs a thousand to one: what is announced is refused before it is unpacked.
  Bytes many = images;
  many[5] = 0x7F;  // eight million images
  const TemporaryFolder bomb;
  bomb.write("t10k-images-idx3-ubyte.gz", gzipped(many));
  bomb.write("t10k-labels-idx1-ubyte", labels);
  CHECK(refuse(bomb.path()).names("a bomb"));
  const TemporaryFolder alone;
  alone.write("t10k-images-idx3-ubyte", images);
  CHECK(refuse(alone.path()).code == Exit::kMissing);
}

TEST_CASE("class folders: sorted classes, splits, skipped files, limits that take turns") {
  const TemporaryFolder folder;
  const Bytes png = encode_png(sample_image(4, 4, 3));
  for (const char* file : {"train/b/2.png", "train/b/1.png", "train/a/x.JPG", "train/c/1.png", "test/b/9.png",
                           "test/a/8.png", "test/a/7.png", "test/a/.hidden.png"}) {
    folder.write(file, png);
  }
  folder.write("test/a/RENAME2", "not an image");
  folder.write("test/a/no_extension", png);
  const std::string path = folder.path().string();
  const DatasetPtr test = open_dataset(path), train = open_dataset(path + "/", {.split = "train"});
  CHECK(test->size() == 4);
  CHECK(test->classes() == 3);  // c has no test image and keeps its number
  CHECK(test->class_name(2) == "c");
  CHECK(test->label(3) == 1);
  CHECK(test->source(0).ends_with("7.png"));
  REQUIRE(test->notes().size() == 1);
  CHECK(test->notes()[0].find("RENAME2") != std::string::npos);
  CHECK(train->size() == 4);
  CHECK(train->name() == folder.path().filename().string());
  CHECK(train->source(1).ends_with("b/1.png"));
  CHECK(train->image(0) == sample_image(4, 4, 3));
  const DatasetPtr few = open_dataset(path, {.split = "train", .limit = 3});
  CHECK(few->label(0) == 0);
  CHECK(few->label(1) == 1);
  CHECK(few->label(2) == 2);
  CHECK(open_dataset(path, {.split = "all"})->size() == 8);
  CHECK(refuse(folder.path(), {.split = "validation"}).code == Exit::kMissing);
}

TEST_CASE("class folders without a split are divided class by class, without overlap") {
  const TemporaryFolder folder;
  for (int k = 0; k < 10; ++k) {
    folder.write(fmt::format("photo/dog/{}.png", k), encode_png(sample_image(2, 2, 3)));
    folder.write(fmt::format("photo/cat/{}.png", k), encode_png(sample_image(2, 2, 3)));
  }
  folder.write("sketch/dog/1.png", encode_png(sample_image(2, 2, 3)));
  const std::string path = folder.path().string();
  CHECK(open_dataset(path, {.domain = "photo"})->size() == 20);
  const DatasetPtr train = open_dataset(path, {.split = "train", .domain = "photo"});
  const DatasetPtr test = open_dataset(path, {.split = "test", .domain = "photo"});
  CHECK(train->size() == 16);
  CHECK(test->size() == 4);
  CHECK(test->label(1) == 0);
  CHECK(test->label(2) == 1);
  for (int64_t i = 0; i < test->size(); ++i) {
    for (int64_t j = 0; j < train->size(); ++j) CHECK(test->source(i) != train->source(j));
  }
  CHECK(test->notes().size() == 1);
  CHECK(test->name().ends_with("-photo"));
  const DatasetPtr other = open_dataset(path, {.split = "test", .domain = "photo", .seed = 1});
  bool same = true;
  for (int64_t i = 0; i < 4; ++i) same = same && other->source(i) == test->source(i);
  CHECK(!same);
  const Caught error = refuse(folder.path());
  CHECK(error.code == Exit::kUsage);
  CHECK(error.names("photo, sketch"));
  CHECK(refuse(folder.path(), {.domain = "poster"}).code == Exit::kMissing);
}

TEST_CASE("domains are listed, and number the same classes alike") {
  const TemporaryFolder folder;
  const Bytes image = encode_png(sample_image(2, 2, 3));
  for (const char* file : {"photo/cat/1.png", "photo/dog/1.png", "sketch/dog/1.png", "sketch/dog/2.png",
                           "cartoon/test/dog/1.png", "cartoon/train/bird/1.png"})
    folder.write(file, image);
  const std::string path = folder.path().string();
  CHECK(dataset_domains(path) == std::vector<std::string>{"cartoon", "photo", "sketch"});
  for (const std::string& domain : dataset_domains(path)) {
    const DatasetPtr data = open_dataset(path, {.split = "all", .domain = domain});
    CAPTURE(domain);
    CHECK(data->size() == 2);
    CHECK(data->classes() == 3);
    CHECK(data->class_name(2) == "dog");
    CHECK(data->label(1) == 2);
  }
  CHECK(dataset_domains(path + "/photo").empty());
  CHECK(dataset_domains(path + "/cartoon").empty());
  CHECK(dataset_domains("procedural:easy").empty());
}

TEST_CASE("a list of files keeps its order; its faults are named with line and value") {
  const TemporaryFolder folder;
  folder.write("x/b.png", encode_png(sample_image(3, 3, 3, 1)));
  folder.write("a.jpg", encode_png(sample_image(3, 3, 3, 2)));
  const std::string path = folder.path().string();
  folder.write("labels.csv", "file,class_index\r\n\"x/b.png\",7\r\na.jpg,0\r\n");
  const DatasetPtr data = open_dataset(path);
  CHECK(data->size() == 2);
  CHECK(data->classes() == 8);
  CHECK(data->label(0) == 7);
  CHECK(data->image(0) == sample_image(3, 3, 3, 1));
  CHECK(open_dataset(path, {.classes = 1000})->classes() == 1000);
  CHECK(data->notes().empty());
  const Caught out_of_range = caught([&] { check_labels(*data, 7); });
  CHECK(out_of_range.code == Exit::kBadData);
  CHECK(out_of_range.names("b.png"));
  CHECK(out_of_range.names("line 2"));
  CHECK(out_of_range.names("7"));
  check_labels(*data, 8);

  const std::vector<std::pair<std::string, std::string>> bad = {
      {"file,class_index\na.jpg,-1\n", "-1"},   {"file,class_index\na.jpg,12\n", "12"},
      {"file,class_index\na.jpg,cat\n", "cat"}, {"file,class_index\na.jpg,1.5\n", "1.5"},
      {"file,class_index\na.jpg\n", "line 2"},  {"name,label\na.jpg,1\n", "file,class_index"},
      {"file,class_index\n", "at least one"},   {"", "empty"}};
  for (const auto& [text, word] : bad) {
    const std::string csv = folder.write("other.csv", text);
    const Caught error = refuse(folder.path(), {.labels = csv, .classes = 10});
    CAPTURE(text);
    CHECK(error.code == Exit::kBadData);
    CHECK(error.names(word));
    CHECK(error.names("other.csv"));
  }
  const std::string csv = folder.write("other.csv", "file,class_index\ngone.jpg,1\n");
  CHECK(refuse(folder.path(), {.labels = csv}).code == Exit::kMissing);
  CHECK(refuse(folder.path(), {.labels = csv}).names("gone.jpg"));
  CHECK(refuse(folder.path(), {.labels = path + "/none.csv"}).code == Exit::kMissing);
}

TEST_CASE("images to which a list gives no split are divided class by class, without overlap") {
  const TemporaryFolder folder;
  std::string bare = "file,class_index\n", some = "file,class_index,split\n";
  for (int k = 0; k < 20; ++k) {
    const std::string file = fmt::format("{}.png", k);
    folder.write(file, encode_png(sample_image(2, 2, 3)));
    bare += fmt::format("{},{}\n", file, k % 2);
    some += fmt::format("{},{},{}\n", file, k % 2, k < 4 ? "test" : k < 8 ? "train" : "");
  }
  const std::string path = folder.path().string();
  for (const bool has_some : {false, true}) {
    CAPTURE(has_some);
    const std::string csv = folder.write("list.csv", has_some ? some : bare);
    const DatasetPtr train = open_dataset(path, {.labels = csv, .split = "train", .divide = true}),
                     test = open_dataset(path, {.labels = csv, .split = "test", .divide = true});
    // A fifth of each class's images that the list leaves open, and those that it names.
    CHECK(test->size() == (has_some ? 4 + 2 : 4));
    CHECK(train->size() == (has_some ? 4 + 10 : 16));
    for (int64_t i = 0; i < test->size(); ++i)
      for (int64_t j = 0; j < train->size(); ++j) CHECK(test->source(i) != train->source(j));
    REQUIRE(train->notes().size() == 1);
    CHECK(train->notes()[0].starts_with(has_some ? "list.csv gives 12 images no split" : "list.csv gives 20 images"));
    CHECK(open_dataset(path, {.labels = csv, .split = "all", .divide = true})->size() == 20);
    CHECK(open_dataset(path, {.labels = csv, .split = "test"})->size() == (has_some ? 16 : 20));
    CHECK(open_dataset(path, {.labels = csv})->size() == (has_some ? 16 : 20));
    if (!has_some)
      CHECK(refuse(folder.path(), {.labels = csv, .split = "validation", .divide = true}).code == Exit::kMissing);
  }
}

TEST_CASE("paths that are no data set are explained") {
  const TemporaryFolder folder;
  CHECK(refuse(folder.path() / "none").code == Exit::kMissing);
  CHECK(refuse(folder.path()).code == Exit::kBadData);
  const std::string file = folder.write("file", "x");
  CHECK(refuse(file).code == Exit::kUsage);
  CHECK(caught([&] { open_dataset("procedural:hard"); }).names("upstream, easy or fine"));
  CHECK(caught([&] { open_dataset(""); }).code == Exit::kUsage);
}

TEST_CASE("wrappers: subsets, classes renumbered, transformations") {
  const TemporaryFolder folder;
  folder.write("test_batch.bin", cifar_records(40, 10, false));
  const DatasetPtr base = open_dataset(folder.path().string());
  const DatasetPtr picked = subset(base, {5, 5, 39});
  CHECK(picked->size() == 3);
  CHECK(picked->label(2) == 9);
  CHECK(picked->image(1) == base->image(5));
  CHECK(caught([&] { subset(base, {40}); }).code == Exit::kUsage);
  CHECK(caught([&] { picked->label(3); }).code == Exit::kUsage);

  const DatasetPtr five = keep_classes(base, {0, 2, 3, 4, 6});
  CHECK(five->size() == 20);
  CHECK(five->classes() == 5);
  CHECK(five->class_name(4) == "6");
  for (int64_t i = 0; i < five->size(); ++i) CHECK(five->label(i) == i % 5);
  CHECK(open_dataset(folder.path().string(), {.keep_classes = {6, 0}, .limit = 2})->label(0) == 1);
  CHECK(caught([&] { keep_classes(base, {1, 10}); }).code == Exit::kUsage);
  CHECK(caught([&] { keep_classes(base, {1, 1}); }).code == Exit::kUsage);

  CHECK(first_per_class(*five, 2) == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(caught([&] { first_per_class(*five, 5); }).code == Exit::kUsage);
  CHECK(first(base, 7)->size() == 7);
  CHECK(first(base, 99)->size() == 40);

  const DatasetPtr negative = transformed(base, "negative", [](const Image& image, int64_t) {
    Image result = image;
    for (uint8_t& p : result.pixels) p = static_cast<uint8_t>(255 - p);
    return result;
  });
  CHECK(negative->name() == "negative");
  CHECK(negative->label(3) == 3);
  CHECK(negative->image(3).pixels[0] == 255 - base->image(3).pixels[0]);
}

}  // namespace taut::test
