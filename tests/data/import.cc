// Importers on archives with the exact layout of the originals: names, lists, splits, stray files.
#include "data/import/import.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "data/dataset.h"
#include "data/import/check.h"
#include "data/import/known.h"
#include "tests/data/archives.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

Bytes jpeg(uint64_t seed) { return encode_jpeg(sample_image(12 + static_cast<int64_t>(seed % 5), 16, 3, seed)); }
Bytes png(uint64_t seed, int64_t channels = 3) { return encode_png(sample_image(9, 11, channels, seed)); }

// A folder with archives, and imports of them.
class Place : public TemporaryFolder {
 public:
  std::string file(const std::string& name) const { return (path() / name).string(); }
  std::string pack(const std::string& name, const std::vector<Packed>& entries) const {
    write_archive(file(name), entries);
    return file(name);
  }
  Manifest import(const std::string& name, const std::vector<std::string>& archives, const std::string& out = "out",
                  uint64_t seed = 0) const {
    return import_dataset({.name = name, .archives = archives, .out = file(out), .seed = seed});
  }
};

std::string reason(const Manifest& m, const std::string& file) {
  for (const SkippedFile& s : m.skipped)
    if (s.file == file) return s.reason;
  return "not skipped";
}

bool differs(const Manifest& m, const std::string& part) {
  return std::ranges::any_of(m.differences, [&](const std::string& d) { return d.find(part) != std::string::npos; });
}

// Every file below a folder, by name.
std::vector<std::pair<std::string, Bytes>> contents_of(const fs::path& folder) {
  std::vector<std::pair<std::string, Bytes>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files.emplace_back(entry.path().lexically_relative(folder).string(), read_all(entry.path()));
  std::ranges::sort(files);
  return files;
}

std::vector<Packed> cub_entries() {
  std::string images, labels, splits;
  std::vector<Packed> entries = {{"CUB_200_2011/", {}, Packed::Kind::kFolder},
                                 text_entry("attributes.txt", "1 has_bill_shape::curved\n"),
                                 text_entry("CUB_200_2011/README", "hello\n")};
  int n = 0;
  for (const char* name : {"001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"}) {
    for (int k = 0; k < 4; ++k) {
      ++n;
      const std::string file = fmt::format("{}/{}_{:04}_{}.jpg", name, std::string(name).substr(4), k, 1000 + n);
      images += fmt::format("{} {}\n", n, file);
      labels += fmt::format("{} {}\n", n, std::string(name).substr(2, 1));
      splits += fmt::format("{} {}\n", n, k == 0 ? 0 : 1);
      entries.push_back({"CUB_200_2011/images/" + file,
                         n == 5 ? encode_jpeg(sample_image(8, 8, 1, 5)) : jpeg(static_cast<uint64_t>(n))});
    }
  }
  entries.push_back(text_entry("CUB_200_2011/images.txt", images));
  entries.push_back(text_entry("CUB_200_2011/image_class_labels.txt", labels));
  entries.push_back(text_entry("CUB_200_2011/train_test_split.txt", splits));
  entries.push_back(text_entry("CUB_200_2011/classes.txt",
                               "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n3 003.Sooty_Albatross\n"));
  return entries;
}

}  // namespace

TEST_CASE("CUB-200-2011: lists, official split, stray files; importing again changes nothing") {
  const Place place;
  std::vector<Packed> entries = cub_entries();
  entries.push_back({"CUB_200_2011/images/001.Black_footed_Albatross/unlisted.jpg", jpeg(99)});
  const std::string archive = place.pack("CUB_200_2011.tgz", entries);
  const Manifest m = place.import("cub200", {archive});
  CHECK(m.images.size() == 12);
  CHECK(m.count("train") == 9);
  CHECK(m.count("test") == 3);
  CHECK(m.classes ==
        std::vector<std::string>{"001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"});
  CHECK(!m.complete);
  CHECK(differs(m, "5994 training images are known, 9 are here"));
  CHECK(m.skipped.size() == 3);
  CHECK(reason(m, "attributes.txt").find("JPEG") != std::string::npos);
  CHECK(reason(m, "CUB_200_2011/images/001.Black_footed_Albatross/unlisted.jpg") == "not listed in images.txt");
  CHECK(m.images[0].sha256.size() == 64);
  CHECK(m.archives[0].file == "CUB_200_2011.tgz");

  const DatasetPtr test = open_dataset(place.file("out")), train = open_dataset(place.file("out"), {.split = "train"});
  CHECK(test->size() == 3);
  CHECK(train->size() == 9);
  CHECK(test->classes() == 3);
  CHECK(test->label(2) == 2);
  CHECK(test->name() == "cub200");
  CHECK(test->list_sha256() == m.sha256);
  CHECK(first(test, 2)->list_sha256() == m.sha256);
  CHECK(test->image(1).channels == 3);  // the grey one
  CHECK(caught([&] { open_dataset(place.file("out"), {.split = "validation"}); }).code == Exit::kMissing);

  const auto before = contents_of(place.path() / "out");
  CHECK(place.import("cub200", {archive}).sha256 == m.sha256);
  CHECK(contents_of(place.path() / "out") == before);
  CHECK(place.import("cub200", {archive}, "again").sha256 == m.sha256);
  CHECK(contents_of(place.path() / "again") == before);
  CHECK(!fs::exists(place.file("out.partial")));
}

TEST_CASE("CUB-200-2011: broken lists are named with their line") {
  struct Case {
    const char *list, *text, *word;
  };
  for (const Case& c : {Case{"images.txt", "1\n", "line 1"},
                        {"images.txt", "1 ../x.jpg\n", "leaves the folder"},
                        {"images.txt", "1 a.jpg\n1 b.jpg\n", "twice"},
                        {"images.txt", "0 a.jpg\n", "from 1"},
                        {"images.txt", "", "got none"},
                        {"images.txt", "99999999999999999999 a.jpg\n", "expected a number"},
                        {"image_class_labels.txt", "1 1\n", "image 2"},
                        {"image_class_labels.txt", "1 4\n2 1\n", "[1, 3]"},
                        {"image_class_labels.txt", "1 x\n", "expected a number"},
                        {"train_test_split.txt", "1 2\n", "0 or 1"},
                        {"classes.txt", "1 a\n3 b\n", "expected class 2"}}) {
    CAPTURE(c.list);
    CAPTURE(c.text);
    const Place place;
    std::vector<Packed> entries = cub_entries();
    for (Packed& e : entries)
      if (e.path == std::string("CUB_200_2011/") + c.list) e = text_entry(e.path, c.text);
    const Caught error = caught([&] { place.import("cub200", {place.pack("a.tgz", entries)}); });
    CHECK(error.code == Exit::kBadData);
    CHECK(error.names(c.list));
    CAPTURE(error.text);
    CHECK(error.names(c.word));
    CHECK(!fs::exists(place.file("out")));
  }
  const Place place;
  std::vector<Packed> entries = cub_entries();
  std::erase_if(entries, [](const Packed& e) { return e.path.ends_with("train_test_split.txt"); });
  const Caught error = caught([&] { place.import("cub200", {place.pack("a.tgz", entries)}); });
  CHECK(error.code == Exit::kMissing);
  CHECK(error.names("train_test_split.txt"));
}

TEST_CASE("Stanford Dogs: lists in MATLAB files, a PNG named .jpg, both archives") {
  const Place place;
  std::vector<std::string> train, test;
  std::vector<double> train_labels, test_labels;
  std::vector<Packed> images = {{"Images/", {}, Packed::Kind::kFolder}};
  int n = 0;
  for (const char* breed : {"n02085620-Chihuahua", "n02085782-Japanese_spaniel"}) {
    for (int k = 0; k < 3; ++k) {
      const std::string file = fmt::format("{}/{}_{}.jpg", breed, std::string(breed).substr(0, 9), 100 + k);
      (k == 2 ? test : train).push_back(file);
      (k == 2 ? test_labels : train_labels).push_back(std::string(breed) == "n02085620-Chihuahua" ? 1 : 2);
      images.push_back({"Images/" + file, n++ == 1 ? png(7) : jpeg(static_cast<uint64_t>(n))});
    }
  }
  std::vector<std::string> all = train;
  all.insert(all.end(), test.begin(), test.end());
  std::vector<double> all_labels = train_labels;
  all_labels.insert(all_labels.end(), test_labels.begin(), test_labels.end());
  const std::string a = place.pack("images.tar", images);
  const std::string b =
      place.pack("lists.tar", {{"file_list.mat", matlab_list(all, all_labels)},
                               {"train_list.mat", matlab_list(train, train_labels, MatlabNumbers::kDoubleAsBytes)},
                               {"test_list.mat", matlab_list(test, test_labels, MatlabNumbers::kUint8)}});
  const Manifest m = place.import("stanford_dogs", {a, b});
  CHECK(m.count("train") == 4);
  CHECK(m.count("test") == 2);
  CHECK(m.classes == std::vector<std::string>{"n02085620-Chihuahua", "n02085782-Japanese_spaniel"});
  CHECK(m.skipped.empty());
  CHECK(m.notes.size() == 1);
  CHECK(m.notes[0].find("ImageNet") != std::string::npos);
  const DatasetPtr data = open_dataset(place.file("out"), {.split = "train"});
  CHECK(data->image(1) == sample_image(9, 11, 3, 7));
  CHECK(data->label(3) == 1);
  CHECK(data->notes() == m.notes);

  const Caught missing = caught([&] { place.import("stanford_dogs", {a}, "other"); });
  CHECK(missing.code == Exit::kMissing);
  CHECK(missing.names("train_list.mat"));
}

TEST_CASE("damaged and hostile MATLAB lists are refused by name") {
  const Place place;
  const std::string images = place.pack("images.tar", {{"Images/n1-a/n1_1.jpg", jpeg(1)}});
  const Bytes good = matlab_list({"n1-a/n1_1.jpg"}, {1});
  const auto refuse = [&](const Bytes& bytes) {
    place.write("l/train_list.mat", bytes);
    place.write("l/test_list.mat", good);
    return caught([&] { place.import("stanford_dogs", {images, place.file("l")}); });
  };
  CHECK(refuse(Bytes{}).names("train_list.mat"));
  CHECK(refuse(Bytes(5000, 0x41)).code == Exit::kBadData);
  CHECK(refuse(matlab_list({"n1-a/n1_1.jpg", "n1-a/n1_2.jpg"}, {1})).names("2 labels"));
  CHECK(refuse(matlab_list({"n1-a/n1_2.jpg"}, {0})).names("element 1"));
  CHECK(refuse(matlab_list({"n1-a/n1_2.jpg"}, {1.5})).names("element 1"));
  CHECK(refuse(matlab_list({"../n1_2.jpg"}, {1})).names("leaves the folder"));
  CHECK(refuse(matlab_list({"n1-a/n1_1.jpg"}, {1})).names("twice"));  // also in the test list
  CHECK(refuse(matlab_list({"n1-a/n1_2.jpg", "n1-b/n1_3.jpg"}, {1, 1})).names("label 0"));
  for (size_t size = 0; size < good.size(); size += 7) {
    CAPTURE(size);
    CHECK(refuse(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))).code == Exit::kBadData);
  }
  for (uint32_t k = 0; k < 60; ++k) {
    Bytes damaged = good;
    const uint64_t h = hash(&k, sizeof k);
    damaged[124 + h % (damaged.size() - 124)] = static_cast<uint8_t>(h >> 40);
    const Caught error = refuse(damaged);
    CAPTURE(error.text);
    CHECK((error.code == Exit::kBadData || error.code == Exit::kOk));  // zlib's checksum is not asked for
    fs::remove_all(place.file("out"));
  }
}

TEST_CASE("DomainNet: a zip and two lists a domain, a class that one list lacks, files that differ from the lists") {
  const Place place;
  const std::string a = place.pack("clipart.zip", {{"clipart/", {}, Packed::Kind::kFolder},
                                                   {"clipart/aircraft_carrier/clipart_001_000001.jpg", jpeg(1)},
                                                   {"clipart/aircraft_carrier/clipart_001_000002.jpg", jpeg(2)},
                                                   {"clipart/zebra/clipart_002_000001.jpg", jpeg(3)},
                                                   {"clipart/zebra/clipart_002_000002.jpg", jpeg(4)},
                                                   {"clipart/zebra/clipart_002_000009.jpg", jpeg(5)}});
  const std::string b = place.pack("quickdraw.zip", {{"quickdraw/zebra/quickdraw_002_000001.png", png(6, 1)},
                                                     {"quickdraw/zebra/quickdraw_002_000002.png", png(7, 1)}});
  place.write("clipart_train.txt",
              "clipart/aircraft_carrier/clipart_001_000001.jpg 0\nclipart/zebra/clipart_002_000001.jpg 1\n");
  place.write("clipart_test.txt",
              "clipart/aircraft_carrier/clipart_001_000002.jpg 0\nclipart/zebra/clipart_002_000002.jpg 1\n");
  place.write("quickdraw_train.txt", "quickdraw/zebra/quickdraw_002_000001.png 1\r\n");
  place.write("quickdraw_test.txt",
              "quickdraw/zebra/quickdraw_002_000002.png 1\nquickdraw/zebra/quickdraw_002_000003.png 1\n");
  std::vector<std::string> archives = {a, b};
  for (const char* list : {"clipart_train.txt", "clipart_test.txt", "quickdraw_train.txt", "quickdraw_test.txt"})
    archives.push_back(place.file(list));
  const Manifest m = place.import("domainnet", archives);
  CHECK(m.domains == std::vector<std::string>{"clipart", "quickdraw"});
  CHECK(m.classes == std::vector<std::string>{"aircraft_carrier", "zebra"});
  CHECK(m.images.size() == 6);
  CHECK(reason(m, "clipart/zebra/clipart_002_000009.jpg").find("clipart_train.txt") != std::string::npos);
  CHECK(differs(m, "quickdraw_train.txt has no image of class 0 (aircraft_carrier)"));
  CHECK(differs(m, "quickdraw_002_000003.png"));
  CHECK(dataset_domains(place.file("out")) == m.domains);
  const DatasetPtr sketch = open_dataset(place.file("out"), {.split = "train", .domain = "quickdraw"});
  CHECK(sketch->size() == 1);
  CHECK(sketch->label(0) == 1);
  CHECK(sketch->classes() == 2);
  CHECK(sketch->name() == "domainnet-quickdraw");
  CHECK(open_dataset(place.file("out"), {.split = "all", .domain = "clipart"})->size() == 4);
  Caught error = caught([&] { open_dataset(place.file("out")); });
  CHECK(error.code == Exit::kUsage);
  CHECK(error.names("clipart, quickdraw"));
  CHECK(caught([&] { open_dataset(place.file("out"), {.domain = "real"}); }).code == Exit::kMissing);

  archives.pop_back();
  error = caught([&] { place.import("domainnet", archives, "other"); });
  CHECK(error.code == Exit::kMissing);
  CHECK(error.names("quickdraw_test.txt"));
  archives.push_back(place.file("quickdraw_test.txt"));
  for (const auto& [text, word] : {std::pair{"quickdraw/zebra/a.png 0\n", "label 0"},
                                   {"quickdraw/horse/a.png 1\n", "horse"},
                                   {"quickdraw/a.png 1\n", "line 1"},
                                   {"clipart/zebra/a.png 1\n", "line 1"},
                                   {"quickdraw/zebra/a//b.png 1\n", "line 1"},
                                   {"quickdraw/zebra/.. 1\n", "leaves the folder"},
                                   {"quickdraw/zebra/a.png -1\n", "expected a number"},
                                   {"quickdraw/zebra/a.png\n", "line 1"}}) {
    place.write("quickdraw_test.txt", text);
    error = caught([&] { place.import("domainnet", archives, "other"); });
    CAPTURE(error.text);
    CHECK(error.code == Exit::kBadData);
    CHECK(error.names(word));
    CHECK(error.names("quickdraw_test.txt"));
  }
}

TEST_CASE("Caltech-256: stray file and folder, a stratified split that the manifest states") {
  const Place place;
  std::vector<Packed> entries = {{"256_ObjectCategories/", {}, Packed::Kind::kFolder}};
  const std::vector<std::pair<std::string, int>> classes = {{"056.dog", 10}, {"198.spider", 7}, {"257.clutter", 5}};
  for (const auto& [name, n] : classes)
    for (int k = 1; k <= n; ++k)
      entries.push_back({fmt::format("256_ObjectCategories/{}/{}_{:04}.jpg", name, name.substr(0, 3), k),
                         k == 2 ? encode_jpeg(sample_image(10, 10, 1, 3)) : jpeg(static_cast<uint64_t>(k))});
  entries.push_back(text_entry("256_ObjectCategories/198.spider/RENAME2", "#!/bin/sh\nmv a b\n"));
  entries.push_back({"256_ObjectCategories/056.dog/greyhound/", {}, Packed::Kind::kFolder});
  entries.push_back({"256_ObjectCategories/056.dog/greyhound/056_0001.jpg", jpeg(50)});
  const std::string archive = place.pack("256_ObjectCategories.tar", entries);
  const Manifest m = place.import("caltech256", {archive});
  CHECK(m.classes == std::vector<std::string>{"056.dog", "198.spider", "257.clutter"});
  CHECK(m.images.size() == 22);
  CHECK(m.skipped.size() == 2);
  CHECK(reason(m, "256_ObjectCategories/198.spider/RENAME2").find("unknown format") != std::string::npos);
  CHECK(reason(m, "256_ObjectCategories/056.dog/greyhound/056_0001.jpg") == "in the folder 'greyhound' inside a class");
  CHECK(m.split_rule.find("seed 0") != std::string::npos);
  CHECK(m.count("test") == 2 + 1 + 1);
  CHECK(differs(m, "30607 images are known, 22 are here"));
  std::vector<int64_t> tests(3, 0);
  for (const ManifestImage& image : m.images)
    if (image.split == "test") ++tests[static_cast<size_t>(image.label)];
  CHECK(tests == std::vector<int64_t>{2, 1, 1});
  const Manifest other = place.import("caltech256", {archive}, "seeded", 1);
  CHECK(other.sha256 != m.sha256);
  CHECK(other.count("test") == 4);
  const Caught error = caught([&] { place.import("caltech256", {archive}, "out", 1); });
  CHECK(error.code == Exit::kUsage);
}

TEST_CASE("CIFAR: the files stay, the manifest lists their records, any subset of the batches will do") {
  const Place place;
  Bytes batch, test, fine;
  for (int r = 0; r < 12; ++r) {
    batch.push_back(static_cast<uint8_t>(r % 10));
    fine.push_back(static_cast<uint8_t>(r % 20));
    fine.push_back(static_cast<uint8_t>(r * 7));
    for (int k = 0; k < 3072; ++k) {
      batch.push_back(static_cast<uint8_t>(r + k));
      fine.push_back(static_cast<uint8_t>(3 * r + k));
    }
  }
  test.assign(batch.begin(), batch.begin() + 5 * 3073);
  const std::string ten = place.pack("cifar-10-binary.tar.gz",
                                     {{"cifar-10-batches-bin/data_batch_1.bin", batch},
                                      {"cifar-10-batches-bin/test_batch.bin", test},
                                      text_entry("cifar-10-batches-bin/batches.meta.txt", "airplane\nautomobile\n\n"),
                                      text_entry("cifar-10-batches-bin/readme.html", "<html>")});
  const Manifest m = place.import("cifar10", {ten});
  CHECK(m.count("train") == 12);
  CHECK(m.count("test") == 5);
  CHECK(m.classes.size() == 10);
  CHECK(m.classes[1] == "automobile");
  CHECK(m.images[3].file == "cifar-10-batches-bin/data_batch_1.bin");
  CHECK(m.images[3].record == 3);
  CHECK(reason(m, "cifar-10-batches-bin/readme.html") == "not needed");
  CHECK(!m.complete);
  const DatasetPtr data = open_dataset(place.file("out"), {.split = "train"});
  CHECK(data->size() == 12);
  CHECK(data->list_sha256() == m.sha256);
  CHECK(data->class_name(0) == "airplane");
  CHECK(data->image(2).row(0)[0] == 2);
  CHECK(open_dataset(place.file("out"), {.split = "all"})->label(13) == 1);
  CHECK(check_import(place.file("out")).problems.empty());

  const std::string hundred =
      place.pack("cifar-100-binary.tar.gz", {{"cifar-100-binary/test.bin", fine},
                                             text_entry("cifar-100-binary/fine_label_names.txt", "apple\nfish\n"),
                                             text_entry("cifar-100-binary/coarse_label_names.txt", "fruit\n")});
  const Manifest f = place.import("cifar100", {hundred}, "hundred");
  CHECK(f.count("train") == 0);
  CHECK(f.count("test") == 12);
  CHECK(f.images[4].label == 28);
  CHECK(open_dataset(place.file("hundred"))->class_name(1) == "fish");
  CHECK(caught([&] { open_dataset(place.file("hundred"), {.split = "train"}); }).code == Exit::kMissing);

  const Caught wrong = caught([&] { place.import("cifar10", {hundred}, "wrong"); });
  CHECK(wrong.code == Exit::kMissing);
  CHECK(wrong.names("data_batch_1.bin"));
  batch.pop_back();
  const Caught cut = caught([&] {
    place.import("cifar10", {place.pack("c.tgz", {{"c/data_batch_1.bin", batch}})}, "cut");
  });
  CHECK(cut.code == Exit::kBadData);
  CHECK(cut.names("data_batch_1.bin"));
  CHECK(!fs::exists(place.file("cut")));
}

TEST_CASE("IDX files, given one by one") {
  const Place place;
  Bytes images = {0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2}, labels = {0, 0, 8, 1, 0, 0, 0, 4, 9, 0, 12, 1};
  for (int k = 0; k < 24; ++k) images.push_back(static_cast<uint8_t>(k));
  const Manifest m = place.import("idx", {place.write("train-images-idx3-ubyte.gz", gzipped(images)),
                                          place.write("train-labels-idx1-ubyte", labels)});
  CHECK(m.count("train") == 4);
  CHECK(m.classes.size() == 13);
  CHECK(m.images[2].label == 12);
  CHECK(m.images[2].bytes == 6);
  CHECK(m.complete);
  const DatasetPtr data = open_dataset(place.file("out"), {.split = "train"});
  CHECK(data->classes() == 13);
  CHECK(data->image(1).row(0)[0] == 6);
}

TEST_CASE("PACS, Caltech-101, Grocery-81, ImageNet and plain folders") {
  const Place place;
  std::vector<Packed> pacs;
  for (const char* domain : {"photo", "art_painting", "cartoon", "sketch"})
    for (const char* name : {"dog", "horse"})
      for (int k = 0; k < 5; ++k)
        pacs.push_back({fmt::format("PACS/{}/{}/pic_{:03}.png", domain, name, k), png(static_cast<uint64_t>(k))});
  Manifest m = place.import("pacs", {place.pack("PACS.zip", pacs)}, "pacs");
  CHECK(m.domains == std::vector<std::string>{"art_painting", "cartoon", "photo", "sketch"});
  CHECK(m.count("test") == 8);
  // The same split as that of the unpacked folder.
  for (const Packed& e : pacs) place.write("raw/" + e.path, e.bytes);
  const DatasetPtr raw = open_dataset(place.file("raw/PACS"), {.split = "test", .domain = "photo"});
  const DatasetPtr imported = open_dataset(place.file("pacs"), {.split = "test", .domain = "photo"});
  REQUIRE(raw->size() == imported->size());
  for (int64_t i = 0; i < raw->size(); ++i)
    CHECK(fs::path(raw->source(i)).filename() == fs::path(imported->source(i)).filename());
  CHECK(place.import("pacs", {place.file("raw/PACS")}, "from_folder").sha256 == m.sha256);

  m = place.import(
      "caltech101",
      {place.pack("101_ObjectCategories.tar.gz", {{"101_ObjectCategories/BACKGROUND_Google/image_0001.jpg", jpeg(1)},
                                                  {"101_ObjectCategories/BACKGROUND_Google/tmp", Bytes{}},
                                                  {"101_ObjectCategories/Faces/image_0001.jpg", jpeg(2)},
                                                  {"101_ObjectCategories/Faces/image_0002.jpg", jpeg(3)},
                                                  {"101_ObjectCategories/accordion/image_0001.jpg", jpeg(4)}})},
      "caltech101");
  CHECK(m.classes == std::vector<std::string>{"Faces", "accordion"});
  CHECK(m.images.size() == 3);
  CHECK(reason(m, "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg").find("background") != std::string::npos);
  CHECK(reason(m, "101_ObjectCategories/BACKGROUND_Google/tmp").find("empty") != std::string::npos);

  m = place.import(
      "grocery81",
      {place.pack(
          "GroceryStoreDataset.zip",
          {text_entry("G/dataset/train.txt", "train/Fruit/Apple/a_001.jpg, 0, 0\n"),
           text_entry("G/dataset/val.txt", "val/Fruit/Apple/a_002.jpg, 0, 0\n"),
           text_entry("G/dataset/test.txt", "test/Packages/Milk/m_001.jpg, 1, 1\ntest/Packages/Milk/m_009.jpg, 1, 1\n"),
           text_entry("G/dataset/classes.csv", "Class Name (str),Class ID (int)\nApple,0\nMilk,1\n"),
           {"G/dataset/train/Fruit/Apple/a_001.jpg", jpeg(1)},
           {"G/dataset/val/Fruit/Apple/a_002.jpg", jpeg(2)},
           {"G/dataset/test/Packages/Milk/m_001.jpg", jpeg(3)},
           {"G/dataset/iconic-images-and-descriptions/Apple_Iconic.jpg", jpeg(4)}})},
      "grocery");
  CHECK(m.classes == std::vector<std::string>{"Apple", "Milk"});
  CHECK(m.count("train") == 1);
  CHECK(m.count("validation") == 1);
  CHECK(m.count("test") == 1);
  CHECK(differs(m, "m_009.jpg"));
  CHECK(m.skipped.size() == 1);

  m = place.import("imagenet_folder",
                   {place.pack("i.tar", {{"./ILSVRC/train/n01440764/n01440764_1.JPEG", jpeg(1)},
                                         {"./ILSVRC/train/n01443537/n01443537_1.JPEG", jpeg(2)},
                                         {"./ILSVRC/val/n01443537/ILSVRC2012_val_1.JPEG", jpeg(3)}})},
                   "imagenet");
  CHECK(m.count("train") == 2);
  CHECK(m.count("test") == 1);
  CHECK(open_dataset(place.file("imagenet"))->label(0) == 1);

  m = place.import("folder",
                   {place.pack("f.tar", {{"top/cat/1.jpg", jpeg(1)},
                                         {"top/cat/2.jpg", jpeg(2)},
                                         {"top/dog/1.jpg", jpeg(3)},
                                         {"top/dog/more/2.jpg", jpeg(4)},
                                         {"top/.DS_Store", Bytes{1, 2}},
                                         {"__MACOSX/top/cat/._1.jpg", Bytes{1, 2}}})},
                   "folder");
  CHECK(m.images.size() == 3);
  CHECK(m.skipped.size() == 3);
  CHECK(m.count("test") == 1);
}

TEST_CASE("a folder with a list: order, names, splits and domains are the list's") {
  const Place place;
  const std::string a = place.pack(
      "a.zip", {text_entry("x/labels.csv",
                           "file,class_index,class_name,split,domain\n\"b, c.jpg\",1,\"horse, grey\",train,real\n"
                           "a.png,0,dog,test,sketch\nnone.png,0,dog,test,sketch\n"),
                {"x/a.png", png(1)},
                {"x/b, c.jpg", jpeg(2)},
                {"x/z.png", png(3)}});
  const Manifest m = place.import("folder_csv", {a});
  CHECK(m.images.size() == 2);
  CHECK(m.images[0].file == "x/b, c.jpg");
  CHECK(m.classes == std::vector<std::string>{"dog", "horse, grey"});
  CHECK(m.domains == std::vector<std::string>{"real", "sketch"});
  CHECK(reason(m, "x/z.png") == "not listed in labels.csv");
  CHECK(differs(m, "none.png"));
  CHECK(open_dataset(place.file("out"), {.split = "train", .domain = "real"})->label(0) == 1);

  const Manifest plain = place.import(
      "folder_csv",
      {place.pack(
          "b.zip",
          {text_entry("labels.csv", "file,class_index\nq.png,3\na.png,0\n"), {"a.png", png(1)}, {"q.png", png(2)}})},
      "plain");
  CHECK(plain.classes.size() == 4);
  for (const char* split : {"train", "test", "all"})
    CHECK(open_dataset(place.file("plain"), {.split = split})->label(0) == 3);
}

TEST_CASE("what an import publishes can be opened: folders beside the splits, flat splits, domains in some lines") {
  const Place place;
  const auto opens = [&](const std::string& out) { return check_import(place.file(out)).problems; };
  for (const char* name : {"folder", "imagenet_folder"}) {
    CAPTURE(name);
    const Manifest m = place.import(name,
                                    {place.pack("mixed.zip", {{"top/train/a/1.png", png(1)},
                                                              {"top/train/b/2.png", png(2)},
                                                              {"top/test/a/3.png", png(3)},
                                                              {"top/extra/4.png", png(4)}})},
                                    name);
    CHECK(m.classes == std::vector<std::string>{"a", "b"});
    CHECK(m.count("train") == 2);
    CHECK(m.count("test") == 1);
    CHECK(reason(m, "top/extra/4.png").find("outside the folders of the splits") != std::string::npos);
    CHECK(differs(m, "1 images outside the folders of the splits"));
    CHECK(opens(name).empty());
  }
  // ImageNet as Kaggle has it: the images of val and test lie side by side.
  const std::vector<Packed> kaggle = {{"CLS-LOC/train/n01440764/1.JPEG", jpeg(1)},
                                      {"CLS-LOC/train/n01443537/2.JPEG", jpeg(2)},
                                      {"CLS-LOC/val/ILSVRC2012_val_1.JPEG", jpeg(3)},
                                      {"CLS-LOC/test/ILSVRC2012_test_1.JPEG", jpeg(4)}};
  const Manifest flat = place.import("imagenet_folder", {place.pack("kag.zip", kaggle)}, "flat");
  CHECK(flat.classes == std::vector<std::string>{"n01440764", "n01443537"});
  CHECK(flat.images.size() == 2);
  CHECK(reason(flat, "CLS-LOC/val/ILSVRC2012_val_1.JPEG").find("directly in the folder 'val'") != std::string::npos);
  CHECK(differs(flat, "50000 test images are known, 0 are here"));
  CHECK(opens("flat").empty());
  const Caught none = caught([&] {
    place.import("imagenet_folder", {place.pack("val.zip", {kaggle[2], kaggle[3]})}, "none");
  });
  CHECK(none.code == Exit::kBadData);
  CHECK(none.names("directly in the folder"));
  // Elsewhere a class may have a split's name.
  const Manifest vehicles =
      place.import("folder", {place.pack("v.zip", {{"v/train/1.png", png(1)}, {"v/bus/2.png", png(2)}})}, "vehicles");
  CHECK(vehicles.classes == std::vector<std::string>{"bus", "train"});
  CHECK(opens("vehicles").empty());

  const auto list = [&](const std::string& rows, const std::string& out) {
    return place.import("folder_csv",
                        {place.pack("l.zip", {text_entry("labels.csv", "file,class_index,class_name,domain\n" + rows),
                                              {"a.png", png(1)},
                                              {"b.png", png(2)},
                                              {"manifest.json", png(3)}})},
                        out);
  };
  for (const char* rows : {"a.png,0,x,real\nb.png,1,y,\n", "a.png,0,x,\nb.png,1,y,real\n"}) {
    const Caught some = caught([&] { list(rows, "some"); });
    CHECK(some.code == Exit::kBadData);
    CHECK(some.names("labels.csv] line 3"));
    CHECK(!fs::exists(place.file("some")));
  }
  CHECK(caught([&] { list("a.png,0,caf\xE9,real\n", "latin"); }).names("UTF-8"));
  CHECK(!fs::exists(place.file("latin")));
  // A file that has the name of the import's own is none of the images.
  const Manifest own = list("a.png,0,x,real\nmanifest.json,1,y,real\n", "own");
  CHECK(own.images.size() == 1);
  CHECK(differs(own, "first 'manifest.json'"));
  CHECK(opens("own").empty());
}

TEST_CASE("what is known of the data sets") {
  CHECK(known_datasets().size() == 13);
  const Caught error = caught([] { known_dataset("cub20"); });
  CHECK(error.code == Exit::kUsage);
  CHECK(error.names("cub200"));
  CHECK(std::string(counts_sentence("cub200", true)) == "The known counts are reached.");
  CHECK(std::string(counts_sentence("folder", true)) == "No counts are known to compare it with.");
  CHECK(std::string(counts_sentence("folder_csv", false)) == "The import is not complete.");
  CHECK(known_dataset("cub200").train + known_dataset("cub200").test == known_dataset("cub200").images);
  CHECK(known_dataset("domainnet").train + known_dataset("domainnet").test == known_dataset("domainnet").images);
}

}  // namespace taut::test
