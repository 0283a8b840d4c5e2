#include "kernels/layout.h"

#include "kernels/math.h"
#include "kernels/patch_runs.h"

namespace taut::TAUT_CPU {
namespace {

// ---- strided copies -------------------------------------------------------------------------------------------------

constexpr int64_t kTile = 16;  // a tile of a transposed copy: 16 cache lines on each side

// The shape with dimensions of size 1 dropped, sorted so that `to` steps least in the last, and neighbours merged where
// both sides step evenly over them; at least one dimension.
struct Copy {
  int dims = 0;
  int64_t size[CopyShape::kMaxDims] = {1};
  int64_t from[CopyShape::kMaxDims] = {};
  int64_t to[CopyShape::kMaxDims] = {};

  explicit Copy(const CopyShape& shape) {
    Copy sorted;
    for (int d = 0; d < shape.dims; ++d) {
      if (shape.size[d] == 1) continue;
      int at = sorted.dims++;
      for (; at > 0 && sorted.to[at - 1] < shape.stride_to[d]; --at) sorted.set(at, sorted, at - 1);
      sorted.size[at] = shape.size[d];
      sorted.from[at] = shape.stride_from[d];
      sorted.to[at] = shape.stride_to[d];
    }
    for (int d = 0; d < sorted.dims; ++d) {
      const int64_t n = sorted.size[d];
      if (dims > 0 && from[dims - 1] == sorted.from[d] * n && to[dims - 1] == sorted.to[d] * n) {
        const int64_t merged = size[dims - 1] * n;
        set(dims - 1, sorted, d);
        size[dims - 1] = merged;
      } else {
        set(dims++, sorted, d);
      }
    }
    if (dims == 0) {
      dims = 1;
      from[0] = to[0] = 1;
    }
  }

  void set(int d, const Copy& other, int e) {
    size[d] = other.size[e];
    from[d] = other.from[e];
    to[d] = other.to[e];
  }
  void move_before_last(int d) {
    const Copy old = *this;
    for (int e = d; e + 2 < dims; ++e) set(e, old, e + 1);
    set(dims - 2, old, d);
  }
  // How many combinations of the first `count` dimensions there are, and where one of them starts.
  int64_t combinations(int count) const {
    int64_t n = 1;
    for (int d = 0; d < count; ++d) n *= size[d];
    return n;
  }
  void offsets(int count, int64_t index, int64_t& at_from, int64_t& at_to) const {
    at_from = at_to = 0;
    for (int d = count - 1; d >= 0; --d) {
      const int64_t i = index % size[d];
      index /= size[d];
      at_from += i * from[d];
      at_to += i * to[d];
    }
  }

 private:
  Copy() = default;
};

// `from` is contiguous along the dimension before the last, `to` along the last.
template <class T>
void copy_transposed(const T* from, T* to, const Copy& c) {
  const int64_t n = c.size[c.dims - 2], m = c.size[c.dims - 1], step_from = c.from[c.dims - 1],
                step_to = c.to[c.dims - 2];
  const int64_t tiles = (n + kTile - 1) / kTile;
  parallel_for(c.combinations(c.dims - 2) * tiles, rows_grain(kTile * m), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t at_from, at_to;
      c.offsets(c.dims - 2, task / tiles, at_from, at_to);
      const int64_t top = task % tiles * kTile, bottom = top + kTile < n ? top + kTile : n;
      for (int64_t left = 0; left < m; left += kTile) {
        const int64_t right = left + kTile < m ? left + kTile : m;
        for (int64_t i = top; i < bottom; ++i) {
          for (int64_t j = left; j < right; ++j) to[at_to + i * step_to + j] = from[at_from + i + j * step_from];
        }
      }
    }
  });
}

template <class T>
void copy(const T* from, T* to, const CopyShape& shape) {
  Copy c(shape);
  const int last = c.dims - 1;
  if (c.to[last] == 1 && c.from[last] != 1) {
    for (int d = 0; d < last; ++d) {
      if (c.from[d] != 1) continue;
      c.move_before_last(d);
      return copy_transposed(from, to, c);
    }
  }
  const int64_t cols = c.size[last], step_from = c.from[last], step_to = c.to[last];
  const int64_t rows = c.combinations(last), pieces = rows == 1 ? (cols + kGrain - 1) / kGrain : 1;
  const int64_t piece = pieces == 1 ? cols : kGrain;  // one long row is cut up to keep all threads busy
  parallel_for(rows * pieces, rows_grain(piece), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t at_from, at_to;
      c.offsets(last, task / pieces, at_from, at_to);
      const int64_t left = task % pieces * piece, count = left + piece < cols ? piece : cols - left;
      const T* source = from + at_from + left * step_from;
      T* target = to + at_to + left * step_to;
      if (step_from == 1 && step_to == 1) {
        __builtin_memcpy(target, source, static_cast<size_t>(count) * sizeof(T));
      } else {
        for (int64_t i = 0; i < count; ++i) target[i * step_to] = source[i * step_from];
      }
    }
  });
}

}  // namespace

void strided_copy(Stream, const void* from, void* to, int64_t element_bytes, const CopyShape& shape) {
  for (int d = 0; d < shape.dims; ++d) {
    if (shape.size[d] == 0) return;
  }
  switch (element_bytes) {
    case 1: return copy(static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), shape);
    case 2: return copy(static_cast<const uint16_t*>(from), static_cast<uint16_t*>(to), shape);
    case 4: return copy(static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), shape);
    case 8: return copy(static_cast<const uint64_t*>(from), static_cast<uint64_t*>(to), shape);
  }
}

template <class T>
void patchify_forward(Stream, const Real<T>* images, const Real<T>* mean, const Real<T>* std, T* out,
                      const PatchShape& shape) {
  const int64_t p = shape.p;
  for_pixel_runs(shape, [&](int64_t channel, int64_t pixel, int64_t column) {
    for_vectors(0, p, [&](int64_t i, auto lanes) {
      Vec<T> v = lanes.load(images + pixel + i);
      if (std != nullptr) v = (v - broadcast(mean[channel])) / broadcast(std[channel]);
      lanes.store(out + column + i, v);
    });
  });
}

template <class T>
void patchify_backward(Stream, const T* dout, const Real<T>* std, Real<T>* dimages, const PatchShape& shape) {
  const int64_t p = shape.p;
  for_pixel_runs(shape, [&](int64_t channel, int64_t pixel, int64_t column) {
    for_vectors(0, p, [&](int64_t i, auto lanes) {
      const Vec<T> v = lanes.load(dout + column + i);
      lanes.store(dimages + pixel + i, std != nullptr ? v / broadcast(std[channel]) : v);
    });
  });
}

// ---- tokens ---------------------------------------------------------------------------------------------------------

template <class T>
void assemble_tokens_forward(Stream, const T* patches, const T* cls, const T* pos, T* out, int64_t b, int64_t n,
                             int64_t d) {
  const int64_t t = n + 1;
  parallel_for(b * t, rows_grain(d), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / t, token = row % t;
      const T* source = token == 0 ? cls : patches + (image * n + token - 1) * d;
      for_vectors(0, d, [&](int64_t j, auto lanes) {
        lanes.store(out + row * d + j, lanes.load(source + j) + lanes.load(pos + token * d + j));
      });
    }
  });
}

template <class T>
void assemble_tokens_backward(Stream, const T* dout, T* dpatches, T* dcls, T* dpos, int64_t b, int64_t n, int64_t d) {
  const int64_t stride = (n + 1) * d;
  if (dpatches != nullptr) {
    parallel_for(b, rows_grain(n * d), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        __builtin_memcpy(dpatches + i * n * d, dout + i * stride + d, static_cast<size_t>(n * d) * sizeof(T));
      }
    });
  }
  const auto term = [&](int64_t row, int64_t j, auto lanes, Vec<T>(&t)[1]) {
    t[0] = lanes.load(dout + row * stride + j);
  };
  if (dcls != nullptr) column_sums<T, 1>({dcls}, b, d, term);
  if (dpos != nullptr) column_sums<T, 1>({dpos}, b, stride, term);
}

TAUT_INSTANTIATE_LAYOUT(float)
TAUT_INSTANTIATE_LAYOUT(double)

}  // namespace taut::TAUT_CPU
