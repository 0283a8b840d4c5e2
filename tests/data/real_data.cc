// The provided real data, where they are: counts, classes, and that every image decodes.
#include <doctest/doctest.h>

#include <iostream>

#include "data/loader.h"
#include "tests/data/support.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

// Every image of the set at 32 x 32; the hash ties decoding and resizing together.
void decode_all(const DatasetPtr& data, int64_t size) {
  LoaderOptions options{.preprocess = stretch_to(32)};
  options.preprocess.channels = 3;
  Loader loader(data, Order(Order::Kind::kSequential, data->size(), 256), options);
  int64_t n = 0;
  for (int64_t s = 0; s < loader.steps_per_epoch(); ++s) n += loader.next().n;
  CHECK(n == size);
}

}  // namespace

// Each is a test of its own (CMakeLists.txt), named by what it needs.

TEST_CASE("cifar10: the original files" * doctest::skip()) {
  const fs::path folder = shared_folder("data/cifar-10-batches-bin", "CIFAR-10");
  if (folder.empty()) return;
  const DatasetPtr test = open_dataset(folder.string());
  CHECK(test->size() == 10'000);
  CHECK(open_dataset(folder.string(), {.split = "train"})->size() == 10'000);
  CHECK(test->class_name(0) == "airplane");
  CHECK(first_per_class(*test, 1000).size() == 10'000);
}

TEST_CASE("cifar100: the original files" * doctest::skip()) {
  const fs::path folder = shared_folder("data/cifar-100-binary", "CIFAR-100");
  if (folder.empty()) return;
  CHECK(open_dataset(folder.string())->size() == 4'000);
  const DatasetPtr train = open_dataset(folder.string(), {.split = "train"});
  CHECK(train->size() == 8'000);
  CHECK(first_per_class(*train, 80).size() == 8'000);
}

struct FolderCase {
  const char *domain, *split;
  int64_t images, classes;
};

void check_folder(const std::string& name, const std::vector<FolderCase>& cases) {
  const fs::path folder = shared_folder("data/" + name, name);
  if (folder.empty()) return;
  for (const FolderCase& c : cases) {
    CAPTURE(c.domain);
    CAPTURE(c.split);
    const DatasetPtr data = open_dataset(folder.string(), {.split = c.split, .domain = c.domain});
    CHECK(data->size() == c.images);
    CHECK(data->classes() == c.classes);
    decode_all(c.images > 600 ? subset(data, first_per_class(*data, 4)) : data,
               c.images > 600 ? 4 * c.classes : c.images);
  }
}

TEST_CASE("caltech-101: every image decodes" * doctest::skip()) {
  check_folder("caltech-101", {{"", "train", 1515, 101}, {"", "test", 707, 101}});
}

TEST_CASE("grocery-81: every image decodes" * doctest::skip()) {
  check_folder("grocery-81", {{"", "train", 810, 81}, {"", "test", 405, 81}});
}

TEST_CASE("pacs: every image decodes" * doctest::skip()) {
  check_folder("pacs", {{"photo", "all", 280, 7}, {"sketch", "all", 280, 7}, {"cartoon", "train", 224, 7}});
}

TEST_CASE("imagenet-sample: every image decodes" * doctest::skip()) {
  check_folder("imagenet-sample", {{"", "test", 500, 999}});
}

TEST_CASE("mnist-trades: IDX files" * doctest::skip()) {
  const fs::path folder = shared_folder("data/mnist-trades", "MNIST");
  if (folder.empty()) return;
  const DatasetPtr data = open_dataset(folder.string());
  CHECK(data->size() == 10'000);
  CHECK(data->label(0) == 7);
  CHECK(data->image(0).height == 28);
}

TEST_CASE("fashion-mnist: the package's IDX files" * doctest::skip()) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) {
    std::cout << "skipped: Fashion-MNIST (package dataset-fashion-mnist is not installed)\n";
    return;
  }
  const DatasetPtr train = open_dataset(folder.string(), {.split = "train", .keep_classes = {0, 2, 3, 4, 6}});
  CHECK(train->size() == 30'000);
  CHECK(train->class_name(4) == "shirt");
  const DatasetPtr test = open_dataset(folder.string());
  CHECK(test->size() == 10'000);
  CHECK(test->label(0) == 9);
}

}  // namespace taut::test
