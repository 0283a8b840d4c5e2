// The lists of data sets, damaged in every way: images with labels that exist, or an error of the documented kind.
#include <doctest/doctest.h>

#include "data/csv.h"
#include "data/import/layout.h"
#include "tests/data/support.h"

namespace taut::test {
namespace {

ImportContents contents_of(const std::vector<std::string>& images,
                           const std::vector<std::pair<std::string, std::string>>& lists) {
  ImportContents contents;
  for (const std::string& image : images) contents.images.push_back({image, 10, std::string(64, 'a')});
  for (const auto& [name, text] : lists) contents.lists[name] = Bytes(text.begin(), text.end());
  return contents;
}

struct Case {
  std::string dataset;
  ImportContents contents;
  size_t images;
};

std::vector<Case> cases() {
  return {
      {"cub200",
       contents_of({"C/images/001.a/x.jpg", "C/images/002.b/y.jpg"},
                   {{"C/images.txt", "1 001.a/x.jpg\n2 002.b/y.jpg\n"},
                    {"C/image_class_labels.txt", "1 1\n2 2\n"},
                    {"C/train_test_split.txt", "1 1\n2 0\n"},
                    {"C/classes.txt", "1 001.a\n2 002.b\n"}}),
       2},
      {"domainnet",
       contents_of({"real/cat/1.jpg", "real/dog/2.jpg"},
                   {{"real_train.txt", "real/cat/1.jpg 0\n"}, {"real_test.txt", "real/dog/2.jpg 1\n"}}),
       2},
      {"grocery81",
       contents_of({"d/train/F/a.jpg", "d/test/F/b.jpg"},
                   {{"d/train.txt", "train/F/a.jpg, 0, 0\n"},
                    {"d/test.txt", "test/F/b.jpg, 1, 0\n"},
                    {"d/classes.csv", "Class Name (str),Class ID (int)\nApple,0\nPear,1\n"}}),
       2},
      {"folder_csv",
       contents_of({"a.jpg", "b.jpg"},
                   {{"labels.csv", "file,class_index,class_name,split,domain\na.jpg,0,cat,train,x\nb.jpg,1,dog,,y\n"}}),
       2}};
}

Manifest arranged(const Case& c) {
  Manifest manifest;
  manifest.name = c.dataset;
  manifest.complete = true;
  layout_of(c.dataset)->arrange(c.contents, manifest);
  return manifest;
}

}  // namespace

TEST_CASE("whatever the lists say, labels are classes and the rest is skipped") {
  int refused = 0, taken = 0;
  for (const Case& good : cases()) {
    CAPTURE(good.dataset);
    CHECK(arranged(good).images.size() == good.images);
    CHECK(arranged(good).complete);
    for (uint32_t k = 0; k < 3000; ++k) {
      Case bad = good;
      const uint64_t h = hash(&k, sizeof k, 11);
      auto list = bad.contents.lists.begin();
      std::advance(list, static_cast<std::ptrdiff_t>(h % bad.contents.lists.size()));
      Bytes& bytes = list->second;
      const size_t at = (h >> 8) % bytes.size();
      switch (k % 5) {
        case 0: bytes[at] = static_cast<uint8_t>(h >> 40); break;
        case 1: bytes.resize(at); break;
        case 2: bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end()); break;
        case 3: bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at)); break;
        default: bytes[at] = "0123456789- \n/.,\""[(h >> 40) % 17]; break;
      }
      Manifest manifest;
      const Caught error = caught([&] { manifest = arranged(bad); });
      CAPTURE(error.text);
      REQUIRE((error.code == Exit::kOk || error.code == Exit::kBadData || error.code == Exit::kMissing));
      if (error.code != Exit::kOk) {
        ++refused;
        continue;
      }
      ++taken;
      CHECK(manifest.images.size() + manifest.skipped.size() == good.contents.images.size());
      for (const ManifestImage& image : manifest.images)
        CHECK((image.label >= 0 && image.label < static_cast<int64_t>(manifest.classes.size())));
    }
  }
  CHECK(refused > 2000);
  CHECK(taken > 1000);
}

TEST_CASE("Grocery-81: a label far from the known classes is refused with its line") {
  const auto with = [](const std::string& train, const std::string& classes) {
    return caught([&] {
      arranged({"grocery81",
                contents_of({"a.jpg", "b.jpg"},
                            {{"train.txt", train}, {"test.txt", "b.jpg, 1\n"}, {"classes.csv", classes}}),
                2});
    });
  };
  CHECK(with("a.jpg, 80\n", "name,id\nApple,80\n").code == Exit::kOk);
  const Caught label = with("a.jpg, 999999\n", "name,id\n");
  CHECK(label.code == Exit::kBadData);
  CHECK(label.names("[train.txt] line 1: expected a class index in [0, 162)"));
  CHECK(with("a.jpg, 80\n", "name,id\nApple,999999\n").names("[classes.csv] line 2"));
}

TEST_CASE("a list in CSV: fields, quotes, and what is refused with its line") {
  CHECK(split_csv("a,\"b,\"\"c\"\"\",") == std::vector<std::string>{"a", "b,\"c\"", ""});
  for (const char* text : {"plain", "a,b", "say \"hi\"", " space ", ""})
    CHECK(split_csv(csv_field(text)) == std::vector<std::string>{text});
  const auto refuse = [](const std::string& text, int64_t classes = 0) {
    return caught([&] { parse_labels_csv(Bytes(text.begin(), text.end()), "l.csv", classes); });
  };
  CHECK(refuse("").names("empty"));
  CHECK(refuse("file,label\na,1\n").names("line 1"));
  CHECK(refuse("file,class_index\na\n").names("line 2"));
  CHECK(refuse("file,class_index\na,-1\n").names("-1"));
  CHECK(refuse("file,class_index\na,1000000000000\n").names("1000000000000"));
  CHECK(refuse("file,class_index\na,3\n", 3).names("[0, 3)"));
  CHECK(refuse("file,class_index,split\na,3,trian\n").names("trian"));
  CHECK(refuse("file,class_index\n").names("at least one image"));
  CHECK(refuse("class_index,file\n3,a\n").code == Exit::kOk);
}

}  // namespace taut::test
