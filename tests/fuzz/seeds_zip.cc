#include "tests/fuzz/seeds_zip.h"

#include <functional>

namespace taut::fuzz {

std::vector<Seed> zip_seeds(const std::vector<ZipItem>& honest) {
  std::vector<Seed> seeds;
  const auto add = [&](const std::string& name, const std::string& bytes, const std::string& reason) {
    seeds.push_back({"zip: " + name, bytes, reason});
  };
  // The archive with its second item changed.
  const auto item = [&](const std::string& name, const std::function<void(ZipItem&)>& change,
                        const std::string& reason) {
    std::vector<ZipItem> items = honest;
    change(items[1]);
    add(name, zip(items), reason);
  };
  const auto shape = [&](const std::string& name, const ZipShape& s, const std::string& reason) {
    add(name, zip(honest, s), reason);
  };
  const std::string good = zip(honest);
  add("honest", good, "");
  shape("zip64 end record", {.zip64_end = true}, "");
  item(
      "zip64 sizes", [](ZipItem& i) { i.zip64 = true; }, "");

  item(
      "drill 22: wrong checksum", [](ZipItem& i) { i.crc = 1; }, "its checksum is wrong");
  std::string disagree = good;
  disagree[good.find("PK\3\4", 4) + 14] ^= 1;
  add("another checksum in the local header", disagree, "disagree on its size or checksum");
  std::vector<ZipItem> wrong = honest;
  for (ZipItem& i : wrong) i.sizes_follow = true;
  wrong[0].crc = 1;
  add("drill 22: wrong checksum, none in the local header", zip(wrong), "its checksum is wrong");
  std::string flipped = good;
  flipped[30 + honest[0].name.size() + honest[0].data.size() / 2] ^= 1;
  add("drill 22: a bit flipped in the data", flipped, "its checksum is wrong");
  std::vector<ZipItem> twice = honest;
  twice.push_back(honest[1]);
  add("a name twice", zip(twice), "its name appears twice");
  for (const char* name : {"../evil.npy", "a/../../evil.npy", "/etc/passwd", "a\\b.npy", "a//b.npy", "a/./b.npy", "a/"})
    item(
        std::string("name ") + std::to_string(seeds.size()), [&](ZipItem& i) { i.name = name; },
        "stays inside a folder");
  item(
      "name with a NUL", [](ZipItem& i) { i.name = std::string("a\0b.npy", 7); }, "stays inside a folder");
  item(
      "name not UTF-8", [](ZipItem& i) { i.name = "\xff.npy"; }, "expected a name that is UTF-8");
  item(
      "name of 5000 bytes", [](ZipItem& i) { i.name = std::string(5000, 'n'); }, "expected a name that is UTF-8");
  item(
      "no name", [](ZipItem& i) { i.name = ""; }, "stays inside a folder");
  item(
      "encrypted", [](ZipItem& i) { i.flags = 1; }, "it is encrypted");
  item(
      "directory encrypted", [](ZipItem& i) { i.flags = 0x2000; }, "it is encrypted");
  item(
      "patch data", [](ZipItem& i) { i.flags = 0x20; }, "features no writer needs");
  item(
      "bzip2", [](ZipItem& i) { i.method = 12; }, "got compression method 12");
  item(
      "symbolic link", [](ZipItem& i) { i.attributes = 0xA1FF0000; }, "expected a plain file");
  item(
      "a plain file of a Unix writer", [](ZipItem& i) { i.attributes = 0x81A40000; }, "");
  item(
      "stored, yet grows", [](ZipItem& i) { i.size = i.data.size() + 1; }, "it is stored, but");
  item(
      "longer than the file", [](ZipItem& i) { i.size = i.packed = 1 << 20; }, "reach into the directory");
  item(
      "2^63 bytes", [](ZipItem& i) { i.zip64 = true, i.size = i.packed = uint64_t{1} << 63; },
      "reach into the directory");
  item(
      "2^64 - 1 bytes", [](ZipItem& i) { i.zip64 = true, i.size = i.packed = ~uint64_t{0}; },
      "reach into the directory");
  item(
      "sizes in a zip64 field that is not there", [](ZipItem& i) { i.size = i.packed = 0xFFFFFFFF; },
      "zip64 sizes are missing");
  item(
      "local header past the end", [](ZipItem& i) { i.header = 1 << 30; },
      "expected its local header at byte 1073741824");
  item(
      "local header of another", [](ZipItem& i) { i.header = 0; }, "disagree on its name, method or flags");
  item(
      "another name in the local header", [](ZipItem& i) { i.local_name = i.name, i.local_name[0] ^= 1; },
      "disagree on its name");
  item(
      "bomb: 1 TB of nothing", [](ZipItem& i) { i.deflate = i.zip64 = true, i.size = uint64_t{1} << 40; },
      "deflated bytes cannot become");
  // The second entry lies inside the data of the first.
  std::vector<ZipItem> nested{{.name = honest[1].name, .data = honest[1].data}};
  const std::string inner = zip(nested).substr(0, 30 + nested[0].name.size() + nested[0].data.size());
  add("overlapping entries",
      zip({{.name = "outer.npy", .data = inner}, {.name = nested[0].name, .data = nested[0].data, .header = 39}}),
      "overlap");

  const uint64_t n = honest.size();
  shape("one entry more than there are", {.entries = n + 1}, "zip directory");
  shape("65000 entries", {.entries = 65000}, "cannot hold 65000 entries");
  shape("one entry less than there are", {.entries = n - 1}, "it does not hold");
  shape("no entries", {.entries = 0}, "it does not hold 0 entries");
  shape("directory too long", {.size = 1 << 20}, "right before byte");
  shape("directory elsewhere", {.begin = 0}, "right before byte");
  shape("zip64 liar: 2^40 entries", {.zip64_end = true, .entries = uint64_t{1} << 40}, "cannot hold");
  shape("zip64 liar: 2^64 - 1 entries", {.zip64_end = true, .entries = ~uint64_t{0}}, "cannot hold");
  shape("zip64 liar: another number of entries", {.zip64_end = true, .entries32 = 1}, "and the end record disagree");
  shape("zip64 liar: directory of 2^63 bytes", {.zip64_end = true, .size = uint64_t{1} << 63}, "right before byte");
  shape("zip64 liar: directory at 2^64 - 1", {.zip64_end = true, .begin = ~uint64_t{0}}, "right before byte");
  shape("bytes behind the end", {.behind = "more"}, "the zip directory at the end is missing");
  add("cut off", good.substr(0, good.size() - 30), "the zip directory at the end is missing");
  add("only the start", good.substr(0, 10), "the zip directory at the end is missing");
  add("nothing", "", "the zip directory at the end is missing");
  return seeds;
}

}  // namespace taut::fuzz
