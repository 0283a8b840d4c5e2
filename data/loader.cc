#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "data/for_all.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace taut {

// All preprocessed images, filled in as they are first used. The memory is not touched before, so an evaluation of a
// few images costs a few images.
struct ImageStore::Residency {
  explicit Residency(int64_t images, int64_t bytes)
      : pixels(std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(images * bytes))),
        present(static_cast<size_t>(images), 0) {}
  std::mutex mutex;
  std::unique_ptr<uint8_t[]> pixels;
  std::vector<uint8_t> present;
};

ImageStore::ImageStore(DatasetPtr dataset, const Preprocess& how, int64_t resident_bytes)
    : dataset_(std::move(dataset)), how_(how), resident_bytes_(resident_bytes) {
  TAUT_CHECK(dataset_->size() >= 1, "[{}] expected at least one image, got none", dataset_->name());
  const Image image = preprocess(dataset_->image(0), how_);
  channels_ = image.channels;
  height_ = image.height;
  width_ = image.width;
  mapped_ = how_ == Preprocess{} && dataset_->pixels(0) != nullptr;
  if (!mapped_ && image_bytes() <= resident_bytes / size())
    memory_ = std::make_unique<Residency>(size(), image_bytes());
}

ImageStore::~ImageStore() = default;

void ImageStore::make(int64_t index, uint8_t* out) const {
  const Image image = preprocess(dataset_->image(index), how_);
  if (image.channels != channels_ || image.height != height_ || image.width != width_) {
    fail(Exit::kBadData, "[{}] expected an image of {} x {} x {} like the first, got {} x {} x {}; hint: data.resize",
         dataset_->source(index), height_, width_, channels_, image.height, image.width, image.channels);
  }
  std::memcpy(out, image.pixels.data(), image.pixels.size());
}

void ImageStore::gather(std::span<const int64_t> indices, float* images, bool alone) const {
  const auto n = static_cast<int64_t>(indices.size());
  const int64_t bytes = image_bytes();
  for (const int64_t i : indices) {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected image numbers in [0, {}), got {}", dataset_->name(), size(), i);
  }
  if (!memory_) {
    for_all(n, alone, [&](int64_t k) {
      const int64_t i = indices[static_cast<size_t>(k)];
      const uint8_t* pixels = mapped_ ? dataset_->pixels(i) : nullptr;
      std::vector<uint8_t> made;
      if (pixels == nullptr) {
        made.resize(static_cast<size_t>(bytes));
        make(i, made.data());
        pixels = made.data();
      }
      to_float(pixels, height_, width_, channels_, images + k * bytes);
    });
    return;
  }
  {
    const std::lock_guard lock(memory_->mutex);
    std::vector<int64_t> missing;
    for (const int64_t i : indices) {
      uint8_t& mark = memory_->present[static_cast<size_t>(i)];
      if (mark == 0) missing.push_back(i);
      mark = 1;  // so that an index given twice is listed once
    }
    try {
      for_all(static_cast<int64_t>(missing.size()), alone, [&](int64_t k) {
        const int64_t i = missing[static_cast<size_t>(k)];
        make(i, memory_->pixels.get() + i * bytes);
      });
    } catch (...) {
      for (const int64_t i : missing) memory_->present[static_cast<size_t>(i)] = 0;
      throw;
    }
  }
  for_all(n, alone, [&](int64_t k) {
    const uint8_t* pixels = memory_->pixels.get() + indices[static_cast<size_t>(k)] * bytes;
    to_float(pixels, height_, width_, channels_, images + k * bytes);
  });
}

// Threads that prepare the batches after the current step. One batch is one job: they are independent, and there are
// several in work at a time.
class Loader::Ahead {
 public:
  Ahead(const Loader& loader, int threads, int ahead) : loader_(loader), ahead_(ahead) {
    for (int t = 0; t < threads; ++t) workers_.emplace_back([this] { work(); });
  }

  ~Ahead() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
  }

  // The batch of `step`; those after it are started.
  Batch take(int64_t step) {
    std::unique_lock lock(mutex_);
    if (jobs_.empty() || jobs_.front()->step != step) {
      jobs_.clear();  // a batch in work elsewhere finishes unseen
      next_step_ = step;
    }
    while (static_cast<int>(jobs_.size()) < ahead_ + 1) {
      auto job = std::make_shared<Job>();
      job->step = next_step_++;
      job->indices = loader_.order_.indices(job->step);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_all();
    const std::shared_ptr<Job> job = jobs_.front();
    done_.wait(lock, [&] { return job->done; });
    jobs_.pop_front();
    if (job->error) std::rethrow_exception(job->error);
    return std::move(job->batch);
  }

 private:
  struct Job {
    int64_t step = 0;
    std::vector<int64_t> indices;
    bool taken = false, done = false;
    Batch batch;
    std::exception_ptr error;
  };

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      std::shared_ptr<Job> job;
      wake_.wait(lock, [&] {
        const auto it = std::find_if(jobs_.begin(), jobs_.end(), [](const auto& j) { return !j->taken; });
        if (it != jobs_.end()) job = *it;
        return stop_ || job != nullptr;
      });
      if (stop_) return;
      job->taken = true;
      lock.unlock();
      try {
        job->batch = loader_.fetch(job->indices, true);
      } catch (...) {
        job->error = std::current_exception();
      }
      lock.lock();
      job->done = true;
      done_.notify_all();
    }
  }

  const Loader& loader_;
  int ahead_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<std::shared_ptr<Job>> jobs_;
  int64_t next_step_ = 0;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

Loader::Loader(DatasetPtr dataset, Order order, const LoaderOptions& options)
    : Loader(std::make_shared<const ImageStore>(std::move(dataset), options.preprocess, options.resident_bytes),
             std::move(order), options) {}

Loader::Loader(std::shared_ptr<const ImageStore> store, Order order, const LoaderOptions& options)
    : store_(std::move(store)), order_(std::move(order)), options_(options) {
  TAUT_CHECK(options.ahead >= 1 && options.threads >= 0, "[loader] expected ahead >= 1 and threads >= 0, got {} and {}",
             options.ahead, options.threads);
  if (!store_->resident()) {
    ahead_ = std::make_unique<Ahead>(*this, options.threads > 0 ? options.threads : num_threads(), options.ahead);
  }
}

Loader::~Loader() = default;

void Loader::seek(int64_t step) {
  TAUT_CHECK(step >= 0, "[loader] expected a step of at least 0, got {}", step);
  step_ = step;
}

Batch Loader::next() {
  const int64_t step = step_++;
  return ahead_ ? ahead_->take(step) : load(order_.indices(step));
}

Batch Loader::load(std::span<const int64_t> indices) const { return fetch(indices, false); }

Batch Loader::fetch(std::span<const int64_t> indices, bool alone) const {
  Batch batch{.n = static_cast<int64_t>(indices.size()),
              .channels = store_->channels(),
              .height = store_->height(),
              .width = store_->width(),
              .images = std::vector<float>(indices.size() * static_cast<size_t>(store_->image_bytes())),
              .labels = {},
              .indices = {indices.begin(), indices.end()}};
  store_->gather(indices, batch.images.data(), alone);
  for (const int64_t i : indices) batch.labels.push_back(store_->dataset().label(i));
  return batch;
}

}  // namespace taut
