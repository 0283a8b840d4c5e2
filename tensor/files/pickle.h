// Python pickles of protocol 2 as torch.save writes them, read into a tree of tagged values. Nothing is executed and no
// name is looked up: a class or function is one of a fixed list (pickle_names.cc) or the file is refused, and what
// "calling" one means is written down here for each. Opcodes are those that torch's own weights_only reader accepts.
//
// Memory is bounded by limits on values, stack, depth and memo, and by the length of the pickle; values keep views into
// the file. A tensor is checked against its storage when it is built, so the tree holds no tensor that reaches outside.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/files/stored_tensor.h"

namespace taut {

struct PickledStorage {
  std::string key, dtype;
  int64_t numel = 0;
};
struct PickledTensor {
  size_t storage = 0;
  std::string dtype;
  int64_t offset = 0;  // in elements of its dtype
  Shape shape, strides;
};

class Pickle {
 public:
  using Ref = uint32_t;
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kLong,
    kFloat,
    kText,
    kTuple,
    kList,
    kDict,
    kSet,
    kGlobal,
    kStorage,
    kTensor
  };
  struct Value {
    Kind kind = Kind::kNone;
    bool ordered = false;         // a dict that is a collections.OrderedDict
    uint16_t depth = 0;           // of containers inside
    uint32_t weight = 1;          // values inside, those reached twice counted twice
    int64_t integer = 0;          // kBool, kInt; the index of a kGlobal, kStorage or kTensor; the bits of a kFloat
    std::string_view text = {};   // kText; the little-endian bytes of a kLong (an integer of more than 8 bytes)
    std::vector<Ref> items = {};  // kTuple, kList; kDict: key, value, key, value, ...
  };

  // Reads one pickle from `text`, which may go on after it. Errors name `where` and the opcode with its offset, which
  // is that in `text` plus `origin`. Throws Error(kBadData).
  Pickle(std::string_view text, std::string where, uint64_t origin);

  size_t length() const { return at_; }  // bytes up to and including STOP
  const Value& root() const { return values_[root_]; }
  const Value& operator[](Ref ref) const { return values_[ref]; }
  const std::vector<PickledStorage>& storages() const { return storages_; }
  const std::vector<PickledTensor>& tensors() const { return tensors_; }

 private:
  using Items = std::vector<Ref>;
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const;
  void run();
  bool step(unsigned char code);
  std::string_view take(uint64_t count);
  template <class T>
  T number();
  void text(uint64_t length);
  Ref push(Value value);
  void push_ref(Ref ref);
  Value& top();
  Ref pop();
  Items pop_to_mark();
  void adopt(Value& parent, Ref child);
  void tuple(Items items);
  void append(Items items);
  void set_items(Items items);
  void put(uint64_t index);
  void get(uint64_t index);
  void global();
  void call();
  void new_object();
  void build_state();
  void persistent_id();
  void rebuild_tensor(const Items& args, size_t least, size_t most, bool own_dtype);
  void add_tensor(PickledTensor tensor);
  void no_hooks(Ref ref) const;
  int64_t integer(Ref ref, const char* what) const;
  Shape integers(Ref ref, const char* what) const;
  const Value& expect(Ref ref, Kind kind, const char* what) const;

  std::string_view text_;
  std::string where_;
  uint64_t origin_;
  size_t at_ = 0, opcode_at_ = 0;
  unsigned char opcode_ = 0;
  std::vector<Value> values_;
  std::vector<Ref> stack_, memo_;
  std::vector<size_t> marks_;
  uint64_t items_ = 0;  // adopted so far
  Ref root_ = 0;
  std::vector<PickledStorage> storages_;
  std::map<std::string, size_t, std::less<>> storage_index_;
  std::vector<PickledTensor> tensors_;
};

// What a value is, for messages: "a dict of 3", "text", ...
std::string describe(const Pickle::Value& value);

}  // namespace taut
