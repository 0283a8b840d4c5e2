// Orders, splits and the loader: functions of seed and step, whatever the threads.
#include "data/loader.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/parallel.h"
#include "tests/data/support.h"

namespace taut::test {
namespace {

void check_property(const char* text, const std::function<void()>& property) {
  CAPTURE(text);
  CHECK(rc::check(text, property));
}

// A folder of files of several sizes, one of them optionally cut short.
struct Folder {
  explicit Folder(int images, int damaged = -1) {
    for (int i = 0; i < images; ++i) {
      Bytes bytes = i % 2 == 0 ? encode_jpeg(sample_image(40 + i, 50, 3, static_cast<uint64_t>(i)))
                               : encode_png(sample_image(33, 30 + i, 1, static_cast<uint64_t>(i)));
      if (i == damaged) bytes.resize(bytes.size() / 2);
      folder.write(fmt::format("class{}/{:03}.img.{}", i % 3, i, i % 2 == 0 ? "jpg" : "png"), bytes);
    }
    data = open_dataset(folder.path().string());
  }
  TemporaryFolder folder;
  DatasetPtr data;
};

}  // namespace

TEST_CASE("an epoch is a permutation in batches; epochs and seeds differ") {
  check_property("every index once an epoch", [] {
    const auto n = *rc::gen::inRange<int64_t>(1, 200), batch = *rc::gen::inRange<int64_t>(1, 70);
    const auto epoch = *rc::gen::inRange<int64_t>(0, 50);
    const auto seed = *rc::gen::arbitrary<uint64_t>();
    const Order order(Order::Kind::kEpochs, n, batch, seed);
    std::vector<int64_t> seen;
    for (int64_t s = 0; s < order.steps_per_epoch(); ++s) {
      const std::vector<int64_t> part = order.indices(epoch * order.steps_per_epoch() + s);
      RC_ASSERT(static_cast<int64_t>(part.size()) == (s + 1 < order.steps_per_epoch() ? batch : n - s * batch));
      seen.insert(seen.end(), part.begin(), part.end());
    }
    std::sort(seen.begin(), seen.end());
    std::vector<int64_t> all(static_cast<size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    RC_ASSERT(seen == all);
  });
  const Order a(Order::Kind::kEpochs, 100, 100, 1), b(Order::Kind::kEpochs, 100, 100, 2);
  CHECK(a.indices(0) != a.indices(1));
  CHECK(a.indices(0) != b.indices(0));
  CHECK(Order(Order::Kind::kEpochs, 100, 7, 1).indices(31) == Order(Order::Kind::kEpochs, 100, 7, 1).indices(31));
  CHECK(Order(Order::Kind::kSequential, 5, 2).indices(2) == std::vector<int64_t>{4});
  CHECK(Order(Order::Kind::kSequential, 5, 2).indices(3) == std::vector<int64_t>{0, 1});
}

TEST_CASE("draws with replacement reach every image about equally often") {
  const Order order(Order::Kind::kDraws, 10, 32, 3);
  std::vector<int> count(10);
  for (int64_t s = 0; s < 500; ++s) {
    for (const int64_t i : order.indices(s)) ++count[static_cast<size_t>(i)];
  }
  for (const int c : count) {
    CHECK(c > 1400);  // 1600 expected, sd 38
    CHECK(c < 1800);
  }
  CHECK(order.indices(3) != order.indices(4));
  CHECK(order.indices(3) == Order(Order::Kind::kDraws, 10, 32, 3).indices(3));
}

TEST_CASE("a split is a partition of the stated size") {
  check_property("partition", [] {
    const auto n = *rc::gen::inRange<int64_t>(1, 500);
    const auto seed = *rc::gen::arbitrary<uint64_t>();
    const Split split = train_validation_split(n, 0.1, seed);
    RC_ASSERT(static_cast<int64_t>(split.validation.size()) == std::min((n + 9) / 10, n - 1));
    RC_ASSERT(std::is_sorted(split.train.begin(), split.train.end()));
    std::set<int64_t> all(split.train.begin(), split.train.end());
    all.insert(split.validation.begin(), split.validation.end());
    RC_ASSERT(static_cast<int64_t>(split.train.size() + split.validation.size()) == n);
    RC_ASSERT(static_cast<int64_t>(all.size()) == n);
    RC_ASSERT(*all.begin() == 0);
    RC_ASSERT(*all.rbegin() == n - 1);
  });
  CHECK(train_validation_split(50'000, 0.1, 42).train.size() == 45'000);
  CHECK(train_validation_split(100, 0.1, 1).validation != train_validation_split(100, 0.1, 2).validation);
  CHECK(train_validation_split(10, 0, 1).validation.empty());
  CHECK(caught([] { train_validation_split(10, 1, 1); }).code == Exit::kUsage);
}

TEST_CASE("batches have the same bytes for any number of threads, resident or streamed, sought or walked") {
  const Folder files(17);
  LoaderOptions options{.preprocess = stretch_to(24)};
  options.preprocess.channels = 3;
  const Order order(Order::Kind::kEpochs, files.data->size(), 5, 9);
  std::vector<Batch> want;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    for (const int64_t budget : {int64_t{1} << 30, int64_t{0}}) {
      options.resident_bytes = budget;
      options.threads = threads;
      Loader loader(files.data, order, options);
      CHECK(loader.store().resident() == (budget > 0));
      for (size_t s = 0; s < 8; ++s) {
        const Batch batch = loader.next();
        if (want.size() < 8) {
          want.push_back(batch);
          continue;
        }
        CHECK(batch.images == want[s].images);
        CHECK(batch.labels == want[s].labels);
        CHECK(batch.indices == want[s].indices);
      }
      loader.seek(6);
      CHECK(loader.next().images == want[6].images);
      loader.seek(2);
      CHECK(loader.next().images == want[2].images);
      CHECK(loader.step() == 3);
      CHECK(loader.next().images == want[3].images);
      const std::vector<int64_t> twice = {4, 4, 16};
      const Batch some = loader.load(twice);
      CHECK(some.labels == std::vector<int64_t>{files.data->label(4), files.data->label(4), files.data->label(16)});
      CHECK(std::equal(some.images.begin(), some.images.begin() + 1728, some.images.begin() + 1728));
    }
  }
  // Against the plain path: decode, preprocess, divide by 255.
  const Image image = preprocess(files.data->image(want[1].indices[2]), options.preprocess);
  std::vector<float> plain(1728);
  to_float(image.pixels.data(), 24, 24, 3, plain.data());
  CHECK(std::equal(plain.begin(), plain.end(), want[1].images.begin() + 2 * 1728));
  CHECK(want[1].labels[2] == files.data->label(want[1].indices[2]));
  CHECK(want[3].n == 2);
}

TEST_CASE("a damaged image is an error of its batch, named, with any threads; others can still be read") {
  const Folder files(8, 4);
  for (const int threads : {1, 4}) {
    set_num_threads(threads);
    for (const int64_t budget : {int64_t{1} << 30, int64_t{0}}) {
      LoaderOptions options{.preprocess = stretch_to(16), .resident_bytes = budget};
      options.preprocess.channels = 3;
      Loader loader(files.data, Order(Order::Kind::kSequential, 8, 3), options);
      int failures = 0;
      for (int64_t s = 0; s < 3; ++s) {
        const Caught error = caught([&] { loader.next(); });
        if (error.code == Exit::kOk) continue;
        CHECK(error.code == Exit::kBadData);
        CHECK(error.names("004.img.jpg"));
        ++failures;
      }
      CHECK(failures == 1);
      const std::vector<int64_t> bad = {4};
      CHECK((caught([&] { loader.load(bad); }).code == Exit::kBadData) ==
            (files.data->source(4).find("004.img") != std::string::npos));
    }
  }
}

TEST_CASE("images of unequal sizes are refused unless preprocessing makes them equal") {
  const Folder files(4);
  Loader loader(files.data, Order(Order::Kind::kSequential, 4, 4), {});
  const Caught error = caught([&] { loader.next(); });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("data.resize"));
}

}  // namespace taut::test
