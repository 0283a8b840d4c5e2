#include "tensor/files/pickle.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"
#include "tensor/files/pickle_names.h"

namespace taut {
namespace {

constexpr size_t kMaxValues = 2'000'000, kMaxStack = 200'000, kMaxMarks = 100, kMaxMemo = 4'000'000;
constexpr uint64_t kMaxOpcodes = 16'000'000, kMaxItems = 16'000'000;
constexpr int kMaxDepth = 100;
constexpr uint64_t kMaxWeight = 100'000'000;
constexpr size_t kMaxGlobalName = 200;

const char* name_of(Pickle::Kind kind) {
  constexpr const char* kNames[] = {"None",    "a bool",    "an integer", "a long integer", "a float",
                                    "a text",  "a tuple",   "a list",     "a dict",         "a set",
                                    "a class", "a storage", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

std::string describe(const Pickle::Value& value) {
  using Kind = Pickle::Kind;
  const bool many = value.kind == Kind::kTuple || value.kind == Kind::kList || value.kind == Kind::kDict;
  if (!many) return name_of(value.kind);
  return fmt::format("{} of {}", name_of(value.kind), value.items.size() / (value.kind == Kind::kDict ? 2 : 1));
}

template <class... Args>
void Pickle::bad(fmt::format_string<Args...> format, Args&&... args) const {
  fail(Exit::kBadData, "{}: opcode {} at byte {}: {}", where_, opcode_name(opcode_), origin_ + opcode_at_,
       fmt::format(format, std::forward<Args>(args)...));
}

Pickle::Pickle(std::string_view text, std::string where, uint64_t origin)
    : text_(text), where_(std::move(where)), origin_(origin) {
  run();
}

void Pickle::run() {
  if (text_.size() < 2 || static_cast<unsigned char>(text_[0]) != opcode::kProto)
    fail(Exit::kBadData, "{}: expected a pickle at byte {}", where_, origin_);
  opcode_ = opcode::kProto;
  if (text_[1] != 2)
    bad("expected protocol 2, got {}; hint: save with torch.save's default protocol",
        static_cast<unsigned char>(text_[1]));
  at_ = 2;
  for (uint64_t n = 0;; ++n) {
    opcode_at_ = at_;
    if (at_ == text_.size()) fail(Exit::kBadData, "{}: the pickle is cut off at byte {}", where_, origin_ + at_);
    opcode_ = static_cast<unsigned char>(text_[at_++]);
    if (n == kMaxOpcodes) bad("expected at most {} opcodes", kMaxOpcodes);
    if (!step(opcode_)) return;
  }
}

// Carries one opcode out; false at the end.
bool Pickle::step(unsigned char code) {
  switch (code) {
    case opcode::kStop:
      root_ = pop();
      if (!stack_.empty() || !marks_.empty()) bad("expected one value, {} more are on the stack", stack_.size());
      return false;
    case opcode::kMark:
      if (marks_.size() == kMaxMarks) bad("nested deeper than {}", kMaxMarks);
      marks_.push_back(stack_.size());
      return true;
    case opcode::kNone: push({}); return true;
    case opcode::kNewTrue:
    case opcode::kNewFalse: push({.kind = Kind::kBool, .integer = code == opcode::kNewTrue}); return true;
    case opcode::kBinInt: push({.kind = Kind::kInt, .integer = number<int32_t>()}); return true;
    case opcode::kBinInt1: push({.kind = Kind::kInt, .integer = number<uint8_t>()}); return true;
    case opcode::kBinInt2: push({.kind = Kind::kInt, .integer = number<uint16_t>()}); return true;
    case opcode::kLong1: {
      const std::string_view bytes = take(number<uint8_t>());
      if (bytes.size() > 8) {
        push({.kind = Kind::kLong, .text = bytes});
        return true;
      }
      uint64_t value = !bytes.empty() && bytes.back() & 0x80 ? ~uint64_t{0} : 0;  // the sign fills the upper bytes
      for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
      push({.kind = Kind::kInt, .integer = static_cast<int64_t>(value)});
      return true;
    }
    case opcode::kBinFloat:
      push({.kind = Kind::kFloat, .integer = static_cast<int64_t>(__builtin_bswap64(number<uint64_t>()))});
      return true;
    case opcode::kBinUnicode: text(number<uint32_t>()); return true;
    case opcode::kShortBinString: text(number<uint8_t>()); return true;
    case opcode::kEmptyTuple: tuple({}); return true;
    case opcode::kTuple: tuple(pop_to_mark()); return true;
    case opcode::kTuple1:
    case opcode::kTuple2:
    case opcode::kTuple3: {
      Items items(static_cast<size_t>(code - opcode::kTuple1 + 1));
      for (size_t i = items.size(); i-- > 0;) items[i] = pop();
      tuple(std::move(items));
      return true;
    }
    case opcode::kEmptyList: push({.kind = Kind::kList}); return true;
    case opcode::kEmptyDict: push({.kind = Kind::kDict}); return true;
    case opcode::kEmptySet: push({.kind = Kind::kSet}); return true;
    case opcode::kAppend: append({pop()}); return true;
    case opcode::kAppends: append(pop_to_mark()); return true;
    case opcode::kSetItem: {
      const Ref value = pop(), key = pop();
      set_items({key, value});
      return true;
    }
    case opcode::kSetItems: set_items(pop_to_mark()); return true;
    case opcode::kBinPut: put(number<uint8_t>()); return true;
    case opcode::kLongBinPut: put(number<uint32_t>()); return true;
    case opcode::kBinGet: get(number<uint8_t>()); return true;
    case opcode::kLongBinGet: get(number<uint32_t>()); return true;
    case opcode::kGlobal: global(); return true;
    case opcode::kReduce: call(); return true;
    case opcode::kNewObj: new_object(); return true;
    case opcode::kBuild: build_state(); return true;
    case opcode::kBinPersId: persistent_id(); return true;
  }
  bad("not an opcode that files of weights need; hint: only tensors and plain values are read, never code. Save "
      "model.state_dict() alone, with torch.save's default protocol, or as safetensors");
}

std::string_view Pickle::take(uint64_t count) {
  if (count > text_.size() - at_) bad("expected {} bytes, {} are left", count, text_.size() - at_);
  at_ += count;
  return text_.substr(at_ - count, count);
}

template <class T>
T Pickle::number() {
  return load<T>(take(sizeof(T)), 0);
}

void Pickle::text(uint64_t length) {
  const std::string_view text = take(length);
  if (!is_utf8(text)) bad("expected UTF-8, got \"{}\"", printable(text));
  push({.kind = Kind::kText, .text = text});
}

Pickle::Ref Pickle::push(Value value) {
  if (values_.size() == kMaxValues) bad("expected at most {} values", kMaxValues);
  values_.push_back(std::move(value));
  push_ref(static_cast<Ref>(values_.size() - 1));
  return stack_.back();
}

void Pickle::push_ref(Ref ref) {
  if (stack_.size() == kMaxStack) bad("expected at most {} values on the stack", kMaxStack);
  stack_.push_back(ref);
}

Pickle::Value& Pickle::top() {
  if (stack_.size() == (marks_.empty() ? 0 : marks_.back())) bad("the stack is empty");
  return values_[stack_.back()];
}

Pickle::Ref Pickle::pop() {
  top();
  const Ref ref = stack_.back();
  stack_.pop_back();
  return ref;
}

Pickle::Items Pickle::pop_to_mark() {
  if (marks_.empty()) bad("no MARK came before");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Pickle::adopt(Value& parent, Ref child) {
  const Value& c = values_[child];
  if (++items_ > kMaxItems) bad("expected at most {} items in all containers", kMaxItems);
  if (c.depth + 1 > kMaxDepth) bad("nested deeper than {}", kMaxDepth);
  parent.depth = std::max<uint16_t>(parent.depth, static_cast<uint16_t>(c.depth + 1));
  const uint64_t weight = uint64_t{parent.weight} + c.weight;
  if (weight > kMaxWeight)
    bad("expected at most {} values, those of the memo counted as often as they are used", kMaxWeight);
  parent.weight = static_cast<uint32_t>(weight);
  parent.items.push_back(child);
}

void Pickle::tuple(Items items) {
  Value value{.kind = Kind::kTuple};
  value.items.reserve(items.size());
  for (const Ref r : items) adopt(value, r);
  push(std::move(value));
}

void Pickle::append(Items items) {
  Value& list = top();
  if (list.kind != Kind::kList) bad("expected a list, got {}", describe(list));
  for (const Ref r : items) adopt(list, r);
}

void Pickle::set_items(Items items) {
  Value& dict = top();
  if (dict.kind != Kind::kDict) bad("expected a dict, got {}", describe(dict));
  if (items.size() % 2 != 0) bad("expected keys and values, got {} items", items.size());
  for (size_t i = 0; i < items.size(); i += 2) {
    const Kind key = values_[items[i]].kind;
    if (key != Kind::kText && key != Kind::kInt && key != Kind::kBool && key != Kind::kNone && key != Kind::kFloat &&
        key != Kind::kTuple)
      bad("expected a text or number as key, got {}", describe(values_[items[i]]));
    adopt(dict, items[i]);
    adopt(dict, items[i + 1]);
  }
}

void Pickle::put(uint64_t index) {
  if (index >= kMaxMemo) bad("expected a memo index below {}, got {}", kMaxMemo, index);
  top();
  constexpr Ref kNothing = ~Ref{0};
  // Writers count up, so the memo is as long as the pickle allows; a gap may not make it longer than that.
  if (index > text_.size()) bad("memo index {} is past the pickle's {} bytes", index, text_.size());
  if (index >= memo_.size()) memo_.resize(index + 1, kNothing);
  memo_[index] = stack_.back();
}

void Pickle::get(uint64_t index) {
  if (index >= memo_.size() || memo_[index] >= values_.size()) bad("nothing is at memo index {}", index);
  push_ref(memo_[index]);
}

void Pickle::global() {
  std::string_view names[2];
  for (std::string_view& name : names) {
    const size_t length = text_.substr(at_, kMaxGlobalName + 1).find('\n');
    if (length == std::string_view::npos)
      bad("expected two names, each ended by a line feed within {} bytes", kMaxGlobalName);
    name = take(length + 1).substr(0, length);
  }
  if (const int64_t index = find_global(names[0], names[1]); index >= 0) {
    push({.kind = Kind::kGlobal, .integer = index});
    return;
  }
  bad("'{}.{}' is not among the classes and functions a file of weights may name; hint: no code of a file is ever run. "
      "Save model.state_dict() alone, or as safetensors",
      printable(names[0]), printable(names[1]));
}

const Pickle::Value& Pickle::expect(Ref ref, Kind kind, const char* what) const {
  const Value& value = values_[ref];
  if (value.kind != kind) bad("expected {} as {}, got {}", name_of(kind), what, describe(value));
  return value;
}

// Hooks would be functions: None or an empty dict.
void Pickle::no_hooks(Ref ref) const {
  if (values_[ref].kind != Kind::kNone && !expect(ref, Kind::kDict, "the hooks").items.empty())
    bad("expected no hooks");
}

int64_t Pickle::integer(Ref ref, const char* what) const {
  const int64_t value = expect(ref, Kind::kInt, what).integer;
  if (value < 0) bad("expected {} of at least 0, got {}", what, value);
  return value;
}

Shape Pickle::integers(Ref ref, const char* what) const {
  Shape out;
  const Value& value = expect(ref, Kind::kTuple, what);
  if (value.items.size() > kMaxFileDims)
    bad("expected at most {} dimensions, got {}", kMaxFileDims, value.items.size());
  for (const Ref r : value.items) out.push_back(integer(r, what));
  return out;
}

// REDUCE: the stack holds a function and a tuple of arguments. What each function of the list gives is written here.
void Pickle::call() {
  const Ref arguments = pop(), function = pop();
  const Global& global = global_at(expect(function, Kind::kGlobal, "the function").integer);
  const Items args = expect(arguments, Kind::kTuple, "the arguments").items;
  switch (global.role) {
    case Role::kOrderedDict: {
      if (args.size() > 1) bad("OrderedDict: expected no arguments or a list of pairs, got {}", args.size());
      push({.kind = Kind::kDict, .ordered = true});
      if (args.empty()) return;
      const Items pairs = expect(args[0], Kind::kList, "OrderedDict's pairs").items;
      for (const Ref p : pairs) {
        const Items pair = values_[p].items;
        if ((values_[p].kind != Kind::kTuple && values_[p].kind != Kind::kList) || pair.size() != 2)
          bad("OrderedDict: expected pairs, got {}", describe(values_[p]));
        set_items(pair);
      }
      return;
    }
    case Role::kSize:
      if (args.size() != 1) bad("torch.Size: expected one argument, got {}", args.size());
      expect(args[0], Kind::kTuple, "torch.Size's argument");
      push_ref(args[0]);
      return;
    case Role::kParameter:
    case Role::kRebuildParameter: {
      const size_t least = global.role == Role::kParameter ? 1 : 3, most = global.role == Role::kParameter ? 2 : 3;
      if (args.size() < least || args.size() > most) bad("{}: got {} arguments", global.name, args.size());
      expect(args[0], Kind::kTensor, "the parameter's value");
      if (args.size() == 3) no_hooks(args[2]);
      push_ref(args[0]);
      return;
    }
    case Role::kRebuildV1: return rebuild_tensor(args, 4, 4, false);
    case Role::kRebuildV2: return rebuild_tensor(args, 6, 7, false);
    case Role::kRebuildV3: return rebuild_tensor(args, 7, 8, true);
    case Role::kStorage:
    case Role::kDType: break;
  }
  bad("{}.{} is not called in files of weights", global.module, global.name);
}

// NEWOBJ: a class and a tuple of arguments; the two classes that have no other form.
void Pickle::new_object() {
  const Ref cls = stack_.size() >= 2 ? stack_[stack_.size() - 2] : pop();
  const Role role = global_at(expect(cls, Kind::kGlobal, "the class").integer).role;
  if (role != Role::kOrderedDict && role != Role::kParameter && role != Role::kSize)
    bad("expected OrderedDict, Parameter or Size as the class");
  call();
}

// BUILD: an OrderedDict's attributes (torch keeps versions of modules there). Nothing of them is needed.
void Pickle::build_state() {
  const Ref state = pop();
  const Value& object = top();
  if (object.kind != Kind::kDict || !object.ordered) bad("expected an OrderedDict, got {}", describe(object));
  expect(state, Kind::kDict, "the OrderedDict's attributes");
}

// BINPERSID: ('storage', class, key, location, number of elements[, None]) stands for a storage.
void Pickle::persistent_id() {
  const Items id = expect(pop(), Kind::kTuple, "the persistent id").items;
  if (id.size() < 5 || id.size() > 6 || expect(id[0], Kind::kText, "the persistent id's type").text != "storage")
    bad("expected ('storage', class, key, location, number of elements)");
  const Global& cls = global_at(expect(id[1], Kind::kGlobal, "the storage's class").integer);
  if (cls.role != Role::kStorage || *cls.dtype == 0) bad("expected a storage's class, got {}.{}", cls.module, cls.name);
  const std::string key(expect(id[2], Kind::kText, "the storage's key").text);
  expect(id[3], Kind::kText, "the storage's location");
  const int64_t numel = integer(id[4], "the number of elements");
  if (id.size() == 6) expect(id[5], Kind::kNone, "the view of a storage");
  if (bits_of(cls.dtype, {numel}) < 0) bad("a storage of {} elements is too large", numel);
  const auto [it, is_new] = storage_index_.emplace(key, storages_.size());
  if (is_new) storages_.push_back({key, cls.dtype, numel});
  if (const PickledStorage& s = storages_[it->second]; s.dtype != cls.dtype || s.numel != numel)
    bad("storage '{}' has {} elements of {} here, {} of {} before", printable(key), numel, cls.dtype, s.numel, s.dtype);
  push({.kind = Kind::kStorage, .integer = static_cast<int64_t>(it->second)});
}

// (storage, offset, sizes, strides[, requires_grad, hooks[, dtype][, metadata]])
void Pickle::rebuild_tensor(const Items& args, size_t least, size_t most, bool own_dtype) {
  if (args.size() < least || args.size() > most) bad("expected {} to {} arguments, got {}", least, most, args.size());
  PickledTensor tensor;
  tensor.storage = static_cast<size_t>(expect(args[0], Kind::kStorage, "the storage").integer);
  tensor.offset = integer(args[1], "the offset");
  tensor.shape = integers(args[2], "the sizes");
  tensor.strides = integers(args[3], "the strides");
  if (args.size() > 4) expect(args[4], Kind::kBool, "requires_grad");
  if (args.size() > 5) no_hooks(args[5]);
  tensor.dtype = storages_[tensor.storage].dtype;
  if (own_dtype) {
    const Global& dtype = global_at(expect(args[6], Kind::kGlobal, "the dtype").integer);
    if (dtype.role != Role::kDType) bad("expected a dtype, got {}.{}", dtype.module, dtype.name);
    tensor.dtype = dtype.dtype;
  }
  if (args.size() == most && most > least) {  // flags like `conj`, which would change the values
    const Value& metadata = values_[args.back()];
    if (metadata.kind != Kind::kNone && !expect(args.back(), Kind::kDict, "the metadata").items.empty())
      bad("expected a plain tensor; this one is marked as conjugate or negative; hint: save tensor.resolve_neg()");
  }
  add_tensor(std::move(tensor));
}

// The last element lies inside the storage, and there are no more elements than the storage has.
void Pickle::add_tensor(PickledTensor t) {
  const PickledStorage& storage = storages_[t.storage];
  if (t.strides.size() != t.shape.size()) bad("expected {} strides, got {}", t.shape.size(), t.strides.size());
  const int64_t bits = bits_of(t.dtype, t.shape), element = bits_of(t.dtype);
  if (bits < 0) bad("the shape {} overflows", to_string(t.shape));
  const int64_t have = bits_of(storage.dtype, {storage.numel}) / element;
  int64_t last = t.offset;
  bool overflow = false;
  for (size_t i = 0; i < t.shape.size() && bits > 0; ++i) {
    int64_t step = 0;
    overflow = overflow || __builtin_mul_overflow(t.shape[i] - 1, t.strides[i], &step) ||
               __builtin_add_overflow(last, step, &last);
  }
  if (bits > 0 && (overflow || last >= have))
    bad("a tensor of shape {}, strides {} and offset {} reaches outside its storage '{}' of {} elements",
        to_string(t.shape), to_string(t.strides), t.offset, printable(storage.key), have);
  if (bits / element > have)
    bad("a tensor of shape {} has more elements than its storage '{}' ({}); hint: save tensor.contiguous()",
        to_string(t.shape), printable(storage.key), have);
  if (tensors_.size() == kMaxFileTensors) bad("expected at most {} tensors", kMaxFileTensors);
  const Shape packed = row_major_strides(t.shape);
  for (size_t i = 0; i < t.shape.size(); ++i)
    if (t.shape[i] <= 1 || bits == 0) t.strides[i] = packed[i];  // steps nobody takes
  tensors_.push_back(std::move(t));
  push({.kind = Kind::kTensor, .integer = static_cast<int64_t>(tensors_.size() - 1)});
}

}  // namespace taut
