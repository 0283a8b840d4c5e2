#include "tests/fuzz/seeds_pickle.h"

#include <fmt/format.h>

namespace taut::fuzz {
namespace {

using namespace pickle;
using namespace std::string_literals;

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::string long1(int64_t value) { return "\x8a\x08" + le(value); }

// A call of _rebuild_tensor_v2 up to REDUCE, with these pieces as arguments.
std::string rebuild(const std::string& storage, const std::string& offset, const std::string& sizes,
                    const std::string& strides, const std::string& hooks = "}", const std::string& more = "") {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + offset + sizes + strides + "\x89" + hooks +
         more + "t";
}

// What a file could ask for, and the opcode at which it is refused.
std::vector<HostilePickle> code_wanted() {
  std::vector<HostilePickle> all;
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"builtins", "eval"},
                                                        {"__builtin__", "eval"},
                                                        {"builtins", "exec"},
                                                        {"builtins", "getattr"},
                                                        {"pkgutil", "resolve_name"},
                                                        {"subprocess", "Popen"},
                                                        {"torch.hub", "load"},
                                                        {"torch", "load"},
                                                        {"torch", "FloatStorage.from_file"},
                                                        {"torch.jit", "load"},
                                                        {"numpy.core.multiarray", "_reconstruct"},
                                                        {"collections", "OrderedDict.fromkeys"},
                                                        {"collections", "defaultdict"},
                                                        {"torch._utils", "_rebuild_tensor_v2 "},
                                                        {"", ""},
                                                        {"torch", "Tensor"}})
    all.push_back({"drill 22: " + module + "." + name, "", global(module, name) + tuple({text("echo")}) + "R", "GLOBAL",
                   "'" + module + "." + name + "' is not among"});
  const std::string allowed = global("collections", "OrderedDict");
  all.push_back({"drill 22: STACK_GLOBAL", text("os") + text("system"), "\x93", "STACK_GLOBAL", "not an opcode"});
  all.push_back({"drill 22: INST", "(", "ios\nsystem\n", "INST", "not an opcode"});
  all.push_back({"drill 22: OBJ", "(" + allowed, "o", "OBJ", "not an opcode"});
  all.push_back({"drill 22: EXT1", "", "\x82\x01", "EXT1", "not an opcode"});
  all.push_back({"drill 22: EXT2", "", "\x83\x01\x01", "EXT2", "not an opcode"});
  all.push_back({"drill 22: EXT4", "", "\x84\x01\x01\x01\x01", "EXT4", "not an opcode"});
  all.push_back({"drill 22: PERSID", "", "P0\n", "PERSID", "not an opcode"});
  all.push_back({"drill 22: NEWOBJ_EX", allowed + ")}", "\x92", "NEWOBJ_EX", "not an opcode"});
  all.push_back({"drill 22: BUILD on a set", "\x8f}", "b", "BUILD", "expected an OrderedDict, got a set"});
  all.push_back({"drill 22: BUILD on a dict", "}}", "b", "BUILD", "expected an OrderedDict, got a dict of 0"});
  all.push_back({"drill 22: BUILD with a tuple", allowed + ")R)", "b", "BUILD",
                 "expected a dict as the OrderedDict's attributes"});
  all.push_back({"drill 22: BUILD on a class", allowed + "}", "b", "BUILD", "expected an OrderedDict, got a class"});
  all.push_back({"drill 22: NEWOBJ of a storage", global("torch", "FloatStorage") + ")", "\x81", "NEWOBJ",
                 "expected OrderedDict, Parameter or Size"});
  all.push_back({"drill 22: REDUCE of a storage", global("torch", "FloatStorage") + "(" + text("etc") + "t", "R",
                 "REDUCE", "torch.FloatStorage is not called"});
  all.push_back(
      {"drill 22: REDUCE of a text", text("f") + ")", "R", "REDUCE", "expected a class as the function, got a text"});
  all.push_back({"drill 22: out-of-band buffer", "", "\x97", "NEXT_BUFFER", "not an opcode"});
  all.push_back({"drill 22: readonly buffer", "N", "\x98", "READONLY_BUFFER", "not an opcode"});
  all.push_back({"drill 22: FRAME", "", "\x95" + le<uint64_t>(1) + "N", "FRAME", "not an opcode"});
  all.push_back({"drill 22: BYTEARRAY8", "", "\x96" + le(~uint64_t{0}), "BYTEARRAY8", "not an opcode"});
  return all;
}

std::vector<HostilePickle> bombs() {
  std::vector<HostilePickle> all;
  // Weights 1, 1 + 2, 1 + 2 * 3, ...: 2^(k+1) - 1 after k pairs, more than 10^8 at the 26th.
  all.push_back({"drill 22: memo bomb", ")q\0"s + repeated("h\0h\0\x86q\0"s, 25) + "h\0h\0"s, "\x86", "TUPLE2",
                 "at most 100000000 values"});
  all.push_back(
      {"drill 22: memo index 2^32 - 1", "N", "r\xff\xff\xff\xff", "LONG_BINPUT", "expected a memo index below"});
  all.push_back({"drill 22: memo index past the pickle", "N", "r" + le<uint32_t>(3'999'999), "LONG_BINPUT",
                 "is past the pickle's"});
  // 2000 dicts of the same 4000 pairs.
  const std::string pairs = "NN\x86q\0"s + "](" + repeated("h\0"s, 4000) + "e\x85q\1";
  all.push_back({"drill 22: items again and again",
                 pairs + global("collections", "OrderedDict") + "q\2" + repeated("h\2h\1R", 1999) + "h\2h\1", "R",
                 "REDUCE", "at most 16000000 items"});
  all.push_back({"drill 22: deep lists", std::string(100000, ']') + std::string(100, 'a'), std::string(99899, 'a'),
                 "APPEND", "nested deeper than 100"});
  all.push_back(
      {"drill 22: deep marks", std::string(100, '('), std::string(100000, '('), "MARK", "nested deeper than 100"});
  all.push_back({"drill 22: deep tuples", ")" + std::string(100, '\x85'), std::string(100000, '\x85'), "TUPLE1",
                 "nested deeper than 100"});
  all.push_back({"drill 22: deep dicts", repeated("}N", 1000) + "}" + std::string(100, 's'), std::string(900, 's'),
                 "SETITEM", "nested deeper than 100"});
  all.push_back(
      {"drill 22: endless stack", std::string(200000, 'N'), "N", "NONE", "at most 200000 values on the stack"});
  all.push_back({"text of 4 GB", "",
                 "X\xff\xff\xff\xff"
                 "abc"s,
                 "BINUNICODE", "expected 4294967295 bytes"});
  return all;
}

std::vector<HostilePickle> nonsense() {
  std::vector<HostilePickle> all;
  all.push_back({"STOP without a value", "", "", "STOP", "the stack is empty"});
  all.push_back({"STOP with two values", "NN", "", "STOP", "expected one value, 1 more"});
  all.push_back({"STOP inside a mark", "N(", "", "STOP", "the stack is empty"});
  all.push_back({"a second PROTO", "N", "\x80\x02", "PROTO", "not an opcode"});
  all.push_back({"TUPLE without a mark", "N", "t", "TUPLE", "no MARK came before"});
  all.push_back({"TUPLE2 through a mark", "N(N", "\x86", "TUPLE2", "the stack is empty"});
  all.push_back({"APPEND to a dict", "}N", "a", "APPEND", "expected a list, got a dict of 0"});
  all.push_back({"SETITEMS to a list", "](NN", "u", "SETITEMS", "expected a dict, got a list of 0"});
  all.push_back({"SETITEMS of three", "}(NNN", "u", "SETITEMS", "expected keys and values, got 3 items"});
  all.push_back({"a list as key", "}]N", "s", "SETITEM", "as key, got a list of 0"});
  all.push_back({"BINGET of nothing", "N", "h\7", "BINGET", "nothing is at memo index 7"});
  all.push_back({"BINGET of a gap", "Nq\5" + text("0123456789"), "h\3", "BINGET", "nothing is at memo index 3"});
  all.push_back({"BINPUT of nothing", "", "q\0"s, "BINPUT", "the stack is empty"});
  all.push_back({"text not UTF-8", "", "X\2\0\0\0\xc3\x28"s, "BINUNICODE", "expected UTF-8"});
  all.push_back({"a name without an end", "", "c" + std::string(300, 'x'), "GLOBAL", "expected two names"});
  all.push_back({"an unknown opcode", "", "\xfe", "0xfe", "not an opcode"});
  all.push_back({"OrderedDict of a dict", global("collections", "OrderedDict") + "}\x85", "R", "REDUCE",
                 "as OrderedDict's pairs, got a dict"});
  all.push_back({"OrderedDict of no pairs", global("collections", "OrderedDict") + list({"N"}) + "\x85", "R", "REDUCE",
                 "expected pairs, got None"});
  all.push_back({"Size of numbers", global("torch", "Size") + integer(1) + "\x85", "R", "REDUCE",
                 "expected a tuple as torch.Size's argument"});
  all.push_back({"Parameter of None", global("torch.nn.parameter", "Parameter") + "N\x85", "R", "REDUCE",
                 "expected a tensor as the parameter's value"});
  all.push_back({"persistent id of a module", tuple({text("module"), "N", "N", "N", "N"}), "Q", "BINPERSID",
                 "expected ('storage'"});
  all.push_back(
      {"persistent id of no tuple", text("storage"), "Q", "BINPERSID", "expected a tuple as the persistent id"});
  all.push_back({"storage of a class that is none",
                 tuple({text("storage"), global("torch", "float32"), text("0"), text("cpu"), integer(2)}), "Q",
                 "BINPERSID", "expected a storage's class, got torch.float32"});
  all.push_back({"storage without a type",
                 tuple({text("storage"), global("torch.storage", "TypedStorage"), text("0"), text("cpu"), integer(2)}),
                 "Q", "BINPERSID", "expected a storage's class"});
  all.push_back({"storage of -1 elements",
                 tuple({text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(-1)}), "Q",
                 "BINPERSID", "of at least 0, got -1"});
  all.push_back(
      {"storage of 2^62 elements",
       tuple({text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), long1(int64_t{1} << 62)}), "Q",
       "BINPERSID", "is too large"});
  all.push_back(
      {"one storage, two sizes",
       storage({}) + tuple({text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(3)}), "Q",
       "BINPERSID", "has 3 elements of F32 here, 2 of F32 before"});
  return all;
}

std::vector<HostilePickle> tensors() {
  const std::string s = storage({}), zero = integer(0), one = tuple({integer(1)}), two = tuple({integer(2)});
  std::vector<HostilePickle> all;
  const auto add = [&](const std::string& name, const std::string& call, const std::string& words) {
    all.push_back({"tensor: " + name, call, "R", "REDUCE", words});
  };
  add("longer than its storage", rebuild(s, zero, tuple({integer(3)}), one), "reaches outside its storage '0' of 2");
  add("offset past the end", rebuild(s, integer(1), two, one), "reaches outside");
  add("offset of 2^63 - 1", rebuild(s, long1(INT64_MAX), two, one), "reaches outside");
  add("stride past the end", rebuild(s, zero, two, two), "reaches outside");
  add("strides overflow", rebuild(s, zero, tuple({integer(2), integer(1)}), tuple({long1(INT64_MAX), integer(1)})),
      "reaches outside");
  add("sizes overflow",
      rebuild(s, zero, tuple({long1(int64_t{1} << 40), long1(int64_t{1} << 40)}), tuple({zero, zero})), "overflows");
  add("empty with absurd sizes",
      rebuild(s, zero, tuple({zero, long1(INT64_MAX), long1(INT64_MAX)}), tuple({zero, zero, zero})), "overflows");
  add("stride 0 shows one element a billion times", rebuild(s, zero, tuple({integer(1'000'000'000)}), tuple({zero})),
      "more elements than its storage");
  add("negative size", rebuild(s, zero, tuple({integer(-1)}), one), "expected the sizes of at least 0, got -1");
  add("negative stride", rebuild(s, integer(1), two, tuple({integer(-1)})),
      "expected the strides of at least 0, got -1");
  add("negative offset", rebuild(s, integer(-1), two, one), "expected the offset of at least 0");
  add("a stride too many", rebuild(s, zero, two, tuple({integer(1), integer(1)})), "expected 1 strides, got 2");
  add("17 dimensions", rebuild(s, zero, tuple(std::vector<std::string>(17, integer(1))), one), "at most 16 dimensions");
  add("sizes in a list", rebuild(s, zero, list({integer(2)}), one), "expected a tuple as the sizes");
  add("hooks", rebuild(s, zero, two, one, "}NNs"), "expected no hooks");
  add("marked as negative", rebuild(s, zero, two, one, "}", dict({{text("neg"), "\x88"}})), "conjugate or negative");
  add("of no storage", rebuild("N", zero, two, one), "expected a storage as the storage, got None");
  add("of three arguments", global("torch._utils", "_rebuild_tensor_v2") + "(" + s + zero + two + "t",
      "expected 6 to 7 arguments, got 3");
  return all;
}

}  // namespace

std::string HostilePickle::reason(size_t origin) const {
  return fmt::format("opcode {} at byte {}: ... ", opcode, origin + 2 + before.size()) + words;
}

std::vector<HostilePickle> hostile_pickles() {
  std::vector<HostilePickle> all;
  for (const auto& part : {code_wanted(), bombs(), nonsense(), tensors()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<Seed> pickle_seeds() {
  std::vector<Seed> seeds;
  const auto good = [&](const std::string& name, const std::string& value) {
    seeds.push_back({name, file(value), ""});
  };
  good("a state dict", state_dict());
  good("numbers and texts", dict({{text("int"), integer(-7)},
                                  {text("small"), "K\7"},
                                  {text("short"), "M\1\1"},
                                  {text("long"), long1(-1)},
                                  {text("very long"),
                                   "\x8a\x0a"
                                   "0123456789"},
                                  {text("no bytes"), "\x8a\0"s},
                                  {text("float"), "G\x3f\xf0\0\0\0\0\0\0"s},
                                  {text("python 2"), "U\3abc"},
                                  {text("none"), "N"},
                                  {text("set"), "\x8f"}}));
  good("shared storage",
       dict({{text("a"), tensor({})}, {text("b"), tensor({.offset = 1, .shape = {}, .strides = {}})}}));
  good("transposed", tensor({.numel = 6, .shape = {3, 2}, .strides = {1, 3}}));
  good("Parameter and _rebuild_parameter",
       list({call(global("torch.nn.parameter", "Parameter"), {tensor({}), "\x88"}),
             call(global("torch._utils", "_rebuild_parameter"), {tensor({}), "\x88", ordered_dict({})})}));
  good("NEWOBJ of an OrderedDict", global("collections", "OrderedDict") + ")\x81");
  good("OrderedDict of pairs",
       call(global("collections", "OrderedDict"), {list({list({text("k"), "N"}), tuple({text("l"), "N"})})}));
  good("torch.Size", call(global("torch", "Size"), {tuple({integer(2)})}));
  good("an attribute of an OrderedDict", ordered_dict({}) + dict({{text("_metadata"), ordered_dict({})}}) + "b");
  good("_rebuild_tensor and _v3",
       list({call(global("torch._utils", "_rebuild_tensor"),
                  {storage({}), integer(0), tuple({integer(2)}), tuple({integer(1)})}),
             call(global("torch._utils", "_rebuild_tensor_v3"),
                  {storage({.key = "1", .cls = "ByteStorage", .numel = 8}), integer(0), tuple({integer(4)}),
                   tuple({integer(1)}), "\x89", ordered_dict({}), global("torch", "uint16")})}));
  good("a list that holds itself", "]q\0h\0a"s);
  seeds.push_back({"nothing", "", "expected a pickle at byte 0"});
  seeds.push_back({"protocol 0", "N.", "expected a pickle at byte 0"});
  for (const int protocol : {0, 1, 3, 4, 5, 255})
    seeds.push_back(
        {fmt::format("drill 22: protocol {}", protocol), file("N", protocol),
         fmt::format("opcode PROTO at byte 0: expected protocol 2, got {}; hint: save with torch.save's default",
                     protocol)});
  seeds.push_back({"cut off", file(state_dict()).substr(0, 60), "opcode GLOBAL at byte 36: expected two names"});
  seeds.push_back({"no STOP", "\x80\x02N", "the pickle is cut off at byte 3"});
  seeds.push_back({"more behind", file("N") + "x", "more follows the pickle"});
  for (const HostilePickle& h : hostile_pickles()) seeds.push_back({h.name, h.bytes(), h.reason(0)});
  return seeds;
}

}  // namespace taut::fuzz
