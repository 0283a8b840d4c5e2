// STL-10: columns become rows, labels start at 0, damage is named.
#include <doctest/doctest.h>

#include "data/dataset.h"
#include "tests/data/support.h"

namespace taut::test {

TEST_CASE("STL-10: column-wise planes, splits, names") {
  const TemporaryFolder folder;
  Bytes pixels;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      for (int x = 0; x < 96; ++x)
        for (int y = 0; y < 96; ++y) pixels.push_back(static_cast<uint8_t>(100 * r + 40 * c + 2 * x + y));
  folder.write("test_X.bin", pixels);
  folder.write("test_y.bin", Bytes{1, 10, 4});
  folder.write("class_names.txt", "airplane\nbird\n");
  const DatasetPtr data = open_dataset(folder.path().string());
  CHECK(data->name() == "stl10");
  CHECK(data->size() == 3);
  CHECK(data->label(1) == 9);
  CHECK(data->class_name(1) == "bird");
  CHECK(data->source(2).ends_with("test_X.bin record 2"));
  const Image image = data->image(1);
  CHECK(image.row(5)[3 * 7 + 2] == (100 + 80 + 2 * 7 + 5) % 256);  // row 5, column 7, blue
  CHECK(caught([&] { open_dataset(folder.path().string(), {.split = "train"}); }).names("train_X.bin"));
}

TEST_CASE("STL-10: truncated images and labels out of range are refused") {
  const TemporaryFolder folder;
  folder.write("test_X.bin", Bytes(2 * 27648 - 1, 0));
  folder.write("test_y.bin", Bytes{1, 2});
  Caught error = caught([&] { open_dataset(folder.path().string()); });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("test_X.bin"));
  folder.write("test_X.bin", Bytes(2 * 27648, 0));
  folder.write("test_y.bin", Bytes{1, 11});
  error = caught([&] { open_dataset(folder.path().string()); });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("got 11 in record 1"));
}

}  // namespace taut::test
