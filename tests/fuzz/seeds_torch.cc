#include <functional>

#include "tests/fuzz/seeds_pickle.h"
#include "tests/fuzz/seeds_zip.h"

namespace taut::fuzz {
namespace {

using namespace pickle;

const Storages kTwoFloats{{"0", "01234567"}};

// An object torch could save and its storages, with the verdict on it, for both formats.
struct Object {
  std::string name, value;
  Storages storages = kTwoFloats;
  std::string reason = {};
};

std::vector<Object> objects() {
  const std::string t = tensor({}), sd = state_dict();
  std::vector<Object> all{
      {"a state dict", sd},
      {"one tensor", t},
      {"wrapped, with what training keeps",
       dict({{text("epoch"), integer(3)},
             {text("arch"), text("resnet20")},
             {text("best_acc1"), t},
             {text("state_dict"), sd},
             {text("optimizer"),
              dict({{text("state"), dict({{integer(0), dict({{text("step"), t}})}})},
                    {text("param_groups"), list({dict({{text("lr"), std::string("G\x3f\xf0\0\0\0\0\0\0", 9)}})})}})}})},
      {"wrapped three times", dict({{text("model"), dict({{text("state_dict"), dict({{text("net"), sd}})}})}})},
      {"a number among tensors", dict({{text("w"), t}, {text("version"), integer(1)}})},
      {"an empty tensor", state_dict({.numel = 0, .shape = {0, 3}, .strides = {3, 1}}), {{"0", ""}}},
      {"a shared storage", dict({{text("a"), t}, {text("b"), t}})},
      {"wrapped four times",
       dict({{text("model"), dict({{text("model"), dict({{text("model"), dict({{text("model"), sd}})}})}})}}),
       kTwoFloats, "expected a dict of tensors"},
      {"None",
       "N",
       {},
       "expected a dict of tensors, or one under state_dict, model_state_dict, model, net or params, got None"},
      {"an empty dict", "}", {}, "got a dict with nothing"},
      {"numbers", dict({{text("epoch"), integer(1)}}), {}, "got a dict with epoch (an integer)"},
      {"tensors in a list", dict({{text("weights"), list({t})}}), kTwoFloats, "got a dict with weights (a list of 1)"},
      {"two models", dict({{text("encoder"), sd}, {text("head"), sd}}), kTwoFloats,
       "got a dict with encoder (a dict of 1), head (a dict of 1)"},
      {"two wrappers", dict({{text("model"), sd}, {text("net"), sd}}), kTwoFloats,
       "'model' and 'net' both look like it; hint: save one of them alone"},
      {"a dict beside tensors", dict({{text("w"), t}, {text("more"), sd}}), kTwoFloats,
       "tensor 'more': expected a tensor, got a dict of 1 beside tensors; hint: save model.state_dict() alone"},
      {"a list beside tensors", dict({{text("w"), t}, {text("more"), list({integer(1)})}}), kTwoFloats,
       "tensor 'more': expected a tensor, got a list of 1 beside tensors; hint: save model.state_dict() alone"},
      {"a name twice", dict({{text("w"), t}, {text("w"), t}}), kTwoFloats, "'w': its name appears twice"},
      {"a wrapper twice", dict({{text("model"), sd}, {text("model"), "N"}}), kTwoFloats,
       "'model': its name appears twice"},
      {"a number as name", dict({{integer(1), t}}), kTwoFloats, "expected names of tensors, got an integer as a key"},
      {"a long name", dict({{text(std::string(5000, 'n')), t}}), kTwoFloats, "its name is longer than"},
      {"a storage that is missing", dict({{text("w"), tensor({.key = "1"})}}), kTwoFloats, {}},
  };
  all.back().reason = "1";
  // 4 kB that many tensors show: more than 16 times the file.
  Pairs many;
  for (int i = 0; i < 200; ++i)
    many.emplace_back(text("t" + std::to_string(i)),
                      i == 0 ? tensor({.numel = 100'000, .shape = {100'000}}) + "q\7" : "h\7");
  all.push_back(
      {"many tensors in one storage", dict(many), {{"0", std::string(400'000, '\0')}}, "too many share their storage"});
  return all;
}

}  // namespace

std::vector<Seed> torch_zip_seeds() {
  const std::vector<ZipItem> honest = zip_items(file(state_dict()), kTwoFloats);
  std::vector<Seed> seeds = zip_seeds(honest);
  const auto add = [&](const std::string& name, std::vector<ZipItem> items, const std::string& reason) {
    seeds.push_back({name, zip(items), reason});
  };
  const auto changed = [&](const std::string& name, size_t i, const std::function<void(ZipItem&)>& change,
                           const std::string& reason) {
    std::vector<ZipItem> items = honest;
    change(items[i]);
    add(name, items, reason);
  };
  for (const Object& o : objects())
    add(o.name, zip_items(file(o.value), o.storages),
        o.reason == "1" ? "the zip entry 'archive/data/1' is missing" : o.reason);
  for (const HostilePickle& h : hostile_pickles()) add(h.name, zip_items(h.bytes(), kTwoFloats), h.reason(0));
  changed(
      "drill 22: data.pkl twice, in two folders", 3, [&](ZipItem& i) { i = honest[0], i.name = "other/data.pkl"; },
      "expected one pickle");
  changed(
      "drill 22: data.pkl twice, in one folder", 3, [&](ZipItem& i) { i = honest[0]; },
      "'archive/data.pkl': its name appears twice");
  changed(
      "compressed pickle", 0, [](ZipItem& i) { i.deflate = true; }, "'archive/data.pkl': expected it stored");
  changed(
      "compressed storage", 2, [](ZipItem& i) { i.deflate = true; }, "'archive/data/0': expected it stored");
  changed(
      "no pickle", 0, [](ZipItem& i) { i.name = "archive/data.txt"; }, "with an entry ROOT/data.pkl");
  changed(
      "pickle without a folder", 0, [](ZipItem& i) { i.name = "data.pkl"; }, "with an entry ROOT/data.pkl");
  changed(
      "TorchScript", 3, [](ZipItem& i) { i.name = "archive/constants.pkl"; }, "got a TorchScript program");
  changed(
      "big-endian", 1, [](ZipItem& i) { i.data = "big"; }, "'archive/byteorder': expected little, got big");
  changed(
      "storage too short", 2, [](ZipItem& i) { i.data.pop_back(); },
      "'archive/data/0': expected 8 bytes (2 of F32), got 7");
  changed(
      "storage too long", 2, [](ZipItem& i) { i.data += "x"; }, "expected 8 bytes (2 of F32), got 9");
  changed(
      "more behind the pickle", 0, [](ZipItem& i) { i.data += "N."; }, "2 bytes follow the pickle's end");
  add("no entries", {}, "with an entry ROOT/data.pkl");
  return seeds;
}

std::vector<Seed> torch_legacy_seeds() {
  std::vector<Seed> seeds;
  const std::string pickle = file(state_dict()), good = legacy(pickle, kTwoFloats);
  const auto add = [&](const std::string& name, const std::string& bytes, const std::string& reason) {
    seeds.push_back({name, bytes, reason});
  };
  for (const Object& o : objects())
    add(o.name, legacy(file(o.value), o.storages),
        o.reason == "1" ? "the list of storage keys holds '0' twice, or no tensor uses it" : o.reason);
  for (const HostilePickle& h : hostile_pickles())
    add(h.name + ", legacy", legacy(h.bytes(), kTwoFloats), h.reason(legacy_start()));
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    return bytes.replace(bytes.find(from), from.size(), to);
  };
  add("another magic number", replaced("\xf9\x20", "\xf9\x21"), "expected the magic number");
  add("another version", replaced("M\xe9\x03", "M\xea\x03"), "expected version 1001");
  add("big-endian", replaced("little_endian\x88", "little_endian\x89"), "little-endian machine");
  add("byte order missing", replaced("little_endian", "little_endiam"), "little-endian machine");
  add("a storage that no tensor uses", legacy(pickle, {{"0", "01234567"}, {"1", "0123"}}),
      "expected a list of 1 storage keys, got a list of 2");
  add("a storage missing", legacy(pickle, {}), "expected a list of 1 storage keys, got a list of 0");
  add("a storage twice",
      legacy(file(dict({{text("a"), tensor({})}, {text("b"), tensor({.key = "1"})}})),
             {{"0", "01234567"}, {"0", "01234567"}}),
      "holds '0' twice, or no tensor uses it");
  std::string integer_key = good;
  add("a key that is an integer", integer_key.replace(good.rfind(text("0")), text("0").size(), integer(0)),
      "expected texts in the list of storage keys, got an integer");
  add("fewer elements than promised", legacy(pickle, {{"0", "0123"}}), "storage '0' at byte");
  add("2^62 elements", good.substr(0, good.size() - 16) + le(int64_t{1} << 62),
      "expected 2 elements, got 4611686018427387904");
  add("-1 elements", good.substr(0, good.size() - 16) + le(int64_t{-1}), "expected 2 elements, got -1");
  add("cut off in a storage", good.substr(0, good.size() - 1),
      "expected 8 bytes, 7 are left; hint: the file is cut off");
  add("cut off before a storage", good.substr(0, good.size() - 12), "the file is cut off at byte");
  add("cut off in the keys", good.substr(0, good.size() - 17), "pickle of the storage keys: the pickle is cut off");
  add("cut off behind the magic number", good.substr(0, 15), "pickle of the version: expected a pickle");
  add("more behind", good + "x", "1 more bytes follow");
  add("nothing", "", "expected the magic number");
  return seeds;
}

}  // namespace taut::fuzz
