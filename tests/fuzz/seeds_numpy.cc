#include "tests/fuzz/seeds_zip.h"

namespace taut::fuzz {
namespace {

using namespace std::string_literals;

// Arrays, good and hostile, for both formats.
std::vector<Seed> arrays() {
  std::vector<Seed> seeds;
  const auto add = [&](const std::string& name, const std::string& header, size_t data,
                       const std::string& reason = "") {
    seeds.push_back({name, npy(header, data), reason});
  };
  add("f4", npy_header("<f4", "(2, 3)"), 24);
  add("f8", npy_header("<f8", "(2,)"), 16);
  add("f2", npy_header("<f2", "(2,)"), 4);
  add("i8", npy_header("<i8", "(2,)"), 16);
  add("i4", npy_header("<i4", "(2,)"), 8);
  add("u1", npy_header("|u1", "(5,)"), 5);
  add("b1", npy_header("|b1", "(2,)"), 2);
  add("one number", npy_header("<f4", "()"), 4);
  add("no elements", npy_header("<f4", "(0, 3)"), 0);
  add("other quotes and order", R"({"shape":(2,),"descr":"<f4","fortran_order":False})", 8);
  seeds.push_back({"version 2", npy(npy_header("<f4", "(2,)"), 8, 2), ""});
  seeds.push_back({"version 3", npy(npy_header("<f4", "(2,)"), 8, 3), ""});

  add("drill 24: objects", npy_header("|O", "(2,)"), 16, "got '|O': objects are pickles, which are not run");
  add("drill 24: a structured dtype", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8,
      "got a structured dtype");
  add("drill 24: shape overflows", npy_header("<f4", "(4194305, 4194305, 211106198978564)"), 8, "overflows");
  add("drill 24: shape overflows behind a 0", npy_header("<f4", "(0, 4194305, 4194305, 211106198978564)"), 0,
      "overflows");
  add("drill 24: 2^57 elements", npy_header("<f4", "(144115188075855872,)"), 8,
      "expected 576460752303423488 bytes of elements");
  add("drill 24: a size past 2^63", npy_header("<f4", "(18446744073709551617,)"), 8, "expected a size");
  add("drill 24: 17 dimensions", npy_header("<f4", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), 4, "at most 16 dimensions");
  add("drill 24: big-endian", npy_header(">f4", "(2,)"), 8, "got '>f4'; hint: save x.astype");
  add("drill 24: Fortran order", npy_header("<f4", "(2, 2)", "True"), 16,
      "expected C order; hint: save numpy.ascontiguousarray(x)");
  add("drill 24: header injection, code", npy_header("<f4", "(2,)", "__import__('os').system('echo')"), 8,
      "expected True or False");
  add("drill 24: header injection, a fourth entry", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}",
      8, "unknown entry 'x'");
  add("drill 24: header injection, an entry twice",
      "{'descr': '<f4', 'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8, "entry 'descr' appears twice");
  add("drill 24: header injection, a sum as size", npy_header("<f4", "(1+1,)"), 8, "expected , or )");
  add("drill 24: header injection, behind the dict", npy_header("<f4", "(2,)") + "; 1", 8,
      "nothing but spaces and a line feed");
  add("drill 24: header injection, a second line", npy_header("<f4", "(2,)") + "\n{}", 8, "nothing but spaces");
  add("drill 24: header injection, an escape", npy_header("<f\\x34", "(2,)"), 8, "without escapes");
  add("drill 24: a header without end", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,", 8, "expected a size");
  add("two bytes without a meaning", npy_header("|V2", "(2,)"), 4, "hint: it may be bfloat16");
  add("complex", npy_header("<c8", "(2,)"), 16, "got '<c8'");
  add("negative size", npy_header("<f4", "(-2,)"), 8, "expected a size");
  add("a size in parentheses", npy_header("<f4", "(2)"), 8, "expected , or )");
  add("a shape misses", "{'descr': '<f4', 'fortran_order': False}", 8,
      "expected the entries descr, fortran_order and shape");
  add("no dict", "nothing", 8, "expected {");
  add("one element too many", npy_header("<f4", "(3,)"), 8, "expected 12 bytes of elements");
  add("one element too few", npy_header("<f4", "(1,)"), 8, "expected 4 bytes of elements");
  seeds.push_back({"version 4", npy(npy_header("<f4", "(2,)"), 8, 4), "expected format version"});
  seeds.push_back({"drill 24: header of 4 GB", "\x93NUMPY\2\0\xff\xff\xff\xff"s + std::string(100, ' '),
                   "expected a header of at most 100 bytes at byte 12, got 4294967295"});
  seeds.push_back({"drill 24: header of 20 kB", npy(npy_header("<f4", "(2,)") + std::string(20000, ' '), 8),
                   "expected a header of at most 10000 bytes"});
  seeds.push_back({"header without a line feed",
                   "\x93NUMPY\1\0\x3d\0{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }    "s,
                   "and a line feed"});
  seeds.push_back({"only the start", "\x93NUMPY\1\0"s, "expected an array of NumPy"});
  seeds.push_back({"nothing", "", "expected an array of NumPy"});
  return seeds;
}

}  // namespace

std::vector<Seed> npy_seeds() { return arrays(); }

std::vector<Seed> npz_seeds() {
  const std::string array = npy(npy_header("<f4", "(2, 3)"), 24),
                    zeros = npy(npy_header("<f4", "(100, 100)"), 0) + std::string(40000, '\0');
  std::vector<Seed> seeds =
      zip_seeds({{.name = "a.npy", .data = array, .sizes_follow = true}, {.name = "b/c.npy", .data = array}});
  const auto add = [&](const std::string& name, const ZipItem& item, const std::string& reason = "") {
    seeds.push_back({name, zip({item}), reason});
  };
  for (const Seed& s : arrays()) {
    add(s.name + ", stored", {.name = "x.npy", .data = s.bytes}, s.reason);
    add(s.name + ", deflated", {.name = "x.npy", .data = s.bytes, .deflate = true}, s.reason);
  }
  add("a name with a colon", {.name = "w:0.npy", .data = array});
  add("deflated zeros", {.name = "x.npy", .data = zeros, .deflate = true});
  add("no array's name", {.name = "x.txt", .data = array}, "expected NAME.npy");
  add("a pickle", {.name = "x.pkl", .data = "\x80\2N."}, "expected NAME.npy");
  add("deflated: nonsense", {.name = "x.npy", .data = "nonsense", .method = 8}, "its compressed data is damaged");
  add("deflated: wrong checksum", {.name = "x.npy", .data = array, .deflate = true, .crc = 1}, "its checksum is wrong");
  add("deflated: more than it says", {.name = "x.npy", .data = array + "more", .deflate = true, .size = array.size()},
      "it inflates to more");
  add("deflated: less than it says", {.name = "x.npy", .data = array, .deflate = true, .size = array.size() + 4},
      "it inflates to");
  add("deflated: cut off", {.name = "x.npy", .data = deflated(zeros).substr(0, 40), .method = 8, .size = zeros.size()},
      "its compressed data is damaged");
  add("deflated: more behind", {.name = "x.npy", .data = deflated(zeros) + "more", .method = 8, .size = zeros.size()},
      "4 bytes follow its compressed data");
  // A tenth of a megabyte of it is a hundred of zeros.
  const std::string many = npy(npy_header("<f4", "(25000000,)"), 0) + std::string(100'000'000, '\0');
  add("deflated: a bomb", {.name = "x.npy", .data = many, .deflate = true}, "bytes out of a file of ... a bomb");
  add("an empty entry", {.name = "x.npy", .data = ""}, "expected an array of NumPy");
  seeds.push_back({"no arrays", zip({}), "got an empty archive"});
  return seeds;
}

}  // namespace taut::fuzz
