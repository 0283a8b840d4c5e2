// Archives made to do harm, and imports that are interrupted: nothing lands outside the target, nothing is left half.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <thread>

#include "data/dataset.h"
#include "data/import/archive.h"
#include "data/import/check.h"
#include "data/import/entry_path.h"
#include "data/import/import.h"
#include "tests/data/archives.h"

extern char** environ;

namespace taut::test {
namespace fs = std::filesystem;
namespace {

Bytes picture(uint64_t seed) { return encode_png(sample_image(8, 8, 3, seed)); }

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  const std::string text = std::to_string(length) + rest;
  return Bytes(text.begin(), text.end());
}

const Bytes kTarEnd(1024, 0);

// An import of class folders from these bytes, into a folder that has another one beside it.
struct Attempt {
  TemporaryFolder folder;
  Caught error;
  bool made = false, outside = false;

  Attempt(const std::string& archive, const Bytes& bytes) {
    const std::string file = folder.write("in/" + archive, bytes);
    run(file);
  }
  Attempt(const std::string& archive, const std::vector<Packed>& entries) {
    fs::create_directories(folder.path() / "in");
    const std::string file = (folder.path() / "in" / archive).string();
    write_archive(file, entries);
    run(file);
  }

 private:
  void run(const std::string& file) {
    const std::string out = (folder.path() / "target" / "out").string();
    error = caught([&] { import_dataset({.name = "folder", .archives = {file}, .out = out}); });
    made = fs::exists(out);
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
      const std::string inside = entry.path().lexically_relative(folder.path()).string();
      outside = outside || (!entry.is_directory() && !inside.starts_with("in/") && !inside.starts_with("target/out"));
    }
  }
};

uint32_t crc_of(const Bytes& bytes) {
  return static_cast<uint32_t>(crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
}

void put(Bytes& out, uint64_t value, int bytes) {
  for (int k = 0; k < bytes; ++k) out.push_back(static_cast<uint8_t>(value >> (8 * k)));
}

struct ZipEntry {
  std::string name;
  Bytes bytes;
  uint64_t announced;  // the uncompressed size that the headers tell
  bool zip64 = false;  // tell it in a zip64 field
  uint16_t method = 8;
  uint16_t flags = 0;
  std::string local_name = {};  // "": the same
};

// A zip file written by hand, so that its headers can lie.
Bytes zip_file(const std::vector<ZipEntry>& entries) {
  Bytes out, directory;
  for (const ZipEntry& e : entries) {
    const Bytes packed = e.method == 8 ? deflated(e.bytes) : e.bytes;
    const size_t offset = out.size();
    const auto header = [&](Bytes& to, bool central) {
      const std::string& name = central || e.local_name.empty() ? e.name : e.local_name;
      put(to, central ? 0x02014b50 : 0x04034b50, 4);
      if (central) put(to, 45, 2);
      put(to, 45, 2);
      put(to, e.flags, 2);
      put(to, e.method, 2);
      put(to, 0, 4);
      put(to, crc_of(e.bytes), 4);
      put(to, packed.size(), 4);
      put(to, e.zip64 ? 0xFFFFFFFFu : e.announced, 4);
      put(to, name.size(), 2);
      put(to, e.zip64 ? 12 : 0, 2);
      if (central) {
        put(to, 0, 2 + 2 + 2 + 4);
        put(to, offset, 4);
      }
      to.insert(to.end(), name.begin(), name.end());
      if (e.zip64) {
        put(to, 1, 2);
        put(to, 8, 2);
        put(to, e.announced, 8);
      }
    };
    header(out, false);
    header(directory, true);
    out.insert(out.end(), packed.begin(), packed.end());
  }
  const size_t at = out.size();
  out.insert(out.end(), directory.begin(), directory.end());
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, entries.size(), 2);
  put(out, entries.size(), 2);
  put(out, directory.size(), 4);
  put(out, at, 4);
  put(out, 0, 2);
  return out;
}

ZipEntry honest(const std::string& name, const Bytes& bytes) { return {name, bytes, bytes.size()}; }

}  // namespace

TEST_CASE("names that leave the target, in every way an archive can tell them") {
  const Bytes image = picture(1);
  const Packed good{"dog/1.png", image};
  for (const char* name : {"../escaped.png", "dog/../../escaped.png", "/tmp/taut-escaped.png", "dog/..", "a\\..\\b.png",
                           "dog/a\x01.png", "dog/a\nb.png", "dog/\xC0\xAE.png"}) {
    CAPTURE(name);
    for (const char* archive : {"a.tar", "a.zip"}) {
      const Attempt attempt =
          std::string(archive) == "a.tar"
              ? Attempt(archive, joined({tar_entry("dog/1.png", image), tar_entry(name, image), kTarEnd}))
              : Attempt(archive, zip_file({honest("dog/1.png", image), honest(name, image)}));
      CAPTURE(attempt.error.text);
      CHECK(attempt.error.code == Exit::kBadData);
      CHECK(!attempt.made);
      CHECK(!attempt.outside);
    }
  }
  CHECK(!fs::exists("/tmp/taut-escaped.png"));
  // PAX and GNU long names override the harmless one in the header. A link's target on a plain file means nothing.
  const struct {
    Bytes before;
    Exit code;
  } overrides[] = {
      {tar_entry("x", pax_record("path", "../escaped.png"), 'x'), Exit::kBadData},
      {tar_entry("x", pax_record("path", "/etc/escaped.png"), 'x'), Exit::kBadData},
      {tar_entry("x", pax_record("linkpath", "/etc"), 'x'), Exit::kOk},
      {tar_entry("././@LongLink", Bytes{'.', '.', '/', 'e', '.', 'p', 'n', 'g', 0}, 'L'), Exit::kBadData},
      {tar_entry("x", pax_record("GNU.sparse.name", "../escaped.png"), 'x'), Exit::kBadData},
  };
  for (const auto& c : overrides) {
    const Attempt attempt("a.tar", joined({c.before, tar_entry("dog/1.png", image), kTarEnd}));
    CAPTURE(attempt.error.text);
    CHECK(attempt.error.code == c.code);
    CHECK(attempt.made == (c.code == Exit::kOk));
    CHECK(!attempt.outside);
  }
  // A harmless PAX name is what Python writes for a long one.
  const std::string long_name = "dog/" + std::string(150, 'a') + ".png";
  const Attempt fine("a.tar",
                     joined({tar_entry("x", pax_record("path", long_name), 'x'), tar_entry("y", image), kTarEnd}));
  CHECK(fine.error.code == Exit::kOk);
  CHECK(fs::exists(fine.folder.path() / "target/out" / long_name));
  // The directory of a zip and its local header tell two names: the directory's counts.
  ZipEntry two = honest("dog/1.png", image);
  two.local_name = "../../2.png";
  const Attempt both("a.zip", zip_file({two}));
  CHECK(!both.outside);
}

TEST_CASE("names in UTF-8 are taken as they are, in any locale; others are refused and told") {
  const Bytes image = picture(1);
  const auto attempts = [&](const std::string& name) {
    constexpr uint16_t kUtf8 = 1 << 11;
    std::vector<std::unique_ptr<Attempt>> all;
    const Bytes pax = tar_entry("x", pax_record("path", name), 'x');
    all.push_back(std::make_unique<Attempt>("a.tar", joined({pax, tar_entry("y", image), kTarEnd})));
    all.push_back(std::make_unique<Attempt>("a.tar", joined({tar_entry(name, image), kTarEnd})));  // as GNU tar has it
    all.push_back(std::make_unique<Attempt>("a.zip", zip_file({{name, image, image.size(), false, 8, 0}})));
    all.push_back(std::make_unique<Attempt>("a.zip", zip_file({{name, image, image.size(), false, 8, kUtf8}})));
    return all;
  };
  const std::string name = "caf\xC3\xA9/\xF0\x9F\x90\xB6.png";
  for (const auto& attempt : attempts(name)) {
    CAPTURE(attempt->error.text);
    CHECK(attempt->error.code == Exit::kOk);
    CHECK(fs::exists(attempt->folder.path() / "target/out" / name));
  }
  CHECK(::uselocale(nullptr) == LC_GLOBAL_LOCALE);  // nobody else's is changed
  const auto refused = attempts("caf\xE9/1.png");
  for (const auto& attempt : refused) {
    CAPTURE(attempt->error.text);
    CHECK(attempt->error.code == Exit::kBadData);
    CHECK(attempt->error.names(attempt == refused.back() ? "number 1" : "caf\\xe9/1.png"));
    CHECK(attempt->error.names("is not UTF-8"));
  }
}

TEST_CASE("links, devices and other special files are refused by name") {
  const Packed good{"dog/1.png", picture(1)};
  using Kind = Packed::Kind;
  for (const Packed& bad :
       {Packed{"dog/link.png", {}, Kind::kSymlink, "/etc/passwd"}, Packed{"dog/link.png", {}, Kind::kSymlink, "1.png"},
        Packed{"dog/hard.png", {}, Kind::kHardlink, "dog/1.png"}, Packed{"dog/device.png", {}, Kind::kDevice},
        Packed{"dog/pipe.png", {}, Kind::kFifo}}) {
    const Attempt attempt("a.tgz", {good, bad});
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names(bad.path));
    CHECK(!attempt.made);
  }
  // A link to a folder, then a file through it.
  const Attempt through("a.tar", {good, {"dog/out", {}, Kind::kSymlink, "/tmp"}, {"dog/out/escaped.png", picture(2)}});
  CHECK(through.error.code == Exit::kBadData);
  CHECK(!through.outside);
  // The same in a folder on disk.
  const TemporaryFolder folder;
  folder.write("raw/dog/1.png", picture(1));
  fs::create_symlink("/etc/passwd", folder.path() / "raw/dog/2.png");
  const Caught error = caught([&] {
    import_dataset(
        {.name = "folder", .archives = {(folder.path() / "raw").string()}, .out = (folder.path() / "out").string()});
  });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("2.png"));
}

TEST_CASE("one name twice, and names that differ in case only") {
  const Bytes a = picture(1), b = picture(2);
  for (const std::vector<Packed>& entries : {std::vector<Packed>{{"dog/1.png", a}, {"dog/1.png", b}},
                                             {{"dog/1.png", a}, {"./dog//1.png", b}},
                                             {{"dog/1.png", a}, {"dog/1.PNG", b}},
                                             {{"dog/1.png", a}, {"Dog/2.png", b}},
                                             {{"dog", a}, {"dog/1.png", b}},
                                             {{"dog/1.png/x.png", a}, {"dog/1.png", b}}}) {
    CAPTURE(entries[1].path);
    const Attempt attempt("a.tar", entries);
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names("entry"));
    CHECK(!attempt.made);
  }
  // Two archives with one name.
  const TemporaryFolder folder;
  const std::string one = (folder.path() / "1.tar").string(), two = (folder.path() / "2.tar").string();
  write_archive(one, {{"dog/1.png", a}});
  write_archive(two, {{"dog/1.png", a}});
  CHECK(caught([&] {
          import_dataset({.name = "folder", .archives = {one, two}, .out = (folder.path() / "out").string()});
        }).code == Exit::kBadData);
}

TEST_CASE("bombs and liars") {
  const Bytes zeros(80 << 20, 0), image = picture(1);
  const Attempt ratio("a.tgz", {{"dog/1.png", image}, {"dog/2.png", zeros}});
  CHECK(ratio.error.code == Exit::kBadData);
  CHECK(ratio.error.names("bomb"));
  CHECK(ratio.error.names("dog/2.png"));
  CHECK(!ratio.made);
  CHECK(Attempt("a.zip", zip_file({honest("dog/1.png", image), honest("dog/2.png", zeros)})).error.names("bomb"));
  // More bytes than announced, and fewer.
  for (const uint64_t announced : {uint64_t{10}, uint64_t{image.size() + 1000}}) {
    const Attempt attempt("a.zip", zip_file({{"dog/1.png", image, announced}}));
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names("dog/1.png"));
    CHECK(!attempt.made);
  }
  for (const uint64_t announced : {uint64_t{1} << 62, ~uint64_t{0}, uint64_t{3} << 30}) {
    const Attempt attempt("a.zip", zip_file({{"dog/1.png", image, announced, true}}));
    CAPTURE(attempt.error.text);
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(!attempt.made);
  }
  for (const uint64_t announced : {uint64_t{1} << 31, uint64_t{7} << 30}) {
    const Attempt attempt("a.tar", joined({tar_header("dog/1.png", announced, '0'), image, kTarEnd}));
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names("dog/1.png"));
  }
  // A PAX header that makes an entry larger than its bytes.
  const Attempt pax(
      "a.tar", joined({tar_entry("x", pax_record("size", "900000"), 'x'), tar_entry("dog/1.png", image), kTarEnd}));
  CHECK(pax.error.code == Exit::kBadData);
  // Encrypted: flag 1.
  CHECK(Attempt("a.zip", zip_file({{"dog/1.png", image, image.size(), false, 8, 1}})).error.code == Exit::kBadData);
  // A zip within a zip is a file like any other that is no image.
  const Attempt nested("a.zip",
                       zip_file({honest("dog/1.png", image), honest("dog/b.zip", zip_file({honest("x", zeros)}))}));
  CHECK(nested.error.code == Exit::kOk);
}

TEST_CASE("archives that are cut, damaged or none") {
  TemporaryFolder folder;
  const std::string path = (folder.path() / "whole.tgz").string();
  std::vector<Packed> entries;
  for (int k = 0; k < 20; ++k) entries.push_back({fmt::format("dog/{}.png", k), picture(static_cast<uint64_t>(k))});
  write_archive(path, entries);
  const Bytes whole = read_all(path);
  for (size_t size = 1; size + 8 < whole.size(); size += whole.size() / 23) {
    CAPTURE(size);
    const Attempt attempt("a.tgz", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names("a.tgz"));
    CHECK(!attempt.made);
  }
  const std::string page = "<!DOCTYPE html><title>Log in</title>";
  for (const Bytes& bytes : {Bytes{}, Bytes(page.begin(), page.end()), Bytes(3000, 0x55)}) {
    const Attempt attempt("a.tar", bytes);
    CHECK(attempt.error.code == Exit::kBadData);
    CHECK(attempt.error.names("a.tar"));
  }
  const Bytes zip = zip_file({honest("dog/1.png", picture(1)), honest("cat/2.png", picture(2))});
  int refused = 0;
  for (uint32_t k = 0; k < 300; ++k) {
    Bytes damaged = zip;
    const uint64_t h = hash(&k, sizeof k);
    damaged[h % damaged.size()] = static_cast<uint8_t>(h >> 40);
    const Attempt attempt("a.zip", damaged);
    CAPTURE(attempt.error.text);
    CHECK((attempt.error.code == Exit::kOk || attempt.error.code == Exit::kBadData));
    CHECK(attempt.made == (attempt.error.code == Exit::kOk));
    CHECK(!attempt.outside);
    refused += attempt.made ? 0 : 1;
  }
  CHECK(refused > 100);
  CHECK(Attempt("a.tar", {{"readme.txt", Bytes{'h', 'i'}}}).error.names("no image"));
}

TEST_CASE("paths: what is refused and how they are written") {
  for (const char* bad : {"", "/a", "a/../b", "..", "a/.", "a//b", "a/", "a\\b", "a\tb", "\xFF", "\xE0\x80\x80"})
    CHECK(!entry_path_fault(bad).empty());
  for (const char* good : {"a", "a/b.c", "...", "a b/c", "\xC3\xA4/\xF0\x9F\x90\xB6", "..a/b.."})
    CHECK(entry_path_fault(good).empty());
  CHECK(!entry_path_fault(std::string(256, 'a')).empty());
  CHECK(normalised_entry_path("./a//./b/") == "a/b");
  CHECK(normalised_entry_path("//a") == "/a");
  CHECK(normalised_entry_path("./") == "");
}

TEST_CASE("disk: what is needed is said before anything is written, and compared with what is free") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  write_archive(archive, {{"dog/1.png", picture(1)}, {"dog/2.png", picture(2)}});
  std::vector<std::string> said;
  ImportOptions options{.name = "folder", .archives = {archive}, .out = out};
  options.say = [&](const std::string& line) { said.push_back(line); };
  options.free_bytes = [](const std::string&) { return 1000; };
  const Caught error = caught([&] { import_dataset(options); });
  CHECK(error.code == Exit::kIo);
  CHECK(error.names("free"));
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("MB on disk") != std::string::npos);
  CHECK(!fs::exists(out));
  CHECK(!fs::exists(out + ".partial"));

  CHECK(caught([&] { import_dataset({.name = "folder", .archives = {archive + "x"}, .out = out}); }).code ==
        Exit::kMissing);
  folder.write("used/file.txt", std::string("mine"));
  CHECK(caught([&] {
          import_dataset({.name = "folder", .archives = {archive}, .out = (folder.path() / "used").string()});
        }).code == Exit::kUsage);
  CHECK(fs::exists(folder.path() / "used/file.txt"));
  if (::geteuid() != 0) {
    fs::create_directories(folder.path() / "closed");
    fs::permissions(folder.path() / "closed", fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(caught([&] {
            import_dataset({.name = "folder", .archives = {archive}, .out = (folder.path() / "closed/out").string()});
          }).code == Exit::kIo);
  }
}

TEST_CASE("a file in the place of a folder on the way, and links planted in the target, are not followed") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  write_archive(archive, {{"dog/1.png", picture(1)}, {"cat/2.png", picture(2)}});
  fs::create_directories(folder.path() / "elsewhere");
  fs::create_directories(out + ".partial");
  fs::create_directory_symlink(folder.path() / "elsewhere", out + ".partial/dog");
  const Caught error = caught([&] { import_dataset({.name = "folder", .archives = {archive}, .out = out}); });
  CHECK((error.code == Exit::kIo || error.code == Exit::kBadData));
  CHECK(fs::is_empty(folder.path() / "elsewhere"));
  CHECK(!fs::exists(out));
}

TEST_CASE("check finds a changed byte, a missing file and a changed list") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  write_archive(archive, {{"dog/1.png", picture(1)}, {"dog/2.png", picture(2)}, {"cat/3.png", picture(3)}});
  const Manifest m = import_dataset({.name = "folder", .archives = {archive}, .out = out});
  CHECK(check_import(out).problems.empty());
  CHECK(check_import(out).images == 3);
  const fs::path victim = fs::path(out) / m.images[0].file;
  Bytes bytes = read_all(victim);
  bytes[bytes.size() / 2] ^= 1;
  folder.write(victim.lexically_relative(folder.path()).string(), bytes);
  CheckResult r = check_import(out);
  REQUIRE(r.problems.size() == 1);
  CHECK(r.problems[0].find(m.images[0].file) != std::string::npos);
  const DatasetPtr data = open_dataset(out, {.split = "all"});
  const Caught error = caught([&] { data->image(0); });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names(m.images[0].file));
  fs::remove(fs::path(out) / m.images[1].file);
  folder.write("out/extra.txt", std::string("x"));
  r = check_import(out);
  CHECK(r.problems.size() == 2);
  CHECK(r.notes.size() == 1);
  CHECK(caught([&] { import_dataset({.name = "folder", .archives = {archive}, .out = out}); }).code == Exit::kBadData);

  Bytes list = read_all(out + "/images.csv");
  list[list.size() - 5] = list[list.size() - 5] == 'a' ? 'b' : 'a';
  folder.write("out/images.csv", list);
  r = check_import(out);
  REQUIRE(r.problems.size() == 1);
  CHECK(r.problems[0].find("images.csv") != std::string::npos);
  CHECK(caught([&] { open_dataset(out); }).code == Exit::kBadData);
  CHECK(caught([&] { check_import((folder.path() / "none").string()); }).code == Exit::kMissing);
}

TEST_CASE("manifests made by hand are refused by name, never followed") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  write_archive(archive, {{"dog/1.png", picture(1)}, {"dog/2.png", picture(2)}});
  import_dataset({.name = "folder", .archives = {archive}, .out = out});
  const Manifest good = read_manifest(out);
  const auto rewritten = [&](const std::function<void(Manifest&)>& change) {
    Manifest m = good;
    change(m);
    write_manifest(out, m);
    return caught([&] { open_dataset(out, {.split = "all"}); });
  };
  CHECK(rewritten([](Manifest&) {}).code == Exit::kOk);
  const std::vector<std::function<void(Manifest&)>> changes = {[](Manifest& m) { m.images[0].file = "../a.tar"; },
                                                               [](Manifest& m) { m.images[0].file = "/etc/passwd"; },
                                                               [](Manifest& m) { m.images[0].label = 7; },
                                                               [](Manifest& m) { m.images[0].split = "trian"; },
                                                               [](Manifest& m) { m.images[0].domain = "nowhere"; },
                                                               [](Manifest& m) { m.images[0].sha256 = "12"; },
                                                               [](Manifest& m) { m.images[0].record = 3; },
                                                               [](Manifest& m) { m.images[0].file = "a,b\",c"; },
                                                               [](Manifest& m) { m.layout = "tfrecord"; },
                                                               [](Manifest& m) { m.classes.clear(); },
                                                               [](Manifest& m) { m.folder = "../.."; }};
  for (size_t k = 0; k < changes.size(); ++k) {
    CAPTURE(k);
    const Caught error = rewritten(changes[k]);
    if (k == 7) {
      CHECK(error.code == Exit::kOk);  // quoted, and only asked for when its image is
      continue;
    }
    CHECK(error.code == Exit::kBadData);
    CHECK((error.names("images.csv") || error.names("manifest.json")));
  }
  write_manifest(out, *std::make_unique<Manifest>(good));
  const Bytes header = read_all(out + "/manifest.json"), list = read_all(out + "/images.csv");
  int refused = 0;
  for (uint32_t k = 0; k < 600; ++k) {
    const bool of_list = k % 3 == 0;
    Bytes damaged = of_list ? list : header;
    const uint64_t h = hash(&k, sizeof k);
    if (k % 2 == 0)
      damaged[h % damaged.size()] = static_cast<uint8_t>(h >> 40);
    else
      damaged.resize(h % damaged.size());
    folder.write(of_list ? "out/images.csv" : "out/manifest.json", damaged);
    const Caught error = caught([&] { read_manifest(out); });
    CAPTURE(error.text);
    CHECK((error.code == Exit::kOk || error.code == Exit::kBadData));
    refused += error.code == Exit::kBadData ? 1 : 0;
    folder.write("out/images.csv", list);
    folder.write("out/manifest.json", header);
  }
  CHECK(refused > 400);
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  folder.write("out/manifest.json", deep);
  CHECK(caught([&] { read_manifest(out); }).code == Exit::kBadData);
}

// ---- interruptions --------------------------------------------------------------------------------------------------

// What the processes of the next case run; does nothing in an ordinary run of the tests.
// No test by itself: what the next one starts, kills and starts again.
TEST_CASE("import in a process of its own" * doctest::skip()) {
  const char* archive = std::getenv("TAUT_TEST_IMPORT_ARCHIVE");
  REQUIRE(archive != nullptr);
  import_dataset({.name = "folder", .archives = {archive}, .out = std::getenv("TAUT_TEST_IMPORT_OUT")});
}

TEST_CASE("killed again and again, an import ends with the same bytes") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  std::vector<Packed> entries;
  for (int k = 0; k < 1500; ++k)
    entries.push_back(
        {fmt::format("{}/{}.png", k % 7, k), encode_png(sample_image(40, 40, 3, static_cast<uint64_t>(k)))});
  write_archive(archive, entries);
  const auto start = [&] {
    ::setenv("TAUT_TEST_IMPORT_ARCHIVE", archive.c_str(), 1);
    ::setenv("TAUT_TEST_IMPORT_OUT", out.c_str(), 1);
    std::string self = "/proc/self/exe", name = "-tc=import in a process of its own", skipped = "--no-skip";
    char* arguments[] = {self.data(), name.data(), skipped.data(), nullptr};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, self.c_str(), &files, nullptr, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&files);
    ::unsetenv("TAUT_TEST_IMPORT_ARCHIVE");
    ::unsetenv("TAUT_TEST_IMPORT_OUT");
    return child;
  };
  const auto written = [&] {
    int64_t n = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(out + ".partial", error), end; !error && it != end; it.increment(error))
      n += it->is_directory(error) ? 0 : 1;
    return n;
  };
  int killed = 0;
  for (int64_t target = 1; target <= 1500; target += 240) {
    const pid_t child = start();
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(child, &status, WNOHANG)) == 0 && written() < target)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (ended != 0) break;
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    if (fs::exists(out)) break;
    ++killed;
  }
  CHECK(killed >= 2);
  CHECK(!fs::exists(out));
  // A leftover of a write that was cut, and one of other bytes.
  folder.write("out.partial/3/3.png.Ab12Cd", std::string("half"));
  folder.write("out.partial/3/3.png", std::string("half"));
  std::vector<std::string> said;
  ImportOptions options{.name = "folder", .archives = {archive}, .out = out};
  options.say = [&](const std::string& line) { said.push_back(line); };
  const Manifest m = import_dataset(options);
  CHECK(std::ranges::any_of(said, [](const std::string& s) { return s.starts_with("resumed: "); }));
  CHECK(check_import(out).problems.empty());
  CHECK(check_import(out).notes.empty());
  options.out = (folder.path() / "at_once").string();
  CHECK(import_dataset(options).sha256 == m.sha256);
  for (const char* file : {"manifest.json", "images.csv"})
    CHECK(read_all(out + "/" + file) == read_all(options.out + "/" + file));
  for (const ManifestImage& image : m.images)
    if (read_all(fs::path(out) / image.file) != read_all(fs::path(options.out) / image.file)) FAIL(image.file);
}

TEST_CASE("an import that is told to stop stops, and goes on") {
  const TemporaryFolder folder;
  const std::string archive = (folder.path() / "a.tar").string(), out = (folder.path() / "out").string();
  write_archive(archive, {{"dog/1.png", picture(1)}, {"cat/2.png", picture(2)}});
  ImportOptions options{.name = "folder", .archives = {archive}, .out = out};
  options.progress = [](const std::string& what, int64_t, int64_t) {
    if (what == "unpacking") fail(Exit::kInterrupted, "[test] stop");
  };
  CHECK(caught([&] { import_dataset(options); }).code == Exit::kInterrupted);
  CHECK(!fs::exists(out));
  options.progress = [](const std::string&, int64_t, int64_t) {};
  CHECK(import_dataset(options).images.size() == 2);
}

}  // namespace taut::test
